"""Virtual time: things happen in the order of their time, ties in the order in which they were planned."""

import heapq
from collections import Counter, deque
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from sitekeeper.model.clock import SECOND, Micros

REMEMBERED = 40
"""Events that are shown when a seed fails."""

MOST_EVENTS_AT_ONCE = 20_000
"""Events without time moving: beyond that something runs in a circle."""


class Failed(AssertionError):
    """A promise was broken in this run."""


class Scheduler:
    """Runs planned calls; keeps a hash over everything that was noted, and the last of it in words."""

    def __init__(self) -> None:
        self.now: Micros = 0
        self.last: deque[str] = deque(maxlen=REMEMBERED)
        self.sometimes: Counter[str] = Counter()
        self._planned: list[tuple[Micros, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0
        self._hash = blake2b(digest_size=16)

    def after(self, delay: Micros, call: Callable[..., None], *arguments: Any) -> None:
        """Plan a call; it cannot be taken back, so the callee checks whether it still matters."""
        self._count += 1
        heapq.heappush(self._planned, (self.now + delay, self._count, call, arguments))

    def note(self, what: str) -> None:
        """Put an event on record."""
        line = f"{self.now} {what}"
        self.last.append(line)
        self._hash.update(line.encode())

    def seen(self, what: str) -> None:
        """Count something that must happen sometimes over many seeds, or the search looks for nothing."""
        self.sometimes[what] += 1

    def run(self, until: Micros, *, done: Callable[[], bool] | None = None, look: Micros = SECOND) -> bool:
        """Let things happen until a time, or until `done`, asked every `look`; return whether it was."""
        looked, stuck = self.now, 0
        while self._planned and self._planned[0][0] <= until:
            time, _, call, arguments = heapq.heappop(self._planned)
            stuck = stuck + 1 if time == self.now else 0
            if stuck > MOST_EVENTS_AT_ONCE:
                raise Failed("liveness: time stands still")
            self.now = time
            call(*arguments)
            if done is not None and self.now - looked >= look:
                looked = self.now
                if done():
                    return True
        self.now = until
        return done is not None and done()

    def digest(self) -> str:
        """Return the hash of all events so far."""
        return self._hash.hexdigest()
