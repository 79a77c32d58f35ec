"""Raises GW14 where a site's audit does not fit its heads, and clears it when the site has begun another chain."""

import asyncio
from typing import Final

import structlog

from cloud_sync.store.reader import StoreReader
from office.audit_heads import RULE, judge
from office.own_alarms import OwnAlarms
from office.silence import is_active
from sitekeeper.model.alarm import Cause
from sitekeeper.model.errors import StorageError
from sitekeeper.texts import text

LOOK_EVERY_S: Final = 5.0

_logger = structlog.get_logger()


class AuditWatch:
    """One office's. `run` works until it is cancelled."""

    def __init__(self, reader: StoreReader, own: OwnAlarms, language: str) -> None:
        self._reader, self._own, self._language = reader, own, language

    async def run(self) -> None:
        """Look every few seconds."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self._look()
            except StorageError as error:  # the ingest says so too, and tries again; so do we
                _logger.warning("audits of the sites not looked after", why=str(error))

    async def _look(self) -> None:
        for word in self._reader.words():
            finding, fits = judge(word)
            if bool(finding) == is_active(self._own.record(word.site, RULE)):
                continue
            detail = text(f"office.audit.{finding}", self._language, row=fits + 1, rows=fits) if finding else ""
            await self._own.move(word.site, RULE, Cause.RAISE if finding else Cause.CLEAR, detail=detail)
