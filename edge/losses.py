"""What the outbox had to drop, or lost with a damaged file, is told: events, gaps, and two alarms of the gateway. Pure.

GW03 "records dropped for want of space" and GW04 "the outbox was damaged" stand for an hour after the last of it.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from edge.outbox import Note
from edge.own import Durable, Said, verdict
from edge.recorder import SealedBlock
from edge.rules.instance import Verdict
from sitekeeper.model.alarm import Priority
from sitekeeper.model.clock import MINUTE, SECOND, Micros, Moment

DROPPED: Final = "GW03"
DAMAGED: Final = "GW04"
_PRIORITY: Final[dict[str, Priority]] = {DROPPED: "P3", DAMAGED: "P2"}

TELL_EVERY: Final[Micros] = 10 * MINUTE
"""While samples are dropped without pause, each tenth minute tells of ten minutes: events are never dropped."""
LOOK: Final[Micros] = 2 * SECOND
CALM: Final[Micros] = 60 * MINUTE


class Losses:
    """Watches what the outbox has to tell (`edge.own.Watch`).

    Args:
        untold: see `Outbox.untold`. epoch: of the outbox.
        standing: which of the two alarms stand from an earlier process.
    """

    def __init__(
        self, untold: Callable[[], Note | None], epoch: str, now: Micros, standing: Sequence[str] = ()
    ) -> None:
        self._untold, self._epoch = untold, epoch
        self._since = dict.fromkeys(standing, now)
        self._look_at = self._tell_at = now

    def given(self, blocks: Sequence[SealedBlock], durable: Durable, now: Micros) -> None:
        """Appends of others say nothing here."""

    def advance(self, now: Moment) -> Said:
        """Return what is to be told, with the note that is forgotten by telling it."""
        if now.mono < self._look_at:
            return Said()
        self._look_at = now.mono + LOOK
        note = self._untold() if now.mono >= self._tell_at else None
        verdicts = self._over(now.mono)
        if note is None:
            return Said(verdicts=verdicts)
        self._tell_at = now.mono + TELL_EVERY
        events = [("dropped", self._dropped(note, n)) for n in range(len(note.dropped))]
        events += [("salvaged", dict(each)) for each in note.salvage]
        if note.dropped:
            records = sum(each.records for each in note.dropped)
            verdicts.append(self._raise(DROPPED, now.mono, f"{records} records"))
        if note.salvage:
            verdicts.append(self._raise(DAMAGED, now.mono, str(note.salvage[0].get("why", ""))))
        return Said(events=events, verdicts=verdicts, told=note)

    def next_deadline(self) -> Micros | None:
        """Return when to look next."""
        return self._look_at

    def _dropped(self, note: Note, n: int) -> dict[str, Any]:
        """Return the fields of the event about the n-th range of a note."""
        each = note.dropped[n]
        ends = {"from": rfc3339(each.t0), "to": rfc3339(each.t1)}
        counts = {"first": each.first, "last": each.last, "blocks": each.blocks, "records": each.records}
        return {"stream": "samples", "epoch": self._epoch, **counts, **ends}

    def _raise(self, rule: str, now: Micros, detail: str) -> Verdict:
        self._since[rule] = now
        return verdict(rule, "raise", now, _PRIORITY[rule], detail)

    def _over(self, now: Micros) -> list[Verdict]:
        """Return what ends the alarms whose hour is over."""
        over = [rule for rule, since in self._since.items() if now - since >= CALM]
        for rule in over:
            del self._since[rule]
        return [verdict(rule, "clear", now, _PRIORITY[rule]) for rule in over]


def rfc3339(wall: Micros) -> str:
    """Return a wall time as events of the gateway have it: in UTC, to the millisecond."""
    return datetime.fromtimestamp(wall / SECOND, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
