"""Reading the store away from the event loop: one thread, one read-only connection, a bounded queue of questions."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from cloud_sync.store.history import HistoryReader
from sitekeeper.model.errors import Refused

MOST_WAITING: Final = 200
"""Questions that wait for one thread; further ones are refused as `busy`."""
PATIENCE_S: Final = 10.0
"""How long a page waits for its answer."""

_T = TypeVar("_T")


class ReadingThread:
    """Answers questions to one store, in the order in which they come.

    Args:
        reader: opens a reader, in the thread.
    """

    def __init__(self, reader: Callable[[], HistoryReader], name: str) -> None:
        self._open = reader
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
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
        asked = self._pool.submit(self._answer, question)
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await asyncio.wrap_future(asked)
        except TimeoutError:
            raise Refused(reason, "the store did not answer in time") from None
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Finish what runs, drop what waits, close the connection."""
        self._pool.submit(self._drop)
        self._pool.shutdown()

    def _answer(self, question: Callable[[HistoryReader], _T]) -> _T:
        if self._reader is None:
            self._reader = self._open()
        return question(self._reader)

    def _drop(self) -> None:
        if self._reader is not None:
            self._reader.close()
