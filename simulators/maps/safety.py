"""Maps of safety inputs: the dry-contact module in its roles."""

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
    low,
    mains,
    signed,
    tenths,
    told,
    word,
)

_LINES: Final = ("alarm", "callpoint", "fault", "disabled", "supervisory", "mains", "prealarm")


def _unsure(w: Words) -> bool:
    """Tell whether a zone of eight has an open contact on a broken line."""
    return any(broken and not closed for closed, broken in zip(w[:8], w[LINE:], strict=True))


SP_IO_16: Final[Map] = {
    **{f"contact.{name}": flag(number) for number, name in enumerate(_LINES)},
    **{f"contact.zone{zone}": flag(7 + zone) for zone in range(1, 9)},
    **{f"line.{name}": flag(LINE + number) for number, name in enumerate(_LINES)},
    **{f"line.zone{zone}": flag(23 + zone) for zone in range(1, 9)},
    "fire.alarm": told(0),
    "callpoint": told(1),
    "fire.fault": told(2),
    "fire.disabled": told(3),
    "fire.supervisory": told(4),
    "power": mains(5),
    "fire.prealarm": told(6),
    **{f"zone{zone}": told(7 + zone) for zone in range(1, 9)},
    "zones_closed": Entry(DISCRETE + 8, 8, sum),
    "zones_unsure": Entry(DISCRETE + 8, LINE + 8, _unsure),
    "zones_active": Entry(DISCRETE + 8, LINE + 8, lambda w: None if _unsure(w) and sum(w[:8]) < 2 else sum(w[:8])),
    "line_fault": Entry(DISCRETE + 16, 16, lambda w: any(w[:7]) or any(w[8:])),
    "heartbeat": word(INPUT + 16),
    "supply": tenths(INPUT + 17, 10),
}
"""The module in the roles that it has at a fire panel: discrete inputs 0 to 31, input registers 0 to 17. Input 7 is not
used."""

SP_IO_16_GAS: Final[Map] = {
    **{f"contact.{name}": flag(number) for number, name in enumerate(("al1", "al2", "fault"))},
    **{f"line.{name}": flag(LINE + number) for number, name in enumerate(("al1", "al2", "fault"))},
    "blind": Entry(DISCRETE + 2, LINE + 1, lambda w: bool(w[0] or w[LINE])),
    "gas.al1": Entry(DISCRETE, LINE + 3, lambda w: True if w[0] else None if w[2] or w[16] or w[18] else False),
    "gas.al2": Entry(DISCRETE + 1, LINE + 2, lambda w: True if w[0] else None if w[1] or w[16] or w[17] else False),
    "gas.fault": Entry(DISCRETE + 2, 17, lambda w: bool(w[0] or any(w[14:]))),
    "heartbeat": word(INPUT + 16),
}
"""The module at a gas detector: discrete inputs 0 to 2 and their lines; a line that is broken is a fault of it. What is
not closed says nothing while its line is broken, or the detector has a fault, or the line that would tell so."""

SP_IO_16_WATER: Final[Map] = {
    "contact.leak": flag(3),
    "leak.present": told(3),
    "contact.cable": flag(4),
    "line.leak": flag(19),
    "line.cable": flag(20),
    "leak.cable_break": Entry(DISCRETE + 4, 17, lambda w: bool(w[0] or any(w[15:]))),
    "heartbeat": word(INPUT + 16),
}
"""The module at a leak cable: discrete inputs 3 and 4 and their lines."""


def _zone_bit(place: int) -> Entry:
    """Return a bit of a zone's word, which means nothing where the panel has no such zone (00FFH)."""
    return Entry(HOLDING, 1, lambda w: None if w[0] == 0xFF else bool(w[0] >> place & 1))


NOTIFIER_MODBUS_GW: Final[Map] = {
    "event_type": low(HOLDING),
    "acknowledged": _zone_bit(8),
    "fire.disabled": _zone_bit(9),
    "enabled": _zone_bit(10),
    "active": _zone_bit(11),
    "inactive": _zone_bit(12),
    "trouble": _zone_bit(13),
    "prealarm": _zone_bit(14),
}
"""The word of one zone, wherever it stands."""

AQUALEAK_10K: Final[Map] = {
    "leak": bit(INPUT + 0, 0),
    "cable_break": bit(INPUT + 0, 1),
    "contamination": bit(INPUT + 0, 2),
    "summary": bit(INPUT + 0, 3),
    "distance": tenths(INPUT + 1, 10),
    "unit": code(INPUT + 2, {0: "metric", 1: "feet"}),
    "length": word(INPUT + 4),
    "firmware": word(INPUT + 8),
}
"""Input registers 0 to 8: 30001 to 30009 of the manual."""

_IGD_STATUS: Final = (
    "al1",
    "al2",
    "al3",
    "fault",
    "gas.disabled",
    "fault.sensor",
    "fault.under",
    "fault.over",
    "fault.comms",
)

IGD_TOC_635: Final[Map] = {
    "level": Entry(INPUT, 1, lambda w: (w[0] - 100) / 10),
    **{name: bit(INPUT + 3000, place) for place, name in enumerate(_IGD_STATUS)},
    "muted.al1": bit(INPUT + 3000, 13),
    "muted.al2": bit(INPUT + 3000, 14),
}
"""Sensor 1: input registers 0 and 3000, 30001 and 33001 of the manual. Other sensors stand beside it."""

PEMTECH_PT495: Final[Map] = {
    "reading": word(HOLDING + 0),
    "sensor_code": high(HOLDING + 1),
    "status_bits": low(HOLDING + 1),
    "limit1": word(HOLDING + 2),
    "limit2": word(HOLDING + 4),
}
"""Holding registers 0 to 4: 40001 to 40005 of the manual."""


HONEYWELL_MIDAS: Final[Map] = {
    **{f"state.b{place}": bit(HOLDING + 0, place) for place in range(4)},
    "fault.maintenance": bit(HOLDING + 0, 4),
    "fault.instrument": bit(HOLDING + 0, 5),
    "al1": bit(HOLDING + 0, 6),
    "al2": bit(HOLDING + 0, 7),
    "level": word(HOLDING + 4),
    "fault.number": word(HOLDING + 5),
    **{f"decimals.b{place}": bit(HOLDING + 6, place) for place in range(3)},
    "unit_code": high(HOLDING + 6),
    "temperature": signed(HOLDING + 7),
    "heartbeat": word(HOLDING + 9),
}
"""Holding registers 0 to 9: 40001 to 40010 of the manual."""
