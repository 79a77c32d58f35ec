"""Whether the database of a central store answers: asked twice a second, in a thread, so that nothing waits for it.

One that refuses connections and one that takes them and is mute are both `away`. Whoever has something to write waits
with `hold`, which ends as soon as it is back; whoever must answer a person waits with `guard`, which gives up.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Final, TypeVar

import structlog

from cloud_sync.store.asking import Thread
from cloud_sync.store.reader import StoreReader
from cloud_sync.store.store import Store
from sitekeeper.model.clock import MS, SECOND, Clock, Micros
from sitekeeper.model.errors import StorageError

LOOK_EVERY: Final[Micros] = 500 * MS
ANSWERS_WITHIN: Final[Micros] = 750 * MS
FIRST: Final[Micros] = 250 * MS
MOST: Final[Micros] = 2 * SECOND
"""Pauses of whoever tries again double from the one to the other, each shortened by up to a half by chance."""
SLICE_S: Final = 0.25

_logger = structlog.get_logger()
_T = TypeVar("_T")


class Database:
    """One store's. `run` looks until it is cancelled.

    Attributes:
        away: why it does not answer; empty while it does. since: the wall time of the first look that found so;
            since_mono: the same on the monotonic clock.
    """

    def __init__(self, store: Store, clock: Clock, back: Callable[[], None] = lambda: None) -> None:
        self._thread = Thread("store-answers")
        self._open = store.history
        self._reader: StoreReader | None = None
        self._clock = clock
        self._back = back
        self._here = asyncio.Event()
        self._here.set()
        self._random = Random()  # noqa: S311 - jitter, not secrets
        self.away = ""
        self.since: Micros | None = None
        self.since_mono: Micros | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        asked: asyncio.Future[None] | None = None
        while True:
            asked = asked or asyncio.wrap_future(self._thread.submit(self._question))
            began = self._clock.monotonic()
            await asyncio.wait({asked}, timeout=ANSWERS_WITHIN / SECOND)
            if not asked.done():
                self._note("it does not answer")
                continue  # its answer, whenever it comes, is waited for: nothing is asked behind it
            error, asked = asked.exception(), None
            self._note("" if error is None else str(error).removeprefix("central store: "))
            took = self._clock.monotonic() - began
            await asyncio.sleep(max(LOOK_EVERY - took, 0) / SECOND)

    def close(self) -> None:
        """Give the connection back, if the database lets go of it."""
        self._thread.close(self._drop)

    async def hold(self, tries: int) -> None:
        """Wait before the next try: until the database is back, or a moment if it seems to be there."""
        if self._here.is_set():
            pause = min(FIRST << min(tries, 8), MOST)
            await asyncio.sleep(self._random.uniform(0.5, 1.0) * pause / SECOND)
            return
        await self.returned(MOST)  # whoever waits tries now and then all the same

    async def returned(self, most: Micros | None = None) -> None:
        """Wait until it is there, or for as long as `most`."""
        try:
            async with asyncio.timeout(None if most is None else most / SECOND):
                await self._here.wait()
        except TimeoutError:
            return

    async def guard(self, work: Awaitable[_T]) -> _T:
        """Return what `work` returns, unless the database is away meanwhile; `work` itself goes on.

        Raises:
            StorageError: it is away; whether `work` came to its end is not known.
        """
        task = asyncio.ensure_future(work)
        while not task.done():
            await asyncio.wait({task}, timeout=SLICE_S)
            if self.away and not task.done():
                task.add_done_callback(_forget)
                raise self.error(unknown=True)
        return task.result()

    def error(self, *, unknown: bool = False) -> StorageError:
        """Return what a caller is told while it is away."""
        more = "; whether it was stored is not known, look when the database is back" if unknown else ""
        return StorageError(f"the central store's database is away ({self.away}){more}", unknown=unknown)

    def _question(self) -> None:
        if self._reader is None:
            self._reader = self._open()
        self._reader.ask("SELECT 1 AS one")

    def _drop(self) -> None:
        if self._reader is not None:
            self._reader.close()

    def _note(self, why: str) -> None:
        if why and not self.away:
            self.since, self.since_mono = self._clock.wall(), self._clock.monotonic()
            self._here.clear()
            _logger.warning("central database away", why=why)
        elif self.away and not why:
            self.since = self.since_mono = None
            self._here.set()
            _logger.info("central database back")
        came_back = bool(self.away) and not why
        self.away = why
        if came_back:
            self._back()


def _forget(task: "asyncio.Future[Any]") -> None:
    """Take note of an outcome that nobody waits for any more, so that an error is not reported as unseen."""
    if not task.cancelled():
        task.exception()
