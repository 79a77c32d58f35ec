"""Maps of lifts: the neutral one and that of the LMON monitor."""

from collections.abc import Callable
from typing import Final

from simulators.maps.words import (
    DISCRETE,
    HOLDING,
    INPUT,
    LINE,
    Entry,
    Map,
    Words,
    bit,
    code,
    flag,
    high,
    long,
    low,
    signed,
    tenths,
    told,
    word,
)
from sitekeeper.model.sample import Value

MODES: Final = {
    0: "out_of_service",
    1: "normal",
    2: "inspection",
    3: "fire_return",
    4: "firefighter",
    5: "emergency_power",
    6: "earthquake",
    7: "unknown",
}
DOORS: Final = {0: "closed", 1: "open", 2: "closing", 3: "opening", 4: "unknown"}

_WORD_A: Final = (
    "fault_safety_circuit",
    "fault_door_close",
    "fault_door_open",
    "stop_outside_zone",
    "fault_unintended_movement",
    "fault_run_time",
    "fault_position_lost",
    "fault_anti_restart",
    "fault_overrun_top",
    "fault_pit",
    "fault_entrapment",
)
_WORD_B: Final = (
    "passenger_alarm",
    "power_fail",
    "overspeed",
    "moving_door_open",
    "repeated_door",
    "door_open_long",
    "vibration_alarm",
    "ebike",
    "controller_link_lost",
    "battery_low",
    "alarm_test_failed",
)

SP_LIFT_1: Final[Map] = {
    "map_identity": code(0, {0x5350: "sp_lift"}),
    "map_version": word(1),
    "service_mode": code(2, MODES),
    "car_status": code(3, {0: "stopped", 1: "running"}),
    "direction": code(4, {0: "none", 1: "up", 2: "down"}),
    "floor": signed(5),
    "door": code(6, DOORS),
    "door_zone": code(7, {1: True, 2: False}),
    "door_closed": code(8, {1: True, 2: False}),
    "passenger": code(9, {1: True, 2: False}),
    "speed": tenths(10, 100),
    "load": word(11),
    **{name: bit(12, place) for place, name in enumerate(_WORD_A)},
    **{name: bit(13, place) for place, name in enumerate(_WORD_B)},
    "error_code": word(14),
    "run_count": long(15),
    "run_hours": long(17),
    "door_cycles": long(19),
    "machine_room_temperature": tenths(21, 10),
    "heartbeat": word(22),
    "event_index": long(23),
    "power": code(29, {1: "mains", 2: "failed"}),
    "device_epoch": long(30),
}
"""Words 0 to 31. 25 to 28 (brake, circuits, limits) have no agreed meaning and are left out."""

LMON: Final[Map] = {
    "fault_entrapment_level": bit(0, 0),
    "fault_entrapment": bit(0, 1),
    "door_open_outside_zone": bit(0, 2),
    "fault_overrun_top": bit(0, 3),
    "fault_pit": bit(0, 4),
    "stop_outside_zone": bit(0, 5),
    "moving_door_open": bit(0, 6),
    "overspeed": bit(0, 7),
    "fault_run_time": bit(0, 8),
    "repeated_door": bit(0, 9),
    "door_open_long": bit(0, 10),
    "power_fail": bit(0, 11),
    "going_up": bit(1, 8),
    "going_down": bit(1, 9),
    "door_zone": bit(1, 10),
    "door_open": bit(1, 11),
    "passenger": bit(1, 12),
    "inspection": bit(1, 13),
    "passenger_alarm": bit(1, 14),
    "sensor_faults": low(1),
    "floor_code": Entry(2, 1, lambda w: w[0] >> 8 or None),
    "door_cycles": long(3),
    "travel_time": long(5),
    "vibration_z": high(11),
    "vibration_y": low(11),
    "vibration": high(12),
    "noise": low(12),
    "limit_entrapment_level": high(16),
    "limit_entrapment": low(16),
    "limit_stop_outside": high(17),
    "limit_run_time": low(17),
    "limit_door_open": high(18),
    "limit_door_cycles": low(18),
    "power": bit(0, 11, "failed", "mains"),
    "door_closed": bit(1, 11, if_set=False, if_clear=True),
    "service_mode": bit(1, 13, "inspection", "normal"),
    "direction": Entry(1, 1, lambda w: ("none", "up", "down", "up")[w[0] >> 8 & 3]),
    "floor": Entry(2, 1, lambda w: (w[0] >> 8 if w[0] >> 8 < 0xE0 else 0xE0 - (w[0] >> 8)) or None),
}
"""Words 0 to 18, which stand at addresses 0x0010 to 0x0022. The last five say in every lift's words what others say in
the monitor's; whether the car runs follows from no single reply and is left out."""

