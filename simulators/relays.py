"""A circuit behind a contactor of a relay panel: a behaviour on a clock that is moved from outside. No I/O."""

from typing import Literal

from simulators.behaviour import Behaviour, Tell, nobody
from sitekeeper.model.clock import HOUR, Micros

HOURS, STRIKES = 1200, 900
"""What the counters of a panel in use have at the beginning."""

Hand = Literal["auto", "on", "off"]
Contactor = Literal["works", "stuck"]


class Circuit(Behaviour):
    """The circuit. Its hand switch goes before what is commanded; a contactor that is stuck stays as it is."""

    def __init__(self, *, tell: Tell = nobody) -> None:
        super().__init__(tell)
        self.commanded = False
        self.hand: Hand = "auto"
        self.on = False
        self.strikes = STRIKES
        self._contactor: Contactor = "works"
        self._burnt: Micros = HOURS * HOUR
        self._since: Micros = 0

    @property
    def run_hours(self) -> int:
        return (self._burnt + (self.now - self._since if self.on else 0)) // HOUR

    def command(self, on: bool) -> None:
        """Write its coil."""
        self.commanded = on
        self._follow()

    def switch(self, hand: Hand) -> None:
        """Somebody turns the switch on the panel."""
        self.hand = hand
        self.note("hand switch", position=hand)
        self._follow()

    def contactor(self, state: Contactor) -> None:
        """The contactor gets stuck as it stands, or works again."""
        self._contactor = state
        self.note(f"contactor {state}")
        self._follow()

    def _follow(self) -> None:
        wanted = self.commanded if self.hand == "auto" else self.hand == "on"
        if self._contactor == "stuck" or wanted == self.on:
            return
        if self.on:
            self._burnt += self.now - self._since
        else:
            self.strikes += 1
        self.on, self._since = wanted, self.now
        self.note("circuit on" if wanted else "circuit off")
