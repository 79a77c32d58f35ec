"""The way past the outbox: alarms blocks that the site's disk does not take, on a topic of their own.

Sent at once on the connection that stands, on every new one, and again every half minute while they wait for the disk:
no receipt answers them, and the office knows a repeat. What the disk has taken goes the ordinary way from then on.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Final

import structlog

from cloud_sync.session import Session
from cloud_sync.wire import up_topic
from sitekeeper.model.clock import SECOND, Clock, Micros

log = structlog.get_logger()

EVERY: Final[Micros] = 30 * SECOND
REFUSED: Final = 128
"""Reason codes from here on are refusals."""


class Direct:
    """One site's direct path; `stand` says what is to be told, `run` tells it while a connection stands."""

    def __init__(self, site: str, clock: Clock, every: Micros = EVERY) -> None:
        self._topic = up_topic(site, "alarms-volatile")
        self._clock = clock
        self._every = every
        self._blocks: Mapping[int, bytes] = {}
        self._news = asyncio.Event()

    def stand(self, blocks: Mapping[int, bytes]) -> None:
        """Take the blocks that are to be told at present, by sequence, in the place of all before; on the loop."""
        self._blocks = blocks
        self._news.set()

    async def run(self, session: Session) -> None:
        """Tell over one connection, until cancelled.

        Raises:
            PeerUnreachable: the connection is gone.
        """
        due: dict[int, Micros] = {}
        while True:
            self._news.clear()
            due = {sequence: at for sequence, at in due.items() if sequence in self._blocks}
            for sequence in tuple(self._blocks):
                payload, now = self._blocks.get(sequence), self._clock.monotonic()
                if payload is not None and due.get(sequence, now) <= now:
                    due[sequence] = now + self._every
                    await self._publish(session, payload)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._wait(due)):
                    await self._news.wait()

    async def _publish(self, session: Session, payload: bytes) -> None:
        reason = await session.publish(self._topic, payload)
        if reason >= REFUSED:
            log.warning("broker refuses volatile alarms", reason_code=reason)

    def _wait(self, due: Mapping[int, Micros]) -> float | None:
        return max(0.0, (min(due.values()) - self._clock.monotonic()) / SECOND) if due else None
