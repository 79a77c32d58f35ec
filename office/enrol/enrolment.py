"""Enrolment as a part of the office: opens the listener, watches who is revoked, keeps its own certificates young."""

import asyncio
from typing import Final

import msgspec
import structlog

from cloud_sync.mqtt import BrokerSettings, connector
from office.enrol.desk import desk_of
from office.enrol.gate import Gate
from office.enrol.listener import Listener
from office.settings import OfficeSettings
from sitekeeper import files
from sitekeeper.model.clock import HOUR, SECOND, Clock, Micros
from sitekeeper.model.errors import StorageError

log = structlog.get_logger()

LOOK_S: Final = 1.0
SEEN: Final = "seen.json"
SEEN_EVERY: Final[Micros] = 30 * SECOND
REFRESH_EVERY: Final[Micros] = HOUR


class Enrolment:
    """`open` it, `run` it until cancelled, `close` it.

    Raises:
        Refused: the settings have no section `enrol`.
    """

    def __init__(self, settings: OfficeSettings, clock: Clock) -> None:
        self.desk = desk_of(settings, clock)
        broker = BrokerSettings(**settings.own_broker().model_dump(exclude={"client_id"}))
        self.gate = Gate(clock, lambda name: connector(broker, name))
        self.problem = ""
        self.revoked: dict[str, Micros] = {}  # by site: since when
        self._clock = clock
        self._refreshed = self._noted = clock.monotonic()

    def open(self) -> None:
        """Make what lacks, and listen.

        Raises:
            StorageError: the trust folder cannot be used. Refused: the address cannot be had.
        """
        self.desk.open()
        self._look()
        enrol = self.desk.settings
        self._listener = Listener(self.desk, enrol.host, enrol.port)
        self._listener.open()
        log.info("enrolment open", host=enrol.host, port=enrol.port, sites=len(self.desk.registry.sites()))

    async def run(self) -> None:
        """Look after revoked sites once a second, after our own certificates once an hour; until cancelled."""
        while True:
            try:
                if self._look():
                    await asyncio.to_thread(self.desk.tell_broker)
                    if self.desk.told:
                        log.warning("broker does not know who is revoked yet", next=self.desk.told)
                await self._keep_files()
            except StorageError as error:
                if str(error) != self.problem:
                    log.warning("trust folder cannot be used", why=str(error))
                self.problem = str(error)
            else:
                self.problem = ""
            await self.gate.kick()
            await asyncio.sleep(LOOK_S)

    async def close(self) -> None:
        """Stop listening."""
        await asyncio.to_thread(self._listener.close)

    def _look(self) -> bool:
        sites = self.desk.registry.sites()
        self.revoked = {site: member.revoked for site, member in sites.items() if member.revoked}
        return self.gate.revoked(frozenset(self.revoked))

    async def _keep_files(self) -> None:
        now = self._clock.monotonic()
        if now - self._noted >= SEEN_EVERY:
            self._noted = now
            await asyncio.to_thread(files.put, self.desk.folder / SEEN, msgspec.json.encode(self.gate.seen))
        if now - self._refreshed >= REFRESH_EVERY:
            self._refreshed = now
            if await asyncio.to_thread(self.desk.refresh):
                self._listener.renewed()
