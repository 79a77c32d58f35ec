"""GW16: the office is without its database. Pushed from memory, because that is all there is; stored on the return.

The occurrence is named before anything is stored, by an epoch of its own, and so is the push: what went out from memory
and what the store holds afterwards carry one event id. Over each channel it is tried until it was taken once or the
database is back; then alarm and pushes are stored in one transaction, the alarm is cleared, and a channel that has not
taken it is left to the notify worker as any other push.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

import structlog
from msgspec.structs import replace

from cloud_sync.store import alarms, push_log
from cloud_sync.store.base import Push
from cloud_sync.store.sql import Sql
from cloud_sync.store.store import Store
from office.database import Database
from office.notify.channels import Channel
from office.notify.lane import ANSWER_LOST, Compose, Retry
from office.notify.stages import OFFICE_EPOCH, Case, Routes, event_id
from office.own_alarms import OFFICE, PRIORITIES, OwnAlarm, OwnAlarms
from sitekeeper.durations import duration_text
from sitekeeper.model.alarm import Cause, Transition
from sitekeeper.model.clock import Clock, Micros
from sitekeeper.model.errors import StorageError
from sitekeeper.story import span
from sitekeeper.texts import Language, text

RULE: Final = "GW16"
LOOK_EVERY_S: Final = 0.5

_logger = structlog.get_logger()
_T = TypeVar("_T")


class AwayAlarm:
    """One office's. `run` works until it is cancelled.

    Args:
        compose: makes the message of a case; it must not need the database.
        after: how long the database must be away.
    """

    def __init__(
        self,
        database: Database,
        store: Store,
        own: OwnAlarms,
        channels: Mapping[str, Channel],
        routes: Routes,
        compose: Compose,
        clock: Clock,
        *,
        retry: Retry,
        after: Micros,
        language: Language,
    ) -> None:
        self._database, self._store, self._own = database, store, own
        self._channels, self._compose, self._clock, self._retry = channels, compose, clock, retry
        self._to = [name for name in routes.get(PRIORITIES[RULE], ()) if name in channels]
        self._after, self._language = after, language

    async def run(self) -> None:
        """Watch until cancelled."""
        await self._until_stored(lambda: self._own.move(OFFICE, RULE, Cause.CLEAR))  # of an earlier process
        while True:
            since = self._database.since_mono
            if since is None or self._clock.monotonic() - since < self._after:
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            case = self._raised(f"{OFFICE_EPOCH}{secrets.token_hex(4)}")
            _logger.warning("central database away, telling people", event_id=case.event_id, channels=self._to)
            rows = await asyncio.gather(*(self._push(case, name) for name in self._to))
            await self._database.returned()
            await self._keep(case, [row for row in rows if row is not None])

    def _raised(self, epoch: str) -> Case:
        """Return the alarm as it will be stored."""
        why = text("office.away.detail", self._language, span=span(self._after, self._language),
            why=self._database.away)  # fmt: skip
        alarm = OwnAlarm(site=OFFICE, rule=RULE, priority=PRIORITIES[RULE], record=None, fresh_epoch=epoch)
        move = alarm.move(
            Cause.RAISE,
            sequence=1,
            at=self._clock.wall(),
            mono=self._clock.monotonic(),
            detail=why,
            limits={"away_for": duration_text(self._after)},
        )
        return Case(number=0, transition=move, event_id=event_id(move, epoch, 1, 0))

    async def _push(self, case: Case, name: str) -> Push | None:
        """Try one channel until it has taken the message; return its row, None if the database came back first."""
        channel = self._channels[name]
        row = Push(
            occurrence=case.transition.occurrence, event_id=case.event_id, recipient=channel.recipient, channel=name
        )
        while self._database.away and row.attempt <= self._retry.attempts:
            row = replace(row, state="sending", started=self._clock.wall())
            began = self._clock.monotonic()
            answer = await channel.send(await self._compose(case, name, row))
            took = (self._clock.monotonic() - began) / 1_000
            row = replace(row, finished=self._clock.wall(), latency_ms=took, answer=answer.text)
            if answer.outcome == "accepted":
                return replace(row, state="sent")
            lost = answer.outcome == "unknown"
            row = replace(row, possible_repeat=row.possible_repeat or lost, reason=ANSWER_LOST if lost else row.reason)
            await self._database.returned(self._retry.pause(row.attempt))
            row = replace(row, attempt=row.attempt + 1)
        return None

    async def _keep(self, case: Case, rows: Sequence[Push]) -> None:
        """Store what was told from memory, then clear it."""
        at, move = self._clock.wall(), case.transition
        epoch = move.occurrence.partition("@")[2].rpartition("-")[0]

        def work(sql: Sql) -> None:
            _store(sql, epoch, move, rows, at)

        await self._until_stored(lambda: asyncio.wrap_future(self._store.do(work)))
        await self._until_stored(lambda: self._own.move(OFFICE, RULE, Cause.CLEAR))

    async def _until_stored(self, work: Callable[[], Awaitable[_T]]) -> _T:
        tries = 0
        while True:
            try:
                return await work()
            except StorageError as error:
                if error.refused:
                    raise
                _logger.warning("alarm of the database not stored yet", why=str(error))
                await self._database.hold(tries)
                tries += 1


def _store(sql: Sql, epoch: str, move: Transition, rows: Sequence[Push], at: Micros) -> None:
    """Store the alarm and who has heard of it already; given a second time it changes nothing."""
    known = sql.execute("SELECT 1 FROM transitions WHERE site = ? AND epoch = ?", (OFFICE, epoch)).fetchone()
    if known is None:
        alarms.add(sql, (OFFICE, epoch, 1), [move], at)
    for row in rows:
        push_log.save(sql, row)
