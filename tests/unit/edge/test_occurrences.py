"""The ledger of events: what is new, what never came, and that neither is told twice, whatever happens on the way."""

import random
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.base import Account, Heard
from edge.lives import NEAR, RANGES
from edge.occurrences import REMEMBERED, AuditGap, Occurrences
from sitekeeper.model.errors import FormatError

CONTROLLER = "sp/hq/access/405419896"


def read(
    sequence: int | None, *, run: int = 0, device: str = "door-1", buffered: bool = False, counter=CONTROLLER
) -> Heard:
    """Return a card read; `run` is the life of the counter that it belongs to."""
    return Heard(
        device=device, name="read.event", received=1, fields={"granted": True}, sequence=sequence, counter=counter,
        source=(run << 40) + (sequence or 0), buffered=buffered,
    )  # fmt: skip


def fed(ledger: Occurrences, *heard: Heard) -> list[Heard | AuditGap]:
    result = ledger.sort(heard)
    ledger.keep(result)
    return list(result.told)


def gaps(told: Iterable[Heard | AuditGap]) -> list[tuple[int | None, int | None]]:
    return [(each.first, each.last) for each in told if isinstance(each, AuditGap)]


def sequences(told: Iterable[Heard | AuditGap]) -> list[int | None]:
    return [each.sequence for each in told if isinstance(each, Heard)]


def test_a_missing_event_is_a_gap_before_the_one_that_showed_it() -> None:
    """4711 is lost: 4712 tells so first, once; the neighbours tell nothing."""
    ledger = Occurrences({})
    told = fed(ledger, read(4710), read(4712), read(4713))
    assert told == [read(4710), AuditGap("door-1", CONTROLLER, 4711, 4711), read(4712), read(4713)]
    assert ledger.missing() == {CONTROLLER: ((4711, 4711),)}


def test_a_gap_is_filled_once() -> None:
    """What comes after all is accepted, the rest stays missing, and a second copy is a repeat, asked for or not."""
    ledger = Occurrences({})
    fed(ledger, read(1), read(6))
    assert sequences(fed(ledger, read(3, buffered=True), read(4))) == [3, 4]
    assert ledger.missing() == {CONTROLLER: ((2, 2), (5, 5))}
    assert fed(ledger, read(3), read(4, buffered=True)) == []


def test_doors_of_one_controller_share_its_counter() -> None:
    """A gap between events of two doors is one gap; it is told of the door whose event showed it."""
    told = fed(Occurrences({}), read(1, device="door-1"), read(3, device="door-2"))
    assert told[1] == AuditGap("door-2", CONTROLLER, 2, 2)


def test_an_event_of_no_device_counts_and_its_gap_is_told_of_the_last_one_known() -> None:
    """A controller may have a door that this site does not list: its events are no gap, and one lost beside it is."""
    ledger = Occurrences({})
    told = fed(ledger, read(1), read(2, device=""), read(3), read(5, device=""))
    assert gaps(told) == [(4, 4)]
    assert [each.device for each in told if isinstance(each, AuditGap)] == ["door-1"]


def test_a_counter_that_begins_anew_is_accepted_and_told() -> None:
    """A lower number that was never told before is no repeat; how much was lost is not known."""
    ledger = Occurrences({})
    fed(ledger, read(900), read(901))
    told = fed(ledger, read(1, run=1), read(2, run=1))
    assert told == [AuditGap("door-1", CONTROLLER, None, None), read(1, run=1), read(2, run=1)]
    assert told[0].restarted
    assert fed(ledger, read(901), read(2, run=1)) == []


def test_the_same_words_at_another_time_are_another_event() -> None:
    """A new controller that begins at the very number of the old one, with the same card, is no repeat."""
    ledger = Occurrences({})
    fed(ledger, read(1), read(2))
    assert sequences(fed(ledger, read(2, run=1))) == [2]
    assert fed(ledger, read(2), read(2, run=1)) == []


def test_a_buffered_straggler_does_not_turn_the_counter_back() -> None:
    """An old event told late, before the account began, is accepted; the next live one is no gap."""
    ledger = Occurrences({})
    fed(ledger, read(4711))
    assert fed(ledger, read(1200, buffered=True)) == [read(1200, buffered=True)]
    assert fed(ledger, read(4712)) == [read(4712)]


def test_the_first_two_events_may_come_in_the_wrong_order() -> None:
    """A number a little lower than the first ever heard came late; it is no new beginning."""
    ledger = Occurrences({})
    assert gaps(fed(ledger, read(12), read(11), read(13))) == []
    assert gaps(fed(ledger, read(9), read(10), read(14))) == [(10, 10)]


def test_counters_do_not_touch_each_other_and_events_without_one_are_always_new() -> None:
    """Two controllers count apart; who does not count cannot repeat."""
    ledger = Occurrences({})
    assert len(fed(ledger, read(1, counter="a"), read(9, counter="b"), read(2, counter="a"))) == 3
    assert len(fed(ledger, read(None), read(None), read(5, counter=""), read(5, counter=""))) == 4


def test_asking_changes_nothing() -> None:
    """An append that failed is as if the event had never come: told again, it is new, with the same gap."""
    ledger = Occurrences({})
    fed(ledger, read(1))
    first = ledger.sort([read(3), read(3)])
    assert ledger.sort([read(3), read(3)]) == first
    assert sequences(first.told) == [3]
    ledger.keep(first)
    assert ledger.sort([read(3)]).told == ()
    assert ledger.sort([read(3)]).state == {}


