"""A fire on a site of 500 doors, from the panel's contact to the last write: one transaction, and little time."""

import asyncio
import time
from concurrent.futures import Future
from typing import Any, Final

from drivers.base import Outcome, Scan
from edge.alarm_moves import facts_of
from edge.alarms import AlarmBook
from edge.changes import Changes
from edge.commands.commander import Commander
from edge.commands.guard import Present, Target
from edge.latest import Latest
from edge.pipeline import Pipeline
from edge.recorder import TRANSITIONS_AT_ONCE, Limits, Recorder
from edge.rules.compiling import Rules, compile_rules
from edge.rules.derives import Derives
from edge.rules.engine import Engine
from edge.rules.packs import load, shipped_classes, shipped_events, shipped_writables
from edge.rules.rule import DeviceSpec
from sitekeeper.block import decode
from sitekeeper.faults import Faults, Place
from sitekeeper.model.clock import SECOND, Moment
from sitekeeper.model.point import ONLINE, Point, PointType, ScanGroup
from sitekeeper.model.quality import GOOD
from sitekeeper.model.sample import Value
from tests import virtual
from tests.unit.edge.pipeline_rig import FakeStore

EVENTS: Final = shipped_events()
WRITABLES: Final = shipped_writables()
DOORS: Final = 500
SECONDS: Final = 1.0
"""Of CPU: what the release of so many doors may cost the gateway, all in all."""
PANEL: Final[dict[str, tuple[PointType, tuple[str, ...]]]] = {
    "fire.alarm": ("bool", ()), "callpoint": ("bool", ()), ONLINE: ("bool", ())
}  # fmt: skip
DOOR: Final[dict[str, tuple[PointType, tuple[str, ...]]]] = {
    "door.state": ("enum", ("closed", "open", "unknown")),
    "lock.state": ("enum", ("locked", "unlocked", "fault", "unknown")),
    "mode": ("enum", ("controlled", "free", "locked")),
    ONLINE: ("bool", ()),
}


def device(id_: str, cls: str, names: dict[str, tuple[PointType, tuple[str, ...]]], first: int) -> DeviceSpec:
    """Return a device that is read, all but whether it is heard, in a group of its own."""
    points = {
        name: Point(
            handle=first + place, id=f"{id_}/{name}", device=id_, name=name, type=type_, members=members,
            group="" if name == ONLINE else f"{id_}@1s",
        )
        for place, (name, (type_, members)) in enumerate(names.items())
    }  # fmt: skip
    writables = {name: each for name, each in WRITABLES[cls].items() if name in names}
    return DeviceSpec(
        id=id_, cls=cls, points=points, events=EVENTS[cls], writables=writables, zone="z", link="l", via="l"
    )


def devices() -> list[DeviceSpec]:
    doors = [device(f"door-{n:03}", "access", DOOR, len(DOOR) * n) for n in range(DOORS)]
    return [*doors, device("panel", "fire", PANEL, len(DOOR) * DOORS)]


def rules(specs: list[DeviceSpec]) -> Rules:
    faults = Faults()
    texts = load([(pack, Place("test")) for pack in ("fire", "access")], faults)
    compiled = compile_rules(texts, shipped_classes(), specs, {}, faults, events=EVENTS)
    faults.stop_if_any()
    return compiled


