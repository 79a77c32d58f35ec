"""What the notify worker needs of the store: the push log. The rows are the queue; memory holds what is in hand."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from cloud_sync.store.base import OfficeStore, Push, StoredTransition
from cloud_sync.store.reader import StoreReader
from office.notify.stages import ANNUNCIATING, Case, event_id, settled_id
from office.silence import is_active, silence_key
from sitekeeper.model.alarm import Cause


class PushLog(Protocol):
    """Rows of table `pushes` and the committed transitions that want a decision.

    Every method may raise StorageError; the worker lets it pass, because a push that cannot be recorded must stop the
    office visibly: after the restart everything undecided or unfinished is taken up again.
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


class StoreLog:
    """The push log in the central store. `changed` is told the occurrence of each row that was saved."""

    def __init__(
        self, store: OfficeStore, reader: StoreReader, changed: Callable[[str], None] = lambda _occurrence: None
    ) -> None:
        self._store = store
        self._reader = reader
        self._changed = changed

    async def undecided(self) -> AsyncIterator[Case]:
        for stored in self._store.undecided():
            yield self._case(stored, {"planned", "sending", "failed", "sent", "given-up"}, _event(stored))

    async def decide(self, case: Case, decision: str, rows: Sequence[Push]) -> Sequence[int]:
        return await asyncio.wrap_future(self._store.decide(case.number, decision, rows))

    async def case(self, row: Push) -> Case | None:
        story = [one for one in self._reader.story(row.occurrence) if one.transition.cause in ANNUNCIATING]
        for name in (row.event_id, settled_id(row.event_id)):  # the row may be older than the site's disk is well
            for stored in story:
                if _event(stored) == name:
                    return self._case(stored, {"sent", "given-up"}, row.event_id)
        return None

    async def unfinished(self) -> list[Push]:
        return self._store.unfinished_pushes()

    async def save(self, row: Push) -> int:
        number = await asyncio.wrap_future(self._store.save_push(row))
        self._changed(row.occurrence)
        return number

    def _case(self, stored: StoredTransition, taken_care_of: set[str], event: str) -> Case:
        """Return what bears on a transition; a channel with a row in one of these states is finished with the event."""
        moved = stored.transition
        later = (one for one in self._reader.story(moved.occurrence) if one.id > stored.id)
        return Case(
            number=stored.id,
            transition=moved,
            event_id=event,
            acknowledged=any(one.transition.cause is Cause.ACK for one in later)
            or any(ack.state == "pending" for ack in self._reader.acks(moved.occurrence)),
            finished=frozenset(
                row.channel
                for row in self._reader.pushes(moved.occurrence)
                if row.event_id == event and row.state in taken_care_of
            ),
            resent=bool(self._reader.ask("SELECT 1 FROM resent WHERE id = ?", stored.id)),
            site_silent=is_active(self._reader.alarm(silence_key(stored.site))),
        )


def _event(stored: StoredTransition) -> str:
    return event_id(stored.transition, stored.epoch, stored.sequence, stored.position)
