"""The shaft: its landings and zones. Floors are ordinals without a 0: 1 is ground, -1 the first basement."""

from dataclasses import dataclass
from typing import Final

ZONE: Final = 0.15
"""Half the height of the unlocking zone, metres."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaft:
    """`floors` landings from the ground up, `basements` below it, `storey` metres apart; heights from the lowest."""

    floors: int
    basements: int
    storey: float

    @property
    def landings(self) -> int:
        return self.floors + self.basements

    def index(self, floor: int) -> int:
        """Return how many landings are below this floor."""
        return floor + self.basements - (1 if floor > 0 else 0)

    def ordinal(self, index: int) -> int:
        """Return the floor that has `index` landings below it."""
        floor = index - self.basements
        return floor + 1 if floor >= 0 else floor

    def height(self, floor: int) -> float:
        """Return the height of the landing, metres."""
        return self.index(floor) * self.storey

    def nearest(self, position: float) -> int:
        """Return the floor whose landing is nearest."""
        return self.ordinal(self._inside(round(position / self.storey)))

    def in_zone(self, position: float) -> bool:
        """Tell whether a door may open here."""
        return abs(position - self.height(self.nearest(position))) <= ZONE

    def reached(self, position: float, heading: int) -> int:
        """Return the last floor whose zone a car going up (1) or down (-1) reached: what counting landings shows."""
        steps = (position + heading * ZONE) / self.storey
        return self.ordinal(self._inside(int(steps // 1) if heading > 0 else -int(-steps // 1)))

    def _inside(self, index: int) -> int:
        return max(0, min(self.landings - 1, index))
