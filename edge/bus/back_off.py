"""How long to wait before what did not answer is tried again. Pure."""

import random
from dataclasses import dataclass

from sitekeeper.model.clock import SECOND, Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class BackOff:
    """How long to wait before trying again: doubled from `first` to at most `most`, less a random part of up to a half.

    A link, or a device on a link where nobody answers, is found again within `most` plus one request. `alone` is the
    most for a device that has its link to itself: asking it often takes time from nobody.
    """

    first: Micros = SECOND // 4
    most: Micros = 3 * SECOND // 2
    alone: Micros = 3 * SECOND // 4

    def wait(self, failures: int, rng: random.Random, *, alone: bool = False) -> Micros:
        """Return the wait after `failures` failures in a row (at least one)."""
        full: Micros = min(self.alone if alone else self.most, self.first << min(failures - 1, 16))
        return full - int(full * rng.random() / 2)
