"""GW11, GW12, GW13, GW17: what the store holds against its own completeness and trust. Pure.

| rule | stands for |
|---|---|
| GW11 | a site sent two contents for one block; the first stays |
| GW12 | two gateways speak as one site |
| GW13 | blocks of a site exist nowhere any more |
| GW17 | a site has sent more catalogues than are taken of one |

None of them ends by itself as a condition does: what happened has happened. One stands until a person has acknowledged
it, or nothing new has come up for `LASTS`; the next finding raises it again.
"""

from collections.abc import Mapping
from typing import Final

from office.silence import is_active
from sitekeeper.model.alarm import AlarmRecord, AlarmState, Cause
from sitekeeper.model.clock import DAY, Micros

LASTS: Final[Micros] = DAY
RULES: Final[Mapping[str, str]] = {"conflict": "GW11", "twins": "GW12", "missing": "GW13", "flood": "GW17"}
"""By kind of evidence."""


def judge(newest: Micros | None, record: AlarmRecord | None, now: Micros) -> Cause | None:
    """Return the move that an alarm has to make, if any.

    Args:
        newest: office wall time of the last finding; None if there is none.
        record: the alarm as it stands; its time is the office's wall time too.
    """
    fresh = newest is not None and now - newest < LASTS
    if record is None or not is_active(record):
        unknown = record is None or (newest or 0) > record.changed
        return Cause.RAISE if fresh and unknown else None
    if not fresh:
        return Cause.CLEAR
    if record.state is AlarmState.ACKED:
        return Cause.REANNUNCIATE if (newest or 0) > record.changed else Cause.CLEAR
    return None
