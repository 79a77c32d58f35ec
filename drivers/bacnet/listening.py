"""What BACnet devices tell unasked, from the port to the sink; and the task that keeps them telling.

notification ─▶ repeated? ─▶ subscriptions of its device (`cov`) ─▶ decoded ─▶ sink
                    └──────────── in doubt ────────────┴──▶ the scan group is read at once
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from drivers.bacnet.codec import NO_MEANING
from drivers.bacnet.cov import Ask
from drivers.bacnet.flags import FLAGS, RELIABILITY
from drivers.bacnet.groups import Group
from drivers.bacnet.message import Reference, Wrong
from drivers.bacnet.notice import Notice, Repeats, read_notice
from drivers.bacnet.station import NO_SUCH_SERVICE, Station
from drivers.base import Scan, Sink
from sitekeeper.model.clock import SECOND, Clock, Micros
from sitekeeper.model.errors import DeviceSilent, FieldError, ReplyMismatch

HURRY: Final[Micros] = SECOND
"""A scan group is read out of turn at most so often."""
FAREWELL: Final = 0.5
"""Seconds for giving up subscriptions when the link is closed."""


@dataclass(slots=True)
class Watched:
    """A device that tells changes, and which scan groups have the property."""

    station: Station
    groups: dict[Reference, list[Group]] = field(default_factory=dict)


class Listening:
    """Takes notifications of all devices on one port.

    Args:
        watched: by address, as the port names it, and device instance. read: reads a scan group out of turn.

    Attributes:
        strange: notifications that nobody had asked for, or that could not be read.
    """

    def __init__(
        self,
        watched: Mapping[tuple[str, int], Watched],
        read: Callable[[Group], Awaitable[Scan]],
        clock: Clock,
    ) -> None:
        self.strange = 0
        self._watched, self._read, self._clock = watched, read, clock
        self._repeats = Repeats()
        self._sink: Sink | None = None
        self._wake = asyncio.Event()
        self._hurried: dict[str, tuple[Group, Micros]] = {}
        self._out_of_turn: dict[str, Micros] = {}
        self._busy: set[object] = set()

    def take(self, source: str, invoke: int, data: bytes) -> bool:
        """Take a notification; tell whether it is of one of our subscriptions. `invoke`: -1 if unconfirmed."""
        notice = read_notice(data)
        watched = None if isinstance(notice, Wrong) else self._watched.get((source, notice.device))
        if watched is None or isinstance(notice, Wrong) or not watched.station.subscriptions.knows(notice):
            self.strange += 1
            return False
        now = self._clock.monotonic()
        subscriptions = watched.station.subscriptions
        before = self._repeats.before(source, invoke, data, now)
        if before is not None and before >= subscriptions.asked(notice):
            self._hurry(watched, [*subscriptions.doubt(notice), Reference(*notice.place, FLAGS)], now)
            return True
        told = subscriptions.told(notice, now)
        unclear = self._flagged(watched, notice) if told.values else []
        unclear += self._deliver(watched, told.values, now)
        if told.doubted:
            unclear.append(Reference(*notice.place, FLAGS))
        self._hurry(watched, [*told.doubted, *unclear], now)
        self._wake.set()  # what has proved itself has other times to be looked at
        return True

    def _flagged(self, watched: Watched, notice: Notice) -> list[Reference]:
        """Take the flags that came with values; return what must be read, for flags alone do not tell it."""
        flags, reliability = (Reference(*notice.place, prop) for prop in (FLAGS, RELIABILITY))
        said, unclear = notice.values.get(flags), list[Reference]()
        if said is None:
            return unclear
        for group in watched.groups.get(flags, ()):
            fault = group.worth.fault(notice.place)
            group.worth.take(flags, said)
            group.told(flags, said)
            if group.turn.locked():
                unclear.append(flags)
            if group.worth.fault(notice.place) != fault:
                unclear.append(reliability)
        return unclear

    def _deliver(self, watched: Watched, values: Iterable[tuple[Reference, bytes]], now: Micros) -> list[Reference]:
        """Hand values on; return the properties that must be read, for what was told of them settles nothing."""
        said: dict[str, Group] = {}
        unclear = []
        for reference, value in values:
            for group in watched.groups[reference]:
                decoded = [(index, decode(value)) for index, decode in group.cells[reference]]
                meant = all(result != NO_MEANING for _, result in decoded)
                if not meant or group.turn.locked():
                    unclear.append(reference)  # of another type; or a reading is under way, and either may be newer
                if not meant:
                    watched.station.subscriptions.unsaid(reference)
                else:
                    group.told(reference, value)
                    said[group.memory.group.id] = group
        for group in said.values():
            scan = group.memory.tell(list(group.of({reference[:2] for reference, _ in values})), now)
            if scan is not None and self._sink is not None:
                self._sink.scanned(scan)
        return unclear

    def restarted(self, key: tuple[str, int]) -> None:
        """Take note that a device has introduced itself, as those do that were just switched on."""
        watched = self._watched.get(key)
        if watched is not None:
            watched.station.subscriptions.restarted(self._clock.monotonic())
            self._wake.set()

    def wake(self) -> None:
        """Look again at what is to be done."""
        self._wake.set()

    def _hurry(self, watched: Watched, references: Iterable[Reference], now: Micros) -> None:
        for reference in references:
            for group in watched.groups.get(reference, ()):
                group.doubt([reference])
                group_id = group.memory.group.id
                at = max(now, self._out_of_turn.get(group_id, now - HURRY) + HURRY)
                self._hurried.setdefault(group_id, (group, at))
                self._wake.set()

    # --- the task

    async def run(self, sink: Sink) -> None:
        """Subscribe, renew, and read what is in doubt, until cancelled.

        Raises:
            LinkDown: the port is lost.
        """
        self._sink = sink
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    self._wake.clear()
                    await self._pause(self._begin(tasks, sink))
        except ExceptionGroup as several:
            raise several.exceptions[0] from None
        finally:
            self._sink = None
            self._hurried.clear()
            self._busy.clear()
            await self._farewell()

    def _begin(self, tasks: asyncio.TaskGroup, sink: Sink) -> Micros | None:
        """Begin what is due, each device and each scan group by itself, so that a mute one holds up nobody else.

        Returns:
            When more is due; None if that is not known.
        """
        now = self._clock.monotonic()
        later = []
        for key, each in self._watched.items():
            at = each.station.subscriptions.next() if each.station.met and key not in self._busy else None
            if at is not None and at <= now:
                self._start(tasks, key, self._tend(each.station))
            elif at is not None:
                later.append(at)
        for group_id, (group, at) in list(self._hurried.items()):
            if at > now:
                later.append(at)
            elif group_id not in self._busy:
                self._out_of_turn[group_id] = now
                del self._hurried[group_id]
                if group.station.met:  # else its next scan reads everything
                    self._start(tasks, group_id, self._read_now(group, sink))
        return min(later, default=None)

    def _start(self, tasks: asyncio.TaskGroup, key: object, work: Coroutine[None, None, None]) -> None:
        self._busy.add(key)
        tasks.create_task(work, name=f"cov {key}").add_done_callback(lambda _: self._done(key))

    def _done(self, key: object) -> None:
        self._busy.discard(key)
        self._wake.set()

    async def _read_now(self, group: Group, sink: Sink) -> None:
        sink.scanned(await self._read(group))

    async def _tend(self, station: Station) -> None:
        """Send what is due, one request after the other, as long as the device is there."""
        subscriptions = station.subscriptions
        while station.met and (ask := subscriptions.ask(self._clock.monotonic())) is not None:
            try:
                declined = await station.subscribe(ask.service, ask.data)
            except (DeviceSilent, ReplyMismatch):
                subscriptions.silent(ask, self._clock.monotonic())
                continue
            if declined is None:
                subscriptions.acknowledged(ask)
            else:
                unknown = (declined.kind, declined.code) == NO_SUCH_SERVICE
                subscriptions.refused(ask, str(declined), self._clock.monotonic(), unknown=unknown)

    async def _pause(self, at: Micros | None) -> None:
        """Wait until something is due, or comes, or is finished."""
        wait = None if at is None else max(0, at - self._clock.monotonic()) / SECOND
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._wake.wait()

    async def _farewell(self) -> None:
        """Give subscriptions up, without much waiting: a device that goes on telling spends its time on nobody."""
        asks = [
            (each.station, ask)
            for each in self._watched.values()
            if each.station.met
            for ask in each.station.subscriptions.farewell()
        ]
        if not asks:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await asyncio.gather(*(_give_up(station, ask) for station, ask in asks))


async def _give_up(station: Station, ask: Ask) -> None:
    with contextlib.suppress(FieldError):
        await station.subscribe(ask.service, ask.data)
