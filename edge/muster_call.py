"""The muster that a fire calls for: made from the record and recorded as `gateway/muster`, with how many there are."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from edge.losses import rfc3339
from edge.muster import CALLED_FOR_BY, SOURCE, Muster, listed, read
from edge.pipeline import Pipeline
from edge.settings.values import Site
from sitekeeper.model.alarm import ACTIVE, AlarmRecord
from sitekeeper.model.clock import Clock
from sitekeeper.model.errors import FormatError, StorageError
from sitekeeper.model.sample import Value

OUTER = "perimeter"
"""The tag of a door between the site and the street."""
DURABLE_WITHIN_S = 5.0
"""How long the last reads may take to the disk before the list is made without them."""


class MusterCall:
    """Waits for the fire. `doors` are the controlled ones; without any there is nobody to list."""

    def __init__(self, site: Site, pipeline: Pipeline, clock: Clock) -> None:
        self.doors = doors_of(site)
        self._path, self._pipeline, self._clock = site.outbox.path, pipeline, clock
        self._called = asyncio.Event()
        self._known = {record.key: record.occurrence for record in pipeline.book.records()}
        if self.doors:
            pipeline.moved_watchers.add(self.moved)

    def moved(self, records: Sequence[AlarmRecord], _sequence: int) -> None:
        """Take note of alarms that have moved."""
        for record in filter(_calls, records):
            if self._known.get(record.key) != record.occurrence:
                self._known[record.key] = record.occurrence
                self._called.set()

    async def run(self) -> None:
        """Make a list whenever one is called for; ends only by cancellation."""
        if await self._owed():
            self._called.set()
        while True:
            await self._called.wait()
            self._called.clear()
            with suppress(TimeoutError, StorageError):
                durable = asyncio.shield(asyncio.wrap_future(self._pipeline.last_append))  # others wait for it too
                await asyncio.wait_for(durable, DURABLE_WITHIN_S)
            found = await self._made()
            with suppress(StorageError):  # GW02 tells of the disk, and `sk muster` reads the record again
                self._pipeline.told(SOURCE, self._fields(found))

    async def _owed(self) -> bool:
        """Tell whether a fire stands of before the start that has no list: the last run died before it was made."""
        raised = [record.raised for record in self._pipeline.book.records() if _calls(record)]
        if not raised:
            return False
        return not await asyncio.to_thread(listed, self._path, max(raised), self._clock.wall())

    async def _made(self) -> Muster | None:
        """Return the list; None if the record cannot be read, which must not end the gateway in a fire."""
        try:
            return await asyncio.to_thread(read, self._path, self.doors, self._clock.wall())
        except (StorageError, FormatError):
            return None

    def _fields(self, found: Muster | None) -> dict[str, Value]:
        if found is None:
            return {"count": None, "since": None}
        return {"count": len(found.people), "since": rfc3339(found.since)}


def doors_of(site: Site) -> dict[str, bool]:
    """Return the controlled doors of a site, each with whether it is an outer one: all are where no tag tells."""
    doors = [device for device in site.devices.values() if device.cls == "access"]
    tagged = any(OUTER in device.tags for device in doors)
    return {device.id: not tagged or OUTER in device.tags for device in doors}


def _calls(record: AlarmRecord) -> bool:
    return record.rule == CALLED_FOR_BY and record.standing in ACTIVE
