"""An alarm's life as a pure machine (ISA-18.2 / IEC 62682 states, domain.md section 9) and its records.

      A normal ──raise──▶ B unacknowledged ──ack──▶ C acknowledged
      ▲  ▲                │ clears                   │ clears
      │  └──────ack────── D returned, unacknowledged │        (not latched)
      │                                              ▼
      ├──────────────────────────────────────────────┘
      └──reset── LA latched, acknowledged ◀──ack── LU latched, unacknowledged   (latched)

One alarm per key `<site>/<device>/<rule>`. An occurrence begins with a raise from A or D; a latched alarm whose
condition comes back (LU, LA to B) is the same occurrence, annunciated again. The site owns the state.

This base machine runs on while the alarm is held back: shelved by a person (E), suppressed by another alarm (F) or out
of service (G). These three lie over it (`sitekeeper.model.veil`), and what people and the office see is what is on top.
"""

from enum import StrEnum
from typing import Literal, Protocol

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
    SHELVED = "E"
    SUPPRESSED = "F"
    OUT = "G"


class Cause(StrEnum):
    """What moved an alarm."""

    RAISE = "raise"
    REANNUNCIATE = "reannunciate"  # a level rose, or a latched alarm's condition came back
    LEVEL = "level"  # a level fell: recorded, never annunciated
    CLEAR = "clear"
    ACK = "ack"
    UNACK = "unack"
    RESET = "reset"
    REALARM = "realarm"  # acknowledged long ago, and still true
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    SHELF_OVER = "shelf_over"
    SUPPRESS = "suppress"
    UNSUPPRESS = "unsuppress"
    OUT = "out"
    RETURN = "return"
    PERMIT_OVER = "permit_over"
    COMMENT = "comment"


Priority = Literal["P1", "P2", "P3", "P4"]

Mode = Literal["", "watch", "drill"]
"""How an alarm counts: for all, as of a rule that is only being watched, or as part of a drill."""

ACTIVE: frozenset[AlarmState] = frozenset({AlarmState.UNACKED, AlarmState.ACKED})
"""Base states in which the condition itself is true; of an alarm that may be held back see `AlarmRecord.standing`."""

LATCHED: frozenset[AlarmState] = frozenset({AlarmState.LATCHED_UNACKED, AlarmState.LATCHED_ACKED})
"""Base states of a latched alarm whose condition is over."""

HELD_BACK: frozenset[AlarmState] = frozenset({AlarmState.SHELVED, AlarmState.SUPPRESSED, AlarmState.OUT})
"""States in which an alarm is kept from people's sight: recorded, never annunciated."""

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
    (AlarmState.ACKED, Cause.REALARM): (AlarmState.UNACKED, AlarmState.UNACKED),
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
    """Return the base state that `cause` leads to; what holds an alarm back is no move of the base.

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
        base: the base state after the move, where something lies over it; empty if it is `target`.
        until: wall time at which a shelf or a permit ends.
        by: `<device>/<rule>` of the alarm that suppresses this one; for a permit, who answers for the work.
        parent: the rule of the same device under which this alarm is bundled.
        through: its priority is shown although another alarm suppresses it.
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
    mode: Mode = ""
    volatile: bool = False
    base: AlarmState | None = None
    until: Micros = 0
    by: str = ""
    parent: str = ""
    through: bool = False

    @property
    def standing(self) -> AlarmState:
        """The base state after the move."""
        return self.base or self.target


class Hold(msgspec.Struct, frozen=True, array_like=True):
    """A shelf or a permit: by whom, until which wall time, why, and the permit's number."""

    by: str
    until: Micros
    note: str = ""
    permit: str = ""


class AlarmRecord(msgspec.Struct, frozen=True):
    """An alarm as it stands now: the fold of its transitions.

    Attributes:
        state: what is shown. base: the base state, where something lies over it.
        veils: the alarms that suppress it, `<device>/<rule>` each, the first one first.
        shelved, permit: what else holds it back.
        parent, through: see `Transition`.
    """

    key: str
    rule: str
    occurrence: str
    state: AlarmState
    priority: Priority
    latched: bool
    raised: Micros
    changed: Micros
    acked_by: str = ""
    mode: Mode = ""
    base: AlarmState | None = None
    veils: tuple[str, ...] = ()
    through: bool = False
    shelved: Hold | None = None
    permit: Hold | None = None
    parent: str = ""

    @property
    def standing(self) -> AlarmState:
        """The base state: whether the condition is true, whatever holds the alarm back."""
        return self.base or self.state


class Move(Protocol):
    """What of a transition tells whether it is annunciated."""

    @property
    def cause(self) -> Cause: ...
    @property
    def source(self) -> AlarmState: ...
    @property
    def target(self) -> AlarmState: ...


def annunciates(transition: Move) -> bool:
    """Tell whether a move wants people's attention anew: a raise in sight, or what comes into sight and is true."""
    anew = transition.cause in {Cause.RAISE, Cause.REANNUNCIATE, Cause.REALARM} or transition.source in HELD_BACK
    return anew and transition.target is AlarmState.UNACKED


def fold(record: AlarmRecord | None, transition: Transition) -> AlarmRecord:
    """Return the alarm after `transition`; a record of None stands for an alarm never raised."""
    new = record is None or record.occurrence != transition.occurrence
    raised = transition.at if new or record is None else record.raised
    acked_by = "" if new or record is None else record.acked_by
    if transition.cause is Cause.ACK and transition.actor is not None:
        acked_by = transition.actor.name
    elif transition.standing is AlarmState.UNACKED:
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
        base=transition.base,
        veils=_veils(record, transition),
        through=transition.through,
        shelved=_hold(None if record is None else record.shelved, transition, Cause.SHELVE, _SHELF_ENDS),
        permit=_hold(None if record is None else record.permit, transition, Cause.OUT, _PERMIT_ENDS),
        parent=transition.parent,
    )


_SHELF_ENDS = frozenset({Cause.UNSHELVE, Cause.SHELF_OVER})
_PERMIT_ENDS = frozenset({Cause.RETURN, Cause.PERMIT_OVER})


def _veils(record: AlarmRecord | None, transition: Transition) -> tuple[str, ...]:
    veils = () if record is None else record.veils
    if transition.cause is Cause.SUPPRESS and transition.by not in veils:
        return (*veils, transition.by)
    if transition.cause is Cause.UNSUPPRESS:
        return tuple(by for by in veils if by != transition.by)
    return veils


def _hold(hold: Hold | None, transition: Transition, begins: Cause, ends: frozenset[Cause]) -> Hold | None:
    """Return the shelf or the permit after a move: its number is the detail, and `by` who answers for it."""
    if transition.cause is begins:
        who = transition.by or ("" if transition.actor is None else transition.actor.name)
        return Hold(who, transition.until, transition.note, transition.detail)
    return None if transition.cause in ends else hold


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
