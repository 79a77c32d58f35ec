"""What the notify worker needs of the store: the push log. The rows are the queue; memory holds what is in hand."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

import structlog

from cloud_sync.store.base import OfficeStore, Push, StoredTransition
from cloud_sync.store.reader import StoreReader
from office.notify.stages import Case, event_id, settled_id
from office.silence import is_active, silence_key
from sitekeeper.model.alarm import Cause, annunciates
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

    async def decide(self, case: Case, decision: str, rows: Sequence[Push]) -> Sequence[int]:
        """Record a decision together with the rows that follow from it; return their ids after the commit."""

    async def case(self, row: Push) -> Case | None:
        """Return the annunciation that a row is about, as the office knows it now."""

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

    async def undecided(self) -> AsyncIterator[Case]:
        for stored in await self._ask(lambda reader: reader.undecided() if self._read else self._store.undecided()):
            every = {"planned", "sending", "failed", "sent", "given-up"}
            yield await self._ask(partial(_case, stored, every, _event(stored)))

    async def decide(self, case: Case, decision: str, rows: Sequence[Push]) -> Sequence[int]:
        return await self._again(lambda: asyncio.wrap_future(self._store.decide(case.number, decision, rows)))

    async def case(self, row: Push) -> Case | None:
        return await self._ask(partial(_case_of, row))

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


def _case_of(row: Push, reader: StoreReader) -> Case | None:
    """Return the annunciation that a row is about."""
    story = [one for one in reader.story(row.occurrence) if annunciates(one.transition)]
    for name in (row.event_id, settled_id(row.event_id)):  # the row may be older than the site's disk is well
        for stored in story:
            if _event(stored) == name:
                return _case(stored, {"sent", "given-up"}, row.event_id, reader)
    return None


def _case(stored: StoredTransition, taken_care_of: set[str], event: str, reader: StoreReader) -> Case:
    """Return what bears on a transition; a channel with a row in one of these states is finished with the event."""
    moved = stored.transition
    later = (one for one in reader.story(moved.occurrence) if one.id > stored.id)
    return Case(
        number=stored.id,
        transition=moved,
        event_id=event,
        acknowledged=any(one.transition.cause is Cause.ACK for one in later)
        or any(ack.state == "pending" for ack in reader.acks(moved.occurrence)),
        finished=frozenset(
            row.channel
            for row in reader.pushes(moved.occurrence)
            if row.event_id == event and row.state in taken_care_of
        ),
        resent=bool(reader.ask("SELECT 1 FROM resent WHERE id = ?", stored.id)),
        site_silent=is_active(reader.alarm(silence_key(stored.site))),
    )


def _event(stored: StoredTransition) -> str:
    return event_id(stored.transition, stored.epoch, stored.sequence, stored.position)
