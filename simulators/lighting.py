"""A luminaire that fades, burns and fails: a behaviour on a clock that is moved from outside. No I/O."""

from typing import Final, Literal

from simulators.behaviour import Behaviour, Tell, nobody
from sitekeeper.model.clock import SECOND, Micros

FADE: Final[Micros] = SECOND
"""Time from one level to another, however far apart."""
STANDBY: Final = 0.4
"""Power of the gear with the lamp dark, W."""

Failure = Literal["none", "lamp", "gear"]


class Lamp(Behaviour):
    """The luminaire. Read its properties after `advance`; levels are per cent."""

    def __init__(self, *, rated: float = 18.0, level: float = 0.0, tell: Tell = nobody) -> None:
        super().__init__(tell)
        self.rated = rated
        self.commanded = level
        self.failure: Failure = "none"
        self.share = 1.0
        self._from = level
        self._since: Micros = -FADE

    def command(self, level: float) -> None:
        """Fade to `level`; above nothing and below 1 it is 1."""
        level = 1.0 if 0 < level < 1 else max(0.0, min(100.0, level))
        if level != self.commanded:
            self._from, self._since, self.commanded = self.level, self.now, level

    def drift(self, share: float) -> None:
        """Let it take this share of its power: drivers or lamps of it have failed, and it says nothing of it."""
        self.share = share
        self.note("power drifts", share=str(share))

    def fail(self, what: Failure) -> None:
        """Let the lamp or its gear fail, or be whole again."""
        self.failure = what
        self.note("lamp good" if what == "none" else f"{what} failed")

    @property
    def fading(self) -> bool:
        return self.now - self._since < FADE

    @property
    def level(self) -> float:
        """The level that the gear sets at this moment."""
        if not self.fading:
            return self.commanded
        return self._from + (self.commanded - self._from) * (self.now - self._since) / FADE

    @property
    def light(self) -> float:
        """The level that a light sensor would measure."""
        return self.level if self.failure == "none" else 0.0

    @property
    def power(self) -> float:
        """Power in W."""
        return STANDBY + self.share * self.rated * self.light / 100
