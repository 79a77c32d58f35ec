"""A broker restored from an old copy of itself tells again what is long forgotten by fingerprint; the ledger knows."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drivers.base import Heard
from edge import lives, occurrences
from edge.lives import APART, CHECKPOINTS
from edge.occurrences import LIVES, REMEMBERED, AuditGap, Occurrences
from sitekeeper.model.clock import DAY, HOUR, SECOND, Micros

CONTROLLER = "sp/hq/access/405419896"
KEY = f"~events/{CONTROLLER}"
BEGAN = 1_790_000_000 * SECOND
UNSET = {"1970": 0, "2000": 946_684_800 * SECOND}


def read(sequence: int, at: Micros | None, *, buffered: bool = False, behind: Micros | None = None) -> Heard:
    return Heard(
        device="door-1", name="read.event", received=1, fields={"granted": True}, sequence=sequence,
        counter=CONTROLLER, source=at, buffered=buffered, behind=behind,
    )  # fmt: skip


def each_second(first: int, last: int, began: Micros = BEGAN) -> list[Heard]:
    return [read(n, began + n * SECOND) for n in range(first, last + 1)]


def fed(ledger: Occurrences, heard: list[Heard], disk: dict[str, bytes] | None = None) -> list[Heard | AuditGap]:
    """Tell a ledger events that are as old as they say, up to an hour."""
    told: list[Heard | AuditGap] = []
    for each in heard:
        result = ledger.sort([each], (each.source or 0) + SECOND)
        ledger.keep(result)
        told += result.told
        if disk is not None:
            disk.update(result.state)
    return told


def restarts(told: list[Heard | AuditGap]) -> int:
    return sum(isinstance(each, AuditGap) and each.restarted for each in told)


@pytest.mark.parametrize("count", [REMEMBERED + 662, 20_000])
def test_repeats_from_beyond_the_512_are_known_by_their_time(count: int) -> None:
    """The whole story of a counter told again, to this process or the next one: nothing is new, no gap is told."""
    disk: dict[str, bytes] = {}
    ledger, story = Occurrences(disk), each_second(1, count)
    assert fed(ledger, story, disk) == story
    again = story if count < 2_000 else story[:: count // 1_000]
    assert fed(ledger, again) == fed(Occurrences(disk), again) == []
    assert len(fed(ledger, each_second(count + 1, count + 3))) == 3


def test_what_was_missing_is_not_taken_for_a_repeat() -> None:
    """A number inside the account that never came is accepted when it comes, once, however old it is."""
    ledger, story = Occurrences({}), each_second(1, 2_000)
    fed(ledger, story[:300] + story[310:])
    assert fed(ledger, story[295:315]) == story[300:310]
    assert ledger.missing() == {}


@pytest.mark.parametrize("began", [0, UNSET["2000"], BEGAN + 2_000 * SECOND, BEGAN - 365 * DAY])
def test_a_counter_that_begins_anew_is_accepted_whatever_its_clock_shows(began: Micros) -> None:
    """Later, or reset to 1970, 2000 or last year: all events of the new life are new, and it is told once."""
    ledger = Occurrences({})
    fed(ledger, each_second(1, 2_000))
    anew = each_second(5, 1_500, began)
    told = fed(ledger, anew)
    assert [each for each in told if isinstance(each, Heard)] == anew
    assert restarts(told) == 1


@pytest.mark.parametrize("began", [0, UNSET["2000"], BEGAN - 365 * DAY])
@pytest.mark.parametrize("late", [0, SECOND])
def test_a_clock_that_always_begins_at_the_same_wrong_time_loses_nothing(began: Micros, late: Micros) -> None:
    """Two lives with the same numbers at almost the same times, by a clock that never agreed with ours: all are new."""
    ledger = Occurrences({})
    first, second = each_second(1, 700, began), each_second(1, 700, began + late + 1)
    for story in (first, second):
        result = ledger.sort(story, BEGAN)
        ledger.keep(result)
        assert [each for each in result.told if isinstance(each, Heard)] == story


def test_two_clocks_that_were_never_set_agree_on_nothing() -> None:
    """The gateway's clock begins in 1970 too: the same numbers at the same seconds of the next life are new."""
    ledger = Occurrences({})
    fed(ledger, each_second(1, 700, 0))
    anew = each_second(1, 700, 1)
    assert [each for each in fed(ledger, anew) if isinstance(each, Heard)] == anew


def test_a_counter_and_a_good_clock_that_go_back_together_lose_nothing_after_the_first_event() -> None:
    """Once a new life is known, what was told since it began is of no life before, whatever number it has."""
    ledger = Occurrences({})
    fed(ledger, each_second(1, 700))
    anew = each_second(1, 700, BEGAN + 5 * SECOND)
    assert [each for each in fed(ledger, anew) if isinstance(each, Heard)] == anew


