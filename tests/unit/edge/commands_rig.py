"""A site of one door, one barrier and one lamp, without pipeline and drivers, for tests of commands in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any

import pytest

from edge.commands import audit
from edge.commands.asked import Asked
from edge.commands.audit import AuditRow
from edge.commands.commander import Commander
from edge.commands.desk import Result
from edge.commands.guard import Present, Target
from edge.rules.instance import Verdict
from sitekeeper.model.clock import HOUR, SECOND, Micros
from sitekeeper.model.command import Actor, Write
from sitekeeper.model.errors import Refused, StorageError
from sitekeeper.model.point import Point, PointType
from sitekeeper.model.quality import GOOD, Q
from sitekeeper.model.sample import Sample, Value
from sitekeeper.profile import Writable
from tests import virtual

RELINQUISH = ("lamp-1", "lamp-3")
"""Devices whose protocol knows priorities."""
LEE = Actor("lee", "operator", "site")
FIRE = "fire-1/A13"

_POINTS: dict[str, tuple[PointType, tuple[str, ...]]] = {
    "door-1/mode": ("enum", ("controlled", "free", "locked")),
    "door-1/lock.state": ("enum", ("locked", "unlocked", "fault", "unknown")),
    "door-1/unlock.pulse": ("float", ()),
    "door-2/mode": ("enum", ("controlled", "free", "locked")),
    "door-3/mode": ("enum", ("controlled", "free", "locked")),
    "gate-1/lane.state": ("enum", ("closed", "opening", "open", "closing", "stopped")),
    "gate-1/hold_open": ("bool", ()),
    "gate-1/cmd.open": ("bool", ()),
    "gate-1/cmd.close": ("bool", ()),
    "gate-1/close_clear": ("bool", ()),
    "lamp-1/command": ("float", ()),
    "lamp-1/level": ("float", ()),
    "lamp-1/test": ("bool", ()),
    "lamp-1/power_cycled": ("bool", ()),
    "lamp-2/command": ("float", ()),
    "lamp-2/presence": ("bool", ()),
    "lamp-3/command": ("float", ()),
    "lamp-3/presence": ("bool", ()),
    "door-1/online": ("bool", ()),
    "door-2/online": ("bool", ()),
    "door-3/online": ("bool", ()),
    "gate-1/online": ("bool", ()),
    "lamp-1/online": ("bool", ()),
    "lamp-2/online": ("bool", ()),
    "lamp-3/online": ("bool", ()),
}

WRITABLES: dict[str, dict[str, Any]] = {
    "door-1/mode": {
        "by": ["operator", "linkage"], "values": ["controlled", "free"], "within": "5s", "rest": "controlled",
        "confirm": {"point": "lock.state", "values": {"free": ["unlocked"], "controlled": ["locked"]}},
    },
    "door-1/unlock.pulse": {
        "by": ["operator"], "range": [1, 30], "pulse": True,
        "confirm": {"point": "lock.state", "readings": ["unlocked"]},
    },
    "door-2/mode": {
        "by": ["operator", "linkage"], "values": ["controlled", "free"], "rest": "controlled", "two_persons": True,
    },
    "door-3/mode": {"by": ["operator", "linkage"], "values": ["controlled", "free"], "rest": "controlled"},
    "gate-1/hold_open": {
        "by": ["operator", "linkage"], "values": [True, False], "rest": False,
        "confirm": {"point": "lane.state", "values": {"true": ["open"]}},
    },
    "gate-1/cmd.open": {
        "by": ["operator", "linkage"], "values": [True], "pulse": True,
        "confirm": {"point": "lane.state", "values": {"true": ["opening", "open"]}},
    },
    "gate-1/cmd.close": {
        "by": ["operator"], "values": [True], "pulse": True, "interlock": "close_clear", "live_view": True,
        "confirm": {"point": "lane.state", "values": {"true": ["closing", "closed"]}},
    },
    "lamp-1/command": {
        "by": ["operator", "linkage"], "range": [0, 100], "confirm": {"point": "level"},
        "off_most": {"tags": ["stair"], "for": "15min"},
    },
    "lamp-2/command": {
        "by": ["operator", "linkage"], "range": [0, 100], "rest": 0, "warn": {"value": -1, "for": "60s"},
    },
    "lamp-3/command": {"by": ["operator", "linkage"], "range": [0, 100], "warn": {"value": -1, "for": "60s"}},
    "lamp-1/test": {"by": ["linkage"], "values": [True], "pulse": True, "confirm": {"point": "test"}},
}  # fmt: skip


def points() -> dict[str, Point]:
    return {
        id_: Point(
            handle=handle, id=id_, device=id_.split("/")[0], name=id_.split("/")[1], type=type_, members=members,
            group="g",
        )
        for handle, (id_, (type_, members)) in enumerate(_POINTS.items())
    }  # fmt: skip


class Site:
    """The world of a commander: what devices show, how they take writes, and what was recorded."""

    def __init__(self) -> None:
        self.clock = virtual.VirtualClock()
        self.points = points()
        self.samples: dict[int, Sample] = {}
        self.stale: set[str] = set()
        self.writes: list[tuple[str, Value, int]] = []
        self.events: list[tuple[str, dict[str, Value]]] = []
        self.rows: list[AuditRow] = []
        self.state: dict[str, bytes] = {}
        self.refuses = False
        self.durable = True
        self.delay = 0.0
        """Seconds until what is recorded is durable."""
        self.behaviour: Callable[[str, Value], Awaitable[None]] = self.obey
        self.commander = self.made({}, ())
        self.set(**{"door-1/lock.state": "locked", "door-1/mode": "controlled", "gate-1/lane.state": "closed"})
        self.set(
            **{"gate-1/hold_open": False, "gate-1/close_clear": False, "lamp-1/level": 20.0, "lamp-1/command": 20.0}
        )
        self.set(**{"door-2/mode": "controlled", "door-3/mode": "controlled", "lamp-2/command": 80.0})
        self.set(**{id_: True for id_ in self.points if id_.endswith("/online")})

    def made(self, known: Mapping[str, AuditRow], standing: Sequence[Verdict]) -> Commander:
        targets = {}
        for id_, written in WRITABLES.items():
            writable, device = Writable.model_validate(written), id_.split("/")[0]
            confirm = None if writable.confirm is None else self.points.get(f"{device}/{writable.confirm.point}")
            targets[id_] = Target(
                point=self.points[id_], writable=writable, online=self.points[f"{device}/online"], confirm=confirm,
                interlock=self.points.get(f"{device}/{writable.interlock}"), relinquishes=device in RELINQUISH,
                cycled=self.points.get(f"{device}/power_cycled"), presence=self.points.get(f"{device}/presence"),
            )  # fmt: skip
        return Commander(
            targets, present=self.present, write=self.write, record=self.record, clock=self.clock, known=known,
            saved=self.state, standing=standing,
        )  # fmt: skip

    def present(self, since: Micros | None) -> Present:
        return Present(lambda point: self.samples.get(point.handle), lambda point: point.id not in self.stale)

    # what happens to it

    def set(self, **values: Value) -> None:
        self.seen({id_: (value, GOOD) for id_, value in values.items()})

    def seen(self, values: Mapping[str, tuple[Value, Q]]) -> None:
        now = self.clock.monotonic()
        samples = [Sample(self.points[id_].handle, now, value, q) for id_, (value, q) in values.items()]
        self.samples.update({sample.handle: sample for sample in samples})
        self.commander.seen(samples)

    async def obey(self, point: str, value: Value) -> None:
        """Do at once what is written, as a good device does."""
        await asyncio.sleep(0.02)
        match point:
            case "door-1/mode":
                self.set(**{point: value, "door-1/lock.state": "unlocked" if value == "free" else "locked"})
            case "door-1/unlock.pulse":
                self.set(**{"door-1/lock.state": "unlocked"})
            case "door-2/mode" | "door-3/mode" | "lamp-1/test" | "lamp-2/command":
                self.set(**{point: value})
            case "lamp-3/command":
                if isinstance(value, float) and value >= 0:  # below are warnings, which change nothing
                    self.set(**{point: value})
            case "gate-1/hold_open":
                self.set(**{point: value, "gate-1/lane.state": "open" if value else "closed"})
            case "gate-1/cmd.open":
                self.set(**{"gate-1/lane.state": "opening"})
            case "gate-1/cmd.close":
                self.set(**{"gate-1/lane.state": "closing"})
            case _:
                level = 20.0 if value is None else value
                self.set(**{point: level, "lamp-1/level": level})

    async def write(self, device: str, point: str, value: Value, priority: int) -> None:
        self.writes.append((f"{device}/{point}", value, priority))
        await self.behaviour(f"{device}/{point}", value)

    def record(
        self, source_id: str, fields: Mapping[str, Value], *, audit: bytes, state: Mapping[str, bytes | None]
    ) -> "Future[None]":
        if self.refuses:
            raise StorageError("behind")
        self.events.append((source_id, dict(fields)))
        self.rows.append(_row(audit))
        self.state.update({key: value for key, value in state.items() if value is not None})
        for key in [key for key, value in state.items() if value is None]:
            self.state.pop(key, None)
        future: Future[None] = Future()
        if self.durable and self.delay:
            asyncio.get_running_loop().call_later(self.delay, future.set_result, None)
        elif self.durable:
            future.set_result(None)
        else:
            future.set_running_or_notify_cancel()
        return future

    # what is asked of it

    def rule(self, kind: str, *writes: Write, by: str = FIRE, **more: Any) -> None:
        self.commander.decided([verdict(kind, *writes, by=by, **more)])

    def ask(self, point: str, value: str, actor: Actor = LEE, **more: Any) -> "asyncio.Future[Result]":
        asked = {"reason": "test", "lasts": 10 * SECOND, "key": f"k{len(self.rows)}", "in_view": True}
        return self.commander.ask(actor, Asked(point=point, value=value, **{**asked, **more}))

    def outcomes(self, point: str | None = None) -> list[tuple[str, str]]:
        """Return (outcome, reason) of every event so far."""
        return [
            (str(f["outcome"]), str(f["reason"]))
            for source, f in self.events
            if point in (None, f"{source.split('/')[0]}/{f['point']}")
        ]


def verdict(kind: str, *writes: Write, by: str = FIRE, **more: Any) -> Verdict:
    device, rule = by.split("/")
    return Verdict(rule, device, kind, 0, "P1", {}, {}, "", False, "r", "", writes, False, **more)  # type: ignore[arg-type]


def _row(record: bytes) -> AuditRow:
    return audit.decode(record)


@asynccontextmanager
async def running(site: Site) -> AsyncIterator[Site]:
    """Let the commander work beside the caller's code; at the end, stop it as the gateway does."""
    async with asyncio.TaskGroup() as tasks:
        site.commander.start(tasks)
        try:
            yield site
        finally:
            site.commander.stop()


def on_site(test: Callable[[Site], Awaitable[None]]) -> Callable[[], None]:
    """Run a test in virtual time on a running site."""

    async def main() -> None:
        async with running(Site()) as site:
            await test(site)

    @wraps(test)
    def run() -> None:
        virtual.run(main(), limit=24 * HOUR)

    del run.__wrapped__  # type: ignore[attr-defined]
    return run


async def refused(site: Site, point: str, value: str, **more: Any) -> str:
    """Ask, expect to be refused before anything was written, and return the reason."""
    before = list(site.writes)
    with pytest.raises(Refused) as error:
        site.ask(point, value, **more)
    await asyncio.sleep(1)
    assert site.writes == before
    return error.value.reason
