"""The notify worker: decides every committed annunciation once and hands it to the lanes of its channels.

The store is the queue and `wake()` only says "look": ingest never waits for a push, and at a start everything that was
committed but not decided is decided then. A channel that hangs delays neither the other channels nor the decisions.
"""

import asyncio
from collections.abc import Mapping

import structlog
from msgspec.structs import replace

from office.notify.channels import Channel
from office.notify.lane import Compose, Lane, Retry
from office.notify.log import PushLog
from office.notify.stages import Case, NotSent, Routes, decide
from sitekeeper.model.clock import SECOND, Clock, Micros

SENT_TO = "send: "
"""A decision to send is recorded as this and the channels' ids; one not to send as its reason."""
LOOK_AGAIN: Micros = 10 * SECOND
"""The store is looked through this often even when nobody said `wake`."""

_logger = structlog.get_logger()


class Notifier:
    """Owns the lanes.

    Args:
        channels: by id; every id in `routes` must be among them.
        compose: makes the message of a case in the language of a channel.
    """

    def __init__(
        self,
        log: PushLog,
        channels: Mapping[str, Channel],
        routes: Routes,
        compose: Compose,
        clock: Clock,
        retry: Retry | None = None,
    ) -> None:
        self._log = log
        self._routes = routes
        self._lanes = {
            name: Lane(name, channel, log, routes, compose, clock, retry or Retry())
            for name, channel in channels.items()
        }
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Say that transitions may have been committed. Never blocks."""
        self._wake.set()

    async def run(self) -> None:
        """Decide and send until cancelled.

        Raises:
            ExceptionGroup: of a StorageError when the push log cannot be read or written. It must stop the office: a
                push without a row could be repeated without end.
        """
        async with asyncio.TaskGroup() as group:
            for name, lane in self._lanes.items():
                await lane.load()
                group.create_task(lane.run(group), name=f"push-{name}")
            await self._decide_all(group)

    async def _decide_all(self, group: asyncio.TaskGroup) -> None:
        while True:
            self._wake.clear()
            async for case in self._log.undecided():
                await self._decide(case, group)
            try:
                async with asyncio.timeout(LOOK_AGAIN / SECOND):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _decide(self, case: Case, group: asyncio.TaskGroup) -> None:
        """Record what is decided for `case` with its first rows in one transaction, then hand these to the lanes."""
        decision = decide(case, self._routes)
        if isinstance(decision, NotSent):
            await self._log.decide(case, str(decision.reason), ())
            return
        rows = [self._lanes[name].first_row(case) for name in decision.channels]
        ids = await self._log.decide(case, SENT_TO + " ".join(decision.channels), rows)
        for row, number in zip(rows, ids, strict=True):
            self._lanes[row.channel].take(case, replace(row, id=number), group)
        _logger.info("push decided", event_id=case.event_id, channels=decision.channels)
