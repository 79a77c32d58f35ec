"""GW15: the office itself is without its broker. Pure: when that began, and whether it is settled.

A broker that comes and goes is not there: only `SETTLED` of unbroken hearing (or the delay, where that is shorter) ends
what began, and the delay runs from the first moment without it. While it stands no site is called silent; each has its
full limit from the return on.
"""

from typing import Final

from sitekeeper.model.clock import SECOND, Micros

RULE: Final = "GW15"
SETTLED: Final[Micros] = 5 * SECOND


class Hearing:
    """Whether the office has its broker.

    Args:
        after: how long it must be away before the alarm is raised.
        stands: the alarm stands since an earlier process.

    Attributes:
        stands: the alarm is due.
        since: wall time at which the office was last sure to hear its sites; None while it does.
    """

    def __init__(self, after: Micros, *, stands: bool = False) -> None:
        self._after = after
        self._settled = min(SETTLED, after)
        self._lost: Micros | None = None  # monotonic: the first moment without it
        self._whole: Micros | None = None  # monotonic: since when it is there without a break
        self.stands = stands
        self.since: Micros | None = None

    def note(self, now: Micros, wall: Micros, *, hears: bool) -> None:
        """Take in how it is now: `now` on the monotonic clock, `wall` the time of day."""
        if not hears:
            self._whole = None
            if self._lost is None:
                self._lost = now
            if self.since is None:
                self.since = wall
            self.stands = self.stands or now - self._lost >= self._after
            return
        self._whole = now if self._whole is None else self._whole
        if now - self._whole >= self._settled or (self._lost is None and not self.stands):
            self._lost, self.since, self.stands = None, None, False

    @property
    def sure(self) -> bool:
        """Return whether the office hears its sites and has done so without a break."""
        return self._lost is None and not self.stands

    def next_look(self, now: Micros) -> Micros | None:
        """Return the monotonic time at which something changes by itself; None if nothing does."""
        if self._whole is not None:
            return None if self.sure else self._whole + self._settled
        return None if self._lost is None or self.stands else max(self._lost + self._after, now)
