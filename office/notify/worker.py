"""The notify worker: decides every committed annunciation once and hands it to the lanes of its channels.

The store is the queue and `wake()` only says "look": ingest never waits for a push, and at a start everything that was
committed but not decided is decided then. A channel that hangs delays neither the other channels nor the decisions.
What time alone brings comes from here too: digests of a flood, an alarm that chatters, the steps of the ladder.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping

import structlog
from msgspec.structs import replace

from cloud_sync.store.base import Chatter, Digest, Push
from office.notify.bundles import Bundles
from office.notify.channels import Channel
from office.notify.ladder import Ladder, Rung
from office.notify.lane import Compose, Lane, Retry
from office.notify.log import PushLog
from office.notify.stages import SENT_TO, Case, NotSent, Reason, Routing, Send, Told, decide, step_id
from sitekeeper.model.clock import MS, SECOND, Clock, Micros

LOOK_AGAIN: Micros = 10 * SECOND
"""The store is looked through this often even when nobody said `wake`."""
SHORTEST: Micros = 10 * MS
"""Between two looks for what time brings."""

_logger = structlog.get_logger()


class Notifier:
    """Owns the lanes.

    Args:
        channels: by id; every id in `routing` must be among them.
        compose: makes the message of a case in the language of a channel.
    """

    def __init__(
        self,
        log: PushLog,
        channels: Mapping[str, Channel],
        routing: Routing,
        compose: Compose,
        clock: Clock,
        retry: Retry | None = None,
    ) -> None:
        self._log = log
        self._routing = routing
        self._clock = clock
        self._bundles = Bundles()
        self._ladder = Ladder(routing.ladder)
        self._lanes = {
            name: Lane(name, channel, log, routing, compose, clock, retry or Retry())
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
            self._bundles = await self._log.bundles(self._clock.wall())
            for name, lane in self._lanes.items():
                await lane.load()
                group.create_task(lane.run(group), name=f"push-{name}")
            await self._decide_all(group)

    async def _decide_all(self, group: asyncio.TaskGroup) -> None:
        while True:
            self._wake.clear()
            async for case in self._log.undecided():
                await self._bundle(self._bundles.due(case.committed), case.committed, group)
                await self._decide(case, group)
            now = self._clock.wall()
            await self._bundle(self._bundles.due(now), now, group)
            if self._ladder.wants_filling:
                self._ladder.fill(await self._log.unanswered(self._ladder.priorities, now))
            for rung in self._ladder.due(now):
                await self._climb(rung, group)
            try:
                async with asyncio.timeout(self._pause() / SECOND):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _pause(self) -> Micros:
        deadlines = [self._bundles.next_deadline(), self._ladder.next_deadline()]
        waits = [max(at - self._clock.wall(), SHORTEST) for at in deadlines if at is not None]
        return min([LOOK_AGAIN, *waits])

    async def _decide(self, case: Case, group: asyncio.TaskGroup) -> None:
        """Record what is decided for `case` with its first rows in one transaction, then hand these to the lanes."""
        case, begun = self._bundles.judged(case)
        if begun is not None:
            await self._tell(begun, group)
        decision = decide(case, self._routing)
        if isinstance(decision, NotSent):
            held = self._bundles.chatter(case, sent=False) if decision.reason is Reason.CHATTER else None
            await self._log.decide(case, str(decision.reason), (), held)
            self._keep(held)
        else:
            await self._send(case, decision.channels, self._bundles.chatter(case, sent=True), group)

    async def _send(
        self, case: Case, channels: Collection[str], chatter: Chatter | None, group: asyncio.TaskGroup
    ) -> None:
        """Record that a case is pushed, and begin with it."""
        reason = "" if chatter is None else str(Reason.CHATTER)
        rows = [self._lanes[name].first_row(case, reason) for name in channels]
        ids = await self._log.decide(case, SENT_TO + " ".join(channels), rows, chatter)
        self._keep(chatter)
        self._ladder.pushed(case)
        self._take(case, rows, ids, group)
        _note("push decided", case, channels)

    async def _bundle(self, due: Iterable[Digest | Chatter], now: Micros, group: asyncio.TaskGroup) -> None:
        """Tell what has become due by `now`, office's wall time."""
        for one in due:
            if isinstance(one, Digest):
                await self._tell(one, group)
            else:
                await self._release(one, now, group)

    async def _tell(self, digest: Digest, group: asyncio.TaskGroup) -> None:
        """Record a digest and push it to whoever is pushed what is told together."""
        roundup = await self._log.roundup(digest)
        if roundup is None:  # all that it speaks of has been hidden since
            await self._log.tell(digest, ())
            return
        rows = [self._lanes[name].first_row(roundup) for name in self._routing.bundled()]
        self._take(roundup, rows, await self._log.tell(digest, rows), group)
        _logger.info("flood", site=digest.site, kind=digest.kind, event_id=digest.event_id)

    async def _release(self, chatter: Chatter, now: Micros, group: asyncio.TaskGroup) -> None:
        """Push the last move held back of an alarm that chatters, unless nobody needs it any more."""
        case = await self._log.numbered(chatter.held)
        if case is None:
            return
        decision = NotSent(Reason.CONDITION_OVER) if case.superseded else decide(case, self._routing)
        if isinstance(decision, NotSent):
            await self._log.decide(case, str(decision.reason), (), replace(chatter, held=0))
        else:
            await self._send(case, decision.channels, Chatter(key=chatter.key, told=now), group)

    async def _climb(self, rung: Rung, group: asyncio.TaskGroup) -> None:
        """Call whoever is next, unless somebody has answered, or it is over."""
        case = await self._log.step(rung.occurrence, step_id(rung.event_id, rung.step))
        decision = None if case is None else decide(case, self._routing)
        if case is None or not isinstance(decision, Send):
            return
        rows = [self._lanes[name].first_row(case) for name in decision.channels]
        ids = [await self._log.save(row) for row in rows]
        self._take(case, rows, ids, group)
        _note("nobody has answered", case, decision.channels)

    def _keep(self, chatter: Chatter | None) -> None:
        if chatter is not None:
            self._bundles.kept(chatter)

    def _take(self, told: Told, rows: Iterable[Push], ids: Iterable[int], group: asyncio.TaskGroup) -> None:
        for row, number in zip(rows, ids, strict=True):
            self._lanes[row.channel].take(told, replace(row, id=number), group)


def _note(what: str, case: Case, channels: Collection[str]) -> None:
    """Tell the log, which many may read; of what is for security alone it has nothing, not even when."""
    if not case.secret:
        _logger.info(what, event_id=case.event_id, channels=channels)
