"""Faces of lighting over Modbus: a channel of a relay panel, its light sensor, gear of two kinds behind a DALI gateway.

Pure, as `modbus_face`. Each answers for its own addresses only, so that each is a unit by itself; the words
of the map are counted from its own first address.
"""

from typing import Final

from simulators.dali import Gear
from simulators.daylight import Daylight
from simulators.emergency import RATED, Emergency
from simulators.maps import DALI_EMERGENCY, DALI_GEAR, DISCRETE, HOLDING, INPUT, SP_LUX_1, SP_RELAY_8, Map
from simulators.modbus_face import ILLEGAL_ADDRESS, ILLEGAL_VALUE, Answer, Echo, Refusal, Registers, Serial, neutral
from simulators.relays import Circuit
from sitekeeper.model.clock import Micros

HEARTBEAT, LUX = 32, 33
BLOCK: Final = 100
"""Registers of one gear."""
STATUS, LEVEL, POWER = 5, 6, 15
BRIGHTEST: Final = 100
FAILURES, MODE, STATE, BATTERY, RESULT, RATED_MINUTES = 42, 43, 44, 45, 52, 57
START_FUNCTION, START_DURATION, STOP = 63, 64, 65


class RelayFace:
    """One channel of the neutral panel `sp-relay-8`: coil, contactor and hand switch, counters, heartbeat."""

    map: Map = SP_RELAY_8
    checks_crc = True
    identity = neutral("sp-relay-8")
    writes = frozenset({5})

    def __init__(self, circuit: Circuit, channel: int) -> None:
        self._circuit, self._channel = circuit, channel
        self._serial = Serial()

    def live(self, at: Micros) -> None:
        self._circuit.advance(at)

    def read(self, function: int, address: int, count: int, at: Micros) -> Answer:
        self.live(at)
        if function == 4 and (address, count) == (HEARTBEAT, 1):
            return Registers(INPUT + HEARTBEAT, (self._serial.next(),), self._serial.last)
        words = self._words()
        wanted = range(address, address + count)
        if not all((function, each) in words for each in wanted):
            return Refusal(ILLEGAL_ADDRESS)
        first = {1: 0, 2: DISCRETE, 4: INPUT}[function] + self._own(function, address)
        return Registers(first, tuple(words[function, each] for each in wanted), None)

    def write(self, function: int, address: int, values: tuple[int, ...], at: Micros) -> Answer:  # noqa: ARG002 - it is 5
        if address != self._channel:
            return Refusal(ILLEGAL_ADDRESS)
        self.live(at)
        self._circuit.command(bool(values[0]))
        return Echo(0, values)

    def _own(self, function: int, address: int) -> int:
        """Return the number of a word within the map, as if it were channel 0."""
        return address - self._channel * (2 if function == 4 else 1)

    def _words(self) -> dict[tuple[int, int], int]:
        circuit, channel = self._circuit, self._channel
        hours, strikes = circuit.run_hours, circuit.strikes
        return {
            (1, channel): int(circuit.commanded),
            (2, channel): int(circuit.on),
            (2, channel + 8): int(circuit.hand != "auto"),
            (4, 2 * channel): hours >> 16,
            (4, 2 * channel + 1): hours & 0xFFFF,
            (4, 2 * channel + 16): strikes >> 16,
            (4, 2 * channel + 17): strikes & 0xFFFF,
        }


class LuxFace:
    """The light sensor of the panel `sp-relay-8`: input registers 32 and 33."""

    map: Map = SP_LUX_1
    checks_crc = True
    identity = neutral("sp-relay-8")
    writes: frozenset[int] = frozenset()

    def __init__(self, sensor: Daylight) -> None:
        self._sensor = sensor
        self._serial = Serial()

    def live(self, at: Micros) -> None:
        self._sensor.advance(at)

    def read(self, function: int, address: int, count: int, at: Micros) -> Answer:
        if function != 4 or address < HEARTBEAT or address + count > LUX + 1 or count < 1:
            return Refusal(ILLEGAL_ADDRESS)
        self.live(at)
        serial = self._serial.next() if address == HEARTBEAT else None
        words = (self._serial.last, min(self._sensor.lux, 0xFFFF))[address - HEARTBEAT :][:count]
        return Registers(INPUT + address, words, serial)

    def write(self, function: int, address: int, values: tuple[int, ...], at: Micros) -> Answer:  # noqa: ARG002
        raise AssertionError("nothing of a light sensor can be written")