def test_the_account_of_a_counter_and_its_repeats() -> None:
    """What drivers and people are told of a counter: the highest number, what is missing, how much came again."""
    ledger = Occurrences({})
    fed(ledger, read(1), read(4), read(4))
    fed(ledger, read(1), read(7))
    assert ledger.accounts() == {CONTROLLER: Account(7, ((2, 3), (5, 6)))}
    assert ledger.repeats == {CONTROLLER: 2}
    ledger.sort([read(7)])
    assert ledger.repeats == {CONTROLLER: 2}, "asking changes nothing"


def test_a_state_written_before_clocks_were_known_is_read() -> None:
    """The state of version 0.2 before that has seven parts; nothing is known of its clock."""
    state = msgspec.msgpack.encode([1, "door-2", 4, 5, [(2, 3)], [5], b"12345678"])
    ledger = Occurrences({f"~events/{CONTROLLER}": state})
    assert ledger.accounts() == {CONTROLLER: Account(5, ((2, 3),))}
    assert ledger.behind(read(6)) == 0


def test_memory_is_bounded() -> None:
    """512 events and 64 ranges per counter, however much is lost; the last 512 are still known as repeats."""
    ledger = Occurrences({})
    every = [read(n) for n in range(1, 4 * REMEMBERED, 2)]
    told = fed(ledger, *every)
    assert len(gaps(told)) == len(every) - 1
    assert len(ledger.missing()[CONTROLLER]) == RANGES
    assert fed(ledger, *every[-REMEMBERED:]) == []
    assert len(ledger.sort([read(9_999)]).state[f"~events/{CONTROLLER}"]) < 8_000
    assert sequences(fed(ledger, read(4))) == [4], "in a gap that two oldest ranges were taken together into"
    assert gaps(fed(ledger, read(4 * REMEMBERED - 1))) == [], "and it did not turn the counter back"


def test_a_state_that_is_none_is_refused() -> None:
    """Whatever lies under the ledger's keys is read or refused, and other keys are not its own."""
    assert Occurrences({"t1/R1": b"\xc1", "~claims/d/p": b"\xc1"}).missing() == {}
    with pytest.raises(FormatError, match="~events/x"):
        Occurrences({"~events/x": b"\xc1"})


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[int, list[int], list[int]]:
    """Return (first number, numbers lost, order of arrival) of one life of a counter, with repeats and disorder."""
    first = draw(st.integers(1, 5000))
    count = draw(st.integers(1, 60))
    lost = draw(st.sets(st.integers(first, first + count - 1), max_size=count - 1))
    came = [n for n in range(first, first + count) if n not in lost]
    chance = random.Random(draw(st.integers(0, 2**32)))
    order = sorted(came, key=lambda n: n + chance.choice((0, 0, 0, chance.uniform(0, 12))))
    for _ in range(draw(st.integers(0, 20))):
        place = chance.randrange(len(order))
        order.insert(chance.randrange(place, len(order)) + 1, order[place])
    return first, sorted(lost), order


@settings(max_examples=300, deadline=None)
@given(deliveries(), st.integers(0, 2**32))
def test_each_event_once_and_every_lost_one_in_a_gap(way: tuple[int, list[int], list[int]], seed: int) -> None:
    """Loss, repeats, disorder, appends that fail and kills of our process: nothing twice, nothing lost untold."""
    _, lost, order = way
    chance = random.Random(seed)
    disk: dict[str, bytes] = {}
    ledger, accepted, reported, waiting = Occurrences(disk), [], [], list(order)
    while waiting:
        batch = waiting[: chance.randint(1, 4)]
        result = ledger.sort([read(n, buffered=chance.random() < 0.2) for n in batch])
        if chance.random() < 0.2:  # the append failed, or we died before it: the broker delivers again
            ledger = Occurrences(disk) if chance.random() < 0.5 else ledger
            continue
        disk |= result.state
        ledger.keep(result)
        for each in result.told:
            if isinstance(each, Heard):
                accepted.append(each.sequence)
            else:
                assert not each.restarted
                assert each.first is not None
                assert each.last is not None
                assert not {*range(each.first, each.last + 1)} & {*accepted}, "no gap for one that came"
                reported += range(each.first, each.last + 1)
        if chance.random() < 0.2:
            ledger = Occurrences(disk)  # we died after the commit, before the acknowledgement
            continue
        del waiting[: len(batch)]
    assert sorted(accepted) == sorted({*order})
    seen = {n for n in lost if min(order) < n < max(order)}
    assert seen <= {*reported}
    assert len(reported) == len({*reported}), "no number is told missing twice"
    still = {n for ranges in ledger.missing().values() for first, last in ranges for n in range(first, last + 1)}
    assert still == seen


@settings(max_examples=200, deadline=None)
@given(st.lists(deliveries(), min_size=2, max_size=4), st.integers(0, 2**32))
def test_a_counter_that_begins_anew_loses_and_repeats_nothing(
    lives: list[tuple[int, list[int], list[int]]], seed: int
) -> None:
    """Over several lives of a counter each event is accepted once, and each life that shows itself is told."""
    chance = random.Random(seed)
    disk: dict[str, bytes] = {}
    ledger, accepted = Occurrences(disk), []
    for life, (_, _, order) in enumerate(lives):
        before = len(accepted)
        told = []
        base = 100_000 - 10_000 * life  # each life counts below the one before
        for n in order:
            result = ledger.sort([read(base + n, run=life)])
            disk |= result.state
            ledger.keep(result)
            told += result.told
            if chance.random() < 0.1:
                ledger = Occurrences(disk)
        accepted += [(life, n) for n in sequences(told)]
        assert len(accepted) - before == len({*order})
        assert any(each.restarted for each in told if isinstance(each, AuditGap)) is (life > 0)
    assert len(accepted) == len({*accepted})
    assert NEAR < 10_000 - 5_060, "or a life would look like the disorder of the one before"