class Building:
    """The pipeline and the commander of a site, over a store that takes everything and devices that obey at once."""

    def __init__(self) -> None:
        specs = devices()
        self.specs = {spec.id: spec for spec in specs}
        self.clock, self.store = virtual.VirtualClock(), FakeStore()
        self.written: list[tuple[str, Value]] = []
        now = self.clock.monotonic()
        points = tuple(sorted((p for spec in specs for p in spec.points.values()), key=lambda p: p.handle))
        groups = tuple(
            ScanGroup(
                id=f"{spec.id}@1s", device=spec.id, period=SECOND,
                handles=tuple(p.handle for p in spec.points.values() if p.group),
            )
            for spec in specs
        )  # fmt: skip
        changes, compiled = Changes(points, groups, {}, now=now), rules(specs)
        start = Moment(mono=now, wall=self.clock.wall(), trusted=True)
        recorder = Recorder(
            site="hq", epoch="e1", boot="b1", catalogue="c0", groups=[g.id for g in groups], ledger=changes,
            sequences={}, covered={}, start=start, limits=Limits(),
        )  # fmt: skip
        self.pipeline = Pipeline(
            boot="b1", changes=changes, derives=Derives((), state={}, as_of=None, now=now), latest=Latest(points),
            engine=Engine(compiled, state={}, as_of=None, now=now),
            book=AlarmBook("hq", "e1", (), facts_of(compiled.plans), start), recorder=recorder, store=self.store,
            clock=self.clock, wake=lambda: None,
        )  # fmt: skip
        self.commander = Commander(
            {
                f"{spec.id}/mode": Target(
                    point=spec.points["mode"], writable=spec.writables["mode"], online=spec.points[ONLINE],
                    confirm=spec.points["lock.state"], interlock=None, relinquishes=False,
                )
                for spec in specs if spec.cls == "access"
            },
            present=lambda _: Present(lambda p: self.pipeline.latest.get(p.handle), lambda _: True),
            write=self.write, record=self.record, clock=self.clock, known={}, saved={},
        )  # fmt: skip
        self.pipeline.commands = self.commander.decided
        self.pipeline.watchers.add(self.commander.seen)

    def record(self, source_id: str, fields: Any, *, audit: bytes, state: Any) -> "Future[None]":
        return self.pipeline.told(source_id, fields, audit=audit, state=state)

    async def write(self, device: str, point: str, value: Value, priority: int) -> None:
        assert priority in (1, 16)
        self.written.append((device, value))
        self.scan(device, **{"lock.state": "unlocked" if value == "free" else "locked", point: value})

    def scan(self, device: str, **values: Value) -> None:
        """Read a device now."""
        now = self.clock.monotonic()
        read = [p for p in self.specs[device].points.values() if p.group]
        outcomes = [Outcome(n, now, values[p.name], GOOD) for n, p in enumerate(read) if p.name in values]
        self.pipeline.scanned(
            Scan(
                group=f"{device}@1s",
                device=device,
                asked=now,
                received=now,
                outcomes=outcomes,
                complete=False,
                answered=True,
            )
        )


async def burn() -> tuple[Building, float]:
    """Let it burn; return the building, and the seconds of CPU from the panel's contact to the last door's answer."""
    site = Building()
    for door in (f"door-{n:03}" for n in range(DOORS)):
        site.scan(door, **{"door.state": "closed", "lock.state": "locked", "mode": "controlled"})
    site.scan("panel", **{"fire.alarm": False, "callpoint": False})
    async with asyncio.TaskGroup() as tasks:
        site.commander.start(tasks)
        await asyncio.sleep(1)
        site.store.appended.clear()
        begun = time.process_time()
        site.scan("panel", callpoint=True)
        for _ in range(50):
            await asyncio.sleep(0.01)
            site.pipeline.tick()
        cost = time.process_time() - begun
        site.commander.stop()
    return site, cost


def test_the_release_of_500_doors_is_one_transaction_and_quick() -> None:
    """The alarm and all that it suppresses are durable together; each door is written once, and both outcomes told."""
    site, cost = virtual.run(burn())
    assert sorted(site.written) == [(f"door-{n:03}", "free") for n in range(DOORS)]
    [first] = [append for append in site.store.appended if "alarms" in append.streams()]
    blocks = [decode(block.payload).transitions for block in first.blocks if block.stream == "alarms"]
    moves = [move for block in blocks for move in block]
    assert {move.rule for move in moves if move.cause == "raise"} == {"A13", "F01"}
    hidden = [move for move in moves if move.cause == "suppress"]
    assert {(move.rule, move.key) for move in hidden} >= {
        (rule, f"hq/door-{n:03}/{rule}") for n in range(DOORS) for rule in ("A01", "A02")
    }
    assert len({move.occurrence for move in moves}) == len(moves)
    assert max(map(len, blocks)) <= TRANSITIONS_AT_ONCE
    assert len(first.alarms) == len(moves)
    outcomes = [row for append in site.store.appended for row in append.audit]
    assert len(outcomes) == 2 * DOORS, "accepted and confirmed, each in the audit"
    assert cost < SECONDS, f"{cost:.2f} s of CPU"
