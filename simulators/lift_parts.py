"""Parts of a lift: its drive, its controller's signals, its dry contacts, on a clock moved from outside. No I/O."""

from typing import Final, Literal

from simulators.behaviour import Behaviour, Tell, nobody
from simulators.lift import Lift
from simulators.safety import Module
from sitekeeper.model.clock import Micros

RATED: Final = 50.0
"""Hz at full speed."""
CURRENT, TORQUE = 12.5, 45.0
"""What the motor takes at full speed upwards, A and per cent; downwards the load drives it."""
TRIP: Final = 3
"""The error code of a trip."""

Run = Literal["up", "down", "stop", "trip", "reset", "inhibit", "allow"]
Signal = Literal["bypass", "reset_switch", "reset_output", "ucm_test", "cmf"]


class Drive(Behaviour):
    """It runs one way or the other at full speed, trips, and is inhibited by its safety circuit."""

    def __init__(self, *, tell: Tell = nobody) -> None:
        super().__init__(tell)
        self.way = 0
        self.error = 0
        self.inhibited = False

    def do(self, what: Run) -> None:
        """Let it run, stop, trip, be reset, or its safety circuit open and close; it runs only if nothing forbids."""
        match what:
            case "trip":
                self.error = TRIP
            case "reset":
                self.error = 0
            case "inhibit" | "allow":
                self.inhibited = what == "inhibit"
            case _:
                self.way = {"up": 1, "down": -1, "stop": 0}[what]
        if self.error or self.inhibited:
            self.way = 0
        self.note(f"drive {what}")


class Controller(Behaviour):
    """The signals of a lift controller, each on or off."""

    def __init__(self, *, tell: Tell = nobody) -> None:
        super().__init__(tell)
        self.signals: set[Signal] = set()

    def signal(self, name: Signal, on: bool) -> None:
        """Let one of its signals come or go."""
        (self.signals.add if on else self.signals.discard)(name)
        self.note(f"signal {name}" if on else f"signal {name} over")


class Wired(Module):
    """The input module on the dry contacts of a lift, which lives its own life."""

    def __init__(self, lift: Lift) -> None:
        super().__init__()
        self.lift = lift

    def advance(self, to: Micros) -> None:
        self.lift.advance(to)
        super().advance(to)

    def note(self, fact: str, **more: int | bool | str) -> None:
        """Tell a fact as the lift does, by whose time the story of both goes."""
        self.lift.note(fact, **more)

    def contacts(self) -> list[int]:
        """Return the sixteen contacts: without mains the lift is out of service; the last three are free."""
        lift = self.lift
        floor = lift.floor + lift.shaft.basements - (lift.floor > 0)
        first = [lift.running, lift.in_zone, lift.door == "closed", lift.inspection, lift.alarm_button, lift.mains]
        parts = [floor >> place & 1 for place in range(5)]
        return [int(bit) for bit in (*first, not lift.mains, bool(lift.riders), *parts, 0, 0, 0)]
