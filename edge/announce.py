"""Alarms that the disk does not take are told past it, from memory, until they are durable; and that is an alarm. Pure.

An alarm is announced after its commit. When its append is not durable after a second, its block is handed to the
uplink's direct path as it is, and the office keeps its transitions as volatile. The append stays where it was, in its
order: once the disk takes it, it goes the ordinary way, and the office recognises it by epoch, boot and sequence.
What waited behind a block that was told so is told at once.

GW02 "outbox cannot write" stands from the first second of a failure until the disk has taken everything for ten
seconds, so that a disk that comes and goes is one failure. A disk that is merely slow is none: its alarms are told past
it, but GW02 wants an error, or ten seconds without anything durable.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edge.own import Durable, Said, verdict
from edge.recorder import SealedBlock
from sitekeeper.durations import duration_text
from sitekeeper.model.clock import SECOND, Micros, Moment

RULE: Final = "GW02"
LOOK: Final[Micros] = SECOND
"""How often it is looked whether a disk that fails still does."""

Tell = Callable[[Mapping[int, bytes]], None]
"""Takes the alarms blocks that are to be told past the disk at present, by sequence; must return at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long is waited for the disk.

    Attributes:
        alarm: an alarm that is not durable after this is announced as volatile; an error that lasts so long is GW02.
        stuck: without an error, and without anything durable, GW02 after this.
        calm: GW02 is over when the disk has taken everything for so long.
    """

    alarm: Micros = SECOND
    stuck: Micros = 10 * SECOND
    calm: Micros = 10 * SECOND


@dataclass(frozen=True, slots=True)
class _Waiting:
    payload: bytes
    durable: Durable
    due: Micros


class Announcer:
    """Watches the appends of one process (`edge.own.Watch`).

    Args:
        tell: where volatile alarms go. problem: the disk's error at present, None without one.
        standing: GW02 stands from an earlier process.
    """

    def __init__(
        self, tell: Tell, problem: Callable[[], object], *, standing: bool = False, patience: Patience | None = None
    ) -> None:
        self._tell, self._problem = tell, problem
        self._patience = patience or Patience()
        self._alarms: dict[int, _Waiting] = {}
        self._told: frozenset[int] = frozenset()
        self._oldest: tuple[Durable, Micros] | None = None
        self._standing = standing
        self._calm_since: Micros | None = None
        self._looked: Micros = 0

    @property
    def volatile(self) -> int:
        """How many alarms blocks were told and are not durable yet."""
        return len(self._told)

    @property
    def failing(self) -> bool:
        """Whether GW02 stands."""
        return self._standing

    def given(self, blocks: Sequence[SealedBlock], durable: Durable, now: Micros) -> None:
        """Take note of an append."""
        if durable.done():
            return
        if self._oldest is None or self._oldest[0].done():
            self._oldest = (durable, now)
        failing = self._told or (self._standing and self._calm_since is None)
        due = now if failing else now + self._patience.alarm
        for block in blocks:
            if block.stream == "alarms":
                self._alarms[block.sequence] = _Waiting(block.payload, durable, due)

    def advance(self, now: Moment) -> Said:
        """Tell what is due past the disk, and say whether GW02 begins or ends."""
        self._looked = now.mono
        self._alarms = {s: waiting for s, waiting in self._alarms.items() if not waiting.durable.done()}
        if self._oldest is not None and self._oldest[0].done():
            self._oldest = None
        last = max((s for s, waiting in self._alarms.items() if waiting.due <= now.mono), default=0)
        told = frozenset(s for s in self._alarms if s <= last)
        if told != self._told:
            self._told = told
            self._tell({s: self._alarms[s].payload for s in sorted(told)})
        return self._judge(now.mono)

    def next_deadline(self) -> Micros | None:
        """Return when to look next."""
        deadlines = [waiting.due for s, waiting in self._alarms.items() if s not in self._told]
        if self._standing or self._told:
            deadlines.append(self._looked + LOOK)
        elif self._oldest is not None:
            deadlines.append(max(self._oldest[1] + self._patience.alarm, self._looked + LOOK))
        return min(deadlines, default=None)

    def _judge(self, now: Micros) -> Said:
        problem, waited = self._problem(), 0 if self._oldest is None else now - self._oldest[1]
        if not self._standing:
            if waited < (self._patience.stuck if problem is None else self._patience.alarm):
                return Said()
            self._standing, self._calm_since = True, None
            limits = {"not_durable_for": duration_text(waited - waited % SECOND)}
            return Said(verdicts=[verdict(RULE, "raise", now, "P2", "" if problem is None else str(problem), limits)])
        if problem is not None or waited >= self._patience.alarm:
            self._calm_since = None
        elif self._calm_since is None:
            self._calm_since = now
        elif now - self._calm_since >= self._patience.calm:
            self._standing = False
            return Said(verdicts=[verdict(RULE, "clear", now, "P2")])
        return Said()
