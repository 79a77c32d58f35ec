"""Faces: how simulated things look as BACnet objects. Pure: the story's time in, properties by name out.

Which property carries the serial number of a reply: of a lift the energy meter, which counts one watt-hour a reply; of
a luminaire the last digits of its measured power, as noise. An Access Door has no property that could.
"""

import struct
from typing import Any, Final, Protocol

from simulators.access import HELD_LIMIT, PULSE, Entrance
from simulators.bacnet_maps import ACCESS_DOOR, BINARY_LIGHTING_OUTPUT, ESCALATOR, LIFT, LIGHTING_OUTPUT, Map
from simulators.escalator import Escalator, EscalatorFault
from simulators.lift import Lift, LiftFault
from simulators.lighting import Lamp
from simulators.relays import Circuit
from sitekeeper.model.clock import MS, SECOND, Micros

METER: Final = 184.0
"""Where the lift's energy meter starts, kWh."""
EGRESS: Final[Micros] = 60 * SECOND
"""For how long a circuit that has blinked leaves people time to go."""
NOISE: Final = 4096
"""Steps of the luminaire's noise, 0.1 mW each; then the number begins anew, as a register's would."""


FAULTS: Final[tuple[tuple[int, LiftFault], ...]] = (
    (5, "safety_circuit"), (6, "door_close"), (7, "door_open"), (13, "run_time"), (14, "position_lost"),
)  # fmt: skip
"""The fault signals that a Lift object knows, by number."""
SIGNALS: Final[tuple[tuple[int, EscalatorFault], ...]] = (
    (0, "controller"), (1, "drive"), (2, "mechanical"), (3, "overspeed"), (5, "safety"), (7, "too_hot"), (8, "comb"),
)  # fmt: skip
"""Those of an Escalator object."""


class ObjectFace(Protocol):
    """One object of a BACnet device."""

    kind: str
    """Its type, as the server knows it."""
    map: Map
    carrier: str
    """The property that carries the serial number; empty if none does."""
    serials: int
    """How many numbers there are before they begin anew."""

    def live(self, at: Micros) -> None:
        """Let the thing live until `at` though nobody asks."""

    def properties(self, serial: int) -> dict[str, Any]:
        """Return all properties as they stand, by the names of the library."""

    def command(self, value: float, pulse: bool) -> None:
        """A client has commanded the present value; `pulse` for a moment only."""

    def obeyed(self) -> float | None:
        """Return what the thing was commanded last, by the story or a client; None if it cannot be commanded."""


class LiftFace:
    """A Lift object. Nothing of it can be commanded."""

    kind = "lift"
    map = LIFT
    carrier = "energyMeter"
    serials = 1 << 22

    def __init__(self, lift: Lift) -> None:
        self._lift = lift

    def live(self, at: Micros) -> None:
        self._lift.advance(at)

    def properties(self, serial: int) -> dict[str, Any]:
        lift = self._lift
        outside = lift.blocked and not lift.in_zone
        return {
            "carPosition": lift.shaft.index(lift.floor) + 1,
            "carMovingDirection": 2 if not lift.running else 3 if lift.heading > 0 else 4,
            "carDriveStatus": 5 if lift.running else 1,
            "carDoorStatus": [0 if lift.door == "closed" else 1],
            "carDoorZone": lift.in_zone,
            "carMode": 8 if lift.inspection else 11 if lift.fire_mode else 1 if lift.mains else 12,
            "carLoad": float(lift.load),
            "carLoadUnits": 98,
            "passengerAlarm": lift.alarm_button,
            "faultSignals": [4] * (not lift.mains) + [8] * outside + [n for n, name in FAULTS if name in lift.faults],
            "energyMeter": real(METER + serial / 1000),
            "floorText": [str(lift.shaft.ordinal(index)) for index in range(lift.shaft.landings)],
            "outOfService": False,
        }

    def command(self, value: float, pulse: bool) -> None:  # noqa: ARG002
        raise AssertionError("nothing of a lift can be commanded")

    def obeyed(self) -> None:
        return None