def test_a_number_of_the_last_512_with_other_words_is_another_event() -> None:
    """A controller that takes up a saved counter and a saved clock, both a little old, loses nothing."""
    ledger = Occurrences({})
    fed(ledger, each_second(1, 700))
    anew = each_second(690, 720, BEGAN + SECOND // 2)
    assert [each for each in fed(ledger, anew) if isinstance(each, Heard)] == anew


def test_a_clock_that_is_known_to_be_far_off_vouches_for_nothing() -> None:
    """The driver knows better than the time of one event: what such a clock stamped is as without a time."""
    ledger = Occurrences({})
    story = [replaced(each, behind=-HOUR) for each in each_second(1, 600)]
    fed(ledger, story)
    assert fed(ledger, story[:1])[1:] == story[:1]


def test_a_clock_of_which_too_much_good_is_believed_vouches_for_nothing_either() -> None:
    """Soon after its reset the driver still believes a clock to be right; the event itself says that it is not."""
    ledger = Occurrences({})
    for run in range(2):
        story = [replaced(each, behind=0) for each in each_second(1, 700, BEGAN - DAY + run)]
        result = ledger.sort(story, BEGAN)
        ledger.keep(result)
        assert [each for each in result.told if isinstance(each, Heard)] == story


def test_without_times_a_repeat_from_beyond_the_512_counts_as_new() -> None:
    """Without a time a lower number that is not known means a new beginning, as there is nothing to tell it by."""
    ledger = Occurrences({})
    fed(ledger, [read(n, None) for n in range(1, 601)])
    assert restarts(fed(ledger, [read(1, None)])) == 1


def test_a_clock_put_back_makes_nothing_lost_and_little_double() -> None:
    """By 2 s: nothing is new. By an hour: nothing is lost, and what was told about that moment is still known."""
    for back in (2 * SECOND, HOUR):
        ledger = Occurrences({})
        story = each_second(1, 700) + each_second(701, 2_000, BEGAN - back)
        assert fed(ledger, story) == story
        assert fed(ledger, story) == []


def test_a_copy_from_before_a_new_beginning_is_known() -> None:
    """The broker tells again the end of one life and the beginning of the next: nothing of either is new."""
    disk: dict[str, bytes] = {}
    ledger = Occurrences(disk)
    story = each_second(1, 2_000) + each_second(1, 600, BEGAN + DAY)
    fed(ledger, story, disk)
    assert fed(ledger, story[700:]) == fed(Occurrences(disk), story[700:]) == []
    assert fed(ledger, each_second(601, 601, BEGAN + DAY)) == each_second(601, 601, BEGAN + DAY)


def test_the_saved_state_is_bounded() -> None:
    """Under 8 kB at the worst that devices do, under 4 kB as a rule, and no more in memory than was promised."""
    for lost, limit in ((0, 4_000), (1, 4_500)):
        ledger, disk = Occurrences({}), dict[str, bytes]()
        for life in range(LIVES + 2):
            at = BEGAN + life * DAY * 365
            numbers = range(100_000, 100_000 + 17_000 * (1 + lost) // (1 + 19 * (life > 0)), 1 + lost)
            fed(ledger, [read(n, at + n * 7 * SECOND) for n in numbers], disk)
            assert len(disk[KEY]) < (limit if life == 0 else 8_000)
        counter = Occurrences(disk).sort([read(1, None)]).counters[CONTROLLER]
        assert len(counter.lives) <= LIVES
        assert all(len(life.checkpoints) <= CHECKPOINTS for life in counter.lives)


def test_a_state_of_format_1_is_read() -> None:
    """What an earlier version saved goes on: the last 512 are known, ranges stay missing, checkpoints begin now."""
    story = each_second(1, 600)
    prints = [print_1(each) for each in story[-REMEMBERED:]]
    old = [1, "door-1", 1, 600, [(20, 22)], [each.sequence for each in story[-REMEMBERED:]], b"".join(prints)]
    for state in (old, [*old, -4 * SECOND]):
        ledger = Occurrences({KEY: msgspec.msgpack.encode(state)})
        assert ledger.missing() == {CONTROLLER: ((20, 22),)}
        assert fed(ledger, story[-REMEMBERED:] + story[20:21]) == story[20:21]
        assert len(fed(ledger, each_second(601, 600 + REMEMBERED + APART))) == REMEMBERED + APART
        assert fed(ledger, each_second(601, 605)) == []
    assert ledger.behind(read(1, None)) == -4 * SECOND


def print_1(heard: Heard) -> bytes:
    """Return a fingerprint as format 1 had it."""
    said = (heard.device, heard.name, sorted(heard.fields.items()), heard.source)
    return hashlib.blake2b(msgspec.msgpack.encode(said), digest_size=8).digest()


def replaced(heard: Heard, **changes: object) -> Heard:
    return msgspec.structs.replace(heard, **changes)


# A story of a controller, its broker and our process, with limits so small that all of them are passed at once.

SMALL = ((occurrences, "REMEMBERED", 8), (lives, "APART", 4), (lives, "CHECKPOINTS", 8), (lives, "NEAR", 2))

steps = st.one_of(
    st.tuples(st.just("tell"), st.integers(1, 40), st.integers(0, 5)),
    st.tuples(st.just("tell"), st.integers(1, 10), st.integers(0, 4_000)),
    st.tuples(st.just("lose"), st.integers(1, 3), st.integers(0, 5)),
    st.tuples(st.just("restore"), st.integers(1, 200), st.integers(1, 200)),
    st.tuples(st.just("put back"), st.integers(0, 3), st.just(0)),
    st.tuples(st.just("anew"), st.sampled_from([1, 1, 1, 3, 9]), st.sampled_from(["right", "right", "1970", "2000"])),
    st.tuples(st.just("die"), st.booleans(), st.just(0)),
)
Step = tuple[str, int, int | str]


@dataclass
class Story:
    """What was told, and what of it the ledger took; `exact`: it has no reason to take anything twice."""

    known: bool
    exact: bool = True
    disk: dict[str, bytes] = field(default_factory=dict)
    ledger: Occurrences = field(default_factory=lambda: Occurrences({}))
    now: Micros = BEGAN
    clock: str = "right"
    offset: Micros = 0
    up: Micros = BEGAN
    next: int = 1
    begun: int = 1
    first: bool = True
    put_back: int = 0
    told: list[Heard] = field(default_factory=list)
    taken: list[Heard] = field(default_factory=list)
    restarts: int = 0

    def source(self) -> Micros:
        return self.now + self.offset if self.clock == "right" else UNSET[self.clock] + self.now - self.up

    def step(self, step: Step) -> None:
        what, count, more = step
        if what in ("tell", "lose"):
            for _ in range(count):
                self.now += int(more) * SECOND + 1_003
                self._event(lost=what == "lose")
        elif what == "restore" and self.told:
            self._deliver(self.told[-count:][: int(more)])
        elif what == "put back":
            self.put_back += count
            self.offset -= count * SECOND
            self.exact &= self.put_back <= 2
            self._event(lost=False)
        elif what == "anew":
            self.now += 10 * SECOND
            self.clock, self.up, self.next, self.first = str(more), self.now, count, True
            self.begun += 1
            self.exact &= self.clock == "right" and self.begun <= LIVES
        elif what == "die":
            self.ledger = Occurrences(self.disk)
            if count and self.told:  # after the commit, before the broker knew
                self._deliver(self.told[-3:])

    def _event(self, *, lost: bool) -> None:
        behind = self.now - self.source() if self.known else None
        event = read(self.next, self.source(), behind=behind)
        self.next += 1
        if lost:
            return
        if self.first:
            self.exact &= event.sequence == 1
            self.first = False
        self.told.append(event)
        self._deliver([event])

    def _deliver(self, events: list[Heard]) -> None:
        self.ledger.sort(events, self.now)  # an append that failed
        result = self.ledger.sort(events, self.now)
        self.disk |= result.state
        self.ledger.keep(result)
        self.taken += [each for each in result.told if isinstance(each, Heard)]
        self.restarts += restarts(list(result.told))


@settings(max_examples=400, deadline=None)
@given(st.lists(steps, min_size=1, max_size=25), st.booleans())
@example([("tell", 100, 0), ("restore", 100, 100), ("tell", 3, 1)], False)
@example([("tell", 60, 1), ("anew", 1, "right"), ("tell", 40, 1), ("restore", 95, 95), ("tell", 3, 1)], True)
@example([("tell", 60, 1), ("anew", 1, "2000"), ("tell", 60, 1), ("anew", 1, "2000"), ("tell", 60, 1)], False)
def test_each_event_once_and_never_a_loss_whatever_is_restored(script: list[Step], known: bool) -> None:
    """Any part told again at any time, our deaths, loss, new beginnings with a clock reset or not, clocks put back.

    Never a loss; and each event once, and no new beginning told that was none, where clocks are right, the beginning of
    each life came and no more lives are told again than are kept.
    """
    with pytest.MonkeyPatch.context() as patched:
        for module, name, value in SMALL:
            patched.setattr(module, name, value)
        story = Story(known)
        for step in script:
            story.step(step)
    once = Counter((each.sequence, each.source) for each in story.told)
    taken = Counter((each.sequence, each.source) for each in story.taken)
    assert set(taken) == set(once), "lost"
    if story.exact:
        assert taken == once
        assert story.restarts <= story.begun - 1
