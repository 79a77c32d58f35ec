"""A light sensor: it shows the light that the story gives it, on a clock that is moved from outside. No I/O."""

from simulators.behaviour import Behaviour, Tell, nobody


class Daylight(Behaviour):
    """The sensor; `lux` from 0 to 200,000."""

    def __init__(self, *, tell: Tell = nobody) -> None:
        super().__init__(tell)
        self.lux = 100

    def shine(self, lux: int) -> None:
        """Let it be so bright."""
        self.lux = lux
        self.note("light", lux=lux)
