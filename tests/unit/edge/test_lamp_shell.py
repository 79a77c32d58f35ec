"""Tests of emergency lighting at work: what is recorded in which order, who may start them, what is lit meanwhile."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from edge.calendar import written
from edge.calendar.schedules import Schedule, Span
from edge.commands.audit import decode
from edge.commands.lamp_log import entries
from edge.commands.lamp_shell import LampShell, endangers
from edge.settings import Site, load
from sitekeeper.model.alarm import AlarmRecord, AlarmState, Mode
from sitekeeper.model.clock import HOUR, MINUTE, SECOND
from sitekeeper.model.command import Actor, Write
from sitekeeper.model.errors import NotFound, Refused, StorageError
from sitekeeper.model.quality import GOOD, Reason, bad
from sitekeeper.model.sample import Sample, Value
from tests import virtual

SITE = """
site: {id: cellar, timezone: UTC}
links: {dali: {driver: modbus-tcp, host: 127.0.0.1}}
devices:
  - for: {n: 1..3}
    id: em-{n}
    profile: dali-emergency
    link: dali
    unit: 1
    with: {channel: 0, short_address: "{n}"}
  - {id: lamp-1, profile: dali-gear, link: dali, unit: 1, with: {channel: 0, short_address: 9}}
groups: {ways: [em-1, em-2, em-3], lights: [lamp-1]}
schedules:
  nights: {on: [{days: all, from: "22:00", to: "06:00"}]}
  busy: {on: [{days: all, from: "07:00", to: "20:00"}]}
