"""Faces of parts of a lift, light sensors, a DALI group and a meter, as their documents describe them.

Pure, as `modbus_face`; each word is counted from the beginning of its map.
"""

import struct
from functools import partial

from simulators.dali import Gear
from simulators.daylight import Daylight
from simulators.lift_parts import CURRENT, RATED, TORQUE, Controller, Drive, Signal, Wired
from simulators.maker_face import DocumentedFace, Tables
from simulators.maps import (
    ARKEL_ARCODE,
    DALI_GROUP,
    DFROBOT_SEN0644,
    EASTRON_SDM630,
    INVERTEK_ELEVATOR_CORE,
    SONBEST_KM35B91,
    SP_IO_16_LIFT,
)
from simulators.meter import HERTZ, Meter
from simulators.modbus_face import ILLEGAL_VALUE, Answer, Refusal
from simulators.table_face import ModuleFace
from sitekeeper.model.clock import Micros

SIGNALS: tuple[Signal, ...] = ("bypass", "reset_switch", "reset_output", "ucm_test", "cmf")
"""In the order of their coils."""
FIRST_COIL, FIRST_REGISTER, FIRST_GROUP = 655, 255, 6400
SDM630_MOST, SDM630_REGISTERS = 80, 382


class LiftContactsFace(ModuleFace):
    """The module `sp-io-16` at a lift."""

    def __init__(self, wired: Wired) -> None:
        super().__init__(wired, wired.contacts, SP_IO_16_LIFT)


class ArcodeFace(DocumentedFace):
    """Arkel Arcode: coils 655 to 659."""

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller, ARKEL_ARCODE, self._words)
        self._controller = controller

    def _words(self) -> Tables:
        return {1: (FIRST_COIL, [int(name in self._controller.signals) for name in SIGNALS])}


class InvertekFace(DocumentedFace):
    """Invertek Elevator Core: its registers 256 to 259, counted from 1."""

    def __init__(self, drive: Drive) -> None:
        super().__init__(drive, INVERTEK_ELEVATOR_CORE, self._words)
        self._drive = drive

    def _words(self) -> Tables:
        drive = self._drive
        status = (drive.way != 0) | (drive.error > 0) << 1 | drive.inhibited << 2 | drive.error << 8
        measured = (RATED * drive.way, CURRENT * abs(drive.way), TORQUE * drive.way)
        return {3: (FIRST_REGISTER, [status, *(round(value * 10) & 0xFFFF for value in measured)])}


class Sdm630Face(DocumentedFace):
    """Eastron SDM630: input registers 0 to 381; no more than 80 at once."""

    def __init__(self, meter: Meter) -> None:
        super().__init__(meter, EASTRON_SDM630, self._words)
        self._meter = meter

    def read(self, function: int, address: int, count: int, at: Micros) -> Answer:
        return Refusal(ILLEGAL_VALUE) if count > SDM630_MOST else super().read(function, address, count, at)

    def _words(self) -> Tables:
        meter = self._meter
        watts = meter.load / 3
        values = [*[meter.volts] * 3, *[watts / meter.volts if meter.volts else 0.0] * 3, *[watts] * 3]
        reals = {2 * number: value for number, value in enumerate(values)}
        reals |= {0x34: meter.load, 0x46: HERTZ, 0x48: meter.energy}
        words = [0] * SDM630_REGISTERS
        for at, value in reals.items():
            words[at : at + 2] = struct.unpack(">HH", struct.pack(">f", value))
        return {4: (0, words)}


class GroupFace(DocumentedFace):
    """One DALI group on the first channel of a gateway: what was commanded last."""

    def __init__(self, gear: Gear, group: int) -> None:
        begins = FIRST_GROUP + 20 * group
        super().__init__(gear, DALI_GROUP, lambda: {3: (begins, [round(gear.commanded)])}, begins)


def sen0644(sensor: Daylight) -> DocumentedFace:
    """Return the face of a DFRobot SEN0644: thousandths over holding registers 2 and 3."""
    return DocumentedFace(sensor, DFROBOT_SEN0644, partial(_thousandths, sensor))


def km35b91(sensor: Daylight) -> DocumentedFace:
    """Return the face of a Sonbest KM35B91: tens of lux in holding register 0; temperature and humidity beside it."""
    return DocumentedFace(sensor, SONBEST_KM35B91, lambda: {3: (0, [sensor.lux // 10, 0, 0])})


def _thousandths(sensor: Daylight) -> Tables:
    raw = sensor.lux * 1000
    return {3: (2, [raw >> 16, raw & 0xFFFF])}
