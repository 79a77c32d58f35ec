"""Faces of makers' devices, as their documents describe them: a barrier, a fire panel's zone, gas and leak detectors.

What a document does not give is not modelled: a register between those known reads as nought, and what lies outside is
refused. Pure, as `modbus_face`.
"""

from collections.abc import Callable, Mapping
from typing import Final

from simulators.barrier import Barrier
from simulators.behaviour import Behaviour
from simulators.fire import Panel
from simulators.maps import (
    AQUALEAK_10K,
    CAME_GARD_PTX,
    HONEYWELL_MIDAS,
    IGD_TOC_635,
    NOTIFIER_MODBUS_GW,
    PEMTECH_PT495,
    Map,
)
from simulators.modbus_face import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, Answer, Echo, Face, Refusal, Registers
from simulators.safety import HIGH, LOW, GasDetector, LeakCable
from simulators.table_face import TABLES, GasFace, LeakFace, PanelFace, cut_out, state
from sitekeeper.model.clock import SECOND, Micros

Tables = Mapping[int, tuple[int, list[int]]]
"""By the function that reads it: the first address that there is, and the words from there."""


class DocumentedFace:
    """Registers that can be read and nothing else; `begins` is the address at which the map's words begin."""

    checks_crc = True
    identity = None
    writes: frozenset[int] = frozenset()

    def __init__(self, thing: Behaviour, meaning: Map, tables: Callable[[], Tables], begins: int = 0) -> None:
        self.map = meaning
        self._thing, self._tables, self._begins = thing, tables, begins

    def live(self, at: Micros) -> None:
        self._thing.advance(at)

    def read(self, function: int, address: int, count: int, at: Micros) -> Answer:
        self.live(at)
        tables = self._tables()
        if function not in tables:
            return Refusal(ILLEGAL_FUNCTION)
        first, table = tables[function]
        if address < first:
            return Refusal(ILLEGAL_ADDRESS)
        words = cut_out(function, table, address - first, count)
        return (
            words if isinstance(words, Refusal) else Registers(TABLES[function] + address - self._begins, words, None)
        )

    def write(self, function: int, address: int, values: tuple[int, ...], at: Micros) -> Answer:  # noqa: ARG002
        raise AssertionError("nothing of it can be written")


class CameFace(DocumentedFace):
    """CAME GARD PTX: coils stop (0) and open (1), holding registers 0 to 10 and 100 to 109."""

    writes = frozenset({5})
    SERIAL: Final = "GX8030C1904217"
    CELSIUS: Final = 24

    def __init__(self, barrier: Barrier) -> None:
        super().__init__(barrier, CAME_GARD_PTX, self._words)
        self._barrier = barrier

    def write(self, function: int, address: int, values: tuple[int, ...], at: Micros) -> Answer:  # noqa: ARG002 - it is 5
        if address > 1:
            return Refusal(ILLEGAL_ADDRESS)
        self.live(at)
        if values[0]:
            (self._barrier.stop, self._barrier.open)[address]()
        return Echo(address, values)

    def _words(self) -> Tables:
        barrier = self._barrier
        letters = [ord(high) << 8 | ord(low) for high, low in zip(self.SERIAL[::2], self.SERIAL[1::2], strict=True)]
        count = [barrier.operations & 0xFFFF, barrier.operations >> 16]
        moves = [state(barrier), round(barrier.position), 0, barrier.last_error, *count, *count, 0, self.CELSIUS]
        return {1: (0, [0, 0]), 3: (0, [0x0102, 3, 1, 0, *letters, *[0] * 89, *moves])}


