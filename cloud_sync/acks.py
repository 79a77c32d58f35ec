"""Acknowledgements made at the office, on their way to the site's door: one after the other, and never in the way."""

import asyncio
from typing import Final

import structlog

from cloud_sync.downlink import Door
from sitekeeper.model.command import Ack
from sitekeeper.model.errors import Refused, StorageError

log = structlog.get_logger()

MOST: Final = 64
"""Waiting for the door; what comes beyond is left out, because the office repeats it."""


class Acks:
    """`take` returns at once; `run` hands over until it is cancelled, and goes on later with what is left."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._waiting: asyncio.Queue[Ack] = asyncio.Queue(MOST)

    def take(self, ack: Ack) -> None:
        """An acknowledgement came."""
        if not self._waiting.full():
            self._waiting.put_nowait(ack)

    async def run(self) -> None:
        """Hand over what comes."""
        while True:
            ack = await self._waiting.get()
            try:
                await self._door.acknowledge(ack)
            except Refused as err:
                log.debug("acknowledgement of the office not needed", occurrence=ack.occurrence, reason=err.reason)
            except StorageError as err:
                log.warning("acknowledgement of the office not recorded", occurrence=ack.occurrence, why=str(err))
