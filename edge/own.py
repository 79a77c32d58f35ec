"""What the gateway says of itself: alarms and events of the reserved device `gateway` (GW02 and up). Pure.

They are not rules: there is no point to read, and they must work when the record does not. They take the same way as
everything else from there on: the alarm book, a block, the outbox.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from edge.outbox import Note
from edge.recorder import SealedBlock
from edge.rules.decide import VerdictKind
from edge.rules.instance import Verdict
from sitekeeper.model.alarm import Priority
from sitekeeper.model.clock import Micros, Moment
from sitekeeper.model.sample import Value

DEVICE: Final = "gateway"
"""The reserved device that is the gateway itself."""

DETAIL: Final = 300
"""Characters of an alarm's detail that are kept: some are the words of the operating system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What there is to record now: events of the gateway by name, and what is decided about its alarms."""

    events: Sequence[tuple[str, Mapping[str, Value]]] = ()
    verdicts: Sequence[Verdict] = ()
    told: Note | None = None
    """What the outbox forgets in the transaction of these events; its gaps and states go into the record too."""


class Durable(Protocol):
    """What is asked of the future of an append."""

    def done(self) -> bool: ...


class Watch(Protocol):
    """Something of the gateway's own that is looked after: its disk, its clock."""

    def given(self, blocks: Sequence[SealedBlock], durable: Durable, now: Micros) -> None:
        """Take note of an append; `durable` is done when it is on the disk."""

    def advance(self, now: Moment) -> Said:
        """Look; return what there is to say."""

    def next_deadline(self) -> Micros | None:
        """Return the monotonic time at which to look next; None if only an append can change anything."""


def verdict(
    rule: str, kind: VerdictKind, at: Micros, priority: Priority, detail: str = "", limits: Mapping[str, str] = {}
) -> Verdict:
    """Return a decision about one of the gateway's own alarms."""
    return Verdict(
        rule=rule,
        device=DEVICE,
        kind=kind,
        at=at,
        priority=priority,
        values={},
        limits=dict(limits),
        detail=detail[:DETAIL],
        latched=False,
        revision="",
        mode="",
    )
