"""Faces of devices with several tables: a barrier and the input module of a fire panel. Pure, as `modbus_face`.

The heartbeat, which counts the replies that carry it, is the serial number.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from simulators.barrier import Barrier
from simulators.fire import INPUTS, Panel
from simulators.maps import DISCRETE, HOLDING, INPUT, SP_BARRIER_1, SP_IO_16, SP_IO_16_GAS, SP_IO_16_WATER, Map
from simulators.modbus_face import (
    BITS,
    DEVICE_FAILURE,
    ILLEGAL_ADDRESS,
    ILLEGAL_VALUE,
    MOST_REGISTERS,
    WRITES,
    Answer,
    Echo,
    Refusal,
    Registers,
    Serial,
    neutral,
)
from simulators.safety import GasDetector, LeakCable, Module
from sitekeeper.model.clock import Micros

TABLES: Final = {1: 0, 2: DISCRETE, 3: HOLDING, 4: INPUT}
"""Number of the first word of the table that a function reads."""
MOST_BITS: Final = 2000


def cut_out(function: int, table: Sequence[int], address: int, count: int) -> tuple[int, ...] | Refusal:
    """Return the words asked for, or the exception for a table that does not reach so far."""
    if not 1 <= count <= (MOST_BITS if function in BITS else MOST_REGISTERS):
        return Refusal(ILLEGAL_VALUE)
    if address + count > len(table):
        return Refusal(ILLEGAL_ADDRESS)
    return tuple(table[address : address + count])


class BarrierFace:
    """The neutral map `sp-barrier-1`.

    Coils open, stop and close, and clear themselves; close is refused with exception 4 while something is under the
    boom or the safety chain is broken. Holding registers: seconds until the automatic close, and why it is held open.
    """

    map: Map = SP_BARRIER_1
    checks_crc = True
    identity = neutral("sp-barrier-1")
    writes = WRITES
    HEARTBEAT: Final = 6
    REGISTERS: Final = 9
    FIRMWARE: Final = 12
    TEMPERATURE: Final = 24
    LIMITS: Final = (600, 255)
    """The highest values of the two holding registers."""

    def __init__(self, barrier: Barrier) -> None:
        self._barrier = barrier
        self._serial = Serial()

    def live(self, at: Micros) -> None:
        self._barrier.advance(at)

    def read(self, function: int, address: int, count: int, at: Micros) -> Answer:
        self._barrier.advance(at)
        serial = None
        if function == 4 and address <= self.HEARTBEAT < address + count <= self.REGISTERS:
            serial = self._serial.next()
        words = cut_out(function, self._table(function), address, count)
        return words if isinstance(words, Refusal) else Registers(TABLES[function] + address, words, serial)

    def write(self, function: int, address: int, values: tuple[int, ...], at: Micros) -> Answer:
        coils = function in {5, 15}
        if address + len(values) > (3 if coils else 2):
            return Refusal(ILLEGAL_ADDRESS)
        self._barrier.advance(at)
        places = range(address, address + len(values))
        if coils:
            if values[-1] and 2 in places and not self._barrier.may_close:
                return Refusal(DEVICE_FAILURE, address, values)
            for place, value in zip(places, values, strict=True):
                if value:
                    (self._barrier.open, self._barrier.stop, self._barrier.close)[place]()
            return Echo(address, values)
        if any(value > self.LIMITS[place] for place, value in zip(places, values, strict=True)):
            return Refusal(ILLEGAL_VALUE, HOLDING + address, values)
        for place, value in zip(places, values, strict=True):
            if place == 0:
                self._barrier.auto_close = value
            else:
                self._barrier.hold(value)
        return Echo(HOLDING + address, values)

    def _table(self, function: int) -> list[int]:
        barrier = self._barrier
        match function:
            case 1:
                return [0, 0, 0]
            case 2:
                return barrier_bits(barrier)
            case 3:
                return [barrier.auto_close, barrier.hold_reason]
            case _:
                count = barrier.operations
                words = [state(barrier), round(barrier.position), barrier.last_error, count >> 16, count & 0xFFFF]
                return [*words, self.TEMPERATURE, self._serial.last, barrier.vehicles & 0xFFFF, self.FIRMWARE]


def barrier_bits(barrier: Barrier) -> list[int]:
    """Return the sixteen discrete inputs as the lane stands."""
    limits = [barrier.position == 0, barrier.position == 100, barrier.attached]
    loops = [barrier.sees("arrival"), barrier.sees("safety"), barrier.sees("exit")]
    faults = [barrier.faulty("arrival"), barrier.faulty("safety"), barrier.faulty("exit")]
    rest = [barrier.sees("photocell"), barrier.reversed, barrier.manual, barrier.cabinet_open, barrier.mains]
    return [int(bit) for bit in (*limits, *loops, *faults, *rest, barrier.hold_reason > 0, barrier.chain)]


def state(barrier: Barrier) -> int:
    """Return CAME's code for what the boom does."""
    if barrier.opening:
        return 32
    if barrier.closing:
        return 33
    if barrier.position in {0, 100}:
        return 16 if barrier.position else 17
    return 19 if barrier.halted else 18


