"""What the time of a link goes to, and how much longer than asked its periods are. Pure."""

from typing import Final, NamedTuple

from sitekeeper.model.clock import SECOND, Micros

OVER: Final[Micros] = 30 * SECOND
"""Figures are of this long at least and twice as long at most, once the link is open for so long."""


class Usage(NamedTuple):
    """How a link fared lately.

    Attributes:
        busy: share of the time in which a request was under way. silent: share in which it was in vain.
        stretch: achieved period over asked period, of all groups alike but for the urgent ones; 1 is as asked.
        urgent: the same of the urgent groups.
    """

    busy: float
    silent: float
    stretch: float
    urgent: float


class Mark(NamedTuple):
    """Totals at a moment: monotonic time, microseconds busy, in vain, and for which the two lanes stood still."""

    at: Micros
    busy: Micros
    vain: Micros
    stood: Micros
    urgent: Micros


class Meter:
    """Two marks that lie behind: figures are of the time since the older one. `due`: when the next mark is wanted."""

    __slots__ = ("_newer", "_older", "due")

    def __init__(self, mark: Mark) -> None:
        self._older = self._newer = mark
        self.due = mark.at + OVER

    def mark(self, mark: Mark) -> None:
        self._older, self._newer = self._newer, mark
        self.due = mark.at + OVER

    def usage(self, now: Mark) -> Usage | None:
        """Return the figures; None if no time has passed."""
        before = self._older
        span = now.at - before.at
        if span <= 0:
            return None

        def stretch(stood: Micros) -> float:
            return span / max(1, span - stood)

        return Usage(
            busy=(now.busy - before.busy) / span,
            silent=(now.vain - before.vain) / span,
            stretch=stretch(now.stood - before.stood),
            urgent=stretch(now.urgent - before.urgent),
        )
