"""What the words of the Modbus maps mean, for the journal: typed from the published tables, not from our profiles.

Where a device has several tables, their words are told apart as in Modicon's numbers, counted from zero: coil n is word
n, discrete input n is DISCRETE + n, input register n INPUT + n, holding register n HOLDING + n.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sitekeeper.model.sample import Value

Words = Sequence[int]

DISCRETE: Final = 10_000
INPUT: Final = 30_000
HOLDING: Final = 40_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One point: the words it takes (by number within the map) and what they mean; None if they mean nothing."""

    first: int
    count: int
    meaning: Callable[[Words], Value]


Map = Mapping[str, Entry]


def decode(entries: Map, first: int, words: Words) -> dict[str, Value]:
    """Return the value of every point whose words all lie in `words`, which start at word number `first`."""
    last = first + len(words)
    found: dict[str, Value] = {}
    for name, entry in entries.items():
        if first <= entry.first and entry.first + entry.count <= last:
            found[name] = entry.meaning(words[entry.first - first : entry.first - first + entry.count])
    return found


def word(number: int) -> Entry:
    """Return a plain unsigned word."""
    return Entry(number, 1, lambda w: w[0])


def signed(number: int) -> Entry:
    """Return a word in two's complement."""
    return Entry(number, 1, lambda w: _signed(w[0]))


def tenths(number: int, parts: int) -> Entry:
    """Return a signed word in tenths, hundredths, ... as a decimal number."""
    return Entry(number, 1, lambda w: _signed(w[0]) / parts)


def long(number: int) -> Entry:
    """Return two words, the high one first."""
    return Entry(number, 2, lambda w: w[0] * 65536 + w[1])


def high(number: int) -> Entry:
    """Return the high byte of a word."""
    return Entry(number, 1, lambda w: w[0] >> 8)


def low(number: int) -> Entry:
    """Return the low byte of a word."""
    return Entry(number, 1, lambda w: w[0] & 0xFF)


def bit(number: int, place: int, if_set: Value = True, if_clear: Value = False) -> Entry:
    """Return one bit of a word."""
    return Entry(number, 1, lambda w: if_set if w[0] >> place & 1 else if_clear)


def code(number: int, meanings: Mapping[int, Value]) -> Entry:
    """Return a word that stands for something."""
    return Entry(number, 1, lambda w: meanings.get(w[0]))


def _signed(raw: int) -> int:
    return raw - 65536 if raw >= 32768 else raw


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

STATES: Final = {
    0: "unknown",
    3: "calibrating",
    16: "open",
    17: "closed",
    18: "partial",
    19: "stopped",
    32: "opening",
    33: "closing",
    34: "opening",
}
"""CAME's codes; 34 is opening in part."""


def flag(number: int, if_set: Value = True, if_clear: Value = False) -> Entry:
    """Return a coil or a discrete input."""
    return Entry(DISCRETE + number, 1, lambda w: if_set if w[0] else if_clear)


def loop(number: int) -> Entry:
    """Return a loop: its detector says present at `number`, and that it is faulty three inputs on."""
    return Entry(DISCRETE + number, 4, lambda w: "fault" if w[3] else "present" if w[0] else "absent")


LOOPS: Final = ("arrival", "safety", "exit")

SP_BARRIER_1: Final[Map] = {
    **{
        name: Entry(number, 1, lambda w: bool(w[0]))
        for number, name in enumerate(("cmd.open", "cmd.stop", "cmd.close"))
    },
    "limit.closed": flag(0),
    "limit.open": flag(1),
    "boom.attached": flag(2),
    **{f"input.{name}": flag(3 + number) for number, name in enumerate(LOOPS)},
    **{f"fault.{name}": flag(6 + number) for number, name in enumerate(LOOPS)},
    "loop.arrival": loop(3),
    "loop.safety": loop(4),
    "loop.exit": loop(5),
    "photocell": flag(9),
    "obstacle": flag(10),
    "manual_release": flag(11),
    "cabinet.open": flag(12),
    "power": flag(13, "mains", "failed"),
    "held_open": flag(14),
    "safety_chain": flag(15),
    "lane.state": code(INPUT + 0, STATES),
    "boom.position": word(INPUT + 1),
    "last_error": word(INPUT + 2),
    "op.count": long(INPUT + 3),
    "temperature": signed(INPUT + 5),
    "heartbeat": word(INPUT + 6),
    "vehicles": word(INPUT + 7),
    "firmware": word(INPUT + 8),
    "auto_close": word(HOLDING + 0),
    "hold_open": code(HOLDING + 1, {0: False, 1: True}),
}
"""Coils 0 to 2, discrete inputs 0 to 15, input registers 0 to 8, holding registers 0 and 1. Reason 1 is the gateway's;
others than that are not known."""

