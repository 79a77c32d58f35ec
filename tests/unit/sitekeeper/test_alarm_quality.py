"""The figures of alarms: each equals a count by hand, at its limits too."""

import pytest

from sitekeeper.alarm_quality import Entry, Flood, Kpi, chattering, entry, is_activation, report
from sitekeeper.model.alarm import AlarmState, Cause, Transition
from sitekeeper.model.clock import DAY, HOUR, MINUTE, SECOND

T0 = 1_780_272_000 * SECOND
A, B, C, D = AlarmState.NORMAL, AlarmState.UNACKED, AlarmState.ACKED, AlarmState.RETURNED
E, F, G = AlarmState.SHELVED, AlarmState.SUPPRESSED, AlarmState.OUT


def raised(at: float, key: str = "hq/d/A02", priority: str = "P3", mode: str = "") -> Entry:
    return Entry(T0 + round(at * SECOND), key, priority, Cause.RAISE, A, B, mode)  # type: ignore[arg-type]


def moved(at: float, cause: Cause, source: AlarmState, target: AlarmState, key: str = "hq/d/A02") -> Entry:
    return Entry(T0 + round(at * SECOND), key, "P3", cause, source, target)


def cleared(at: float, key: str = "hq/d/A02") -> Entry:
    return moved(at, Cause.CLEAR, B, D, key)


def of(*entries: Entry, lasts: int = HOUR) -> Kpi:
    return report(entries, T0, T0 + lasts)


def test_an_hour_by_hand() -> None:
    """12 in the first ten minutes, 3 in the fourth: average 2.5, most 12, one interval of six above ten."""
    many = [raised(40 * n, f"hq/d-{n}/A02", "P3" if n < 10 else "P1") for n in range(12)]
    found = of(*many, *(raised(1_800 + 60 * n, "hq/lane/B06", "P2") for n in range(3)))
    assert (found.annunciated, found.average, found.most) == (15, 2.5, 12)
    assert found.over == pytest.approx(1 / 6)
    assert [(one.key, one.count, one.share) for one in found.top[:2]] == [
        ("hq/lane/B06", 3, 0.2),
        ("hq/d-0/A02", 1, 1 / 15),
    ]
    assert len(found.top) == 10
    assert found.priorities == {"P1": 2, "P2": 3, "P3": 10, "P4": 0}


def test_a_flood_begins_with_the_eleventh_in_ten_minutes_and_ends_below_five() -> None:
    """Eleven within 599 s are one; eleven in 600 s are none. Over when the fifth from the end is ten minutes old."""
    assert of(*(raised(59.9 * n) for n in range(11))).floods == 1
    assert of(*(raised(60 * n) for n in range(11))).floods == 0
    found = of(*(raised(30 * n) for n in range(14)))
    assert found.floods == 1
    assert found.in_flood == (30 * 9 + 600 - 30 * 10) * SECOND  # from the 11th to ten minutes after the 10th
    assert of(*(raised(30 * n) for n in range(14)), lasts=6 * MINUTE).in_flood == MINUTE  # it lasts at the end


def test_the_machine_of_a_flood_says_when_it_ends() -> None:
    """Fed one by one as the office feeds it; a clock set back by more than its window begins anew."""
    flood = Flood()
    assert [flood.add(n * SECOND) for n in range(12)] == [False] * 10 + [True, False]
    assert flood.ends == 7 * SECOND + 10 * MINUTE
    assert flood.look(7 * SECOND + 10 * MINUTE - 1) is None
    assert flood.look(HOUR) == 7 * SECOND + 10 * MINUTE
    assert (flood.since, flood.ends) == (None, None)
    flood.add(-DAY)
    assert list(flood.times) == [-DAY]


def test_chattering_is_three_activations_within_sixty_seconds() -> None:
    """0, 30, 59.9 s chatter; 0, 30, 60 s do not. One spell of it counts once however long it lasts."""
    assert chattering([0, 30 * SECOND, 60 * SECOND - 1])
    assert not chattering([0, 30 * SECOND, 60 * SECOND])
    assert not chattering([0, SECOND])
    assert not chattering([HOUR, 0, SECOND])  # the site's clock was set back
    toggles = [one for n in range(20) for one in (raised(16 * n), cleared(16 * n + 8))]
    again = [one for n in range(3) for one in (raised(2_000 + 16 * n), cleared(2_008 + 16 * n))]
    assert of(*toggles).chattering == {"hq/d/A02": 1}
    assert of(*toggles, *again).chattering == {"hq/d/A02": 2}


