"""What one person asked for and a second one has to agree to: it waits a while, and then it is over."""

import asyncio
from collections.abc import Callable
from typing import Final, Generic, NamedTuple, TypeVar

from sitekeeper.model.clock import MINUTE, SECOND, Micros
from sitekeeper.model.errors import Refused

AGREED_WITHIN: Final[Micros] = 2 * MINUTE
"""How long a second person has to agree."""

AT_ONCE: Final = 32
"""Requests that wait at the same time; one more is refused."""

What = TypeVar("What")


class _Waiting(NamedTuple, Generic[What]):
    what: What
    timer: asyncio.TimerHandle


class Pairs(Generic[What]):
    """Requests by their key. `lapsed` is told of one to which nobody agreed in time."""

    def __init__(self, lapsed: Callable[[str, What], None]) -> None:
        self._lapsed = lapsed
        self._waiting: dict[str, _Waiting[What]] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._waiting

    def park(self, key: str, what: What) -> None:
        """Let a request wait.

        Raises:
            Refused: `busy`, too many do.
        """
        if len(self._waiting) == AT_ONCE:
            raise Refused("busy", f"{AT_ONCE} requests wait for a second person")
        timer = asyncio.get_running_loop().call_later(AGREED_WITHIN / SECOND, self._lapse, key)
        self._waiting[key] = _Waiting(what, timer)

    def find(self, key: str) -> What:
        """Return a request that waits.

        Raises:
            Refused: `not-waiting`, there is none of this key, or not any more.
        """
        if key not in self._waiting:
            raise Refused("not-waiting", f"{key} waits for nobody")
        return self._waiting[key].what

    def drop(self, key: str) -> None:
        """Forget a request: it was agreed to."""
        self._waiting.pop(key).timer.cancel()

    def stop(self) -> None:
        """Let every request lapse now."""
        for key in tuple(self._waiting):
            self._waiting[key].timer.cancel()
            self._lapse(key)

    def _lapse(self, key: str) -> None:
        self._lapsed(key, self._waiting.pop(key).what)