_CONTACTS: Final = ("running", "zone", "closed", "inspection", "alarm", "mains", "stopped", "passenger")
_FLOOR: Final = (1, 2, 4, 8, 16)


def _whole(place: int, means: Callable[[int], Value] = bool) -> Entry:
    """Return a contact that says nothing while its line is broken."""
    return Entry(DISCRETE + place, LINE + 1, lambda w: None if w[LINE] else means(w[0]))


def _mode(w: Words) -> Value:
    """Return the mode from inspection, out of service three above it, and their lines."""
    if w[LINE] or (w[LINE + 3] and not w[0]):
        return "unknown"
    return "inspection" if w[0] else "out_of_service" if w[3] else "normal"


def _landing(w: Words) -> Value:
    """Return the landing from five contacts, if all their lines are whole."""
    return None if any(w[LINE:]) else 1 + sum(part for part, on in zip(_FLOOR, w[:5], strict=True) if on)


SP_IO_16_LIFT: Final[Map] = {
    **{f"contact.{name}": flag(place) for place, name in enumerate(_CONTACTS)},
    "car_status": _whole(0, lambda on: "running" if on else "stopped"),
    "door_zone": _whole(1),
    "door_closed": _whole(2),
    "inspection": _whole(3),
    "passenger_alarm": told(4),
    "power": _whole(5, lambda on: "mains" if on else "failed"),
    "out_of_service": _whole(6),
    "service_mode": Entry(DISCRETE + 3, 20, _mode),
    "passenger": told(7),
    **{f"floor{part}": flag(8 + place) for place, part in enumerate(_FLOOR)},
    "floor_unsure": Entry(DISCRETE + 24, 5, any),
    "floor": Entry(DISCRETE + 8, 21, _landing),
    **{f"line.{name}": flag(16 + place) for place, name in enumerate(_CONTACTS)},
    **{f"line.floor{part}": flag(24 + place) for place, part in enumerate(_FLOOR)},
    "line_fault": Entry(DISCRETE + 16, 13, any),
    "heartbeat": word(INPUT + 16),
    "supply": tenths(INPUT + 17, 10),
}
"""The dry-contact module at a lift: discrete inputs 0 to 12 and their lines, input registers 16 and 17."""

ARKEL_ARCODE: Final[Map] = {
    name: Entry(0x28F + place, 1, lambda w: bool(w[0]))
    for place, name in enumerate(("bypass_alarm", "shaft_reset_switch", "shaft_reset_output", "ucm_test", "cmf_output"))
}
"""Coils 0x028F to 0x0293: BYPA, DOMRS, DOMR, UCMO, CMFO."""

_STATUS: Final = ("running", "tripped", "inhibited", "service_due", "standby")

INVERTEK_ELEVATOR_CORE: Final[Map] = {
    **{name: bit(HOLDING + 255, place) for place, name in enumerate(_STATUS)},
    "error_code": high(HOLDING + 255),
    "frequency": tenths(HOLDING + 256, 10),
    "current": tenths(HOLDING + 257, 10),
    "torque": tenths(HOLDING + 258, 10),
}
"""The maker's registers 256 to 259, which are counted from 1."""