class ModuleFace:
    """The dry-contact module `sp-io-16` in any role. It has no coils; nothing of it can be written.

    An input whose line breaks stays as it was.
    """

    checks_crc = True
    identity = neutral("sp-io-16")
    writes: frozenset[int] = frozenset()
    HEARTBEAT: Final = 16

    def __init__(self, thing: Panel | Module, inputs: Callable[[], list[int]], meaning: Map) -> None:
        self.map = meaning
        self._thing, self._contacts = thing, inputs
        self._serial = Serial()
        self._inputs = [0] * INPUTS

    def live(self, at: Micros) -> None:
        self._thing.advance(at)
        now = enumerate(self._contacts())
        cut = self._thing.broken_lines
        self._inputs = [self._inputs[number] if number in cut else bit for number, bit in now]

    def read(self, function: int, address: int, count: int, at: Micros) -> Answer:
        self.live(at)
        serial = None
        if function == 4 and address <= self.HEARTBEAT < address + count <= INPUTS + 2:
            serial = self._serial.next()
        bits = [*self._inputs, *(int(number in self._thing.broken_lines) for number in range(INPUTS))]
        registers = [*self._thing.pulses, self._serial.last, round(self._thing.supply * 10)]
        words = cut_out(function, {2: bits, 4: registers}.get(function, ()), address, count)
        return words if isinstance(words, Refusal) else Registers(TABLES[function] + address, words, serial)

    def write(self, function: int, address: int, values: tuple[int, ...], at: Micros) -> Answer:  # noqa: ARG002
        raise AssertionError("nothing of the module can be written")


class PanelFace(ModuleFace):
    """The module at a fire panel."""

    def __init__(self, panel: Panel) -> None:
        super().__init__(panel, partial(panel_inputs, panel), SP_IO_16)


class GasFace(ModuleFace):
    """The module at a gas detector: both limits and the detector's fault on inputs 0 to 2."""

    def __init__(self, gas: GasDetector) -> None:
        super().__init__(gas, lambda: _contacts(gas.low, gas.high, gas.faulty), SP_IO_16_GAS)


class LeakFace(ModuleFace):
    """The module at a leak cable: water and a broken cable on inputs 3 and 4."""

    def __init__(self, cable: LeakCable) -> None:
        contacts = partial(_contacts, False, False, False)
        super().__init__(cable, lambda: contacts(cable.state == "wet", cable.state == "cable_break"), SP_IO_16_WATER)


def _contacts(*closed: bool) -> list[int]:
    return [*map(int, closed), *[0] * (INPUTS - len(closed))]


def panel_inputs(panel: Panel) -> list[int]:
    """Return the sixteen contacts as the panel stands; contact 7 is not used."""
    first = [panel.alarm, panel.callpoint, panel.fault, panel.disabled, panel.supervisory, panel.mains, panel.prealarm]
    return [int(bit) for bit in (*first, False, *(zone in panel.zones for zone in range(1, 9)))]
