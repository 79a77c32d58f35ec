"""An electricity meter: a behaviour on a clock that is moved from outside. No I/O."""

from typing import Final

from simulators.behaviour import Behaviour, Tell, nobody
from sitekeeper.model.clock import HOUR, Micros

VOLTS, HERTZ = 230.0, 50.0
USED: Final = 12_000.0
"""kWh that one in use has counted at the beginning."""


class Meter(Behaviour):
    """It has the same load on each of three phases, and counts what is used."""

    def __init__(self, *, tell: Tell = nobody) -> None:
        super().__init__(tell)
        self.load = 900.0
        self.volts = VOLTS
        self._counted = USED
        self._since: Micros = 0

    @property
    def energy(self) -> float:
        """KWh so far."""
        return self._counted + self.load / 1000 * (self.now - self._since) / HOUR

    def draw(self, watts: float) -> None:
        """Let all phases together take so much, W."""
        self._counted, self._since = self.energy, self.now
        self.load = watts
        self.note("load", watts=round(watts))

    def supply(self, volts: float) -> None:
        """Let the voltage to neutral be this."""
        self.volts = volts
        self.note("voltage", volts=round(volts))
