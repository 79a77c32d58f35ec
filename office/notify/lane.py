"""One channel's lane: what waits for it, a few sends at a time, pauses between the attempts for one event.

This is the only layer that retries a push. A row stands in the store before each send and is completed after it. A row
found `sending` at a start was left by a process that died, so its outcome is unknown and the next attempt is marked as
a possible repeat; so is the attempt after an answer that was lost.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from msgspec.structs import replace

from cloud_sync.store.base import Push
from office.notify.channels import Channel, Message
from office.notify.log import PushLog
from office.notify.stages import NotSent, Reason, Roundup, Routing, Told, decide
from sitekeeper.model.clock import SECOND, Clock, Micros

Compose = Callable[[Told, str, Push], Awaitable[Message]]
"""(what it is about, channel id, row) -> message in the channel's language."""

OFFICE_DIED = "office-died"
ANSWER_LOST = "answer-lost"
"""Reasons of a failed row whose message may have arrived all the same: the next attempt is a possible repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How a lane tries.

    Attributes:
        first, most: pauses between attempts double from one to the other.
        attempts: after so many the event is given up for this channel, with a row that says so.
        width: sends of one channel that run at a time.
        waiting: events kept in memory; when there are more, the others wait in the store.
    """

    first: Micros = SECOND
    most: Micros = 60 * SECOND
    attempts: int = 1_500
    width: int = 4
    waiting: int = 1_000

    def pause(self, attempt: int) -> Micros:
        """Return the pause after attempt number `attempt`, 1 for the first."""
        return min(self.first << min(attempt - 1, 32), self.most)


class Lane:
    """Sends over one channel. Fresh events go before retries."""

    def __init__(
        self, name: str, channel: Channel, log: PushLog, routing: Routing, compose: Compose, clock: Clock, retry: Retry
    ) -> None:
        self._name = name
        self._channel = channel
        self._log = log
        self._routing = routing
        self._compose = compose
        self._clock = clock
        self._retry = retry
        self._waiting: dict[str, tuple[Micros, Push]] = {}  # by event id: due, the planned row to go out under
        self._flying: set[str] = set()  # event ids of sends begun or reserved
        self._spilled = False  # the store holds planned rows that are not in memory
        self._wake = asyncio.Event()

    async def load(self) -> None:
        """Take up what an earlier process left. What it had begun may have arrived."""
        rows = [row for row in await self._log.unfinished() if row.channel == self._name]
        planned = {row.event_id: row for row in rows if row.state == "planned"}
        for row in rows:
            if row.state == "sending":
                planned[row.event_id] = await self._fail(row, OFFICE_DIED, planned.get(row.event_id))
        for row in planned.values():
            self._wait(row, self._clock.monotonic())

    def first_row(self, case: Told, reason: str = "") -> Push:
        """Return the row to store for a new case: already `sending` if it can begin as soon as the row is stored."""
        row = Push(
            occurrence=case.occurrence,
            event_id=case.event_id,
            recipient=self._channel.recipient,
            channel=self._name,
            possible_repeat=case.resent,
            reason=reason,
        )
        if len(self._flying) >= self._retry.width:
            return row
        self._flying.add(row.event_id)
        return replace(row, state="sending", started=self._clock.wall())

    def take(self, case: Told, row: Push, group: asyncio.TaskGroup) -> None:
        """Send or queue a new case whose `first_row` is stored."""
        if row.state == "sending":
            group.create_task(self._fly(row, case), name=f"push-{self._name}-{row.event_id}")
        else:
            self._wait(row, self._clock.monotonic())
            self._wake.set()

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Start what is due, in tasks of `group`, until cancelled."""
        while True:
            self._wake.clear()
            if self._spilled and len(self._waiting) * 2 <= self._retry.waiting:
                await self._refill()
            now = self._clock.monotonic()
            due = sorted((row.attempt, row.id, e) for e, (at, row) in self._waiting.items() if at <= now)
            for _, _, event in due[: max(self._retry.width - len(self._flying), 0)]:
                self._flying.add(event)
                _, row = self._waiting.pop(event)
                group.create_task(self._retried(row), name=f"push-{self._name}-{event}")
            await self._pause()

    async def _pause(self) -> None:
        """Wait for news, or for the next job if there is room to begin it."""
        room = len(self._flying) < self._retry.width
        next_due = min((at for at, _ in self._waiting.values()), default=None) if room else None
        wait = None if next_due is None else max(next_due - self._clock.monotonic(), 0) / SECOND
        try:
            async with asyncio.timeout(wait):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _refill(self) -> None:
        self._spilled = False
        for row in await self._log.unfinished():
            mine = row.channel == self._name and row.state == "planned" and row.event_id not in self._flying
            if mine and row.event_id not in self._waiting:
                self._wait(row, self._clock.monotonic())

    def _wait(self, row: Push, due: Micros) -> None:
        if len(self._waiting) >= self._retry.waiting:
            self._spilled = True
        else:
            self._waiting[row.event_id] = (due, row)

    async def _retried(self, row: Push) -> None:
        """Begin a planned row, unless there is a reason by now to give it up: a person may have acknowledged."""
        case = await self._log.case(row)
        if case is None or (why_not := self._why_not(row, case)) is not None:
            reason = Reason.RECORD_MISSING if case is None else why_not
            await self._log.save(replace(row, state="given-up", reason=str(reason), finished=self._clock.wall()))
            self._landed(row)
            return
        row = replace(row, state="sending", started=self._clock.wall())
        await self._log.save(row)
        await self._fly(row, case)

    def _why_not(self, row: Push, case: Told) -> Reason | None:
        if row.attempt > self._retry.attempts:
            return Reason.GAVE_UP
        if isinstance(case, Roundup):
            return None
        decision = decide(case, self._routing)
        if isinstance(decision, NotSent):
            return decision.reason
        return None if self._name in decision.channels else Reason.NOT_ROUTED

    async def _fly(self, row: Push, case: Told) -> None:
        """Make the attempt of a stored row and plan the next one if it was not accepted."""
        message = await self._compose(case, self._name, row)
        began = self._clock.monotonic()
        answer = await self._channel.send(message)
        row = replace(
            row,
            finished=self._clock.wall(),
            latency_ms=(self._clock.monotonic() - began) / 1_000,
            answer=answer.text,
        )
        if answer.outcome == "accepted":
            await self._log.save(replace(row, state="sent"))
        else:
            following = await self._fail(row, ANSWER_LOST if answer.outcome == "unknown" else "", None)
            self._wait(following, self._clock.monotonic() + self._retry.pause(row.attempt))
        self._landed(row)

    async def _fail(self, row: Push, reason: str, following: Push | None) -> Push:
        """Record a failed attempt; return the stored row of the next one.

        The next row is stored first: a death between the two must not leave the event without an open row.
        """
        if following is None:
            following = Push(
                occurrence=row.occurrence,
                event_id=row.event_id,
                recipient=row.recipient,
                channel=row.channel,
                attempt=row.attempt + 1,
                reason=row.reason,
            )
        following = replace(following, possible_repeat=row.possible_repeat or bool(reason))
        following = replace(following, id=await self._log.save(following))
        await self._log.save(replace(row, state="failed", reason=reason, finished=row.finished or self._clock.wall()))
        return following

    def _landed(self, row: Push) -> None:
        self._flying.discard(row.event_id)
        self._wake.set()
