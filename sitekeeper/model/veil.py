"""What lies over an alarm's base machine: a shelf, other alarms that suppress it, a permit. Pure, like the base.

    shown:   G out of service    while there is a permit
             F suppressed        while another alarm suppresses it, unless its priority is shown through that
             E shelved           while it is on a person's shelf
             the base state      otherwise

Layers, not one flat table, because each comes and goes by itself: whichever goes first, the alarm comes back to where
it belongs. Under them the base moves on with the condition. When the last one goes, a condition that is true is
annunciated (B), one that was over unlatched is done with (A), and a latch is still there; what was on a shelf its
shelver has seen (LA).
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from sitekeeper.model.alarm import ACTIVE, HELD_BACK, LATCHED, AlarmRecord, AlarmState, Cause, Priority, next_state
from sitekeeper.model.clock import HOUR, Micros
from sitekeeper.model.errors import Refused

SHELF: Final[Mapping[Priority, Micros]] = {"P1": HOUR, "P2": HOUR, "P3": 8 * HOUR, "P4": 8 * HOUR}
"""How long an alarm may be shelved at once, by its priority."""

_OF_THE_RULE: Final = frozenset({Cause.RAISE, Cause.CLEAR, Cause.LEVEL, Cause.REANNUNCIATE})
_IN_SIGHT: Final = frozenset({Cause.ACK, Cause.UNACK, Cause.RESET, Cause.REALARM})


class Layers(NamedTuple):
    """Where an alarm stands: its base state and what lies over it.

    Attributes:
        through: its priority is shown although it is suppressed.
    """

    base: AlarmState = AlarmState.NORMAL
    veils: tuple[str, ...] = ()
    through: bool = False
    shelved: bool = False
    out: bool = False

    @property
    def shown(self) -> AlarmState:
        """The state that people and the office see."""
        if self.out:
            return AlarmState.OUT
        if self.veils and not self.through:
            return AlarmState.SUPPRESSED
        return AlarmState.SHELVED if self.shelved else self.base


def layers(record: AlarmRecord | None) -> Layers:
    """Return where the alarm of a record stands; None is an alarm that never was."""
    if record is None:
        return Layers()
    held = record.shelved is not None, record.permit is not None
    return Layers(record.standing, record.veils, record.through, *held)


def held_by(record: AlarmRecord) -> tuple[str, Micros, str]:
    """Return by whom or what an alarm is held back, until when, and why; empty, or 0, where there is no such thing."""
    hold = record.permit or record.shelved
    if record.state is AlarmState.SUPPRESSED:
        return ", ".join(record.veils), 0, ""
    if hold is None or record.state not in HELD_BACK:
        return "", 0, ""
    return hold.by, hold.until, f"{hold.permit} {hold.note}".strip()


def after(now: Layers, cause: Cause, *, latched: bool, by: str = "", through: bool | None = None) -> Layers:
    """Return where an alarm stands after a move.

    Args:
        by: the alarm that suppresses this one, or no longer does.
        through: whether the priority that a rule gives it now is shown through; None for no new priority.

    Raises:
        Refused: there is no such move: `not-shown` while it is held back, `not-shelved`, `not-out`, or as `next_state`.
    """
    moved = _moved(now, cause, latched=latched, by=by)
    if through is not None:
        moved = moved._replace(through=through)
    if now.shown in HELD_BACK and moved.shown not in HELD_BACK:
        moved = moved._replace(base=_uncovered(moved.base, shelf=now.shown is AlarmState.SHELVED))
    if moved.base is AlarmState.NORMAL:
        moved = moved._replace(through=False)  # what is over is out of sight again
    return moved


def _moved(now: Layers, cause: Cause, *, latched: bool, by: str) -> Layers:
    if cause in _OF_THE_RULE:
        return now._replace(base=next_state(now.base, cause, latched=latched))
    if cause in _IN_SIGHT:
        _must(now.shown not in HELD_BACK, "not-shown", cause, now)
        return now._replace(base=next_state(now.base, cause, latched=latched))
    match cause:
        case Cause.SHELVE:
            _must(now.shown not in {AlarmState.SUPPRESSED, AlarmState.OUT}, "not-shown", cause, now)
            return now._replace(shelved=True)
        case Cause.UNSHELVE | Cause.SHELF_OVER:
            _must(now.shelved, "not-shelved", cause, now)
            return now._replace(shelved=False)
        case Cause.SUPPRESS:
            return now if by in now.veils else now._replace(veils=(*now.veils, by))
        case Cause.UNSUPPRESS:
            _must(by in now.veils, "not-active", cause, now)
            return now._replace(veils=tuple(veil for veil in now.veils if veil != by))
        case Cause.OUT:
            return now._replace(out=True)
        case Cause.RETURN | Cause.PERMIT_OVER:
            _must(now.out, "not-out", cause, now)
            return now._replace(out=False)
    return now  # a comment


def _must(holds: bool, reason: str, cause: Cause, now: Layers) -> None:
    if not holds:
        raise Refused(reason, f"{cause} in state {now.shown}")


def _uncovered(base: AlarmState, *, shelf: bool) -> AlarmState:
    """Return where the base comes to when nothing holds the alarm back any more."""
    if base in ACTIVE:
        return AlarmState.UNACKED
    if base in LATCHED:
        return AlarmState.LATCHED_ACKED if shelf else base
    return AlarmState.NORMAL