class GearFace:
    """The block of one gear on the first channel of a DALI gateway: holding registers from 100 times its address."""

    map: Map = DALI_GEAR
    checks_crc = True
    identity = None
    writes = frozenset({6})

    def __init__(self, gear: Gear, address: int) -> None:
        self._gear, self._first = gear, BLOCK * address

    def live(self, at: Micros) -> None:
        self._gear.advance(at)

    def read(self, function: int, address: int, count: int, at: Micros) -> Answer:
        first = address - self._first
        if function != 3 or first < 0 or first + count > BLOCK or count < 1:
            return Refusal(ILLEGAL_ADDRESS)
        self.live(at)
        gear = self._gear
        words = {STATUS: gear.status, LEVEL: round(gear.level), POWER: round(gear.commanded)}
        return Registers(HOLDING + first, tuple(words.get(each, 0) for each in range(first, first + count)), None)

    def write(self, function: int, address: int, values: tuple[int, ...], at: Micros) -> Answer:  # noqa: ARG002 - it is 6
        if address - self._first != POWER:
            return Refusal(ILLEGAL_ADDRESS)
        if values[0] > BRIGHTEST:
            return Refusal(ILLEGAL_VALUE, HOLDING + POWER, values)
        self.live(at)
        self._gear.command(values[0])
        return Echo(HOLDING + POWER, values)


class EmergencyFace:
    """The block of one emergency luminaire on the first channel of a DALI gateway, as `GearFace`.

    Only what starts and stops its tests can be written.
    """

    map: Map = DALI_EMERGENCY
    checks_crc = True
    identity = None
    writes = frozenset({6})

    def __init__(self, gear: Emergency, address: int) -> None:
        self._gear, self._first = gear, BLOCK * address

    def live(self, at: Micros) -> None:
        self._gear.advance(at)

    def read(self, function: int, address: int, count: int, at: Micros) -> Answer:
        first = address - self._first
        if function != 3 or first < 0 or first + count > BLOCK or count < 1:
            return Refusal(ILLEGAL_ADDRESS)
        self.live(at)
        gear = self._gear
        words = {
            LEVEL: BRIGHTEST if gear.lit else 0,
            FAILURES: _failures(gear),
            MODE: _mode(gear),
            STATE: ("function" in gear.done) << 1 | ("duration" in gear.done) << 2 | gear.charged << 3,
            BATTERY: round(gear.battery),
            RESULT: gear.minutes,
            RATED_MINUTES: RATED,
        }
        return Registers(HOLDING + first, tuple(words.get(each, 0) for each in range(first, first + count)), None)

    def write(self, function: int, address: int, values: tuple[int, ...], at: Micros) -> Answer:  # noqa: ARG002 - it is 6
        place = address - self._first
        if place not in (START_FUNCTION, START_DURATION, STOP):
            return Refusal(ILLEGAL_ADDRESS)
        if values[0] != 1:
            return Refusal(ILLEGAL_VALUE, HOLDING + place, values)
        self.live(at)
        if place == STOP:
            self._gear.stop()
        else:
            self._gear.begin("function" if place == START_FUNCTION else "duration")
        return Echo(HOLDING + place, values)


def _failures(gear: Emergency) -> int:
    """Return the bits of what is wrong: circuit, duration, battery, lamp; duration and function test failed."""
    bits = {0: gear.condition == "circuit", 1: gear.short, 3: gear.condition == "lamp"}
    bits |= {6: "duration" in gear.failed, 7: "function" in gear.failed}
    return sum(on << place for place, on in bits.items())


def _mode(gear: Emergency) -> int:
    """Return the bit of what it does: normal, lit by its battery, function test, duration test."""
    if not gear.mains:
        return 1 << 2
    return 1 << {None: 1, "function": 4, "duration": 5}[gear.testing]
