"""May this be written now? The class's allow-list, the role, the interlock: one answer, with a reason. Pure.

Reasons of refusals are stable words that the text catalogues translate. Unknown is no: an interlock that is bad, stale
or not yet read refuses like one that is false.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sitekeeper.model.clock import HOUR, MINUTE, Micros
from sitekeeper.model.command import DEFAULT, LIFE_SAFETY, MANUAL, ROLE_RANK, Actor
from sitekeeper.model.errors import Refused
from sitekeeper.model.point import Point
from sitekeeper.model.quality import is_good
from sitekeeper.model.sample import Sample, Value
from sitekeeper.profile import Writable, value_text

LONGEST: Final[Micros] = 12 * HOUR
"""For so long at most a person may claim a point: nobody holds a door open for ever by one command."""

SAFETY: Final = LIFE_SAFETY + 1
"""Priorities up to this one are life safety's: no person may claim them, and what they hold no pulse may disturb."""

WITH_PRIORITIES: Final = "bacnet"
"""The family of drivers whose devices keep sixteen priorities themselves, and take None to give one up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A point that may be written.

    Attributes:
        writable: what its class, driver and tags allow.
        online: the device's own `online` point. interlock: that of the allow-list.
        confirm: the point that shows the effect; None if the device has it not.
        relinquishes: the protocol knows priorities, and takes None to give one up.
        presence: the point that tells whether somebody is there. occupied: somebody may be, whether or not one tells.
        cycled: the point that tells that the device was without supply, and has forgotten what was written.
        gear_warns: what is only on or off, and blinks by itself when told to.
    """

    point: Point
    writable: Writable
    online: Point
    interlock: Point | None
    confirm: Point | None
    relinquishes: bool
    cycled: Point | None = None
    presence: Point | None = None
    occupied: bool = False
    gear_warns: bool = False

    @property
    def device(self) -> str:
        return self.point.device

    @property
    def id(self) -> str:
        return self.point.id


@dataclass(frozen=True, slots=True)
class Present:
    """The site as it stands: the last sample of a point, and whether it is vouched for within its staleness limit."""

    sample: Callable[[Point], Sample | None]
    fresh: Callable[[Point], bool]

    def good(self, point: Point) -> Value:
        """Return a point's value if it is good and fresh, else None."""
        sample = self.sample(point)
        return sample.value if sample is not None and is_good(sample.q) and self.fresh(point) else None

    def online(self, target: Target) -> bool:
        sample = self.sample(target.online)
        return sample is not None and sample.value is True


def permit(target: Target, actor: Actor, value: Value) -> None:
    """Check what does not change with time: role, origin, value.

    Raises:
        Refused: `not-permitted`, `site-only` or `bad-value`.
    """
    allowed = target.writable
    people = [ROLE_RANK[role] for role in allowed.by if role != "linkage"]
    if actor.role == "linkage":
        may = "linkage" in allowed.by
    else:
        may = actor.role != "office" and ROLE_RANK[actor.role] >= min(people, default=99)
    if not may:
        raise Refused("not-permitted", f"{actor.role} may not write {target.id}")
    if (allowed.interlock is not None or allowed.live_view) and actor.origin != "site":
        raise Refused("site-only", f"{target.id} is written by somebody who sees it")
    if not takes(target.point, allowed, value):
        raise Refused("bad-value", f"{target.id} cannot be {value_text(value)}; {_known(target)}")


def ready(target: Target, present: Present) -> None:
    """Check what must be true at the moment of the write.

    Raises:
        Refused: `device-offline`, or `interlock` if it is not known to be true now.
    """
    if not present.online(target):
        raise Refused("device-offline", f"{target.device} does not answer")
    if target.writable.interlock is not None and (
        target.interlock is None or present.good(target.interlock) is not True
    ):
        sample = None if target.interlock is None else present.sample(target.interlock)
        found = "not known" if sample is None or sample.value is None else value_text(sample.value)
        raise Refused("interlock", f"{target.device}/{target.writable.interlock} is {found}")


