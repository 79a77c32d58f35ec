"""What the notify worker needs of the store: the push log. The rows are the queue; memory holds what is in hand."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Protocol, TypeVar

import structlog

from cloud_sync.store.base import Chatter, Digest, OfficeStore, Push
from cloud_sync.store.reader import StoreReader
from office.notify.bundles import Bundles
from office.notify.cases import EVERY, Cases
from office.notify.stages import Case, Roundup, Told
from sitekeeper.model.alarm import Priority
from sitekeeper.model.clock import Micros
from sitekeeper.model.errors import Refused, StorageError

_logger = structlog.get_logger()
_T = TypeVar("_T")


class PushLog(Protocol):
    """Rows of table `pushes` and the committed transitions that want a decision.

    A method that raises StorageError ends the worker, because a push that cannot be recorded must stop the office
    visibly: after the restart everything undecided or unfinished is taken up again.
    """

    def undecided(self) -> AsyncIterator[Case]:
        """Yield the committed transitions without a decision, oldest first, each as the office knows it by then."""

    async def decide(
        self, case: Case, decision: str, rows: Sequence[Push], chatter: Chatter | None = None
    ) -> Sequence[int]:
        """Record a decision together with the rows that follow from it; return their ids after the commit."""

    async def tell(self, digest: Digest, rows: Sequence[Push]) -> Sequence[int]:
        """Record a digest together with its rows; return their ids after the commit."""

    async def case(self, row: Push) -> Told | None:
        """Return the annunciation or the digest that a row is about, as the office knows it now."""

    async def numbered(self, number: int) -> Case | None:
        """Return the case of a transition that is to be decided once more."""

    async def step(self, occurrence: str, event: str) -> Case | None:
        """Return the case of a step of a ladder, to be decided; a channel with any row of it is finished."""

    async def roundup(self, digest: Digest) -> Roundup | None:
        """Return a digest with what it speaks of; None if there is nothing of which all may know."""

    async def bundles(self, now: Micros) -> Bundles:
        """Return what is told together, as it stood when the last case was decided. `now` is wall time."""

    async def unanswered(self, priorities: Iterable[Priority], now: Micros) -> list[Case]:
        """Return what of these priorities was pushed lately and nobody has acknowledged. `now` is wall time."""

    async def unfinished(self) -> list[Push]:
        """Return the rows that are planned or were begun and not finished, oldest first."""

    async def save(self, row: Push) -> int:
        """Insert a row (id 0) or replace it; return its id after the commit."""


class Read(Protocol):
    """Runs a question to the store where it holds up nobody, and returns its answer; may raise Refused, `busy`."""

    async def __call__(self, question: Callable[[StoreReader], _T], /) -> _T: ...


Hold = Callable[[int], Awaitable[None]]
"""Waits before the next try, after so many; see `office.database.Database.hold`."""


class StoreLog:
    """The push log in the central store.

    Args:
        changed: told the occurrence of each row that was saved.
        read: how the store is asked; without it on the spot.
        hold: for a store on another machine, which may be away for a while: everything is tried again until it is
            stored, which changes nothing where it was. So no push is lost with it, and none is made twice.
    """

    def __init__(
        self,
        store: OfficeStore,
        reader: StoreReader,
        changed: Callable[[str], None] = lambda _occurrence: None,
        *,
        read: Read | None = None,
        hold: Hold | None = None,
    ) -> None:
        self._store = store
        self._reader = reader
        self._changed = changed
        self._read = read
        self._hold = hold
        self._cases = Cases()

    async def undecided(self) -> AsyncIterator[Case]:
        for stored in await self._ask(lambda reader: reader.undecided() if self._read else self._store.undecided()):
            yield await self._ask(partial(self._cases.undecided, stored))

    async def decide(
        self, case: Case, decision: str, rows: Sequence[Push], chatter: Chatter | None = None
    ) -> Sequence[int]:
        return await self._again(lambda: asyncio.wrap_future(self._store.decide(case.number, decision, rows, chatter)))

    async def tell(self, digest: Digest, rows: Sequence[Push]) -> Sequence[int]:
        return await self._again(lambda: asyncio.wrap_future(self._store.tell(digest, rows)))

    async def case(self, row: Push) -> Told | None:
        return await self._ask(partial(self._cases.told, row))

    async def numbered(self, number: int) -> Case | None:
        return await self._ask(partial(self._cases.numbered, number))

    async def step(self, occurrence: str, event: str) -> Case | None:
        return await self._ask(partial(self._cases.named, occurrence, event, finished=EVERY))

    async def roundup(self, digest: Digest) -> Roundup | None:
        return await self._ask(partial(self._cases.roundup, digest))

    async def bundles(self, now: Micros) -> Bundles:
        return await self._ask(partial(self._cases.bundles, now))

    async def unanswered(self, priorities: Iterable[Priority], now: Micros) -> list[Case]:
        return await self._ask(partial(self._cases.unanswered, priorities, now))

    async def unfinished(self) -> list[Push]:
        return await self._ask(lambda reader: reader.unfinished_pushes())

    async def save(self, row: Push) -> int:
        number = await self._again(lambda: asyncio.wrap_future(self._store.save_push(row)))
        self._changed(row.occurrence)
        return number

    async def _ask(self, question: Callable[[StoreReader], _T]) -> _T:
        return await self._again(lambda: self._answer(question))

    async def _answer(self, question: Callable[[StoreReader], _T]) -> _T:
        return question(self._reader) if self._read is None else await self._read(question)

    async def _again(self, work: Callable[[], Awaitable[_T]]) -> _T:
        tries = 0
        while True:
            try:
                return await work()
            except (StorageError, Refused) as error:
                if self._hold is None or (isinstance(error, StorageError) and error.refused):
                    raise
                if not tries:
                    _logger.warning("push log waits for the central store", why=str(error))
            await self._hold(tries)
            tries += 1
