"""A stopwatch of known time: it runs while something is true, stops while that is unknown, starts anew after false."""

from sitekeeper.model.clock import Micros

Saved = tuple[Micros, Micros | None, bool]
"""Elapsed time before the last start, that start (None while stopped), and whether it may not start."""


class Stopwatch:
    """Elapsed time that can be stopped, saved and restored. All times are monotonic microseconds."""

    __slots__ = ("barred", "elapsed", "since")

    def __init__(self) -> None:
        self.elapsed: Micros = 0
        self.since: Micros | None = None
        self.barred = False

    def follow(self, value: object, now: Micros) -> None:
        """Run on true, stop on unknown (None), start anew on false."""
        if value is None:
            self.stop(now)
        elif value:
            self.run(now)
        else:
            self.elapsed, self.since, self.barred = 0, None, False

    def run(self, now: Micros) -> None:
        if self.since is None and not self.barred:
            self.since = now

    def bar(self) -> None:
        """Take back a start: it stays at nothing until its condition has been false."""
        self.elapsed, self.since, self.barred = 0, None, True

    @property
    def idle(self) -> bool:
        """Whether a start now would be a start from nothing."""
        return self.since is None and self.elapsed == 0 and not self.barred

    def stop(self, now: Micros) -> None:
        if self.since is not None:
            self.elapsed += now - self.since
            self.since = None

    def read(self, now: Micros) -> Micros:
        return self.elapsed if self.since is None else self.elapsed + now - self.since

    def due(self, after: Micros) -> Micros | None:
        """Return when the watch will show `after`; None if it is not running."""
        return None if self.since is None else self.since + after - self.elapsed

    def save(self) -> Saved:
        return self.elapsed, self.since, self.barred

    def restore(self, saved: Saved, as_of: Micros) -> None:
        """Take up what was saved; `as_of`, on the clock of that time, is when the running ended."""
        self.elapsed, since, self.barred = saved
        if since is not None:
            self.elapsed += max(0, as_of - since)
        self.since = None
