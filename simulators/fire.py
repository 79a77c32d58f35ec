"""A fire panel and the input module that shows it: a behaviour on a clock that is moved from outside. No I/O.

Alarms stay in the panel until it is reset, and come back if their cause still stands. One zone alone is a pre-alarm;
two zones, or a call point, are the general alarm.
"""

from typing import Final, Literal

from simulators.behaviour import Behaviour, Tell, nobody
from sitekeeper.model.clock import SECOND, Micros

INPUTS: Final = 16
BACK: Final[Micros] = 2 * SECOND
"""After a reset a cause that still stands is an alarm again so much later."""
SUPPLY, BATTERY = 27.3, 25.2
"""Volts, from the mains and from the battery."""

Density = Literal["none", "thin", "dense"]
Deed = Literal[
    "press", "restore", "reset", "fault", "fault_gone", "disable", "enable", "supervisory", "supervisory_gone"
]
"""What people and the panel itself may do, see `Panel.do`."""


class Panel(Behaviour):
    """The panel. Read its properties after `advance`; `plan` puts an act of the story at its exact time."""

    def __init__(self, *, tell: Tell = nobody) -> None:
        super().__init__(tell)
        self._smoke: dict[int, Density] = {}
        self._pressed = False
        self._fault = False
        self.zones: set[int] = set()
        self.callpoint = False
        self.alarm = False
        self.disabled = False
        self.supervisory = False
        self.mains = True
        self.broken_lines: set[int] = set()
        self.pulses = [0] * INPUTS

    # --- what can be seen

    @property
    def prealarm(self) -> bool:
        """Thin smoke somewhere, or one zone alone."""
        return not self.alarm and (bool(self.zones) or "thin" in self._smoke.values())

    @property
    def fault(self) -> bool:
        """A fault of the panel, of its mains supply, or of a line."""
        return self._fault or not self.mains or bool(self.broken_lines)

    @property
    def supply(self) -> float:
        """Volts."""
        return SUPPLY if self.mains else BATTERY

    # --- what a story may do

    def smoke(self, zone: int, density: Density) -> None:
        """Smoke comes to the detectors of a zone, or goes."""
        self.note("smoke gone" if density == "none" else f"{density} smoke", zone=zone)
        self._smoke[zone] = density
        self._judge()

    def do(self, deed: Deed) -> None:
        """Press a call point or restore it with its key; reset the panel; let it have a fault, and so on."""
        match deed:
            case "press" | "restore":
                self._pressed = deed == "press"
                self.note("call point pressed" if self._pressed else "call point restored")
                self._judge()
            case "reset":
                self._reset()
            case "fault" | "fault_gone":
                self._fault = deed == "fault"
                self.note("panel fault" if self._fault else "panel fault gone")
            case "disable" | "enable":
                self.disabled = deed == "disable"
                self.note("disablement" if self.disabled else "disablement ended")
            case "supervisory" | "supervisory_gone":
                self.supervisory = deed == "supervisory"
                self.note("supervisory signal" if self.supervisory else "supervisory signal gone")

    def set_mains(self, on: bool) -> None:
        """The supply fails, and the battery takes over; or it returns."""
        if on != self.mains:
            self.mains = on
            self.note("mains restored" if on else "mains failed")

    def line(self, number: int, *, broken: bool) -> None:
        """The supervised line of an input breaks, or is whole again."""
        (self.broken_lines.add if broken else self.broken_lines.discard)(number)
        self.note("line broken" if broken else "line whole", input=number)

    def pulse(self, number: int, count: int) -> None:
        """An input counts pulses, in 16 bits."""
        self.pulses[number] = (self.pulses[number] + count) & 0xFFFF

    # --- the panel's own

    def _judge(self) -> None:
        """Take in what is new; nothing goes away but by a reset."""
        self.zones |= {zone for zone, density in self._smoke.items() if density == "dense"}
        self.callpoint = self.callpoint or self._pressed
        if not self.alarm and (self.callpoint or len(self.zones) > 1):
            self.alarm = True
            self.note("fire alarm", zones=len(self.zones), callpoint=self.callpoint)

    def _reset(self) -> None:
        self.zones.clear()
        self.callpoint = self.alarm = False
        self.note("panel reset")
        self._agenda.after(BACK, "back", self._judge)
