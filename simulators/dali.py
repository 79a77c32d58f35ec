"""Control gear behind a DALI gateway: a luminaire, on a clock that is moved from outside. No I/O."""

from typing import Final

from simulators.behaviour import Tell, nobody
from simulators.lighting import Lamp

POWER_ON: Final = 100.0
"""The level that gear takes by itself when its supply comes back, per cent."""


class Gear(Lamp):
    """A luminaire whose gear tells by bits what is the matter with it, and that its supply was interrupted."""

    def __init__(self, *, tell: Tell = nobody) -> None:
        super().__init__(tell=tell)
        self.power_cycled = False

    def command(self, level: float) -> None:
        """Fade to `level`; what came of the supply is over with that."""
        self.power_cycled = False
        super().command(level)

    def cycle(self) -> None:
        """Its supply is interrupted for a moment."""
        super().command(POWER_ON)
        self.power_cycled = True
        self.note("power cycled")

    @property
    def status(self) -> int:
        """The bits of its status: gear failed, lamp failed, lamp lit, fading, power cycled."""
        bits = {0: self.failure == "gear", 1: self.failure == "lamp", 2: self.light > 0, 4: self.fading}
        return sum(on << place for place, on in {**bits, 7: self.power_cycled}.items())
