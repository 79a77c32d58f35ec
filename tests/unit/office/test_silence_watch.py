"""GW15: when an office counts as without its broker, and that no site is blamed for it. Time is handed in."""

from pathlib import Path

import pytest

from cloud_sync.store.sqlite import SqliteStore
from office.health import item, judged
from office.hearing import SETTLED, Hearing
from office.own_alarms import OFFICE, OwnAlarms
from office.silence import Silence
from office.silence_watch import SilenceWatch
from sitekeeper.model.clock import SECOND, Micros

AFTER = 60 * SECOND
WALL = 1_800_000_000 * SECOND


def run(hearing: Hearing, start: int, end: int, *, hears: bool) -> list[bool]:
    """Look once a second in [start, end); return whether the alarm stood each time."""
    stood = []
    for second in range(start, end):
        hearing.note(second * SECOND, WALL + second * SECOND, hears=hears)
        stood.append(hearing.stands)
    return stood


def test_it_is_raised_after_the_delay_and_cleared_once_the_return_is_settled() -> None:
    """Not at 59 s, at 60 s; it ends 5 s after the return; `since` is the first moment without it."""
    hearing = Hearing(AFTER)
    run(hearing, 0, 10, hears=True)
    assert hearing.sure
    assert run(hearing, 10, 71, hears=False) == [False] * 60 + [True]
    assert hearing.since == WALL + 10 * SECOND
    assert run(hearing, 71, 77, hears=True) == [True] * 5 + [False]
    assert (hearing.sure, hearing.since) == (True, None)


def test_a_broker_that_comes_and_goes_is_not_there() -> None:
    """Four seconds of every ten are no return: the delay runs from the first loss, and the alarm stands."""
    hearing = Hearing(AFTER)
    stood = [run(hearing, at, at + 6, hears=False)[-1] or run(hearing, at + 6, at + 10, hears=True)[-1]
             for at in range(0, 100, 10)]  # fmt: skip
    assert stood == [False] * 6 + [True] * 4
    assert hearing.since == WALL


def test_a_short_loss_is_forgotten() -> None:
    """A minute in pieces of 50 s, each with a settled return between, raises nothing."""
    hearing = Hearing(AFTER)
    for at in range(0, 600, 60):
        assert not any(run(hearing, at, at + 50, hears=False) + run(hearing, at + 50, at + 60, hears=True))


def test_what_stands_since_an_earlier_process_is_cleared_by_hearing() -> None:
    """A restarted office that finds its broker clears what stood, after it is settled."""
    hearing = Hearing(AFTER, stands=True)
    assert run(hearing, 0, 6, hears=True) == [True] * 5 + [False]
    assert SETTLED == 5 * SECOND


def test_the_next_look_is_when_something_changes_by_itself() -> None:
    """At the end of the delay, at the end of settling, and else at no time."""
    hearing = Hearing(AFTER)
    hearing.note(0, WALL, hears=True)
    assert hearing.next_look(0) is None
    hearing.note(SECOND, WALL, hears=False)
    assert hearing.next_look(SECOND) == 61 * SECOND
    hearing.note(2 * SECOND, WALL, hears=True)
    assert hearing.next_look(2 * SECOND) == 7 * SECOND


class Ways:
    """What the ingest says of its ways."""

    def __init__(self) -> None:
        self.there, self.problem, self.store_problem = True, "", ""

    def whole(self) -> bool:
        return self.there


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000 * SECOND

    def wall(self) -> Micros:
        return WALL + self.now

    def monotonic(self) -> Micros:
        return self.now

    def trusted(self) -> bool:
        return True


class Rig:
    def __init__(self, path: Path) -> None:
        self.clock, self.ways, self.away = Hand(), Ways(), ""
        self.store = SqliteStore.open(path / "office.db", inline=True)
        self.own = OwnAlarms(self.store, self.store.reader, self.clock, lambda: None)
        silence = Silence(["hq", "pier"], [], self.clock.now, AFTER)
        self.watch = SilenceWatch(
            silence, self.own, self.ways, self.clock, AFTER, "en", away=lambda: self.away, revoked=frozenset
        )
        self.silence = silence

    async def seconds(self, count: int, *, speaks: str = "") -> None:
        for _ in range(count):
            self.clock.now += SECOND
            if speaks:
                self.silence.heard(speaks, self.clock.now)
            self.watch.turn()
            await self.watch._tell()

    def state(self, site: str, rule: str) -> str:
        found = self.own.record(site, rule)
        return "A" if found is None else found.state


async def test_one_cause_is_one_alarm_and_sites_are_judged_anew(tmp_path: Path) -> None:
    """An hour without the broker: GW15 alone. After it the one that stays silent has its full minute from there."""
    rig = Rig(tmp_path)
    await rig.seconds(10, speaks="hq")
    rig.ways.there, rig.ways.problem = False, "10.0.0.1:1883: connection refused"
    await rig.seconds(3_600)
    assert [rig.state(OFFICE, "GW15"), rig.state("hq", "GW01"), rig.state("pier", "GW01")] == ["B", "A", "A"]
    assert rig.watch.unknown_since() == WALL + 1_011 * SECOND
    raised = rig.store.undecided()[0].transition
    assert (raised.key, raised.priority) == (f"{OFFICE}/broker/GW15", "P2")
    assert "connection refused" in raised.detail
    rig.ways.there = True
    await rig.seconds(6, speaks="hq")
    assert [rig.state(OFFICE, "GW15"), rig.watch.unknown_since()] == ["D", None]
    await rig.seconds(59, speaks="hq")
    assert rig.state("pier", "GW01") == "A"
    await rig.seconds(1, speaks="hq")
    assert [rig.state("pier", "GW01"), rig.state("hq", "GW01")] == ["B", "A"]
    rig.store.close()


@pytest.mark.parametrize("way", ["away", "store_problem"])
async def test_nothing_is_blamed_on_sites_while_nothing_can_be_stored(tmp_path: Path, way: str) -> None:
    """The broker soon holds back what nobody takes in: silence says nothing then, and is judged anew afterwards."""
    rig = Rig(tmp_path)
    setattr(rig if way == "away" else rig.ways, way, "it does not answer")
    await rig.seconds(600)
    assert rig.state("hq", "GW01") == "A"
    setattr(rig if way == "away" else rig.ways, way, "")
    await rig.seconds(60)
    assert rig.state("hq", "GW01") == "A"
    await rig.seconds(1)
    assert rig.state("hq", "GW01") == "B"
    assert rig.state(OFFICE, "GW15") == "A"
    rig.store.close()


def test_health_names_what_is_away_and_since_when() -> None:
    """Broker and database each with their words; the sites are unknown since the first of the two."""
    ways = Ways()
    assert item(judged(WALL, ways, None, None))["ok"] is True
    ways.there, ways.problem = False, "refused"
    told = judged(WALL, ways, None, WALL - SECOND)
    assert told.problem == "broker away since 2027-01-15T07:59:59Z: refused"
    assert item(told)["sites_unknown_since"] == "2027-01-15T07:59:59Z"
    ways.there, ways.store_problem = True, "disk full"
    assert judged(WALL, ways, None, None).problem == "database away: disk full"
