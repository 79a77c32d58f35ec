"""Reading the store away from the event loop: one thread, one read-only connection, a bounded queue of questions.

A page may take its time over a large answer; it waits for none from a database that is known to be away.
"""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from cloud_sync.store.asking import Thread
from cloud_sync.store.history import HistoryReader
from sitekeeper.model.errors import Refused, StorageError

MOST_WAITING: Final = 200
"""Questions that wait for one thread; further ones are refused as `busy`."""
PATIENCE_S: Final = 10.0
"""How long a page waits for its answer."""
SLICE_S: Final = 0.25
"""Between two looks whether the database has gone away meanwhile."""

_T = TypeVar("_T")


class ReadingThread:
    """Answers questions to one store, in the order in which they come.

    Args:
        reader: opens a reader, in the thread.
        away: why the database is known not to answer; empty if it does, or nobody watches it.
    """

    def __init__(self, reader: Callable[[], HistoryReader], name: str, away: Callable[[], str] = str) -> None:
        self._open = reader
        self._away = away
        self._thread = Thread(name)
        self._reader: HistoryReader | None = None
        self._waiting = 0

    async def ask(self, question: Callable[[HistoryReader], _T]) -> _T:
        """Return the answer to `question`, which runs in the thread.

        Raises:
            StorageError: the store cannot be read. Refused: `busy`, too many questions, or no answer in time.
        """
        reason = "busy"
        if self._waiting >= MOST_WAITING:
            raise Refused(reason, "too many questions to the store at once")
        self._waiting += 1
        asked = asyncio.wrap_future(self._thread.submit(lambda: self._answer(question)))
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not asked.done() and not self._away():
                    await asyncio.wait({asked}, timeout=SLICE_S)
        except TimeoutError:
            raise Refused(reason, "the store did not answer in time") from None
        finally:
            self._waiting -= 1
            if not asked.done():
                asked.cancel()
        if asked.cancelled():
            raise StorageError(self._away() or "the store is being closed")
        return asked.result()

    def close(self) -> None:
        """Finish what runs, drop what waits, close the connection; one that does not answer is left behind."""
        self._thread.close(self._drop)

    def _answer(self, question: Callable[[HistoryReader], _T]) -> _T:
        if self._reader is None:
            self._reader = self._open()
        return question(self._reader)

    def _drop(self) -> None:
        if self._reader is not None:
            self._reader.close()