class EscalatorFace:
    """An Escalator object. Nothing of it can be commanded."""

    kind = "escalator"
    map = ESCALATOR
    carrier = "energyMeter"
    serials = 1 << 22

    def __init__(self, escalator: Escalator) -> None:
        self._escalator = escalator

    def live(self, at: Micros) -> None:
        self._escalator.advance(at)

    def properties(self, serial: int) -> dict[str, Any]:
        escalator = self._escalator
        faults = [number for number, name in SIGNALS if name in escalator.faults]
        return {
            "operationDirection": {"stopped": 1, "up": 2, "down": 4}[escalator.direction],
            "escalatorMode": 4 if escalator.inspection else {"stopped": 1, "up": 2, "down": 3}[escalator.set_to],
            "passengerAlarm": escalator.alarm,
            "faultSignals": [4] * (not escalator.mains) + faults,
            "energyMeter": real(METER + serial / 1000),
            "outOfService": False,
        }

    def command(self, value: float, pulse: bool) -> None:  # noqa: ARG002
        raise AssertionError("nothing of an escalator can be commanded")

    def obeyed(self) -> None:
        return None


class LampFace:
    """A Lighting Output object; its present value is the level commanded."""

    kind = "lighting-output"
    map = LIGHTING_OUTPUT
    carrier = "instantaneousPower"
    serials = NOISE

    def __init__(self, lamp: Lamp) -> None:
        self._lamp = lamp

    def live(self, at: Micros) -> None:
        self._lamp.advance(at)

    def properties(self, serial: int) -> dict[str, Any]:
        lamp = self._lamp
        return {
            "trackingValue": real(lamp.level),
            "feedbackValue": real(lamp.light),
            "inProgress": 1 if lamp.fading else 0,
            "instantaneousPower": real(lamp.power / 1000 + serial * 1e-7),
            "reliability": 0 if lamp.failure == "none" else 16 if lamp.failure == "lamp" else 7,
            "outOfService": False,
        }

    def command(self, value: float, pulse: bool) -> None:  # noqa: ARG002 - a level has no pulse
        self._lamp.command(value)

    def obeyed(self) -> float:
        return real(self._lamp.commanded)


class CircuitFace:
    """A Binary Lighting Output object; its present value switches the circuit. Its gear blinks for `EGRESS` to warn."""

    kind = "binary-lighting-output"
    map = BINARY_LIGHTING_OUTPUT
    carrier = ""
    serials = 1

    def __init__(self, circuit: Circuit) -> None:
        self._circuit = circuit
        self._warned: Micros = -EGRESS

    def live(self, at: Micros) -> None:
        self._circuit.advance(at)

    def properties(self, serial: int) -> dict[str, Any]:  # noqa: ARG002 - no property carries it
        circuit = self._circuit
        return {
            "feedbackValue": int(circuit.on),
            "egressActive": circuit.now - self._warned < EGRESS,
            "reliability": 0,
            "strikeCount": circuit.strikes,
            "elapsedActiveTime": circuit.run_hours * 3600,
            "egressTime": EGRESS // SECOND,
            "blinkWarnEnable": True,
            "outOfService": False,
        }

    def command(self, value: float, pulse: bool) -> None:  # noqa: ARG002 - a circuit has no pulse
        if value in (0, 1):
            self._circuit.command(value == 1)
        elif self._circuit.on:
            self._warned = self._circuit.now
            self._circuit.note("blinks to warn")

    def obeyed(self) -> int:
        return int(self._circuit.commanded)


class DoorFace:
    """An Access Door object; its present value locks, unlocks, or unlocks for a moment."""

    kind = "access-door"
    map = ACCESS_DOOR
    carrier = ""
    serials = 1

    def __init__(self, door: Entrance) -> None:
        self._door = door

    def live(self, at: Micros) -> None:
        self._door.advance(at)

    def properties(self, serial: int) -> dict[str, Any]:  # noqa: ARG002 - no property carries it
        door = self._door
        return {
            "doorStatus": int(door.open),
            "lockStatus": 0 if door.locked else 1,
            "securedStatus": 0 if door.locked and not door.open else 1,
            "doorAlarmState": {"normal": 0, "too_long": 2, "forced": 3}[door.alarm],
            "doorOpenTooLongTime": HELD_LIMIT // (100 * MS),
            "doorPulseTime": PULSE // (100 * MS),
            "outOfService": False,
        }

    def command(self, value: float, pulse: bool) -> None:
        if pulse:
            self._door.pulse()
        else:
            self._door.release(value == 1)

    def obeyed(self) -> int:
        return int(self._door.free)


def real(value: float) -> float:
    """Return the value as it comes out of 4 bytes."""
    return float(struct.unpack(">f", struct.pack(">f", value))[0])
