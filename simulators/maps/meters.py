"""Maps of electricity meters."""

import struct
from typing import Final

from simulators.maps.words import INPUT, Entry, Map, Words


def real(number: int) -> Entry:
    """Return an input register and the next one as a float, the high word first (IEEE 754)."""
    return Entry(INPUT + number, 2, _real)


def _real(words: Words) -> float:
    found: float = struct.unpack(">f", struct.pack(">HH", *words))[0]
    return found


EASTRON_SDM630: Final[Map] = {
    **{f"voltage_l{phase}": real(2 * phase - 2) for phase in (1, 2, 3)},
    **{f"current_l{phase}": real(2 * phase + 4) for phase in (1, 2, 3)},
    **{f"power_l{phase}": real(2 * phase + 10) for phase in (1, 2, 3)},
    "power": real(0x34),
    "frequency": real(0x46),
    "energy": real(0x48),
}
"""The maker's 30001 is input register 0."""
