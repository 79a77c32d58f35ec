"""Drills: what is raised on some devices for a while is practice. It acts on site as always and is pushed to nobody.

A drill ends by itself, by somebody on site, or at once when a fire alarm is raised outside it. What is still true at
its end is real, and rings. The desk is the one door: every attempt is a row of the audit, a beginning and an end are
events `gateway/drill`, and the drill itself is saved under `~drill`, also after its end, for the report.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Final, Literal, Protocol

import msgspec
from msgspec.structs import replace

from edge.commands.audit import DONE, AuditRow, encode
from edge.event_records import TEXT
from edge.own import DEVICE
from sitekeeper.durations import duration_text
from sitekeeper.model.alarm import ACTIVE, AlarmRecord
from sitekeeper.model.clock import HOUR, SECOND, Micros, Moment
from sitekeeper.model.command import ROLE_RANK, Actor
from sitekeeper.model.errors import FormatError, Refused, StorageError
from sitekeeper.model.sample import Value

KEY: Final = "~drill"
LONGEST: Final[Micros] = 2 * HOUR
FIRE: Final = "F01"
"""The alarm that ends a drill when it is raised outside it."""
SLEEP: Final[Micros] = HOUR
AGAIN: Final[Micros] = SECOND
LEAST: Final = ROLE_RANK["technician"]

Why = Literal["stopped", "over", "fire"]


class Drill(msgspec.Struct, frozen=True, array_like=True):
    """One drill. Times are wall times; `ended` is 0 while it runs. `where` is what was asked for: a zone or devices."""

    devices: tuple[str, ...]
    where: str
    who: str
    note: str
    started: Micros
    until: Micros
    ended: Micros = 0
    why: str = ""

    @property
    def on(self) -> bool:
        """Whether it runs."""
        return not self.ended


class Book(Protocol):
    """What is needed of the alarm book."""

    drilled: frozenset[str]

    def records(self) -> tuple[AlarmRecord, ...]: ...


class Records(Protocol):
    """What is needed of the pipeline; all raise StorageError when the store takes nothing."""

    def told(
        self,
        source_id: str,
        fields: Mapping[str, Value],
        *,
        audit: bytes | None = None,
        state: Mapping[str, bytes | None] = {},
    ) -> "Future[None]": ...

    def noted(self, audit: Sequence[bytes] = (), state: Mapping[str, bytes | None] = {}) -> "Future[None]": ...

    def serious(self) -> None:
        """Let what is still true of a drill be real; nothing has moved if it raises."""


class DrillDesk:
    """The drills of one site, one at a time.

    Args:
        saved: the state under `~drill`, None for none.

    Raises:
        FormatError: it cannot be read.
    """

    def __init__(self, book: Book, records: Records, now: Callable[[], Moment], saved: bytes | None = None) -> None:
        self._book, self._records, self._now = book, records, now
        self.last = None if saved is None else _read(saved)
        self._due: Micros | None = None
        self._changed = asyncio.Event()
        self._untold: tuple[Drill, bytes | None, str] | None = None
        """A drill whose end is not recorded yet, with the row and the person."""
        self._owed = self.last is not None and not self.last.on
        """Whether what still stands of an ended drill may not be real yet: the last run may have died in between."""
        if self.last is not None and self.last.on:
            self._resume(self.last, now())

    @property
    def running(self) -> Drill | None:
        """The drill that runs."""
        return self.last if self.last is not None and self.last.on else None

    def start(self, actor: Actor, where: str, devices: Iterable[str], lasts: Micros, note: str) -> Drill:
        """Begin a drill on some devices.

        Raises:
            Refused: `site-only`, `not-permitted`, `reason-needed`, `too-short`, `too-long`, `drill-on` while one runs,
                `fire-stands` while a fire alarm does.
            StorageError: it cannot be recorded, or the end of the last one is not yet; it did not begin.
        """
        now = self._now()
        drill = Drill(tuple(sorted(devices)), where, actor.name, note, now.wall, now.wall + lasts)
        row = _row(now, actor, "drill.start", where, note, duration_text(lasts) if lasts > 0 else "")
        try:
            self._may_start(actor, lasts, note)
        except Refused as refused:
            self._records.noted(audit=[encode(replace(row, outcome=refused.reason))])
            raise
        self._try_again()
        if self._unfinished:
            raise StorageError("the end of the last drill cannot be stored at present")
        self._tell(drill, encode(row), actor.name)
        self.last = drill
        self._due, self._book.drilled = now.mono + lasts, frozenset(drill.devices)
        self._changed.set()
        return drill

    def stop(self, actor: Actor, note: str) -> Drill:
        """End the drill that runs.

        Raises:
            Refused: `site-only`, `not-permitted`, or `no-drill`. StorageError: as `start`.
        """
        row = _row(self._now(), actor, "drill.stop", self.last.where if self.last else "", note)
        try:
            _may(actor)
            if self.running is None:
                raise Refused("no-drill", "none runs")
        except Refused as refused:
            self._records.noted(audit=[encode(replace(row, outcome=refused.reason))])
            raise
        return self._end("stopped", actor.name, encode(row))

    def moved(self, records: Sequence[AlarmRecord], _sequence: int) -> None:
        """End the drill if a fire is raised outside it; what moved is recorded by now."""
        if self.running is not None and any(_real_fire(record) for record in records):
            asyncio.get_running_loop().call_soon(self._fire)

    async def run(self) -> None:
        """End a drill whose time is over; ends only by cancellation."""
        while True:
            self._changed.clear()
            mono = self._now().mono
            if self._due is not None and mono >= self._due:
                self._end("fire" if self._burns() else "over", "sitekeeper")
            self._try_again()
            wait = SLEEP if self._due is None else self._due - mono
            wait = AGAIN if self._unfinished else wait
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(wait, SLEEP) / SECOND):
                    await self._changed.wait()

    def _may_start(self, actor: Actor, lasts: Micros, note: str) -> None:
        _may(actor)
        if not note.strip():
            raise Refused("reason-needed", "say what is practised")
        if lasts <= 0:
            raise Refused("too-short", "it would be over at once")
        if lasts > LONGEST:
            raise Refused("too-long", f"at most {LONGEST // HOUR} h")
        if self.running is not None:
            raise Refused("drill-on", f"one runs in {self.running.where}")
        if self._burns():
            raise Refused("fire-stands", "no drill while a fire alarm stands")

    def _fire(self) -> None:
        if self.running is not None:
            self._end("fire", "sitekeeper")

    def _burns(self) -> bool:
        """Tell whether a fire alarm stands that is no practice."""
        return any(_real_fire(record) for record in self._book.records())

    def _resume(self, drill: Drill, now: Moment) -> None:
        """Go on with a drill after a restart; one that is over, or was ended by a fire as the last run died, ends."""
        left = 0 if self._burns() else min(max(drill.until - now.wall, 0), drill.until - drill.started)
        self._due = now.mono + left
        if left:
            self._book.drilled = frozenset(drill.devices)

    def _end(self, why: Why, who: str, audit: bytes | None = None) -> Drill:
        """End the drill, whatever the disk says: from now on everything is real."""
        assert self.last is not None
        self._due, self._book.drilled = None, frozenset()
        self.last = replace(self.last, ended=self._now().wall, why=why)
        self._untold, self._owed = (self.last, audit, who), True
        self._try_again()
        self._changed.set()
        return self.last

    @property
    def _unfinished(self) -> bool:
        """Whether the store has not taken all of an end yet."""
        return self._untold is not None or self._owed

    def _try_again(self) -> None:
        """Record an end, and let what stands be real; what the store does not take now is tried again."""
        if self._untold is not None:
            with contextlib.suppress(StorageError):
                self._tell(*self._untold)
                self._untold = None
        if self._owed:
            with contextlib.suppress(StorageError):
                self._records.serious()
                self._owed = False

    def _tell(self, drill: Drill, audit: bytes | None, who: str) -> None:
        fields: dict[str, Value] = {
            "on": drill.on, "who": who, "devices": ", ".join(drill.devices)[:TEXT], "note": drill.note,
            "why": drill.why,
        }  # fmt: skip
        self._records.told(f"{DEVICE}/drill", fields, audit=audit, state={KEY: msgspec.msgpack.encode(drill)})


def _may(actor: Actor) -> None:
    if actor.origin != "site":
        raise Refused("site-only", "a drill is begun and ended by somebody on site")
    if ROLE_RANK[actor.role] < LEAST:
        raise Refused("not-permitted", f"{actor.role} may not")


def _real_fire(record: AlarmRecord) -> bool:
    return record.rule == FIRE and record.standing in ACTIVE and not record.mode


def _row(now: Moment, actor: Actor, operation: str, target: str, note: str, value: str = "") -> AuditRow:
    return AuditRow(
        at=now.wall, trusted=now.trusted, user=actor.name, role=actor.role, origin=actor.origin, operation=operation,
        target=target, outcome=DONE, note=note, value=value,
    )  # fmt: skip


def _read(saved: bytes) -> Drill:
    try:
        return msgspec.msgpack.decode(saved, type=Drill)
    except msgspec.MsgspecError as error:
        raise FormatError(f"a saved drill: {error}") from error
