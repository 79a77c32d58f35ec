"""Faces: how a simulated lift looks over Modbus. Pure: a request and the story's time in, an answer out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from simulators.agenda import Agenda
from simulators.behaviour import Tell
from simulators.lift import Lift, LiftFault
from simulators.lmon import SERIAL_WORD, TICK, WORDS, Firmware, Sensors
from simulators.maps import LMON, SP_LIFT_1, Map
from sitekeeper.model.clock import SECOND, Micros

READS: Final = frozenset({1, 2, 3, 4})
MASK: Final = 22
WRITES: Final = frozenset({5, 6, 15, 16, MASK})
BITS: Final = frozenset({1, 2})
"""Reads whose words are single bits."""
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE, TARGET_SILENT = 1, 2, 3, 4, 11
MOST_REGISTERS: Final = 125


@dataclass(frozen=True, slots=True)
class Registers:
    """A sound reply to a read: the words, the number of the first one in the map, the serial number if carried.

    A coil or discrete input is a word of 0 or 1.
    """

    first: int
    words: tuple[int, ...]
    serial: int | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An exception reply; to a write that the device understood and would not do, with what was to be written."""

    code: int
    first: int = 0
    words: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Echo:
    """A write was done; the reply repeats the request. What was written is numbered as in the map."""

    first: int = 0
    words: tuple[int, ...] = ()


Answer = Registers | Refusal | Echo | None
"""None is silence."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a unit says that it is, as texts; see `identity`."""

    vendor: str
    product: str
    revision: str


def neutral(product: str) -> Identity:
    """Return the identity of a device that has one of our own maps."""
    return Identity("Sitekeeper neutral map", product, "1.0")


class Face(Protocol):
    """One unit on a link."""

    @property
    def map(self) -> Map:
        """What its words mean, for the journal."""

    @property
    def checks_crc(self) -> bool:
        """Whether a request with a wrong checksum is dropped; over TCP there is none."""

    @property
    def identity(self) -> Identity | None:
        """What it calls itself; None where it refuses to be asked."""

    def live(self, at: Micros) -> None:
        """Let the device live until `at` though nobody asks."""

    def read(self, function: int, address: int, count: int, at: Micros) -> Answer:
        """Answer a read."""

    @property
    def writes(self) -> frozenset[int]:
        """The functions that it has for writing. Who serves it carries `MASK` out as a read (3) and a write (6)."""

    def write(self, function: int, address: int, values: tuple[int, ...], at: Micros) -> Answer:
        """Answer a write of coils (0 or 1) or registers with one of these functions: all or nothing."""


class Serial:
    """Counts replies in 16 bits, starting with 1."""

    def __init__(self) -> None:
        self.last = 0

    def next(self) -> int:
        self.last = (self.last + 1) & 0xFFFF
        return self.last


class SpLiftFace:
    """The neutral map `sp-lift-1`: input registers 0 to 31 and nothing else. The heartbeat is the serial number."""

    map: Map = SP_LIFT_1
    checks_crc = True
    identity = neutral("sp-lift-1")
    writes: frozenset[int] = frozenset()
    HEARTBEAT: Final = 22

    def __init__(self, lift: Lift) -> None:
        self._lift = lift
        self._serial = Serial()

    def live(self, at: Micros) -> None:
        self._lift.advance(at)

    def read(self, function: int, address: int, count: int, at: Micros) -> Answer:
        if not 1 <= count <= MOST_REGISTERS:
            return Refusal(ILLEGAL_VALUE)
        if function != 4 or address + count > 32:
            return Refusal(ILLEGAL_ADDRESS)
        self._lift.advance(at)
        carries = address <= self.HEARTBEAT < address + count
        serial = self._serial.next() if carries else None
        words = sp_lift_words(self._lift, self._serial.last)[address : address + count]
        return Registers(address, tuple(words), serial)

    def write(self, function: int, address: int, values: tuple[int, ...], at: Micros) -> Answer:  # noqa: ARG002
        raise AssertionError("nothing of a lift can be written")


_WORD_A: Final[Mapping[int, LiftFault]] = {
    0: "safety_circuit", 1: "door_close", 2: "door_open", 4: "unintended", 5: "run_time", 6: "position_lost",
    8: "overrun_top", 9: "pit",
}  # fmt: skip
_WORD_B: Final[Mapping[int, LiftFault]] = {
    2: "overspeed", 6: "vibration", 7: "ebike", 9: "battery_low", 10: "test_failed",
}  # fmt: skip


