"""Maps of lighting: relay panel, light sensor, gear behind a DALI gateway."""

from typing import Final

from simulators.maps.words import HOLDING, INPUT, Entry, Map, bit, flag, long, word

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
    "function_failed": bit(HOLDING + 42, 7),
    "status_function_failed": Entry(HOLDING + 42, 3, lambda w: bool(w[0] & 0x80 or w[1] & 0x40 or w[2] & 1)),
    "rest": bit(HOLDING + 43, 0),
    "normal": bit(HOLDING + 43, 1),
    "on_battery": bit(HOLDING + 43, 2),
    "prolonged": bit(HOLDING + 43, 3),
    "function_running": bit(HOLDING + 43, 4),
    "duration_running": bit(HOLDING + 43, 5),
    "testing": Entry(HOLDING + 43, 1, lambda w: bool(w[0] & 0x30)),
    "power": Entry(HOLDING + 43, 1, lambda w: "failed" if w[0] & 5 else "mains"),
    "inhibited_wired": bit(HOLDING + 43, 6),
    "inhibited": bit(HOLDING + 44, 0),
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

DALI_GROUP: Final[Map] = {"command": word(HOLDING + 0), "level": word(HOLDING + 0)}
"""Register 0 of the block of one group."""

DFROBOT_SEN0644: Final[Map] = {"lux": Entry(HOLDING + 2, 2, lambda w: (w[0] * 65536 + w[1]) / 1000)}
SONBEST_KM35B91: Final[Map] = {"lux": Entry(HOLDING + 0, 1, lambda w: w[0] * 10)}
