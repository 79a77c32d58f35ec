"""Who on site is told of which alarm while the office does not know of it: at once, and again until somebody heeds it.

An alarm is told to each target that it fits when the office does not have it and is away: not connected for longer than
`after`, or connected and silent about an alarm for as long. It is told again every `repeat`, until it is acknowledged,
over without a latch or held back, or the office's receipt covers the move that wanted attention.

It works on alarms as they stand, not on moves, so that a restart goes on where it was. What is watched or a drill is
never told. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from edge.local.plan import Fits, LocalPlan
from sitekeeper.model.alarm import AlarmRecord, AlarmState, Priority
from sitekeeper.model.clock import Micros, Moment
from sitekeeper.model.errors import FormatError

AT_ONCE: Final = 50
"""Alarms of which one target is told at the same time, `first` ones first: nobody reads more."""

WANTED: Final = frozenset({AlarmState.UNACKED, AlarmState.LATCHED_UNACKED})
"""States in which an alarm wants somebody."""


class Send(NamedTuple):
    """One target is to be told of one alarm, for the `attempt`-th time."""

    target: str
    alarm: AlarmRecord
    attempt: int


def first(send: Send) -> tuple[bool, Priority, Micros, str]:
    """Return by what tellings are put in order: first what nobody was told of yet, then the worst and oldest."""
    return send.attempt > 1, send.alarm.priority, send.alarm.raised, send.alarm.key


@dataclass(slots=True)
class _Telling:
    """How often a target was told of an occurrence, when last (wall), and when it is to be told again (monotonic)."""

    attempts: int
    last: Micros
    due: Micros


@dataclass(slots=True)
class _Open:
    """An alarm that wants somebody: the block that the office must have, and since when (monotonic)."""

    record: AlarmRecord
    sequence: int
    since: Micros


class LocalTargets:
    """The targets of one site.

    Args:
        audience: of the rules that have one.
        standing: the alarms that want somebody at the start, each with the block that the office must have.
        saved: what `state` returned before, by target.

    Raises:
        FormatError: a saved state cannot be read.
    """

    def __init__(
        self,
        plan: LocalPlan,
        *,
        audience: Mapping[str, str],
        now: Moment,
        standing: Iterable[tuple[AlarmRecord, int]] = (),
        saved: Mapping[str, bytes] | None = None,
    ) -> None:
        self._targets, self._audience, self._after, self._repeat = plan.fits, audience, plan.after, plan.repeat
        self._open: dict[str, _Open] = {}
        self._told: dict[str, dict[str, _Telling]] = {target: {} for target in plan.fits}
        self._lost: Micros | None = None
        """Since when the office is not connected; None while it is."""
        for record, sequence in standing:
            self.moved([record], sequence, now.mono)
        occurrences = {each.record.occurrence for each in self._open.values()}
        for target, state in (saved or {}).items():
            for occurrence, (attempts, last) in _read(state).items() if target in plan.fits else ():
                if occurrence in occurrences:
                    passed = min(max(now.wall - last, 0), plan.repeat)
                    self._told[target][occurrence] = _Telling(attempts, last, now.mono + plan.repeat - passed)

    def moved(self, records: Iterable[AlarmRecord], sequence: int, now: Micros) -> None:
        """Take alarms as they stand after a move that is in block `sequence` of the alarms stream."""
        for record in records:
            old = self._open.get(record.key)
            if not self._concerns(record):
                self._close(record.key)
            elif old is None or old.record.occurrence != record.occurrence or _rings(old.record, record):
                self._close(record.key, but=record.occurrence)
                self._open[record.key] = _Open(record, sequence, now)
                self._anew(record.occurrence, now)
            else:
                old.record = record

    def office(self, *, connected: bool, receipted: int, now: Micros) -> None:
        """Take how the office stands.

        Args:
            receipted: it has all blocks of the alarms stream up to this one.
        """
        self._lost = None if connected else (now if self._lost is None else self._lost)
        for key in [key for key, each in self._open.items() if each.sequence <= receipted]:
            self._close(key)

    def advance(self, now: Moment) -> list[Send]:
        """Return what is to be told now, and take it as told."""
        away, sends = self._away(now.mono), list[Send]()
        for target, fits in self._targets.items():
            due = sorted(self._due(target, fits, now.mono, away=away), key=first)[:AT_ONCE]
            for send in due:
                telling = _Telling(send.attempt, now.wall, now.mono + self._repeat)
                self._told[target][send.alarm.occurrence] = telling
            sends += due
        return sends

    def telling(self, target: str) -> frozenset[str]:
        """Return the occurrences of which a target is being told, and which nobody has heeded yet."""
        return frozenset(self._told[target])

    def wanted(self) -> bool:
        """Tell whether some alarm waits for somebody: else there is nothing to look at."""
        return bool(self._open)

    def state(self, target: str) -> bytes | None:
        """Return what is to be saved of a target; None for nothing."""
        told = {occurrence: (each.attempts, each.last) for occurrence, each in self._told[target].items()}
        return msgspec.msgpack.encode(told) if told else None

    def facts(self) -> list[dict[str, Any]]:
        """Return who is being told of what, for `sk status`: target, occurrence, attempts, time of the last one."""
        return [
            {"target": target, "occurrence": occurrence, "attempts": each.attempts, "last": each.last}
            for target, told in self._told.items()
            for occurrence, each in sorted(told.items())
        ]

    def _concerns(self, record: AlarmRecord) -> bool:
        wanted = record.state in WANTED and not record.mode
        return wanted and any(self._fits(record, fits) for fits in self._targets.values())

    def _fits(self, record: AlarmRecord, fits: Fits) -> bool:
        return record.priority in fits.priorities and self._audience.get(record.rule, "") == fits.audience

    def _due(self, target: str, fits: Fits, now: Micros, *, away: bool) -> Iterator[Send]:
        """Yield all of which a target is to be told, for the first time or again."""
        for record in (each.record for each in self._open.values() if self._fits(each.record, fits)):
            before = self._told[target].get(record.occurrence)
            if away if before is None else now >= before.due:
                yield Send(target, record, 1 if before is None else before.attempts + 1)

    def _away(self, now: Micros) -> bool:
        silent = any(now - each.since >= self._after for each in self._open.values())
        return silent or (self._lost is not None and now - self._lost >= self._after)

    def _close(self, key: str, but: str = "") -> None:
        """Forget an alarm, and what was told of its occurrence unless that goes on."""
        closed = self._open.pop(key, None)
        if closed is None or closed.record.occurrence == but:
            return
        for told in self._told.values():
            told.pop(closed.record.occurrence, None)

    def _anew(self, occurrence: str, now: Micros) -> None:
        """Let an occurrence that rings once more be told at once, if it was told before."""
        for told in self._told.values():
            if (before := told.get(occurrence)) is not None:
                before.due = now


def _rings(before: AlarmRecord, after: AlarmRecord) -> bool:
    """Tell whether an alarm that nobody has acknowledged wants attention anew."""
    back = before.state is AlarmState.LATCHED_UNACKED and after.state is AlarmState.UNACKED
    return back or after.priority < before.priority


def _read(state: bytes) -> dict[str, tuple[int, Micros]]:
    try:
        return msgspec.msgpack.decode(state, type=dict[str, tuple[int, Micros]])
    except msgspec.MsgspecError as error:
        raise FormatError(f"what local targets were told: {error}") from error