def sp_lift_words(lift: Lift, heartbeat: int) -> list[int]:
    """Return the 32 words of the neutral map for the lift as it stands."""
    mode = 2 if lift.inspection else 3 if lift.fire_mode else 1 if lift.mains else 0
    direction = 0 if not lift.running else 1 if lift.heading > 0 else 2
    outside = lift.blocked and not lift.in_zone
    open_running = lift.running and lift.door != "closed"
    word_b = lift.alarm_button | (not lift.mains) << 1 | open_running << 3
    word_b |= sum(1 << place for place, name in _WORD_B.items() if name in lift.faults)
    word_a = outside << 3 | sum(1 << place for place, name in _WORD_A.items() if name in lift.faults)
    word_b |= (lift.door_openings_here >= 20) << 4 | lift.door_open_long << 5
    words = [0x5350, 1, mode, int(lift.running), direction, lift.floor & 0xFFFF]
    words += [("closed", "open", "closing", "opening").index(lift.door)]
    words += [1 if lift.in_zone else 2, 1 if lift.door == "closed" else 2, 1 if lift.riders else 2]
    words += [round(lift.speed * 100) & 0xFFFF, lift.load, word_a, word_b, 4 if outside else 0]
    words += [*_long(lift.run_count), *_long(lift.run_hours), *_long(lift.door_cycles)]
    words += [round(lift.temperature * 10) & 0xFFFF, heartbeat, *_long(lift.event_index)]
    words += [int(lift.running), 1, 1 if lift.door == "closed" else 0, 0, 1 if lift.mains else 2]
    return words + _long(lift.now // SECOND)


def _long(value: int) -> list[int]:
    return [value >> 16 & 0xFFFF, value & 0xFFFF]


class WordSource(Protocol):
    """Where the 19 words behind an LMON face come from."""

    def live(self, at: Micros) -> None: ...

    def words(self, at: Micros, serial: int) -> list[int]: ...

    def write(self, number: int, value: int) -> None: ...


class Monitor:
    """An LMON monitor on a living lift."""

    def __init__(self, lift: Lift) -> None:
        self._lift = lift
        self._ticked: Micros = 0
        shaft = lift.shaft
        doors, minutes = lift.door_cycles, lift.run_hours * 55
        self.firmware = Firmware(
            floors=shaft.floors, basements=shaft.basements, door_openings=doors, minutes_between=minutes
        )
        self.firmware.tick(0, self._sensors())

    def live(self, at: Micros) -> None:
        while self._ticked + TICK <= at:
            self._ticked += TICK
            self._lift.advance(self._ticked)
            self.firmware.tick(self._ticked, self._sensors())

    def words(self, at: Micros, serial: int) -> list[int]:
        self.live(at)
        return self.firmware.words(serial)

    def write(self, number: int, value: int) -> None:
        self.firmware.write(number, value)

    def _sensors(self) -> Sensors:
        lift = self._lift
        return Sensors(
            level=lift.in_zone,
            door_open=lift.door != "closed",
            person=lift.motion,
            inspection=lift.inspection,
            alarm=lift.alarm_button,
            mains=lift.mains,
            heading=lift.heading,
            floor=lift.floor,
            beyond="overrun_top" in lift.faults,
            in_pit="pit" in lift.faults,
            too_fast="overspeed" in lift.faults,
        )


class Trace:
    """Words from a script: each step sets some words at its time and leaves the others. Facts are told at theirs."""

    def __init__(
        self,
        steps: Sequence[tuple[Micros, Mapping[int, int]]],
        facts: Sequence[tuple[Micros, str]] = (),
        tell: Tell = lambda _at, _fact, _more: None,
    ) -> None:
        self._words = [0] * WORDS
        self._agenda = Agenda()
        for number, (at, words) in enumerate(steps):
            self._agenda.at(at, f"words {number}", partial(self._set, words))
        for number, (at, fact) in enumerate(facts):
            self._agenda.at(at, f"fact {number}", partial(tell, at, fact, {}))

    def live(self, at: Micros) -> None:
        self._agenda.run(at)

    def _set(self, words: Mapping[int, int]) -> None:
        for number, value in words.items():
            self._words[number] = value

    def words(self, at: Micros, serial: int) -> list[int]:
        self.live(at)
        return [*self._words[:SERIAL_WORD], serial, *self._words[SERIAL_WORD + 1 :]]

    def write(self, number: int, value: int) -> None:
        self._words[number] = value


class LmonFace:
    """The LMON monitor's map: FC03 and FC06 on 0x0010 to 0x0022, silence beyond (quirk a), CRC unread (quirk b)."""

    map: Map = LMON
    checks_crc = False
    identity = None
    writes = frozenset({6})
    BASE: Final = 0x10

    def __init__(self, source: WordSource) -> None:
        self._source = source
        self._serial = Serial()

    def live(self, at: Micros) -> None:
        self._source.live(at)

    def read(self, function: int, address: int, count: int, at: Micros) -> Answer:
        if function != 3:
            return Refusal(ILLEGAL_FUNCTION)
        first = address - self.BASE
        if count < 1 or first < 0 or first + count > WORDS:
            return None
        serial = self._serial.next() if first <= SERIAL_WORD < first + count else None
        words = self._source.words(at, self._serial.last)[first : first + count]
        return Registers(first, tuple(words), serial)

    def write(self, function: int, address: int, values: tuple[int, ...], at: Micros) -> Answer:  # noqa: ARG002 - it is 6
        number = address - self.BASE
        if not 0 <= number < WORDS:
            return None
        self._source.live(at)
        self._source.write(number, values[0])
        return Echo(number, values)
