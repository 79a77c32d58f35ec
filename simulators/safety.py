"""A gas detector and a leak cable behind an input module: behaviours on a clock that is moved from outside. No I/O."""

from typing import Final, Literal

from simulators.behaviour import Behaviour, Tell, nobody
from simulators.fire import INPUTS, SUPPLY
from sitekeeper.model.clock import SECOND, Micros

LOW, HIGH = 20.0, 40.0
"""The limits of the detector's two contacts, per cent of the lower explosive limit."""
RISE: Final = 5.0
"""How much the level moves in a second, up or down."""
STEP: Final[Micros] = SECOND // 5

Leak = Literal["none", "wet", "cable_break"]


class Module(Behaviour):
    """Something behind an input module, whose lines can break and whose inputs count pulses."""

    supply = SUPPLY

    def __init__(self, *, tell: Tell = nobody) -> None:
        super().__init__(tell)
        self.broken_lines: set[int] = set()
        self.pulses = [0] * INPUTS

    def line(self, number: int, *, broken: bool) -> None:
        """The supervised line of an input breaks, or is whole again."""
        (self.broken_lines.add if broken else self.broken_lines.discard)(number)
        self.note("line broken" if broken else "line whole", input=number)


class GasDetector(Module):
    """It measures a level, and has a contact for each of two limits and one for its own fault."""

    def __init__(self, *, tell: Tell = nobody) -> None:
        super().__init__(tell=tell)
        self.level = 0.0
        self.faulty = False
        self._there = 0.0

    @property
    def low(self) -> bool:
        return self.level >= LOW

    @property
    def high(self) -> bool:
        return self.level >= HIGH

    def leak(self, level: float) -> None:
        """Gas comes until there is this level, or goes until there is."""
        self._there = level
        self.note("gas", level=round(level))
        self._drift()

    def break_down(self, on: bool) -> None:
        """The detector has a fault, or has been mended."""
        self.faulty = on
        self.note("gas detector fault" if on else "gas detector good")

    def _drift(self) -> None:
        before = self.high
        step = RISE * STEP / SECOND
        self.level = max(min(self._there, self.level + step), self.level - step)
        if before != self.high:
            self.note("gas high" if self.high else "gas high over")
        if self.level != self._there:
            self._agenda.after(STEP, "drift", self._drift)


class LeakCable(Module):
    """It is dry, wet, or broken."""

    def __init__(self, *, tell: Tell = nobody) -> None:
        super().__init__(tell=tell)
        self.state: Leak = "none"

    def become(self, state: Leak) -> None:
        """Water comes to the cable or dries up; the cable breaks or is mended."""
        self.state = state
        self.note({"none": "leak over", "wet": "leak", "cable_break": "leak cable broken"}[state])
