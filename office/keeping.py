"""What the office does with its store beside receiving: folds rollups, purges what is old, watches how it grows.

All of it in small steps on the store's writer, with at least as long a rest after each: an alarm waits for one step at
most. By the wall clock something is purged only while that is synchronised.
"""

import asyncio
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Final, TypeVar

import structlog

from cloud_sync.store import rollups, sizes
from cloud_sync.store.retention import Purged, Retention, What
from cloud_sync.store.sql import Sql
from cloud_sync.store.store import Store
from sitekeeper.durations import duration_text
from sitekeeper.model.clock import DAY, HOUR, MS, SECOND, Clock, Micros
from sitekeeper.model.errors import StorageError

IDLE: Final[Micros] = 10 * SECOND
"""Between two looks when nothing was to be done."""
REST: Final[Micros] = 5 * MS
SOON: Final[Micros] = 14 * DAY
"""A disk that will be full within this is told of."""

UNTRUSTED: Final = "the clock is not synchronised: nothing is purged for its age"

_logger = structlog.get_logger()
_T = TypeVar("_T")


class Keeper:
    """Looks after one office's store. `run` works until it is cancelled.

    Args:
        folder: whose disk the store is on; None where that is another machine's.
        threads: measure by table in a thread; not in virtual time.

    Attributes:
        problem: what a person should know of the store's disk; empty if nothing.
        counts: hours folded and rows or days purged since the start, by what they were.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        limits: Mapping[What, Micros],
        folder: Path | None,
        *,
        threads: bool = True,
    ) -> None:
        self._store, self._clock, self._limits, self._folder = store, clock, limits, folder
        self._threads = threads
        self._retention = Retention(limits)
        self._measured: Micros | None = None
        self._by_table: Micros | None = None
        self._failed = ""
        self.problem = ""
        self.counts: dict[str, int] = {}

    async def run(self) -> None:
        """Work until cancelled; a store that fails is tried again."""
        while True:
            began = self._clock.monotonic()
            try:
                worked = await self.turn()
                self._failed = ""
            except StorageError as error:
                if self._failed != str(error):
                    _logger.warning("central store not looked after", why=str(error))
                self._failed, worked = str(error), False
            took = self._clock.monotonic() - began
            await asyncio.sleep((max(took, REST) if worked else IDLE) / SECOND)

    async def turn(self) -> bool:
        """Do one step of what is to be done; tell whether there was anything.

        Raises:
            StorageError: the store failed.
        """
        now = self._clock.wall()
        if done := await self._do(lambda sql: rollups.step(sql, now)):
            self._count("folded", done)
            return True
        if not self._clock.trusted():
            self.problem = UNTRUSTED if self._limits else ""
            return False
        if self.problem == UNTRUSTED:
            self.problem = ""
        purged = await self._do(lambda sql: self._retention.step(sql, now))
        if purged is not None:
            self._purged(purged)
            return True
        await self._measure(now)
        return False

    async def _do(self, work: Callable[[Sql], _T]) -> _T:
        future: Future[_T] = self._store.tidy(work)
        return await asyncio.wrap_future(future)

    def _purged(self, purged: Purged) -> None:
        self._count(purged.what, purged.count)
        if purged.count:
            _logger.info("purged for its age", what=purged.what, count=purged.count)

    def _count(self, what: str, count: int) -> None:
        self.counts[what] = self.counts.get(what, 0) + count

    async def _measure(self, now: Micros) -> None:
        """Note the store's size every hour, and by table once a day."""
        mono = self._clock.monotonic()
        if self._measured is not None and mono - self._measured < HOUR:
            return
        self._measured = mono
        found = {sizes.WHOLE: await self._do(_whole)}
        if self._by_table is None or mono - self._by_table >= DAY:
            self._by_table = mono
            found |= await asyncio.to_thread(self._parts) if self._threads else self._parts()
        await self._do(lambda sql: sizes.note(sql, now, found))
        self._judge(now)

    def _parts(self) -> dict[str, int]:
        reader = self._store.history()
        try:
            return sizes.by_part(sizes.by_table(reader.ask, reader.engine))
        finally:
            reader.close()

    def _judge(self, now: Micros) -> None:
        free = free_space(self._folder)
        full_in = sizes.forecast(self._store.reader.ask, now, {}, {}, free).full_in
        before, self.problem = self.problem, ""
        if full_in is not None and full_in < SOON:
            days = duration_text(max(full_in // DAY, 1) * DAY)
            self.problem = f"the disk of the central store will be full in about {days}"
            if not before:
                _logger.warning("central store will be full", within=days, free=free)


def free_space(folder: Path | None) -> int | None:
    """Return the bytes that are free on a folder's disk."""
    return None if folder is None else shutil.disk_usage(folder).free


def _whole(sql: Sql) -> int:
    return sizes.whole(lambda statement, *arguments: sql.execute(statement, arguments).fetchall(), sql.engine)