emergency_tests: {ways: {group: ways, window: nights, occupied: busy, hold: lights}}
"""
CHAN, LEE = Actor("chan", "technician", "site"), Actor("lee", "operator", "site")
EVENING = int(datetime(2026, 6, 22, 21, 0, tzinfo=UTC).timestamp()) * SECOND
LIT = Write("lamp-1", "command", 100, 5)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("cellar")
    Path(folder / "site.yaml").write_text(SITE)
    return load(folder, environment={})


class World:
    """A commander and a pipeline that write down what they are told, and a clock that only moves when it is told."""

    def __init__(self, site: Site, saved: Mapping[str, bytes] | None = None) -> None:
        self.site = site
        self.clock = _Clock()
        self.done: list[Any] = []
        self.state: dict[str, bytes] = dict(saved or {})
        self.rows: list[bytes] = []
        self.behind = self.danger = self.alarm = False
        self.handles = {point.id: point.handle for point in site.points}
        self.shell = LampShell(site, self, self, alarmed=lambda: self.alarm, saved=self.state, clock=self.clock)

    # the commander

    def act(self, by: str, point: str, value: Value) -> "asyncio.Future[Any]":
        self.done.append((by, point))
        return None  # type: ignore[return-value]

    def hold(self, by: str, write: Write) -> None:
        self.done.append((by, write))

    def give_up(self, by: str) -> None:
        self.done.append((by, "given up"))

    def endangered(self) -> bool:
        return self.danger

    # the pipeline

    def told(
        self, source_id: str, fields: Mapping[str, Value], *, audit: bytes, state: Mapping[str, bytes | None]
    ) -> "Future[None]":
        future = self.noted((audit,), state)
        self.done.append((source_id, fields["result"]))
        return future

    def noted(self, audit: Sequence[bytes] = (), state: Mapping[str, bytes | None] = {}) -> "Future[None]":
        if self.behind:
            raise StorageError("behind")
        self.rows += audit
        for key, value in state.items():
            self.state.pop(key, None) if value is None else self.state.update({key: value})
        return Future()

    # what happens

    def says(self, lamp: str, **points: Value) -> None:
        now = self.clock.monotonic()
        self.shell.seen([Sample(self.handles[f"{lamp}/{name}"], now, value, GOOD) for name, value in points.items()])

    def good(self, *lamps: str, **points: Value) -> None:
        for lamp in lamps:
            self.says(lamp, **{"testing": False, "battery": 100.0, "power": "mains", "rated_minutes": 180.0} | points)
            self.says(lamp, status_function_failed=False, status_duration_failed=False)

    def look(self, after: int) -> list[Any]:
        self.clock.now += after
        self.done.clear()
        self.shell.look()
        return list(self.done)


class _Clock:
    now = HOUR

    def wall(self) -> int:
        return EVENING + self.now

    def monotonic(self) -> int:
        return self.now

    def trusted(self) -> bool:
        return True


def begun(world: World) -> list[Any]:
    """Let the window open; return what was done then."""
    world.good("em-1", "em-2", "em-3")
    assert world.look(-MINUTE) == [], "a minute before ten"
    return world.look(MINUTE)


def test_a_run_starts_with_its_state_saved_and_its_lights_held(site: Site) -> None:
    """Every second lamp, by the gateway itself at the priority of tests; and the light of the place stays on."""
    world = World(site)
    starts = [("tests/ways", "em-1/test.function"), ("tests/ways", "em-3/test.function")]
    assert begun(world) == [*starts, ("tests/ways/light", LIT)]
    assert world.state.keys() == {"~tests/ways"}
    assert world.look(MINUTE) == []


def test_what_came_of_it_is_an_event_and_a_line_of_the_log(site: Site) -> None:
    """One for each lamp, with the state beside the last; between the halves the light is let go and held again."""
    world = World(site)
    begun(world)
    world.good("em-1", "em-3", testing=True)
    world.look(MINUTE)
    world.good("em-1", "em-3")
    found = world.look(2 * MINUTE)
    assert found[:2] == [("em-1/test.event", "passed"), ("em-3/test.event", "passed")]
    assert ("tests/ways", "em-2/test.function") in found
    [first, _] = entries(world.rows)
    assert (first["lamp"], first["kind"], first["result"]) == ("em-1", "function", "passed")
    assert (first["found"], first["operator"]) == ("1 min, battery 100 %", "emergency tests")


def test_a_disk_that_is_behind_delays_the_log_and_loses_nothing(site: Site) -> None:
    """What came of the tests is told when it is taken again, once."""
    world = World(site)
    begun(world)
    world.good("em-1", "em-3", testing=True)
    world.look(MINUTE)
    world.good("em-1", "em-3")
    world.behind = True
    assert not [each for each in world.look(2 * MINUTE) if each[0].endswith("event")]
    world.behind = False
    assert [each[0] for each in world.look(MINUTE) if each[0].endswith("event")] == [
        "em-1/test.event",
        "em-3/test.event",
    ]
    assert world.look(MINUTE) == []


def test_a_danger_to_life_stops_what_runs_and_a_restart_goes_on_with_it(site: Site) -> None:
    """Stopped and told as aborted; a gateway that was away takes up what it had begun and starts nothing twice."""
    world = World(site)
    begun(world)
    again = World(site, world.state)
    again.clock = world.clock
    again.good("em-1", "em-3", testing=True)
    assert again.look(0) == [("tests/ways/light", LIT)]
    again.danger = True
    assert again.look(MINUTE) == [
        ("em-1/test.event", "aborted"), ("em-3/test.event", "aborted"),
        ("tests/ways", "em-1/test.stop"), ("tests/ways", "em-3/test.stop"),
    ]  # fmt: skip


def test_a_danger_darkens_no_way_out(site: Site) -> None:
    """What was lit for the test that it ended stays lit, and is let go when it is over; that is looked for."""
    world = World(site)
    begun(world)
    world.danger = True
    assert ("tests/ways/light", "given up") not in world.look(MINUTE)
    world.good("em-1", "em-3")
    for _ in range(10):
        assert ("tests/ways/light", "given up") not in world.look(MINUTE)
    wall = world.clock.wall()
    world.shell._plans["ways"].machine._state.done |= {"function": wall, "duration": wall}  # nothing else is due
    assert world.shell._deadline() == world.clock.now + MINUTE
    world.danger = False
    assert world.look(MINUTE) == [("tests/ways/light", "given up")]
    assert world.look(MINUTE) == []


def test_a_fire_that_writes_nothing_is_a_danger_too(site: Site) -> None:
    """A site with a fire panel and no lift: its alarm refuses a test, tells why, and stops what runs."""
    world = World(site)
    world.alarm = True
    assert begun(world) == []
    assert next(world.shell.status())["why_not"] == "life-safety"
    with pytest.raises(Refused) as refused:
        world.shell.start("ways", "function", CHAN)
    assert refused.value.reason == "life-safety"
    world.alarm = False
    assert ("tests/ways", "em-1/test.function") in world.look(MINUTE)
    world.alarm = True
    assert ("tests/ways", "em-1/test.stop") in world.look(MINUTE)


@pytest.mark.parametrize(
    ("rule", "state", "base", "mode", "danger"),
    [
        ("F01", AlarmState.UNACKED, None, "", True),
        ("H02", AlarmState.ACKED, None, "drill", True),
        ("F01", AlarmState.SUPPRESSED, AlarmState.UNACKED, "", True),
        ("F01", AlarmState.UNACKED, None, "watch", False),
        ("F01", AlarmState.LATCHED_ACKED, None, "", False),
        ("G08", AlarmState.UNACKED, None, "", False),
    ],
)
def test_which_alarms_are_a_danger(
    rule: str, state: AlarmState, base: AlarmState | None, mode: Mode, danger: bool
) -> None:
    """Fire and gas while they are true, whoever is kept from seeing them; not what is only being watched."""
    record = AlarmRecord(
        f"cellar/panel/{rule}", rule, "cellar/panel/x@e-1", state, "P1", True, 1, 1, mode=mode, base=base
    )
    assert endangers([record]) is danger


@pytest.mark.parametrize(
    ("actor", "before", "why"),
    [(LEE, 0, "not-permitted"), (CHAN, HOUR, "outside-window"), (CHAN, 3 * HOUR, "occupied")],
)
def test_a_person_is_refused_with_a_row_in_the_audit(site: Site, actor: Actor, before: int, why: str) -> None:
    """By role, and by the same hours as the gateway itself."""
    world = World(site)
    world.good("em-1", "em-2", "em-3")
    world.clock.now -= before
    with pytest.raises(Refused) as refused:
        world.shell.start("ways", "function", actor)
    row = decode(world.rows[-1])
    assert (refused.value.reason, row.outcome, row.user, row.value) == (why, why, actor.name, "function")


def test_a_test_that_would_last_into_peoples_hours_does_not_begin(site: Site) -> None:
    """The window is open all day: what ends it is that somebody comes, in nine minutes or in ten."""
    whole = written.hour("00:00"), written.hour("24:00")
    soon = written.hour("22:09"), written.hour("23:00")
    schedules = {"nights": Schedule((Span("all", *whole),)), "busy": Schedule((Span("all", *soon),))}
    world = World(replace(site, schedules=schedules))
    world.good("em-1", "em-2", "em-3")
    assert world.look(0) == []
    assert len(world.look(-MINUTE)) == 3


def test_a_technician_starts_a_test_and_is_its_operator(site: Site) -> None:
    """His name is in the row of the start and in each line of the log; an unknown plan is none."""
    world = World(site)
    world.good("em-1", "em-2", "em-3")
    assert world.shell.start("ways", "function", CHAN) == ("em-1", "em-3")
    row = decode(world.rows[0])
    assert (row.operation, row.outcome, row.user) == ("lighting.test", "done", "chan")
    world.danger = True
    world.look(MINUTE)
    assert {line["operator"] for line in entries(world.rows)} == {"chan"}
    with pytest.raises(NotFound):
        world.shell.start("cellar", "function", CHAN)


def test_a_reading_that_is_not_good_is_none(site: Site) -> None:
    """What a device says under a doubt does not tell that its lamp is free to be tested."""
    world = World(site)
    for lamp in ("em-1", "em-2", "em-3"):
        handle = world.handles[f"{lamp}/testing"]
        world.shell.seen([Sample(handle, world.clock.monotonic(), False, bad(Reason.STALE))])
    with pytest.raises(Refused) as refused:
        world.shell.start("ways", "function", CHAN)
    assert refused.value.reason == "not-heard"


def test_how_it_stands_can_be_asked(site: Site) -> None:
    """What is due and never was, what is in its way, what is under test."""
    world = World(site)
    world.good("em-1", "em-2", "em-3")
    world.clock.now -= HOUR
    function, _ = world.shell.status()
    assert (function["state"], function["due"], function["why_not"]) == ("waiting", 0, "outside-window")
    world.look(HOUR)
    function, duration = world.shell.status()
    assert (function["state"], function["under_test"]) == ("testing", ["em-1", "em-3"])
    assert (duration["state"], duration["under_test"]) == ("waiting", [])


def test_the_plan_of_a_site_that_has_it_no_more_is_forgotten(site: Site) -> None:
    """With the first thing that is saved."""
    world = World(site, {"~tests/attic": b"old", "~claims/x": b"kept"})
    world.look(0)
    assert world.state.keys() == {"~claims/x"}


def test_it_looks_when_something_was_read_and_when_it_may_have_become_dangerous(site: Site) -> None:
    """And sleeps else: a reading wakes it, and a decision of the rules while something runs."""
    world = World(site)

    async def main() -> None:
        world.clock = world.shell._clock = virtual.VirtualClock(start=EVENING + HOUR)  # type: ignore[assignment]
        task = asyncio.create_task(world.shell.run())
        await asyncio.sleep(1)
        world.good("em-1", "em-2", "em-3")
        await asyncio.sleep(1)
        assert ("tests/ways", "em-1/test.function") in world.done
        world.danger = True
        world.shell.decided()
        await asyncio.sleep(1)
        assert ("tests/ways", "em-1/test.stop") in world.done
        task.cancel()

    virtual.run(main())