def asked(target: Target, value: Value, *, reason: str, lasts: Micros, priority: int, in_view: bool) -> None:
    """Check what only people must give, and may not do for as long as a rule.

    Raises:
        Refused: `reason-needed`, `bad-expiry`, `bad-priority`, `off-too-long` or `not-in-view`.
    """
    allowed = target.writable
    if not reason.strip():
        raise Refused("reason-needed", "say why; it is written into the audit")
    if not 0 < lasts <= LONGEST:
        raise Refused("bad-expiry", f"a command expires after at most {LONGEST // HOUR} h")
    if not MANUAL <= priority <= DEFAULT:
        raise Refused("bad-priority", f"{priority} is not for people")
    if allowed.off_most is not None and not isinstance(value, str) and not value and lasts > allowed.off_most.for_:
        raise Refused("off-too-long", f"{target.id} is off for at most {allowed.off_most.for_ // MINUTE} min")
    if allowed.live_view and not in_view:
        raise Refused("not-in-view", f"{target.id} is written by somebody who sees it")


def shows(target: Target, value: Value, present: Present) -> bool | None:
    """Tell whether the device is seen to have done `value`; None if nothing on it could ever show that."""
    confirm = target.writable.confirm
    readings = None if confirm is None else confirm.values.get(value_text(value), confirm.readings or None)
    if confirm is None or (confirm.values and readings is None):
        return None if target.writable.pulse else _same(target, present.good(target.point), value)
    if target.confirm is None:
        return None
    seen = present.good(target.confirm)
    if readings is None:
        return _same(target, seen, value)
    return any(type(seen) is type(reading) and seen == reading for reading in readings)


def stands(target: Target, value: Value, present: Present) -> bool | None:
    """As `shows`, and the point itself does not say otherwise: a boom that is up for a car is not held open."""
    own = present.good(target.point)
    return False if own is not None and not _same(target, own, value) else shows(target, value, present)


def parse(point: Point, text: str) -> Value:
    """Return the value that a person wrote for a point.

    Raises:
        Refused: `bad-value`, it is none of the point's type.
    """
    try:
        match point.type:
            case "bool":
                return {"true": True, "false": False}[text]
            case "int":
                return int(text)
            case "float":
                return float(text)
            case _:
                return text
    except (KeyError, ValueError):
        words = {"bool": "true or false", "int": "a whole number", "float": "a number"}[point.type]
        raise Refused("bad-value", f"{point.id} takes {words}, not {text!r}") from None


def takes(point: Point, allowed: Writable, value: Value) -> bool:
    """Tell whether a value is one of the point's, and one that the class lets be written."""
    return _fits(point, value) and _allows(allowed, value)


def _fits(point: Point, value: Value) -> bool:
    match point.type:
        case "bool":
            return isinstance(value, bool)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        case "enum":
            return value in point.members
        case _:
            return isinstance(value, str)


def _allows(allowed: Writable, value: Value) -> bool:
    if allowed.values and value not in allowed.values:
        return False
    if allowed.range is None or isinstance(value, str) or value is None:
        return True
    return allowed.range[0] <= value <= allowed.range[1]


def _same(target: Target, seen: Value, value: Value) -> bool:
    """Equal; numbers within a hundredth of their range, because gear rounds to steps of its own."""
    if isinstance(seen, bool) or isinstance(value, bool) or seen is None or value is None:
        return seen is value
    if isinstance(seen, str) or isinstance(value, str):
        return seen == value
    span = target.writable.range
    return math.isclose(seen, value, rel_tol=1e-6, abs_tol=(span[1] - span[0]) / 100 if span else 1e-9)


def _known(target: Target) -> str:
    allowed = target.writable
    if allowed.values:
        return "allowed: " + ", ".join(map(value_text, allowed.values))
    if allowed.range is not None:
        return f"allowed: {allowed.range[0]:g} to {allowed.range[1]:g}"
    return "allowed: " + (", ".join(target.point.members) or target.point.type)
