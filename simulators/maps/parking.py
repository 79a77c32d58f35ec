"""Maps of barriers."""

from typing import Final

from simulators.maps.words import (
    DISCRETE,
    HOLDING,
    INPUT,
    Entry,
    Map,
    bit,
    code,
    flag,
    long,
    long_low_first,
    signed,
    text,
    word,
)

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

CAME_GARD_PTX: Final[Map] = {
    "cmd.stop": Entry(0, 1, lambda w: bool(w[0])),
    "cmd.open": Entry(1, 1, lambda w: bool(w[0])),
    "board": word(HOLDING + 0),
    "firmware": word(HOLDING + 1),
    "serial": text(HOLDING + 4, 14),
    "lane.state": code(HOLDING + 100, STATES),
    "boom.position": code(HOLDING + 101, {percent: percent for percent in range(101)}),
    "calibration_due": bit(HOLDING + 102, 0),
    "last_error": word(HOLDING + 103),
    "op.count": long_low_first(HOLDING + 104),
    "op.partial": long_low_first(HOLDING + 106),
    "temperature": signed(HOLDING + 109),
}
"""Coils 0 and 1, holding registers 0 to 10 and 100 to 109: of the sheet 1, 2, 40001 to 40011 and 40101 to 40110."""
