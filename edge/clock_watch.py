"""Steps of the wall clock, and the beginning of trust in it: told as events, and as an alarm while they matter. Pure.

Nothing in the gateway is timed by the wall clock, so a step moves nothing; but times already recorded were wrong by it.
`gateway/clock_step` tells what wall minus monotonic was and is, in microseconds, so that the office can show for every
record of this boot what its time should have been. A clock that is slewed is told each time it has gone half a second.

GW05 stands for a minute after a step, and while nobody has vouched for the clock for ten minutes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge.own import Durable, Said, verdict
from edge.recorder import SealedBlock
from edge.rules.instance import Verdict
from sitekeeper.model.clock import MINUTE, MS, SECOND, Micros, Moment
from sitekeeper.model.sample import Value

EVENT: Final = "clock_step"
RULE: Final = "GW05"
STEP: Final[Micros] = 500 * MS
"""A change of wall minus monotonic by more than this is told."""
LOOK: Final[Micros] = SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long an untrusted clock is borne before it is an alarm, and how long a step stays one."""

    untrusted: Micros = 10 * MINUTE
    stepped: Micros = MINUTE


class ClockWatch:
    """Watches the clock of one process (`edge.own.Watch`).

    Args:
        boot: the process. start: the moment from which on its records are made.
        standing: GW05 stands from an earlier process.
    """

    def __init__(self, boot: str, start: Moment, *, standing: bool = False, patience: Patience | None = None) -> None:
        self._boot = boot
        self._patience = patience or Patience()
        self._offset = start.wall - start.mono
        self._trusted = start.trusted
        self._trusted_at: Micros = start.mono
        self._stepped: tuple[Micros, Micros] | None = None
        self._standing = standing
        self._looked: Micros = start.mono

    def given(self, blocks: Sequence[SealedBlock], durable: Durable, now: Micros) -> None:
        """Nothing follows from an append."""

    def advance(self, now: Moment) -> Said:
        """Compare the two clocks; say what is to be told."""
        self._looked = now.mono
        before, after = self._offset, now.wall - now.mono
        step, begins = after - before, now.trusted and not self._trusted
        self._trusted = now.trusted
        if now.trusted:
            self._trusted_at = now.mono
        if abs(step) > STEP:
            self._stepped = (now.mono, step)
        elif not begins:
            return Said(verdicts=self._judge(now.mono))
        self._offset = after
        fields: dict[str, Value] = {
            "boot": self._boot,
            "before": before,
            "after": after,
            "offset_us": step,
            "trusted": now.trusted,
        }
        return Said(events=[(EVENT, fields)], verdicts=self._judge(now.mono))

    def next_deadline(self) -> Micros:
        """Look once a second."""
        return self._looked + LOOK

    def _judge(self, now: Micros) -> list[Verdict]:
        untrusted = now - self._trusted_at >= self._patience.untrusted
        stepped = self._stepped is not None and now - self._stepped[0] < self._patience.stepped
        if (untrusted or stepped) == self._standing:
            return []
        self._standing = not self._standing
        if not self._standing:
            return [verdict(RULE, "clear", now, "P4")]
        step = f"stepped by {self._stepped[1] / SECOND:+.3f} s" if self._stepped is not None and stepped else ""
        return [verdict(RULE, "raise", now, "P4", step or "not synchronised")]