def test_fleeting_is_short_and_alone() -> None:
    """Under 10 s and not again within 60 s; 10 s is not fleeting, nor is one that comes back after 59 s."""
    assert of(raised(0), cleared(9.9)).fleeting == {"hq/d/A02": 1}
    assert of(raised(0), cleared(10)).fleeting == {}
    assert of(raised(0), cleared(9), raised(68.9), cleared(100)).fleeting == {}
    assert of(raised(0), cleared(9), raised(69), cleared(100)).fleeting == {"hq/d/A02": 1}


def test_stale_is_longer_than_a_day_wherever_it_began() -> None:
    """Raised before the time and still true: stale; exactly a day is not; one that was over before is none of it."""
    before = [raised(-86_400, "hq/old/A02"), raised(-100_000, "hq/gone/A02"), cleared(-10, "hq/gone/A02")]
    found = of(*before, raised(0), cleared(86_400), lasts=2 * DAY)
    assert found.stale == ("hq/old/A02",)
    assert found.annunciated == 1
    assert of(raised(0), cleared(86_400.001), lasts=2 * DAY).stale == ("hq/d/A02",)
    shelf = moved(0, Cause.SHELF_OVER, E, B)
    assert of(shelf, lasts=2 * DAY).stale == ("hq/d/A02",)
    assert of(shelf, cleared(5)).fleeting == {}


def test_times_to_acknowledge_are_of_occurrences() -> None:
    """1, 2, 3 and 10 min: median 2 (nearest rank), p90 10; what became worse meanwhile is still one wait."""
    ids = [f"hq/d-{n}/A02" for n in range(4)]
    moves = [raised(0, key) for key in ids]
    moves += [moved(30, Cause.REANNUNCIATE, B, B, ids[0])]
    moves += [moved(at, Cause.ACK, B, C, key) for at, key in zip((60, 120, 180, 600), ids, strict=True)]
    found = of(*moves, raised(700))
    assert (found.acknowledged, found.ack_median, found.ack_p90) == (4, 2 * MINUTE, 10 * MINUTE)
    assert of(raised(0)).ack_median is None


def test_what_is_held_back_is_counted_by_its_kind() -> None:
    """A shelf that is prolonged is one shelf; suppressed are those that would be seen; a normal one is not."""
    found = of(
        moved(0, Cause.SHELVE, B, E), moved(10, Cause.SHELVE, E, E), moved(20, Cause.OUT, A, G),
        moved(30, Cause.SUPPRESS, A, F), moved(40, Cause.RAISE, F, F), moved(50, Cause.SUPPRESS, B, F, "hq/e/A02"),
    )  # fmt: skip
    assert (found.shelved, found.out, found.suppressed, found.annunciated) == (1, 1, 2, 0)


def test_what_comes_back_into_sight_is_annunciated_but_is_no_activation() -> None:
    """An alarm off its shelf rings once more; it did not come true anew, so it cannot make it chatter."""
    back = moved(0, Cause.SHELF_OVER, E, B)
    assert of(back).annunciated == 1
    assert not is_activation(back)
    assert is_activation(moved(0, Cause.REANNUNCIATE, AlarmState.LATCHED_UNACKED, B))
    assert not is_activation(moved(0, Cause.REANNUNCIATE, C, B))


def test_watch_and_drill_are_left_out_and_so_is_what_lies_outside() -> None:
    """Neither a rule that is only watched, nor a drill, nor what came before or at the end is counted."""
    found = of(raised(0, mode="watch"), raised(1, mode="drill"), raised(-1, "hq/x/A02"), raised(3_600, "hq/y/A02"))
    assert (found.annunciated, found.top) == (0, ())
    assert of().most == 0


def test_an_entry_is_what_the_figures_need_of_a_transition() -> None:
    """Time, key, priority, cause, states and mode are taken over."""
    move = Transition(
        occurrence="hq/d/A02@e-1", key="hq/d/A02", rule="A02", source=A, target=B, cause=Cause.RAISE, priority="P3",
        at=T0, mono=7, latched=False,
    )  # fmt: skip
    assert entry(move) == raised(0)
