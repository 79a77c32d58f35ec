"""An alarm's life as a pure machine (ISA-18.2 / IEC 62682 states, domain.md section 9) and its records.

      A normal ──raise──▶ B unacknowledged ──ack──▶ C acknowledged
      ▲  ▲                │ clears                   │ clears
      │  └──────ack────── D returned, unacknowledged │        (not latched)
      │                                              ▼
      ├──────────────────────────────────────────────┘
      └──reset── LA latched, acknowledged ◀──ack── LU latched, unacknowledged   (latched)

One alarm per key `<site>/<device>/<rule>`. An occurrence begins with a raise from A or D; a latched alarm whose
condition comes back (LU, LA to B) is the same occurrence, annunciated again. The site owns the state.
"""

from enum import StrEnum
from typing import Literal

import msgspec

from sitekeeper.model.clock import Micros
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import Refused
from sitekeeper.model.quality import Q
from sitekeeper.model.sample import Value


class AlarmState(StrEnum):
    """The letters that go over the wire."""

    NORMAL = "A"
    UNACKED = "B"
    ACKED = "C"
    RETURNED = "D"
    LATCHED_UNACKED = "LU"
    LATCHED_ACKED = "LA"


class Cause(StrEnum):
    """What moved an alarm."""

    RAISE = "raise"
    REANNUNCIATE = "reannunciate"  # a level rose, or a latched alarm's condition came back
    LEVEL = "level"  # a level fell: recorded, never annunciated
    CLEAR = "clear"
    ACK = "ack"
    UNACK = "unack"
    RESET = "reset"


Priority = Literal["P1", "P2", "P3", "P4"]

ACTIVE: frozenset[AlarmState] = frozenset({AlarmState.UNACKED, AlarmState.ACKED})
"""States in which the condition itself is true."""

UNACKED: frozenset[AlarmState] = frozenset({AlarmState.UNACKED, AlarmState.RETURNED, AlarmState.LATCHED_UNACKED})
"""States that still want a person's acknowledgement."""

_TABLE: dict[tuple[AlarmState, Cause], tuple[AlarmState, AlarmState]] = {
    # (state, cause): (next if not latched, next if latched)
    (AlarmState.NORMAL, Cause.RAISE): (AlarmState.UNACKED, AlarmState.UNACKED),
    (AlarmState.RETURNED, Cause.RAISE): (AlarmState.UNACKED, AlarmState.UNACKED),
    (AlarmState.UNACKED, Cause.ACK): (AlarmState.ACKED, AlarmState.ACKED),
    (AlarmState.UNACKED, Cause.CLEAR): (AlarmState.RETURNED, AlarmState.LATCHED_UNACKED),
    (AlarmState.UNACKED, Cause.REANNUNCIATE): (AlarmState.UNACKED, AlarmState.UNACKED),
    (AlarmState.UNACKED, Cause.LEVEL): (AlarmState.UNACKED, AlarmState.UNACKED),
    (AlarmState.ACKED, Cause.CLEAR): (AlarmState.NORMAL, AlarmState.LATCHED_ACKED),
    (AlarmState.ACKED, Cause.REANNUNCIATE): (AlarmState.UNACKED, AlarmState.UNACKED),
    (AlarmState.ACKED, Cause.LEVEL): (AlarmState.ACKED, AlarmState.ACKED),
    (AlarmState.ACKED, Cause.UNACK): (AlarmState.UNACKED, AlarmState.UNACKED),
    (AlarmState.RETURNED, Cause.ACK): (AlarmState.NORMAL, AlarmState.NORMAL),
    (AlarmState.LATCHED_UNACKED, Cause.ACK): (AlarmState.LATCHED_ACKED, AlarmState.LATCHED_ACKED),
    (AlarmState.LATCHED_UNACKED, Cause.REANNUNCIATE): (AlarmState.UNACKED, AlarmState.UNACKED),
    (AlarmState.LATCHED_ACKED, Cause.REANNUNCIATE): (AlarmState.UNACKED, AlarmState.UNACKED),
    (AlarmState.LATCHED_ACKED, Cause.UNACK): (AlarmState.LATCHED_UNACKED, AlarmState.LATCHED_UNACKED),
    (AlarmState.LATCHED_ACKED, Cause.RESET): (AlarmState.NORMAL, AlarmState.NORMAL),
}

