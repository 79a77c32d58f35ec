"""Names of object types and properties, with their numbers (ANSI/ASHRAE 135-2020, clause 21). Pure.

A name here only saves a look into the standard. Whatever is not listed, newer types and proprietary ones among them,
is written as its number: nothing on the wire is ever looked up in these tables.
"""

from typing import Final

from drivers.lookup import did_you_mean

LARGEST_TYPE: Final = 1023
"""Object types have 10 bits; from 128 on they are proprietary."""
LARGEST_PROPERTY: Final = 4_194_303
"""Property identifiers have 22 bits; from 512 on they are proprietary."""
LARGEST_INSTANCE: Final = 4_194_302
"""22 bits; 4194303 means "whichever" and is not an instance."""

DEVICE: Final = 8

OBJECTS: Final[dict[str, int]] = {
    "analog-input": 0, "analog-output": 1, "analog-value": 2,
    "binary-input": 3, "binary-output": 4, "binary-value": 5,
    "calendar": 6, "command": 7, "device": 8, "event-enrollment": 9, "file": 10, "group": 11, "loop": 12,
    "multi-state-input": 13, "multi-state-output": 14, "notification-class": 15, "program": 16, "schedule": 17,
    "averaging": 18, "multi-state-value": 19, "trend-log": 20, "life-safety-point": 21, "life-safety-zone": 22,
    "accumulator": 23, "pulse-converter": 24, "event-log": 25, "global-group": 26, "trend-log-multiple": 27,
    "load-control": 28, "structured-view": 29, "access-door": 30, "timer": 31, "access-credential": 32,
    "access-point": 33, "access-rights": 34, "access-user": 35, "access-zone": 36, "credential-data-input": 37,
    "bitstring-value": 39, "characterstring-value": 40, "integer-value": 45, "large-analog-value": 46,
    "octetstring-value": 47, "positive-integer-value": 48, "notification-forwarder": 51, "alert-enrollment": 52,
    "channel": 53, "lighting-output": 54, "binary-lighting-output": 55, "network-port": 56, "elevator-group": 57,
    "escalator": 58, "lift": 59, "staging": 60,
}  # fmt: skip

PROPERTIES: Final[dict[str, int]] = {
    # of most objects
    "description": 28, "event-state": 36, "object-identifier": 75, "object-name": 77, "object-type": 79,
    "out-of-service": 81, "present-value": 85, "priority-array": 87, "reliability": 103, "relinquish-default": 104,
    "status-flags": 111, "time-delay": 113, "units": 117, "tracking-value": 164, "change-of-state-count": 15,
    "elapsed-active-time": 33, "feedback-value": 40, "polarity": 84, "number-of-states": 74, "cov-increment": 22,
    "current-command-priority": 431, "interface-value": 387, "strike-count": 391,
    # of the device
    "database-revision": 155, "firmware-revision": 44, "max-apdu-length-accepted": 62, "model-name": 70,
    "object-list": 76, "protocol-services-supported": 97, "protocol-revision": 139, "segmentation-supported": 107,
    "system-status": 112, "vendor-identifier": 120, "vendor-name": 121,
    # of lifts and escalators
    "assigned-landing-calls": 447, "car-assigned-direction": 448, "car-door-command": 449, "car-door-status": 450,
    "car-door-text": 451, "car-door-zone": 452, "car-drive-status": 453, "car-load": 454, "car-load-units": 455,
    "car-mode": 456, "car-moving-direction": 457, "car-position": 458, "elevator-group": 459, "energy-meter": 460,
    "energy-meter-ref": 461, "escalator-mode": 462, "fault-signals": 463, "floor-text": 464, "group-id": 465,
    "group-mode": 467, "higher-deck": 468, "installation-id": 469, "landing-calls": 470,
    "landing-call-control": 471, "landing-door-status": 472, "lower-deck": 473, "machine-room-id": 474,
    "making-car-call": 475, "next-stopping-floor": 476, "operation-direction": 477, "passenger-alarm": 478,
    "power-mode": 479, "registered-car-call": 480,
    # of lighting
    "blink-warn-enable": 373, "default-fade-time": 374, "default-ramp-rate": 375, "default-step-increment": 376,
    "egress-time": 377, "in-progress": 378, "instantaneous-power": 379, "lighting-command": 380,
    "lighting-command-default-priority": 381, "max-actual-value": 382, "min-actual-value": 383, "power": 384,
    "transition": 385, "egress-active": 386,
    # of doors and access
    "door-alarm-state": 226, "door-extended-pulse-time": 227, "door-members": 228, "door-open-too-long-time": 229,
    "door-pulse-time": 230, "door-status": 231, "door-unlock-delay-time": 232, "lock-status": 233,
    "masked-alarm-values": 234, "secured-status": 235, "access-event": 247, "access-event-time": 250,
    "access-event-credential": 249, "access-event-tag": 322, "occupancy-count": 290, "credential-status": 264,
    # of life safety
    "mode": 160, "silenced": 163, "operation-expected": 161, "maintenance-required": 158, "direct-reading": 156,
    # of meters
    "max-pres-value": 65, "min-pres-value": 69, "pulse-rate": 186, "scale": 187, "value-before-change": 190,
    "value-change-time": 192,
}  # fmt: skip


def object_type(written: int | str) -> int:
    """Return the number of an object type.

    Raises:
        ValueError: there is no such name, or the number is too large.
    """
    return _number("object type", written, OBJECTS, LARGEST_TYPE)


def property_id(written: int | str) -> int:
    """Return the number of a property.

    Raises:
        ValueError: there is no such name, or the number is too large.
    """
    return _number("property", written, PROPERTIES, LARGEST_PROPERTY)


def reference_text(kind: int, instance: int, prop: int, index: int | None) -> str:
    """Return what people call a property: `lift 1 car-position`, `lift 1 car-door-status[2]`, `200 7 600`."""
    object_name = _OBJECT_NAMES.get(kind, str(kind))
    property_name = _PROPERTY_NAMES.get(prop, str(prop))
    return f"{object_name} {instance} {property_name}" + ("" if index is None else f"[{index}]")


def _number(what: str, written: int | str, table: dict[str, int], largest: int) -> int:
    if isinstance(written, str) and not written.isdecimal():
        if written not in table:
            hint = did_you_mean(written, table, "one that is not known by name is written as its number")
            raise ValueError(f"{what} {written!r} is not known; {hint}")
        return table[written]
    number = int(written)
    if not 0 <= number <= largest:
        raise ValueError(f"{what} {number} is outside 0 to {largest}")
    return number


_OBJECT_NAMES: Final = {number: name for name, number in OBJECTS.items()}
_PROPERTY_NAMES: Final = {number: name for name, number in PROPERTIES.items()}
