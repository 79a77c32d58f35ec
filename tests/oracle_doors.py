"""The oracle's word on runs in which a broker of doors may die: the order of events, and the causes of what is missing.

It imports nothing of ours. `done` names that broker `doors`.
"""

import json
from collections import Counter
from typing import Any

from .oracle_record import SECOND, Account, Line, Office, absences

FORGETS = 5 * SECOND
"""What a broker acknowledged this long before it was killed may be gone with it: it writes its file every 2 s."""
RETURNS = 20 * SECOND
"""So long after its return the gateway may still be on its way back, while the broker keeps nothing for it."""

RECORDED = """SELECT e.* FROM events e JOIN blocks b ON b.id = e.block WHERE e.site = ?
              ORDER BY b.epoch, b.sequence, e.position"""
"""In the order of the site's record, whenever the office got it; the site of such a run has one epoch."""

Event = tuple[str, int]
"""Controller and sequence: a run in which a controller counts anew is none for this judge."""


def judge_told(journal: list[Line], done: list[Line], office: Office, account: Account) -> None:
    """Events of a controller are in its order, but for those of a told gap.

    What such a gap still lacks is excused by a death of the broker, or by the controller having overwritten it unsent.
    """
    made = {(line["controller"], line["event"]["seq"]): line["t"] for line in journal if "event" in line}
    of_device = {line["device"]: line["controller"] for line in journal if "event" in line and "device" in line}
    highest: Counter[str] = Counter()
    missing: set[Event] = set()
    seen: set[Event] = set()
    filled, overtaken = 0, []
    for row in office.rows(RECORDED):
        if row["source_id"].endswith("/audit_gap"):
            missing |= _told(json.loads(row["fields"]), made)
            continue
        controller = of_device.get(row["source_id"].split("/", 1)[0], "")
        event = (controller, row["device_sequence"])
        if row["device_sequence"] is None or event not in made or event in seen:
            continue  # one that is there twice is doubled, and no matter of order
        seen.add(event)
        if event in missing:
            missing.discard(event)
            filled += 1
        elif event[1] < highest[controller]:
            overtaken.append(event)
        highest[controller] = max(highest[controller], event[1])
    away = absences(done)["doors"]
    unsent = [line for line in journal if line.get("fact") == "unsent event overwritten"]
    overwritten = {(line["controller"], line["seq"]) for line in unsent}
    excused = {event for event in missing if any(a - FORGETS <= made[event] <= b + RETURNS for a, b in away)}
    own = missing - overwritten - excused
    account.check(len(overtaken), "events out of order", overtaken)
    account.check(len(own), "events in a gap that no death of the doors' broker explains", sorted(own))
    account.figures |= {"gap_events_came": filled, "gap_events_missing": len(missing)}


def _told(gap: dict[str, Any], made: dict[Event, int]) -> set[Event]:
    ends = (gap.get("from"), gap.get("to"))
    if None in ends:
        return set()
    return {event for event in made if event[0] in str(gap["counter"]) and ends[0] <= event[1] <= ends[1]}