_LINES: Final = ("alarm", "callpoint", "fault", "disabled", "supervisory", "mains", "prealarm")

SP_IO_16: Final[Map] = {
    "fire.alarm": flag(0),
    "callpoint": flag(1),
    "fire.fault": flag(2),
    "fire.disabled": flag(3),
    "fire.supervisory": flag(4),
    "power": flag(5, "mains", "failed"),
    "fire.prealarm": flag(6),
    **{f"zone{zone}": flag(7 + zone) for zone in range(1, 9)},
    "zones_active": Entry(DISCRETE + 8, 8, sum),
    **{f"line.{name}": flag(16 + number) for number, name in enumerate(_LINES)},
    **{f"line.zone{zone}": flag(23 + zone) for zone in range(1, 9)},
    "line_fault": Entry(DISCRETE + 16, 16, lambda w: any(w[:7]) or any(w[8:])),
    "heartbeat": word(INPUT + 16),
    "supply": tenths(INPUT + 17, 10),
}
"""The module in the roles that it has at a fire panel: discrete inputs 0 to 31, input registers 0 to 17. Input 7 is not
used."""

SP_IO_16_GAS: Final[Map] = {
    "gas.al1": flag(0),
    "gas.al2": flag(1),
    "contact.fault": flag(2),
    **{f"line.{name}": flag(16 + number) for number, name in enumerate(("al1", "al2", "fault"))},
    "gas.fault": Entry(DISCRETE + 2, 17, lambda w: bool(w[0] or any(w[14:]))),
    "heartbeat": word(INPUT + 16),
}
"""The module at a gas detector: discrete inputs 0 to 2 and their lines; a line that is broken is a fault of it."""

SP_IO_16_WATER: Final[Map] = {
    "leak.present": flag(3),
    "contact.cable": flag(4),
    "line.leak": flag(19),
    "line.cable": flag(20),
    "leak.cable_break": Entry(DISCRETE + 4, 17, lambda w: bool(w[0] or any(w[15:]))),
    "heartbeat": word(INPUT + 16),
}
"""The module at a leak cable: discrete inputs 3 and 4 and their lines."""

SP_RELAY_8: Final[Map] = {
    "on_command": Entry(0, 1, lambda w: bool(w[0])),
    "command": Entry(0, 1, lambda w: 100 if w[0] else 0),
    "on_feedback": flag(0),
    "level": flag(0, 100, 0),
    "mode": flag(8, "hand", "auto"),
    "run_hours": long(INPUT + 0),
    "strikes": long(INPUT + 16),
    "heartbeat": word(INPUT + 32),
}
"""Channel 0: its coil, discrete inputs 0 and 8, input registers 0, 1, 16, 17 and 32. Other channels lie beside it."""

SP_LUX_1: Final[Map] = {"heartbeat": word(INPUT + 32), "lux": word(INPUT + 33)}
"""Input registers 32 and 33 of the relay panel."""

DALI_GEAR: Final[Map] = {
    "gear.fail": bit(HOLDING + 5, 0),
    "lamp.fail": bit(HOLDING + 5, 1),
    "lamp.on": bit(HOLDING + 5, 2),
    "limit_error": bit(HOLDING + 5, 3),
    "fading": bit(HOLDING + 5, 4),
    "power_cycled": bit(HOLDING + 5, 7),
    "level": word(HOLDING + 6),
    "command": word(HOLDING + 15),
}
"""Registers 5, 6 and 15 of the block of one gear."""

DALI_EMERGENCY: Final[Map] = {
    "level": word(HOLDING + 6),
    "status_circuit_failed": bit(HOLDING + 42, 0),
    "status_duration_short": bit(HOLDING + 42, 1),
    "status_battery_failed": bit(HOLDING + 42, 2),
    "status_lamp_failed": bit(HOLDING + 42, 3),
    "status_duration_failed": bit(HOLDING + 42, 6),
    "status_function_failed": bit(HOLDING + 42, 7),
    "on_battery": bit(HOLDING + 43, 2),
    "function_running": bit(HOLDING + 43, 4),
    "duration_running": bit(HOLDING + 43, 5),
    "testing": Entry(HOLDING + 43, 1, lambda w: bool(w[0] & 0x30)),
    "power": Entry(HOLDING + 43, 1, lambda w: "failed" if w[0] & 4 else "mains"),
    "function_done": bit(HOLDING + 44, 1),
    "duration_done": bit(HOLDING + 44, 2),
    "battery": word(HOLDING + 45),
    "result_minutes": word(HOLDING + 52),
    "rated_minutes": word(HOLDING + 57),
    "test.function": bit(HOLDING + 63, 0),
    "test.duration": bit(HOLDING + 64, 0),
    "test.stop": bit(HOLDING + 65, 0),
}
"""Registers 6, 42 to 45, 52, 57 and 63 to 65 of the block of one emergency luminaire."""
