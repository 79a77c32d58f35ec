"""Ends the alarms of revoked sites in the store, whether they were revoked now or while the office was away."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from cloud_sync.store.leaving import leave
from cloud_sync.store.sql import Sql
from cloud_sync.store.store import Store
from office.enrol.registry import Member
from office.notify.stages import OFFICE_EPOCH
from sitekeeper.model.clock import Clock, Micros
from sitekeeper.model.errors import StorageError
from sitekeeper.texts import Language, text

LOOK_EVERY_S: Final = 1.0
LATER: Final = 10
"""Looks until all revoked sites are looked through again: what was on its way when one was revoked may bring more."""
_OPEN: Final = "SELECT DISTINCT site FROM alarms WHERE state <> 'A'"

_logger = structlog.get_logger()


class Leaving:
    """One office's. `run` works until it is cancelled.

    Args:
        sites: all sites that ever joined, as the registry has them; may raise StorageError.
        wake: called after something was ended.
    """

    def __init__(
        self,
        store: Store,
        sites: Callable[[], Mapping[str, Member]],
        clock: Clock,
        language: Language,
        wake: Callable[[], None],
    ) -> None:
        self._store, self._sites, self._clock = store, sites, clock
        self._language, self._wake = language, wake
        self._done: dict[str, Micros] = {}  # by site: the revocation that is seen to

    async def run(self) -> None:
        """Look every second."""
        turn = 0
        while True:
            try:
                await self.look(again=turn % LATER == 0)
            except StorageError as error:  # the ingest or the enrolment says so too
                _logger.warning("revoked sites not seen to yet", why=str(error))
            turn += 1
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self, *, again: bool) -> None:
        """Look once; `again`: also for what has come of sites that were seen to. Raises StorageError."""
        revoked = {site: member for site, member in self._sites().items() if member.revoked}
        self._done = {site: at for site, at in self._done.items() if site in revoked}
        due = {site for site, member in revoked.items() if self._done.get(site) != member.revoked}
        if again and revoked:
            due |= {row[0] for row in self._store.reader.ask(_OPEN)} & revoked.keys()
        for site in sorted(due):
            await self._end(site, revoked[site])
            self._done[site] = revoked[site].revoked

    async def _end(self, site: str, member: Member) -> None:
        who = member.revoked_by or text("office.revoked.nobody", self._language)
        note = text("office.revoked.note", self._language, who=who)
        epoch, at, mono = OFFICE_EPOCH + secrets.token_hex(4), self._clock.wall(), self._clock.monotonic()

        def work(sql: Sql) -> int:
            return leave(sql, site, member.revoked, who, note, epoch=epoch, at=at, mono=mono)

        ended = await asyncio.wrap_future(self._store.do(work))
        if ended:
            _logger.warning("alarms of a revoked site ended", site=site, by=who, count=ended)
            self._wake()
