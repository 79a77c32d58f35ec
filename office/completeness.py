"""Looks after the completeness of the record: asks sites for what it lacks, raises what the store holds against it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from cloud_sync.lacking import Lacking
from cloud_sync.store import evidence, streams
from cloud_sync.store.reader import StoreReader
from cloud_sync.wire import Request
from office.notify.log import Read
from office.own_alarms import OwnAlarms
from office.silence import DEVICE
from office.watch import LASTS, RULES, judge
from sitekeeper.model.clock import Clock
from sitekeeper.model.errors import Refused, StorageError
from sitekeeper.texts import text

LOOK_EVERY_S: Final = 5.0
_STANDING: Final = "SELECT site, rule FROM alarms WHERE device = ? AND state IN ('B', 'C')"

_logger = structlog.get_logger()
_T = TypeVar("_T")


class Completeness:
    """One office's. `run` works until it is cancelled.

    Args:
        ask: sends a request to a site.
        read: how the store is asked for what takes its time; without it on the spot.
    """

    def __init__(
        self,
        reader: StoreReader,
        own: OwnAlarms,
        ask: Callable[[str, Request], Awaitable[None]],
        clock: Clock,
        language: str,
        read: Read | None = None,
    ) -> None:
        self._reader, self._own, self._ask, self._clock, self._language = reader, own, ask, clock, language
        self._read = read
        self._lacking = Lacking()

    async def run(self) -> None:
        """Look every few seconds."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self._ask_sites()
                await self._judge()
            except (StorageError, Refused) as err:  # the ingest says so too, and tries again; so do we
                _logger.warning("completeness not looked after", why=str(err))

    async def _ask_sites(self) -> None:
        now = self._clock.wall()
        lacks = await self._gather(lambda reader: streams.all_lacks(reader.ask, now))
        for site, request in self._lacking.advance(lacks, self._clock.monotonic()):
            _logger.info("asking a site for blocks that are lacking", site=site, resend=request.resend)
            await self._ask(site, request)

    async def _judge(self) -> None:
        now = self._clock.wall()
        evident = await self._gather(lambda reader: evidence.found(reader.ask, now - LASTS))
        found = {(one.site, RULES[one.kind]): one for one in evident}
        standing = await self._gather(lambda reader: reader.ask(_STANDING, DEVICE))
        for site, rule in {*found, *((row[0], row[1]) for row in standing if row[1] in RULES.values())}:
            one = found.get((site, rule))
            cause = judge(one.newest if one else None, self._own.record(site, rule), now)
            if cause is not None:
                detail = (
                    text(f"office.watch.{rule}", self._language, count=one.count, who=" / ".join(one.who))
                    if one
                    else ""
                )
                await self._own.move(site, rule, cause, detail=detail)

    async def _gather(self, question: Callable[[StoreReader], _T]) -> _T:
        return question(self._reader) if self._read is None else await self._read(question)