class NotifierFace(DocumentedFace):
    """Zone 1 of a panel behind a Notifier gateway: one holding register; a call point belongs to it."""

    REGISTER: Final = 8999
    FIRE, SUPERVISORY, NONE = 0x10, 0x40, 0x00

    def __init__(self, panel: Panel) -> None:
        super().__init__(panel, NOTIFIER_MODBUS_GW, self._words, self.REGISTER)
        self._panel = panel

    def _words(self) -> Tables:
        panel = self._panel
        fire = 1 in panel.zones or panel.callpoint
        kind = self.FIRE if fire else self.SUPERVISORY if panel.supervisory else self.NONE
        bits = {9: panel.disabled, 10: not panel.disabled, 11: kind != self.NONE, 12: kind == self.NONE}
        bits |= {13: panel.fault, 14: panel.prealarm and not fire}
        return {3: (self.REGISTER, [kind | sum(1 << place for place, on in bits.items() if on)])}


class AqualeakFace(DocumentedFace):
    """Aqualeak 10K: input registers 0 to 8; its water comes 12.3 m along the cable."""

    DECIMETRES: Final = 123

    def __init__(self, cable: LeakCable) -> None:
        super().__init__(cable, AQUALEAK_10K, self._words)
        self._cable = cable

    def _words(self) -> Tables:
        status = {"none": 0, "wet": 0b1001, "cable_break": 0b1010}[self._cable.state]
        return {4: (0, [status, self.DECIMETRES if status & 1 else 0, 0, 0, 1000, 0, 0, 0, 301])}


class IgdFace(DocumentedFace):
    """Sensor 1 of an IGD panel: input register 0, its concentration, and 3000, its status."""

    def __init__(self, gas: GasDetector) -> None:
        super().__init__(gas, IGD_TOC_635, self._words)
        self._gas = gas

    def _words(self) -> Tables:
        gas = self._gas
        status = gas.low | gas.high << 1 | gas.faulty << 3 | gas.faulty << 5
        return {4: (0, [round((gas.level + 10) * 10), *[0] * 2999, status])}


class PemtechFace(DocumentedFace):
    """PemTech PT495 with an LEL sensor. Which status bit means what is this simulator's own, as the source has none."""

    LEL: Final = 2

    def __init__(self, gas: GasDetector) -> None:
        super().__init__(gas, PEMTECH_PT495, self._words)
        self._gas = gas

    def _words(self) -> Tables:
        gas = self._gas
        status = self.LEL << 8 | gas.low | gas.high << 1 | gas.faulty << 7
        return {3: (0, [round(gas.level), status, round(LOW), 0, round(HIGH)])}


class MidasFace(DocumentedFace):
    """Honeywell Midas with a %LEL cartridge of one decimal; it warms up for a while after it was switched on."""

    WARM: Final[Micros] = 3 * SECOND
    LEL_ONE_DECIMAL: Final = 0x0801

    def __init__(self, gas: GasDetector) -> None:
        super().__init__(gas, HONEYWELL_MIDAS, self._words)
        self._gas = gas

    def _words(self) -> Tables:
        gas, seconds = self._gas, self._gas.now // SECOND
        status = int(gas.now >= self.WARM) | 0x20 * gas.faulty | gas.low << 6 | gas.high << 7 | (seconds // 2 & 1) << 11
        words = [status, 0, 0, 0, round(gas.level * 10), 81 * gas.faulty, self.LEL_ONE_DECIMAL, 23, 0, seconds & 0xFFFF]
        return {3: (0, words)}


GAS: Final[Mapping[str, Callable[[GasDetector], Face]]] = {
    "sp-io-16-gas": GasFace,
    "igd-toc-635": IgdFace,
    "pemtech-pt495": PemtechFace,
    "honeywell-midas": MidasFace,
}
LEAKS: Final[Mapping[str, Callable[[LeakCable], Face]]] = {"sp-io-16-water": LeakFace, "aqualeak-10k": AqualeakFace}
PANELS: Final[Mapping[str, Callable[[Panel], Face]]] = {"sp-io-16": PanelFace, "notifier-modbus-gw": NotifierFace}
"""By face: what makes it of a gas detector, a leak cable, a fire panel."""
