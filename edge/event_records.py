"""What devices told, as it is recorded: each event with a moment of its own, its texts cut, looked up in tables."""

from collections.abc import Callable, Sequence
from typing import Final

from drivers.base import Heard
from edge.occurrences import AuditGap
from sitekeeper.model.clock import SECOND, Micros, Moment
from sitekeeper.model.event import Event
from sitekeeper.model.sample import Value

LATE: Final[Micros] = 5 * SECOND
"""An event that is older than this on receipt is late: it feeds event rules and starts no delay. Its age is by its
teller's clock, less what that clock is known to be behind."""

TEXT: Final = 1_000
"""Characters of one text of an event that are kept; any block can hold so much."""

Enrich = Callable[[str, dict[str, Value]], dict[str, Value]]
"""(`<device>/<event>`, its fields) -> the fields with what the site's tables say: `edge.tables.Tables.enrich`."""


def recorded(
    told: Sequence[Heard | AuditGap], now: Moment, after: Micros, *, enrich: Enrich, behind: Callable[[Heard], Micros]
) -> list[Event]:
    """Return events as they are recorded; of no device, none.

    Args:
        after: monotonic time of what was recorded last.
        behind: what the clock of the one who told it is known to be behind: `edge.occurrences.Occurrences.behind`.
    """
    events: list[Event] = []
    for each in told:
        at = events[-1].at + 1 if events else after + 1
        if isinstance(each, AuditGap):
            fields: dict[str, Value] = {"counter": each.counter, "from": each.first, "to": each.last}
            events.append(Event(f"{each.device}/audit_gap", max(at, now.mono), fields | {"restarted": each.restarted}))
        elif each.device:
            age = 0 if each.source is None else now.wall - each.source - behind(each)
            fields = {k: v[:TEXT] if isinstance(v, str) else v for k, v in each.fields.items()}
            name, late = f"{each.device}/{each.name}", each.buffered or (now.trusted and age > LATE)
            fields = enrich(name, fields)
            events.append(Event(name, max(at, each.received), fields, each.sequence, each.source, late))
    return events
