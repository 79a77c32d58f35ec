"""An ingest worker: receives beside the office and other workers, and holds nothing that anybody would miss.

It is ready when it has its store, lives as long as committing comes round, and stops with its process. What it had not
committed goes unreceipted, and the site sends it again to whoever receives then. A database that is away, mute or not,
is waited for: the worker says so to its service manager and goes on when it is back.
"""

import asyncio
from collections.abc import Sequence

from cloud_sync.ingest import Ingest, IngestSettings
from cloud_sync.store.base import StoredTransition
from cloud_sync.store.store import Store
from office.central import GROUP, lanes, open_store
from office.database import Database
from office.health import judged
from office.service import Service
from office.settings import OfficeSettings
from sitekeeper.model.clock import SECOND, Clock, SystemClock
from sitekeeper.model.errors import Refused


class IngestWorker:
    """One worker. `open` it, `run` it until cancelled, `close` it."""

    def __init__(
        self, settings: OfficeSettings, name: str, *, service: Service | None = None, clock: Clock | None = None
    ) -> None:
        self._settings = settings
        self._name = name
        self._service = service or Service({})
        self._clock = clock or SystemClock()
        self._store: Store | None = None

    async def open(self) -> None:
        """Open the store.

        Raises:
            Refused: `one-process`, the store is an SQLite file. StorageError: it cannot be used.
        """
        if self._settings.store.url is None:
            reason = "one-process"
            raise Refused(reason, "only the office writes to an SQLite store; give office.yaml `store: {url: ...}`")
        self._store = open_store(self._settings)
        self._database = Database(self._store, self._clock, lambda: self.ingest.store_back())
        self.ingest = Ingest(
            lanes(self._settings.own_broker(), self._name, persistent=False),
            self._store,
            self,
            clock=self._clock,
            settings=IngestSettings(group=GROUP, alone_without=False, acks=False),
        )

    async def run(self) -> None:
        """Receive until cancelled."""
        self._service.tell("READY=1")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._database.run(), name="worker-database")
            tasks.create_task(self.ingest.run(), name="worker-ingest")
            tasks.create_task(self._live(), name="worker-life")

    async def close(self) -> None:
        """Give everything back."""
        self._service.tell("STOPPING=1")
        if self._store is not None:
            await asyncio.to_thread(self._close_store, self._store)

    def _close_store(self, store: Store) -> None:
        self._database.close()
        store.close()

    async def _live(self) -> None:
        """Give signs of life, as `office.app` does, while committing comes round."""
        while True:
            now = self._clock.monotonic()
            if now >= self._service.due:
                alive = now - self.ingest.last_turn < 2 * self._service.every
                problem = judged(self._clock.wall(), self.ingest, self._database, None).problem
                self._service.feed(now, problem or "receiving", alive=alive)
            await asyncio.sleep(min(self._service.every, SECOND) / SECOND)

    # Listener of the ingest: the office follows the store by itself

    def applied(self, transitions: Sequence[StoredTransition]) -> None:
        """Nobody here wants to know."""

    def heard(self, site: str, *, online: bool) -> None:
        """Nobody here wants to know."""
