"""A camera that reads the plate of each car at its lane: a behaviour on a clock that is moved from outside. No I/O.

Plates are made up by the seed. They are told in full on purpose: whoever reads them must hash them, and a test can
search every store for the plates of the journal.
"""

import random
from typing import Final, Literal

from simulators.behaviour import Behaviour, Tell, nobody
from sitekeeper.model.clock import Micros

PLATES: Final = 300
"""How many cars there are."""

Listed = Literal["white", "black", "temporary", "overdue", "unlisted"]


class LaneCamera(Behaviour):
    """The camera. It is told by `sees` what happens in its lane.

    Args:
        way: of its lane. tell: hears what truly happened. event: hears what the camera tells.
    """

    def __init__(
        self, *, seed: int | str, way: Literal["in", "out"] = "in", tell: Tell = nobody, event: Tell = nobody
    ) -> None:
        super().__init__(tell)
        self.blind = False
        self._random = random.Random(seed)  # noqa: S311 - a reproducible story, not a secret
        self._way = way
        self._event = event
        self._next: tuple[Listed, int] | None = None

    def sees(self, at: Micros, fact: str) -> None:
        """Read the plate of a car that has arrived."""
        if fact == "vehicle arrived" and not self.blind:
            listed, confidence = self._next or ("white", self._random.randint(90, 99))
            self._next = None
            self._read(at, listed, confidence)

    def expect(self, listed: Listed, confidence: int) -> None:
        """Let the next car's plate be on this list, and be read with this confidence."""
        self._next = listed, confidence

    def cover(self, on: bool) -> None:
        """Let it see nothing, or see again."""
        self.blind = on
        self.note("camera covered" if on else "camera sees")

    def shown(self) -> dict[str, object]:
        """Return what it tells of itself."""
        return {"fault": self.blind}

    def _read(self, at: Micros, listed: Listed, confidence: int) -> None:
        plate = f"粤B{10_000 + self._random.randrange(PLATES)}"
        self._event(
            at,
            "plate",
            {"plate": plate, "confidence": confidence, "way": self._way, "granted": True, "list": listed},
        )
