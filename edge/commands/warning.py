"""Before a rule switches a light off where somebody may be, it blinks, and stays a while, so that he can object. Pure.

Warned is of what is planned: a rule's claim, and giving the point back. A person who switches off knows it, and life
safety never waits. A newer claim ends the warning with whatever it wants.
"""

from typing import Final

from edge.commands.claims import Step
from edge.commands.guard import SAFETY, Present, Target
from sitekeeper.model.clock import MS, Micros
from sitekeeper.model.sample import Value

BLINK: Final[Micros] = 500 * MS
"""How long a light is off that cannot blink by itself."""

OCCUPIED: Final = "occupied"
"""The tag of a device in a room where people may be although nothing senses them."""

PRESENCE: Final = "presence"


def needed(target: Target, step: Step, present: Present) -> bool:
    """Tell whether people must be warned before a step."""
    if target.writable.warn is None or step.priority <= SAFETY or not _switches_off(target, step):
        return False
    if step.claim is not None and step.claim.person:
        return False
    sensed = target.presence is not None and present.good(target.presence) is not False  # not known is somebody
    return (target.occupied or sensed) and not _off(present.good(target.point))


def blink(target: Target, step: Step, present: Present) -> tuple[Value, Value] | None:
    """Return what is written to warn, and what a moment after it: None for nothing, the gear sees to it.

    Without a value that the light comes back to there is no blink: it would be dark at once.
    """
    warn, shown = target.writable.warn, present.good(target.point)
    by_gear = target.relinquishes and (target.gear_warns or target.point.type != "bool")
    if by_gear and warn is not None and warn.value is not None:
        return warn.value, None
    return None if shown is None else (step.value, shown)


def _switches_off(target: Target, step: Step) -> bool:
    return target.relinquishes if step.value is None else _off(step.value)


def _off(value: Value) -> bool:
    return value is not None and not isinstance(value, str) and not value
