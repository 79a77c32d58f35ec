"""What an object's values are worth, by what it says of itself: Status_Flags and Reliability. Pure.

ANSI/ASHRAE 135-2020, clause 12, for each type of object. OUT_OF_SERVICE: the values no longer follow what it stands
for, and whoever likes may write them. OVERRIDDEN: for inputs the same, by a switch on the device; for outputs only that
the command is not obeyed. FAULT: Reliability says that something is wrong. With what measures, that is the value. With
machines it is the machine: a lift that lists faults has FAULT, as has a lamp that failed or a door that was tampered
with, and their values are wanted then more than ever. So there Reliability itself decides: only where it says that
nothing comes from the machine is the value not taken.

    out of service                  uncertain, set by hand        fault of what measures     bad, flagged by the device
    an input that is overridden     uncertain, set by hand        a machine that is not heard          bad, no answer
"""

from collections.abc import Iterable
from typing import Final

from drivers.bacnet.codec import atoms
from drivers.bacnet.message import BITS, ENUMERATED, Malformed, Part, Reference
from drivers.bacnet.names import OBJECTS, PROPERTIES
from sitekeeper.model.quality import GOOD, Q, Quality, Reason, bad, pack
from sitekeeper.model.sample import Value

FLAGS: Final = PROPERTIES["status-flags"]
RELIABILITY: Final = PROPERTIES["reliability"]
FAULT: Final = 0x40
OVERRIDDEN: Final = 0x20
OUT_OF_SERVICE: Final = 0x10
"""Bits 1 to 3 of Status_Flags, in its byte; bit 0 is in-alarm, which says nothing of a value."""

MADE_UP: Final[Q] = pack(Quality.UNCERTAIN, Reason.SUBSTITUTED)
UNCLEAR: Final[Q] = pack(Quality.UNCERTAIN, Reason.UNMAPPED)
"""Of an object that answers for its flags with what are none."""

_UNREADABLE: Final = -1
_UNHEARD: Final = 12
"""Reliability communication-failure."""
_BLIND: Final = frozenset({1, 10, _UNHEARD})
"""No-sensor, configuration-error: the machine is not what the values come from either."""


def _types(*names: str) -> frozenset[int]:
    return frozenset(OBJECTS[name] for name in names)


_WITHOUT: Final = _types("device", "calendar", "file", "group", "averaging", "structured-view", "elevator-group")
"""Types of objects that have no flags."""
_MACHINES: Final = _types(
    "analog-output", "binary-output", "multi-state-output", "life-safety-point", "life-safety-zone", "load-control",
    "access-door", "access-point", "access-zone", "channel", "lighting-output", "binary-lighting-output", "escalator",
    "lift", "staging", "timer",
)  # fmt: skip
_INPUTS: Final = _types(
    "analog-input", "binary-input", "multi-state-input", "accumulator", "pulse-converter", "credential-data-input"
)
_OF_ITSELF: Final = frozenset(
    PROPERTIES[name]
    for name in (
        "description", "object-identifier", "object-name", "object-type", "event-state", "out-of-service",
        "status-flags", "reliability", "priority-array", "relinquish-default", "current-command-priority",
        "time-delay", "units", "cov-increment", "number-of-states", "polarity", "max-pres-value", "min-pres-value",
        "scale", "pulse-rate", "blink-warn-enable", "egress-time", "default-fade-time", "default-ramp-rate",
        "default-step-increment", "lighting-command-default-priority", "max-actual-value", "min-actual-value",
        "door-extended-pulse-time", "door-members", "door-open-too-long-time", "door-pulse-time",
        "door-unlock-delay-time", "masked-alarm-values", "car-load-units", "elevator-group", "energy-meter-ref",
        "floor-text", "group-id", "installation-id", "machine-room-id",
    )
)  # fmt: skip
"""Settings and names: true of the object whether or not it follows what it stands for."""

Owner = tuple[int, int]
"""Type and instance of an object."""


def asked(references: Iterable[Reference]) -> frozenset[Reference]:
    """Return what is to be read beside `references`, so that it is known what their values are worth."""
    places = {each[:2] for each in references if each.property not in _OF_ITSELF and each.object not in _WITHOUT}
    return frozenset(Reference(*place, FLAGS) for place in places) | frozenset(
        Reference(*place, RELIABILITY) for place in places if place[0] in _MACHINES
    )


def worth(kind: int, flags: int, reliability: int) -> Q:
    """Return what values of an object of type `kind` are worth; `flags` as one byte."""
    if _UNREADABLE in (flags, reliability):
        return UNCLEAR
    if kind in _MACHINES:
        if reliability in _BLIND:
            return bad(Reason.COMM if reliability == _UNHEARD else Reason.DEVICE_FLAGGED)
    elif flags & FAULT:
        return bad(Reason.DEVICE_FLAGGED)
    made_up = flags & OUT_OF_SERVICE or (flags & OVERRIDDEN and kind in _INPUTS)
    return MADE_UP if made_up else GOOD


def number(reference: Reference, part: Part) -> int:
    """Return flags or a reliability as a number: 0 if there is nothing to say, or no such property."""
    if not isinstance(part, bytes):
        return 0
    try:
        ((tag, content),) = atoms(part)
    except (Malformed, ValueError):
        return _UNREADABLE
    if reference.property == RELIABILITY:
        return content if tag == ENUMERATED and isinstance(content, int) else _UNREADABLE
    if tag != BITS or not isinstance(content, bytes) or len(content) < 2 or content[0] > 4:
        return _UNREADABLE
    return content[1] & (FAULT | OVERRIDDEN | OUT_OF_SERVICE)


class Worth:
    """What the values of one scan group are worth; only objects that say more than "all is well" are remembered.

    Args:
        watched: flags and reliabilities that are read, also those that are points besides.
    """

    __slots__ = ("_said", "_worth", "watched")

    def __init__(self, watched: frozenset[Reference]) -> None:
        self.watched = watched
        self._said: dict[Reference, int] = {}
        self._worth: dict[Owner, Q] = {}

    def take(self, reference: Reference, part: Part) -> bool:
        """Take one of `watched` as it was read or told; tell whether its object's values have another worth now."""
        place, said = reference[:2], number(reference, part)
        if said:
            self._said[reference] = said
        else:
            self._said.pop(reference, None)
        flags, reliability = (self._said.get(Reference(*place, prop), 0) for prop in (FLAGS, RELIABILITY))
        before, now = self._worth.pop(place, GOOD), worth(place[0], flags, reliability)
        if now != GOOD:
            self._worth[place] = now
        return now != before

    def fault(self, place: Owner) -> bool:
        """Tell whether an object has said that something is wrong, in its flags."""
        return bool(self._said.get(Reference(*place, FLAGS), 0) & FAULT)

    def weigh(self, reference: Reference, value: Value, q: Q) -> tuple[Value, Q]:
        """Return a decoded value with the quality that it has by its object; one that is bad stays what it is."""
        if not self._worth or q != GOOD or reference.property in _OF_ITSELF:
            return value, q
        found = self._worth.get(reference[:2], GOOD)
        return (None if found >> 6 == Quality.BAD else value), found
