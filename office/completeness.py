"""Looks after the completeness of the record: asks sites for what it lacks, raises what the store holds against it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from cloud_sync.lacking import Lacking
from cloud_sync.store import evidence, streams
from cloud_sync.store.reader import StoreReader
from cloud_sync.wire import Request
from office.own_alarms import OwnAlarms
from office.silence import DEVICE
from office.watch import LASTS, RULES, judge
from sitekeeper.model.clock import Clock
from sitekeeper.model.errors import StorageError
from sitekeeper.texts import text

LOOK_EVERY_S: Final = 5.0

_logger = structlog.get_logger()


class Completeness:
    """One office's. `run` works until it is cancelled.

    Args:
        ask: sends a request to a site.
    """

    def __init__(
        self,
        reader: StoreReader,
        own: OwnAlarms,
        ask: Callable[[str, Request], Awaitable[None]],
        clock: Clock,
        language: str,
    ) -> None:
        self._reader, self._own, self._ask, self._clock, self._language = reader, own, ask, clock, language
        self._lacking = Lacking()

    async def run(self) -> None:
        """Look every few seconds."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self._ask_sites()
                await self._judge()
            except StorageError as err:  # the ingest says so too, and tries again; so do we
                _logger.warning("completeness not looked after", why=str(err))

    async def _ask_sites(self) -> None:
        lacks = streams.all_lacks(self._reader.ask, self._clock.wall())
        for site, request in self._lacking.advance(lacks, self._clock.monotonic()):
            _logger.info("asking a site for blocks that are lacking", site=site, resend=request.resend)
            await self._ask(site, request)

    async def _judge(self) -> None:
        now = self._clock.wall()
        found = {(one.site, RULES[one.kind]): one for one in evidence.found(self._reader.ask, now - LASTS)}
        standing = self._reader.ask("SELECT site, rule FROM alarms WHERE device = ? AND state IN ('B', 'C')", DEVICE)
        for site, rule in {*found, *((row[0], row[1]) for row in standing if row[1] in RULES.values())}:
            one = found.get((site, rule))
            cause = judge(one.newest if one else None, self._own.record(site, rule), now)
            if cause is not None:
                detail = text(f"office.watch.{rule}", self._language, count=one.count) if one else ""
                await self._own.move(site, rule, cause, detail=detail)
