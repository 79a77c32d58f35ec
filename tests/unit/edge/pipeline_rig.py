"""A pipeline with one device and one rule, whose store is a fake and whose clock is moved by hand."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from drivers.base import Outcome, Scan
from edge.alarm_moves import facts_of
from edge.alarms import AlarmBook
from edge.changes import Changes
from edge.latest import Latest
from edge.outbox import AsOf
from edge.pipeline import Pipeline
from edge.recorder import Limits, Recorder, SealedBlock
from edge.rules.compiling import Rules
from edge.rules.derives import Derives
from edge.rules.engine import Engine
from sitekeeper.block import Stream, decode
from sitekeeper.model.alarm import AlarmRecord, Transition
from sitekeeper.model.clock import SECOND, ManualClock, Micros, Moment
from sitekeeper.model.errors import StorageError
from sitekeeper.model.point import Point, ScanGroup
from sitekeeper.model.quality import GOOD, Reason, bad
from sitekeeper.model.sample import Sample, Value

from .rules.worlds import compiled, rule, thing

GROUP = "t1@1s"


@dataclass
class Appended:
    """One call of `append`."""

    blocks: list[SealedBlock]
    alarms: list[AlarmRecord]
    rule_state: dict[str, bytes | None]
    as_of: AsOf | None
    until: dict[str, Micros]
    audit: list[bytes]
    told: object = None

    def streams(self) -> list[Stream]:
        return [block.stream for block in self.blocks]


@dataclass
class FakeStore:
    """An outbox that keeps what it is given, and can be behind or refuse."""

    appended: list[Appended] = field(default_factory=list)
    is_behind: bool = False
    events_behind: bool = False
    refuses: bool = False
    answer: "Future[None] | None" = None
    """What the next append answers, instead of being durable at once."""

    def behind(self, stream: Stream) -> bool:
        return self.is_behind if stream == "samples" else self.events_behind

    def append(
        self,
        blocks: Sequence[SealedBlock],
        *,
        alarms: Sequence[AlarmRecord] = (),
        rule_state: Mapping[str, bytes | None] | None = None,
        as_of: AsOf | None = None,
        until: Mapping[str, Micros] | None = None,
        audit: Sequence[bytes] = (),
        told: object = None,
    ) -> "Future[None]":
        if self.refuses:
            raise StorageError("writer behind")
        self.appended.append(
            Appended(list(blocks), list(alarms), dict(rule_state or {}), as_of, dict(until or {}), list(audit), told)
        )
        if self.answer is not None:
            answer, self.answer = self.answer, None
            return answer
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def blocks(self, stream: Stream) -> list[SealedBlock]:
        return [block for each in self.appended for block in each.blocks if block.stream == stream]

    def moves(self) -> list[Transition]:
        return [move for block in self.blocks("alarms") for move in decode(block.payload).transitions]

    def samples(self, handle: int | None = None) -> list[Sample]:
        """Return what the record says, in order."""
        every = [sample for block in self.blocks("samples") for sample in decode(block.payload).samples]
        return [sample for sample in every if handle is None or sample.handle == handle]


class Rig:
    """The device `t1` of class `thing`, read each second, with one rule; the store is a fake and the clock by hand."""

    def __init__(self, rules: Rules | str = "a", **more: Any) -> None:
        device = thing()
        self.names = sorted((p for p in device.points.values() if p.name != "online"), key=lambda p: p.handle)
        online = device.points["online"]
        self.points = tuple(
            sorted(
                (Point(**{**_fields(p), "group": "" if p is online else GROUP}) for p in device.points.values()),
                key=lambda p: p.handle,
            )
        )
        groups = (ScanGroup(id=GROUP, device="t1", period=SECOND, handles=tuple(p.handle for p in self.names)),)
        self.clock, self.store, self.woken = ManualClock(monotonic=1000 * SECOND), FakeStore(), 0
        self.start = self.clock.monotonic()
        self.rules = compiled(rule(rules, **more), device) if isinstance(rules, str) else rules
        changes = Changes(self.points, groups, {}, now=self.start)
        self.recorder = Recorder(
            site="hq", epoch="e1", boot="b1", catalogue="c0", groups=[GROUP], ledger=changes, sequences={}, covered={},
            start=self.moment(), limits=Limits(),
        )  # fmt: skip
        self.book = AlarmBook("hq", "e1", (), facts_of(self.rules.plans), self.moment())
        self.engine = Engine(self.rules, state={}, as_of=None, now=self.start)
        self.pipeline = Pipeline(
            boot="b1",
            changes=changes,
            derives=Derives((), state={}, as_of=None, now=self.start),
            latest=Latest(self.points),
            engine=self.engine,
            book=self.book,
            recorder=self.recorder,
            store=self.store,
            clock=self.clock,
            wake=self._woken,
        )

    def _woken(self) -> None:
        self.woken += 1

    def moment(self) -> Moment:
        return Moment(mono=self.clock.monotonic(), wall=self.clock.wall(), trusted=True)

    def handle(self, name: str) -> int:
        return next(p.handle for p in self.points if p.name == name)

    def scan(self, *, answered: bool = True, **values: Value) -> None:
        """Read the device now; a value of None is a bad one."""
        now = self.clock.monotonic()
        outcomes = [
            Outcome(index, now, values[p.name], GOOD if values[p.name] is not None else bad(Reason.COMM))
            for index, p in enumerate(self.names)
            if p.name in values
        ]
        self.pipeline.scanned(
            Scan(
                group=GROUP, device="t1", asked=now, received=now, outcomes=outcomes, complete=False, answered=answered
            )
        )

    def passes(self, seconds: float, *, scans: bool = True) -> None:
        """Let time pass, tick by deadline as the daemon does, with an unchanged reading each second."""
        until = self.clock.monotonic() + round(seconds * SECOND)
        next_scan = self.clock.monotonic() + SECOND
        while True:
            due = max(self.pipeline.next_deadline(), self.clock.monotonic())
            if scans:
                due = min(due, next_scan)
            if due > until:
                break
            self.clock.advance(due - self.clock.monotonic())
            if scans and due == next_scan:
                next_scan += SECOND
                self.scan()
            else:
                self.pipeline.tick()
        self.clock.advance(until - self.clock.monotonic())

    def settled(self) -> "Rig":
        """Return the rig with the device online and everything before sealed."""
        self.scan(a=False, b=False, n=1.0, speed=0.0, m="x", sensor=False, secs=1.0)
        self.passes(3)
        self.store.appended.clear()
        return self


def _fields(point: Point) -> dict[str, Any]:
    return {name: getattr(point, name) for name in Point.__dataclass_fields__}
