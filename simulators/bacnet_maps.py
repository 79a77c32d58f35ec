"""What the properties of the BACnet objects mean, for the journal: typed from the standard, not from our profiles.

A property means one or several points by their names in the classes; one that says nothing about a point is left out
of the dictionary, so that it never counts as served.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sitekeeper.model.sample import Value

Meaning = Callable[[Any], dict[str, Value]]
Map = Mapping[str, Meaning]


def same(name: str) -> Meaning:
    """Return the meaning of a property that is the point."""
    return lambda value: {name: value}


def code(name: str, meanings: Mapping[int, Value]) -> Meaning:
    """Return the meaning of a number that stands for something."""
    return lambda value: {name: meanings.get(value)}


def among(names: Mapping[int, str], also: Callable[[Sequence[int]], dict[str, Value]] = lambda _: {}) -> Meaning:
    """Return the meaning of a list in which each number, by being there, stands for a point."""
    return lambda values: {name: number in values for number, name in names.items()} | also(values)


MODES: Final = {
    0: "unknown", 1: "normal", 2: "normal", 3: "normal", 4: "normal", 5: "normal", 6: "firefighter",
    7: "emergency_power", 8: "inspection", 9: "unknown", 10: "earthquake", 11: "fire_return", 12: "out_of_service",
    13: "unknown",
}  # fmt: skip

FAULTS: Final = {
    0: "fault_controller", 1: "fault_drive", 2: "fault_governor", 3: "fault_shaft", 4: "power_fail",
    5: "fault_safety_circuit", 6: "fault_door_close", 7: "fault_door_open", 8: "stop_outside_zone",
    10: "fault_anti_restart", 13: "fault_run_time", 14: "fault_position_lost",
}  # fmt: skip


def _doors(states: Sequence[int]) -> dict[str, Value]:
    return {"door_closed": all(state == 0 for state in states), "door": ("closed", "open")[states[0]]}


LIFT: Final[Map] = {
    "carMode": code("service_mode", MODES),
    "carDriveStatus": lambda value: dict.fromkeys(("drive", "car_status"), "stopped" if value == 1 else "running"),
    "carMovingDirection": code("direction", {1: "none", 2: "none", 3: "up", 4: "down"}),
    "carPosition": lambda value: {"position": value, "floor": value},
    "carDoorZone": same("door_zone"),
    "carDoorStatus": _doors,
    "carLoad": lambda value: {"car_load": value, "load": value},
    "carLoadUnits": code("load_unit", {98: "percent"}),
    "passengerAlarm": same("passenger_alarm"),
    "faultSignals": among(FAULTS, lambda values: {"power": "failed" if 4 in values else "mains"}),
    "energyMeter": same("energy"),
    "outOfService": same("simulated"),
}
"""`floor` holds for lifts without basements: the standard counts landings from the lowest one on."""

ESCALATOR: Final[Map] = {
    "operationDirection": code(
        "direction", {0: "unknown", 1: "stopped", 2: "up", 3: "up_slow", 4: "down", 5: "down_slow"}
    ),
    "escalatorMode": code("mode", {0: "unknown", 1: "stop", 2: "up", 3: "down", 4: "inspection", 5: "out_of_service"}),
    "passengerAlarm": same("passenger_alarm"),
    "faultSignals": among(
        {
            0: "fault_controller", 1: "fault_drive", 2: "fault_mechanical", 3: "fault_overspeed", 4: "power_fail",
            5: "fault_safety", 6: "control_power_fail", 7: "fault_drive_temperature", 8: "fault_comb",
        },
        lambda values: {"power": "failed" if 4 in values else "mains"},
    ),
    "energyMeter": same("energy"),
    "outOfService": same("simulated"),
}  # fmt: skip

LIGHTING_OUTPUT: Final[Map] = {
    "presentValue": same("command"),
    "trackingValue": same("level"),
    "feedbackValue": same("feedback"),
    "inProgress": code("fading", {0: False, 1: True, 2: True}),
    "instantaneousPower": lambda value: {"power": value * 1000},
    "reliability": code("lamp.fail", {0: False, 16: True}),
    "outOfService": same("simulated"),
}


def _light(name: str, level: str) -> Meaning:
    """Return the meaning of a binary lighting value: on, off, or a command that is no state."""

    def meaning(value: int) -> dict[str, Value]:
        return {name: bool(value), level: 100 * value} if value in (0, 1) else {name: None, level: None}

    return meaning


BINARY_LIGHTING_OUTPUT: Final[Map] = {
    "presentValue": _light("on_command", "command"),
    "feedbackValue": _light("on_feedback", "level"),
    "egressActive": same("warning"),
    "reliability": code("lamp.fail", {0: False, 16: True}),
    "strikeCount": same("strikes"),
    "elapsedActiveTime": same("on_time"),
    "egressTime": same("egress_time"),
    "blinkWarnEnable": same("blink_warn"),
    "outOfService": same("simulated"),
}

ACCESS_DOOR: Final[Map] = {
    "presentValue": code("mode", {0: "controlled", 1: "free", 2: "controlled", 3: "controlled"}),
    "doorStatus": code("door.state", {0: "closed", 1: "open", 2: "unknown"}),
    "lockStatus": code("lock.state", {0: "locked", 1: "unlocked", 2: "fault", 3: "unknown"}),
    "doorAlarmState": code("door.alarm", {0: "normal", 2: "held_open", 3: "forced_open"}),
    "doorOpenTooLongTime": lambda value: {"held_limit": value / 10},
    "doorPulseTime": lambda value: {"pulse_time": value / 10},
    "outOfService": same("simulated"),
}
