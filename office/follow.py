"""What other writers bring into a shared store: noticed, so that pushes and pages do not depend on who received it.

The database is asked, because it is the one thing that all have in common: for the newest transition ten times a second
(one look at the end of an index), for who was heard once a second.
"""

import asyncio
from typing import Final

import structlog

from cloud_sync.ingest import Listener
from cloud_sync.store.history import HistoryReader
from cloud_sync.store.store import Store
from office.console.reading import ReadingThread
from sitekeeper.model.clock import MS, SECOND, Micros
from sitekeeper.model.errors import Refused, StorageError

LOOK_EVERY: Final[Micros] = 100 * MS
HEARD_EVERY: Final = 10
"""Looks for transitions between two looks at who was heard."""

_logger = structlog.get_logger()


class Follower:
    """Tells a listener what it would have heard as the one that receives. `run` works until it is cancelled."""

    def __init__(self, store: Store, listener: Listener) -> None:
        self._thread = ReadingThread(store.history, "asyncio_follower")
        self._listener = listener
        self._last: int | None = None
        self._seen: dict[str, Micros] = {}
        self.problem = ""

    async def run(self) -> None:
        """Look until cancelled; a database that does not answer is asked again."""
        try:
            turn = 0
            while True:
                try:
                    await self.look(heard=turn % HEARD_EVERY == 0)
                    self.problem = ""
                except (StorageError, Refused) as error:
                    if self.problem != str(error):
                        _logger.warning("cannot follow the central store", why=str(error))
                    self.problem = str(error)
                turn += 1
                await asyncio.sleep(LOOK_EVERY / SECOND)
        finally:
            self.close()

    def close(self) -> None:
        """Give the connection back; `run` does it by itself."""
        self._thread.close()

    async def look(self, *, heard: bool) -> None:
        """Look once. Raises StorageError; Refused if there is no answer in time."""
        newest = await self._thread.ask(HistoryReader.last_transition)
        if self._last is not None and newest > self._last:
            self._listener.applied(())
        self._last = newest
        if not heard:
            return
        for site, online, seen in await self._thread.ask(HistoryReader.last_seen):
            if self._seen.get(site, seen) != seen:
                self._listener.heard(site, online=online)
            self._seen[site] = seen
