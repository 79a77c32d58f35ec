"""Alarms that the office itself raises: by the same machine and into the same tables as a site's own.

They belong to the device `gateway` of their site and to an epoch of the office's own, so that everything that can be
done with an alarm (push, acknowledge, look at its story) can be done with them. What befalls the office itself belongs
to the site `_office`, which no site can be called, and to the device that is concerned.

| rule | priority | stands while |
|---|---|---|
| GW01 | P2 | nothing has been heard from a site for `silence.after` (`silence`) |
| GW11 | P2 | blocks contradict the record (`watch`, as GW12 and GW13) |
| GW12 | P2 | two gateways speak as one site |
| GW13 | P3 | blocks of a site exist nowhere any more |
| GW14 | P2 | a site's audit does not fit what it told before (`audit_heads`) |
| GW15 | P2 | the office has been without its broker for `silence.after` (`hearing`) |
| GW16 | P2 | the office has been without its database for `silence.after` (`away`) |
| GW17 | P3 | a site has sent more catalogues than are kept of one (`watch`) |
"""

import asyncio
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from cloud_sync.store.base import OfficeStore
from cloud_sync.store.reader import StoreReader
from office.notify.stages import OFFICE_EPOCH
from office.silence import DEVICE, is_active
from sitekeeper.model.alarm import (
    AlarmRecord,
    AlarmState,
    Cause,
    Priority,
    Transition,
    alarm_key,
    next_state,
    occurrence_id,
    split_key,
)
from sitekeeper.model.clock import Clock, Micros
from sitekeeper.model.command import Actor
from sitekeeper.texts import LANGUAGES, text

PRIORITIES: Final[Mapping[str, Priority]] = {
    "GW01": "P2", "GW11": "P2", "GW12": "P2", "GW13": "P3", "GW14": "P2", "GW15": "P2", "GW16": "P2", "GW17": "P3",
}  # fmt: skip
"""Of each rule of the office's own."""
OFFICE: Final = "_office"
"""The site of what befalls the office itself."""
DEVICES: Final[Mapping[str, str]] = {"GW15": "broker", "GW16": "database"}
"""Of rules that are not about a gateway."""


def own_key(site: str, rule: str) -> str:
    """Return the key of one of the office's own alarms."""
    return alarm_key(site, DEVICES.get(rule, DEVICE), rule)


def own_names(site: str) -> dict[str, str]:
    """Return what the office itself is called in each language, where a site is named; of a real site nothing."""
    return {lang: text(f"office.site.{OFFICE}", lang) for lang in LANGUAGES} if site == OFFICE else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnAlarm:
    """One of the office's alarms of one site as stored, and the moves it can make.

    Attributes:
        record: the stored alarm, None if there never was one.
        fresh_epoch: the epoch for an alarm that the site never had, `office-<random>`.
    """

    site: str
    rule: str
    priority: Priority
    record: AlarmRecord | None
    fresh_epoch: str

    @property
    def epoch(self) -> str:
        """Return the epoch under which the next move is stored: the record's own, so that its sequence gives order."""
        if self.record is None:
            return self.fresh_epoch
        return self.record.occurrence.partition("@")[2].rpartition("-")[0]

    def move(
        self,
        cause: Cause,
        *,
        sequence: int,
        at: Micros,
        mono: Micros,
        actor: Actor | None = None,
        note: str = "",
        detail: str = "",
        limits: Mapping[str, str] | None = None,
    ) -> Transition:
        """Return the transition that `cause` makes.

        Raises:
            Refused: there is no such move, for example a raise of what already stands.
        """
        source = AlarmState.NORMAL if self.record is None else self.record.state
        key = own_key(self.site, self.rule)
        if self.record is None or cause is Cause.RAISE:
            occurrence = occurrence_id(key, self.epoch, sequence)
        else:
            occurrence = self.record.occurrence
        return Transition(
            occurrence=occurrence,
            key=key,
            rule=self.rule,
            source=source,
            target=next_state(source, cause, latched=False),
            cause=cause,
            priority=self.priority,
            at=at,
            mono=mono,
            latched=False,
            actor=actor,
            note=note,
            detail=detail,
            limits=dict(limits or {}),
        )


class OwnAlarms:
    """Makes the moves of the office's own alarms, one at a time: each continues a sequence.

    Args:
        wake: called after each move: it is stored and wants to be looked at.
        revoked: the sites that are revoked: nothing is raised of them, and what stood has been ended in the name of who
            revoked them (`enrol.leaving`).
    """

    def __init__(
        self,
        store: OfficeStore,
        reader: StoreReader,
        clock: Clock,
        wake: Callable[[], None],
        revoked: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._store, self._reader, self._clock, self._wake = store, reader, clock, wake
        self._revoked = revoked
        self._one = asyncio.Lock()
        self._fresh_epoch = OFFICE_EPOCH + secrets.token_hex(4)

    def record(self, site: str, rule: str) -> AlarmRecord | None:
        """Return how an alarm stands."""
        return self._reader.alarm(own_key(site, rule))

    async def move(
        self, site: str, rule: str, cause: Cause, *, detail: str = "", limits: Mapping[str, str] | None = None
    ) -> None:
        """Raise, announce again or clear an alarm, unless it already stands so.

        Raises:
            StorageError: the store failed.
        """
        async with self._one:
            if site in self._revoked():
                return
            record = self.record(site, rule)
            if is_active(record) == (cause is Cause.RAISE):
                return
            await self._store_move(site, rule, record, cause, detail=detail, limits=limits)

    async def ack(self, record: AlarmRecord, actor: Actor, note: str) -> Transition:
        """Acknowledge an alarm for a person; return its transition once it is stored.

        Raises:
            Refused: there is nothing to acknowledge any more. StorageError: the store failed.
        """
        async with self._one:
            site, _, rule = split_key(record.key)
            now = self._reader.alarm(record.key)
            return await self._store_move(site, rule, now, Cause.ACK, actor=actor, note=note)

    async def _store_move(
        self,
        site: str,
        rule: str,
        record: AlarmRecord | None,
        cause: Cause,
        *,
        actor: Actor | None = None,
        note: str = "",
        detail: str = "",
        limits: Mapping[str, str] | None = None,
    ) -> Transition:
        alarm = OwnAlarm(site=site, rule=rule, priority=PRIORITIES[rule], record=record, fresh_epoch=self._fresh_epoch)
        at = self._clock.wall()
        move = alarm.move(
            cause,
            sequence=self._reader.next_sequence(site, alarm.epoch),
            at=at,
            mono=self._clock.monotonic(),
            actor=actor,
            note=note,
            detail=detail,
            limits=limits,
        )
        await asyncio.wrap_future(self._store.add_transitions(alarm.epoch, at, [move]))
        self._wake()
        return move