_WHY_NOT: dict[tuple[AlarmState, Cause], str] = {
    (AlarmState.LATCHED_UNACKED, Cause.RESET): "acknowledge-first",
    (AlarmState.UNACKED, Cause.RESET): "condition-still-true",
    (AlarmState.ACKED, Cause.RESET): "condition-still-true",
    (AlarmState.ACKED, Cause.ACK): "already-acknowledged",
    (AlarmState.LATCHED_ACKED, Cause.ACK): "already-acknowledged",
}


def next_state(state: AlarmState, cause: Cause, *, latched: bool) -> AlarmState:
    """Return the state that `cause` leads to.

    Raises:
        Refused: the machine has no such move; the reason is a stable word such as `acknowledge-first`,
            `condition-still-true`, `already-acknowledged` or `not-active`.
    """
    try:
        plain, held = _TABLE[state, cause]
    except KeyError:
        raise Refused(_WHY_NOT.get((state, cause), "not-active"), f"{cause} in state {state}") from None
    return held if latched else plain


class Transition(msgspec.Struct, frozen=True, array_like=True):
    """One move of one alarm: the record that travels, is stored, and tells the story. Field order is the wire format.

    Attributes:
        occurrence: `<key>@<epoch>-<sequence of the alarms block that raised it>`.
        at: wall time of the move, microseconds; mono: the same on the site's monotonic clock.
        detail: for a raise the rule's own words of why; for a reset what was entered on site.
        values: inputs of the rule at that moment, by point name: (value, packed quality).
        limits: parameters of the rule at that moment, in words, for example {"stuck_for": "30s"}.
        revision: hash of the rule's text and parameters.
        ack_id: the office's idempotency key, where an office acknowledgement caused it.
        mode: `watch` if the rule is only being watched: recorded, never pushed.
        volatile: announced from memory because the disk failed.
    """

    occurrence: str
    key: str
    rule: str
    source: AlarmState
    target: AlarmState
    cause: Cause
    priority: Priority
    at: Micros
    mono: Micros
    latched: bool
    actor: Actor | None = None
    note: str = ""
    detail: str = ""
    values: dict[str, tuple[Value, Q]] = {}
    limits: dict[str, str] = {}
    revision: str = ""
    ack_id: str = ""
    mode: Literal["", "watch"] = ""
    volatile: bool = False


class AlarmRecord(msgspec.Struct, frozen=True):
    """An alarm as it stands now: the fold of its transitions."""

    key: str
    rule: str
    occurrence: str
    state: AlarmState
    priority: Priority
    latched: bool
    raised: Micros
    changed: Micros
    acked_by: str = ""
    mode: Literal["", "watch"] = ""


def fold(record: AlarmRecord | None, transition: Transition) -> AlarmRecord:
    """Return the alarm after `transition`; a record of None stands for an alarm never raised."""
    new = record is None or record.occurrence != transition.occurrence
    raised = transition.at if new or record is None else record.raised
    acked_by = "" if new or record is None else record.acked_by
    if transition.cause is Cause.ACK and transition.actor is not None:
        acked_by = transition.actor.name
    elif transition.target is AlarmState.UNACKED:
        acked_by = ""
    return AlarmRecord(
        key=transition.key,
        rule=transition.rule,
        occurrence=transition.occurrence,
        state=transition.target,
        priority=transition.priority,
        latched=transition.latched,
        raised=raised,
        changed=transition.at,
        acked_by=acked_by,
        mode=transition.mode,
    )


def alarm_key(site: str, device: str, rule: str) -> str:
    """Return the key under which all occurrences of this alarm live."""
    return f"{site}/{device}/{rule}"


def occurrence_id(key: str, epoch: str, sequence: int) -> str:
    """Return the id of the occurrence raised by alarms block `sequence` of `epoch`."""
    return f"{key}@{epoch}-{sequence}"


def split_key(key: str) -> tuple[str, str, str]:
    """Return (site, device, rule) of an alarm key or of an occurrence id."""
    site, device, rule = key.partition("@")[0].split("/")
    return site, device, rule
