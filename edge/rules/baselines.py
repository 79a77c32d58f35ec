"""`baseline(x, by=y, step=s, learn=c, settle=d, least=n)`: what x usually is at the y of now, learned on the device."""

from math import floor
from typing import Any, Final

from edge.rules.nodes import Keeper, Node
from edge.rules.signature import Operator, Parameter
from edge.rules.stopwatch import Stopwatch
from sitekeeper.model.clock import DAY, MS, Micros
from sitekeeper.model.sample import Value

MOST_BINS: Final = 32
"""Bins that are remembered; a further one takes the place of the one with the fewest observations."""
MOST_OBSERVATIONS: Final = 1_000
"""From here on each new observation weighs a thousandth."""
STRANGE: Final = 0.2
"""An observation that is further than this share from what its bin has learned is not learned."""


class Baseline(Keeper, Operator):
    """The mean of what was seen in the bin of y, floor(y / step); unknown before `least` observations of it.

    While c is true, and x and y are known, x is taken after each d of known time in one bin. Another bin or a false c
    starts the d anew; what is unknown only stops it. Once a bin has `least` observations, one that lies more than a
    fifth beside their mean is not learned: a device that goes wrong must not teach itself that this is right.
    """

    __slots__ = ("bins", "least", "place", "settle", "step", "watch")
    gives = None
    parameters = (
        Parameter("x", ("number",)),
        Parameter("by", ("number",)),
        Parameter("step", ("number",), constant=True),
        Parameter("learn", ("bool",)),
        Parameter("settle", ("duration",), constant=True, span=(MS, DAY)),
        Parameter("least", ("number",), constant=True),
    )

    def __init__(self, x: Node, by: Node, step: float, learn: Node, settle: Micros, least: float) -> None:
        super().__init__(x, by, learn)
        self.step = step
        self.settle = max(settle, MS)
        self.least = max(1, least)
        self.watch = Stopwatch()
        self.place: int | None = None
        self.bins: dict[int, tuple[int, float]] = {}

    def compute(self, now: Micros) -> Value:
        x, y, learn = (child.value for child in self.children)
        place = floor(y / self.step) if isinstance(y, int | float) and self.step else None
        if learn is False or (place is not None and place != self.place):
            self.watch.follow(value=False, now=now)
            self.place = self.place if place is None else place
        known = learn is not None and place is not None and isinstance(x, int | float)
        if learn is not False:
            self.watch.follow(True if known else None, now)
        if known and learn and self.watch.read(now) >= self.settle:
            self._observe(place, x)  # type: ignore[arg-type]  # both are known
            self.watch.follow(value=False, now=now)
            self.watch.run(now)
        self.due = self.watch.due(self.settle)
        return self._learned(place)

    def _learned(self, place: int | None) -> float | None:
        seen, mean = (0, 0.0) if place is None else self.bins.get(place, (0, 0.0))
        return mean if seen >= self.least else None

    def _observe(self, place: int, x: float) -> None:
        seen, mean = self.bins.get(place, (0, 0.0))
        if seen >= self.least and abs(x - mean) > STRANGE * abs(mean):
            return
        if place not in self.bins and len(self.bins) == MOST_BINS:
            del self.bins[min(self.bins, key=lambda bin_: (self.bins[bin_][0], bin_))]
        seen = min(seen + 1, MOST_OBSERVATIONS)
        self.bins[place] = (seen, mean + (x - mean) / seen)

    def forget(self) -> bool:
        self.watch.follow(value=False, now=0)
        self.place, self.bins = None, {}
        return True

    def save(self) -> object:
        bins = [[place, *learned] for place, learned in sorted(self.bins.items())]
        return self.watch.save(), self.place, bins

    def restore(self, saved: Any, as_of: Micros) -> None:
        watch, self.place, bins = saved
        self.watch.restore(watch, as_of)
        self.bins = {place: (seen, mean) for place, seen, mean in bins}
