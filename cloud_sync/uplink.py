"""The uplink's shell: connects, reads blocks out of the outbox, publishes, listens; `uplink_machine` decides.

Exactly this layer reconnects. A connection ends by itself (`PeerUnreachable`) or because the machine wants a new one;
in between is a jittered back-off. Nothing here removes a block: `BlockSource.release` is called for receipts only.
"""

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Callable
from random import Random
from typing import Final

import structlog

from cloud_sync import saved, wire
from cloud_sync.acks import Acks
from cloud_sync.direct import Direct
from cloud_sync.downlink import KINDS, Door, OrderDesk, SealedOrder, parse
from cloud_sync.history import History
from cloud_sync.pace import records_of
from cloud_sync.saved import BlockName
from cloud_sync.session import Connect, NoAnswer, Session, Will, heed_the_end
from cloud_sync.uplink_machine import Output, Reconnect, Release, Send, UplinkMachine
from cloud_sync.uplink_records import NOBODY, TAKEN_OVER, TOO_LARGE
from cloud_sync.uplink_values import AuditDesk, BlockSource, Quarantined, UplinkReport, UplinkSettings, first_to_send
from cloud_sync.wire import Links, Receipt, Request, Status, down_topic, up_topic
from sitekeeper.block import STREAMS, Stream
from sitekeeper.model.clock import SECOND, Clock, Micros
from sitekeeper.model.command import Ack
from sitekeeper.model.errors import FormatError, PeerUnreachable, Refused, StorageError

__all__ = ["BlockSource", "Uplink", "UplinkReport", "UplinkSettings"]

log = structlog.get_logger()

REMEMBERED = 512
"""Digests of blocks sent lately that are kept to understand a `quarantined` answer; the oldest go first."""

MAX_RECEIPTS = 1_000
"""Receipts waiting for an outbox whose writer is behind; the oldest go first, and come again on another connection."""

LOOK_EVERY = 1.0
"""Seconds after which the outbox is looked at even if nobody said that something is new."""

APART: Final = 1.0
"""Seconds between two statuses at least, where alarms behind one that nobody has wait for the next one."""

STEADY: Micros = 10 * SECOND
"""A connection that stood for so long was a good one: the next back-off begins small again."""

ENVELOPE: Final = 256
"""Bytes of a publish beside its payload, at most: topic, identifier, length."""

ALARMS_FIRST: Micros = 3 * SECOND
"""How long a catalogue waits at most for the alarms that were there when the connection came."""


class _Renew(Exception):
    """The machine wants a new connection."""


class Uplink:
    """One site's way to its office. `run` works until it is cancelled."""

    def __init__(
        self,
        connect: Connect,
        source: BlockSource,
        door: Door,
        *,
        settings: UplinkSettings,
        clock: Clock,
        random: Random | None = None,
        orders: OrderDesk | None = None,
        audit: AuditDesk | None = None,
        hours: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._connect = connect
        self._source = source
        self._orders, self._audit, self._hours = orders, audit, hours
        self._settings = settings
        self.direct = Direct(settings.site, clock)
        self._clock = clock
        self._random = random or Random()  # noqa: S311 - jitter, not secrets
        self._machine = UplinkMachine(source.epoch, settings.limits, self._random)
        self._history = History(settings.site, source, self._machine.pace, clock, self._remember)
        self._wake = asyncio.Event()
        self._receipts: deque[Release] = deque(maxlen=MAX_RECEIPTS)
        self._acks = Acks(door)
        self._digests: OrderedDict[str, BlockName] = OrderedDict()
        self._announced = self._known = self._listening = self._hurry = False
        self._report = UplinkReport()

    def wake(self) -> None:
        """The outbox has something new. To be called on the event loop, as often as one likes."""
        self._wake.set()

    def report(self) -> UplinkReport:
        """Return how the uplink stands."""
        machine, report = self._machine, self._report
        report.window, report.window_bytes = machine.window, machine.pace.bound
        report.in_flight, report.refused = len(machine.in_flight()), dict(machine.refused)
        report.by_stream = {stream: machine.count(stream) for stream in STREAMS}
        report.nobody, report.suspects = machine.nobody, len(machine.holds.suspects)
        report.held = sorted(machine.holds.blocks)
        if machine.connected and self._listening:
            report.state = "refused" if machine.refused else "waiting" if machine.probing else "connected"
        else:
            report.state = "connecting"
        return report

    def retry(self) -> None:
        """Connect now, or ask now, and hold nothing back any longer. To be called on the event loop."""
        self._hurry = True
        self._machine.retry(self._clock.monotonic())
        self._wake.set()

    async def run(self) -> None:
        """Connect, work, and connect again, until cancelled."""
        delay = self._settings.backoff_first
        while True:
            began = self._clock.monotonic()
            # A task of its own: a TaskGroup of Python 3.11 loses a cancellation that comes when one of its tasks fails,
            # and leaves `cancelling` wrong. Here, outside of it, `cancelling` tells the truth.
            why = await asyncio.create_task(self._one_connection(), name="uplink-connection")
            heed_the_end()
            if self._machine.connected:
                self._machine.disconnect(self._clock.monotonic(), silent=self._report.silent)
            if why != self._report.last_error:
                log.info("uplink lost", why=why)
            self._report.last_error = why
            if self._clock.monotonic() - began > STEADY:
                delay = self._settings.backoff_first
            await self._back_off(int(self._random.uniform(0.5, 1.0) * delay))
            delay = min(2 * delay, self._settings.backoff_most)

    async def _back_off(self, wait: Micros) -> None:
        """Wait before the next attempt; while an alarm waits to be told, no longer than `backoff_alarms`."""
        began, urgent = self._clock.monotonic(), int(self._random.uniform(0.5, 1.0) * self._settings.backoff_alarms)
        if self._report.farewell == TAKEN_OVER:
            wait = urgent = int(self._random.uniform(0.5, 1.0) * self._settings.backoff_twin)
        while not self._hurry:
            self._wake.clear()
            most = min(wait, urgent) if self._source.unsent("alarms")[2] else wait
            left = began + most - self._clock.monotonic()
            if left <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left / SECOND):
                    await self._wake.wait()

    async def _one_connection(self) -> str:
        """Use one connection until it ends; return why it did."""
        self._hurry = False
        try:
            session = await self._connect(Will(topic=self._topic("status"), payload=self._status(online=False)))
        except (PeerUnreachable, Refused) as err:
            return str(err)
        why, self._report.silent = "ended", False
        try:
            heed_the_end()
            await self._work(session)
        except* NoAnswer as group:
            why, self._report.silent = str(group.exceptions[0]), True
        except* (PeerUnreachable, Refused, _Renew) as group:
            why = str(group.exceptions[0])
        except* StorageError as group:
            if any(isinstance(error, StorageError) and error.damaged for error in group.exceptions):
                raise  # that ends the process, and the next one saves what can be read
            why = str(group.exceptions[0])
        finally:
            self._report.ended(session.farewell, self._clock.monotonic())
            await session.close()
        return why

    async def _work(self, session: Session) -> None:
        """Do everything at once: the broker takes what comes in its order, and alarms wait for none of its answers."""
        self._machine.connect(self._clock.monotonic(), session.allows.unanswered)
        self._listening = False
        self._report.protocol = session.protocol
        self._report.connections += 1
        log.info("uplink connected", protocol=session.protocol, after=self._report.last_error)
        self._report.last_error = ""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._subscribe(session), name="uplink-subscribe")
            tasks.create_task(self._tell_status(session), name="uplink-status")
            tasks.create_task(self.direct.run(session), name="uplink-direct")
            tasks.create_task(self._listen(session), name="uplink-listen")
            tasks.create_task(self._history.run(session), name="uplink-history")
            tasks.create_task(self._acks.run(), name="uplink-acks")
            tasks.create_task(self._announce(session), name="uplink-catalogue")
            turns = saved.Turns()
            for urgent, name in ((True, "uplink-saved-alarms"), (False, "uplink-saved")):
                sending = saved.send(
                    self._source, session, self._settings.site, turns, urgent=urgent, remember=self._remember
                )
                tasks.create_task(sending, name=name)
            tasks.create_task(self._pump(session, tasks), name="uplink-pump")

    async def _subscribe(self, session: Session) -> None:
        site = self._settings.site
        topics = [session.subscribe(down_topic(site, kind)) for kind in KINDS]
        if self._orders is not None:  # not queued: what comes while we are away is void
            topics.append(session.subscribe(down_topic(site, "command"), queued=False))
        await asyncio.gather(*topics)
        self._listening = True

    async def _announce(self, session: Session) -> None:
        """Send our catalogue, after the alarms that wait and before any samples: on a slow line it takes long.

        Once is enough, unless the broker says that nobody got it.
        """
        until = self._clock.monotonic() + ALARMS_FIRST
        while not self._known:
            if self._announced or not self._source.unsent("alarms")[2] or self._clock.monotonic() >= until:
                self._known = await self._send_catalogue(session, self._settings.catalogue) != NOBODY
                self._announced = True
                self._wake.set()
            await asyncio.sleep(LOOK_EVERY if self._announced else 0.05)

    async def _pump(self, session: Session, tasks: asyncio.TaskGroup) -> None:
        """Do what the machine says, whenever something happened or a deadline has come."""
        while True:
            self._wake.clear()
            for stream in STREAMS:
                oldest, newest, count = self._source.unsent(stream)
                if count and (self._announced or stream != "samples"):
                    self._machine.offer(stream, oldest, newest)
            self._release()
            while outputs := self._machine.advance(self._clock.monotonic()):
                for output in outputs:
                    self._do(output, session, tasks)
                await asyncio.sleep(0)  # let publishes begin, and others live
            now = self._clock.monotonic()
            deadline = self._machine.next_deadline(now)
            wait = LOOK_EVERY if deadline is None else min(LOOK_EVERY, (deadline - now) / SECOND)
            try:
                async with asyncio.timeout(max(wait, 0.001)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _do(self, output: Output, session: Session, tasks: asyncio.TaskGroup) -> None:
        match output:
            case Send(stream, sequence):
                # Alarms are sent once each, in order; one that was released is wanted by an office that lost it.
                try:
                    payload = self._source.read(stream, sequence, history=stream == "alarms")
                except StorageError as err:
                    if err.damaged:
                        raise
                    log.warning("block cannot be read at present", stream=stream, sequence=sequence, why=str(err))
                    self._machine.aside(stream, sequence, self._clock.monotonic())
                    return
                if payload is None:
                    self._machine.absent(stream, sequence)
                    return
                packet = session.allows.packet
                if packet is not None and len(payload) + ENVELOPE > packet:
                    self._machine.aside(stream, sequence, self._clock.monotonic(), reason=TOO_LARGE)
                    return
                backfill = self._machine.is_backfill((stream, sequence))
                self._machine.spent(stream, sequence, len(payload), records_of(payload) if backfill else None)
                self._remember(payload, (self._source.epoch, stream, sequence))
                tasks.create_task(self._publish(session, stream, sequence, payload), name=f"uplink-{stream}-{sequence}")
            case Release():
                self._release(output)
            case Reconnect(reason):
                raise _Renew(reason)

    async def _publish(self, session: Session, stream: Stream, sequence: int, payload: bytes) -> None:
        reason = await session.publish(self._topic(stream), payload)
        self._report.published += 1
        if reason >= 128 and stream not in self._machine.refused:
            log.warning("broker refuses blocks", stream=stream, reason_code=reason)
        self._machine.published(stream, sequence, reason, self._clock.monotonic())
        self._wake.set()

    async def _listen(self, session: Session) -> None:
        while True:
            delivery = await session.receive()
            session.ack(delivery)
            try:
                message = parse(delivery.topic, delivery.payload, site=self._settings.site)
            except FormatError as err:
                self._report.ignored += 1
                log.warning("message from the office not understood", why=str(err))
                continue
            if isinstance(message, SealedOrder):
                if self._orders is not None:
                    self._orders.take(message.payload, retained=delivery.retained)
                continue
            await self._obey(message, session)
            self._wake.set()

    async def _obey(self, message: Receipt | Request | Ack, session: Session) -> None:
        now = self._clock.monotonic()
        if isinstance(message, Receipt):
            self._report.last_receipt, self._report.office_offset = now, message.at - now
            outputs = self._machine.receipt(message, now)
            saved.release(self._source, self._source.epoch, message)
        elif isinstance(message, Ack):
            self._acks.take(message)
            return
        else:
            outputs = await self._answer(message, session, now)
        for output in outputs:
            if isinstance(output, Release):
                self._release(output)

    def _release(self, *outputs: Release) -> None:
        """Hand receipts to the outbox. One that it cannot take yet is kept: its block is not sent again meanwhile."""
        self._report.released += sum(end - start + 1 for one in outputs for _, start, end in one.ranges)
        self._receipts.extend(outputs)
        while self._receipts and self._source.release(self._receipts[0].epoch, self._receipts[0].ranges) is not False:
            self._receipts.popleft()

    async def _answer(self, request: Request, session: Session, now: Micros) -> list[Output]:
        if request.catalogue is not None:
            await self._send_catalogue(session, request.catalogue)
        elif request.resend is not None:
            oldest, _, count = self._source.unsent(request.resend.stream)
            if count and request.resend.epoch == self._source.epoch and request.resend.end >= oldest:
                self._machine.resend(request.resend.stream, max(request.resend.start, oldest), now)
            self._history.want(request.resend)
        elif request.audit is not None and self._audit is not None:
            self._audit.held(request.audit.epoch, request.audit.n, request.audit.hash)
        elif request.version is not None and request.version.epoch == self._source.epoch:
            log.warning("office is older than this gateway", stream=request.version.stream)
            self._machine.too_new(request.version.stream, now)
        elif request.quarantined is not None and (name := self._digests.get(request.quarantined)) is not None:
            epoch, stream, sequence = name
            log.error("office cannot read a block", epoch=epoch, stream=stream, sequence=sequence)
            self._report.quarantined.append(Quarantined(self._clock.wall(), stream, sequence, request.quarantined))
            self._history.useless(name)
            return self._machine.quarantined(*name, now)
        return []

    async def _send_catalogue(self, session: Session, catalogue_hash: str) -> int:
        payload = self._source.catalogue(catalogue_hash)
        return 0 if payload is None else await session.publish(self._topic("catalogue"), payload)

    async def _tell_status(self, session: Session) -> None:
        every = self._settings.status_every / SECOND
        while True:
            self._history.news.clear()
            await session.publish(self._topic("status"), self._status(online=True), retain=True)
            await asyncio.sleep(min(APART, every))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, every - APART)):
                    await self._history.news.wait()

    def _status(self, *, online: bool) -> bytes:
        source, settings, audit = self._source, self._settings, self._audit if online else None
        unsent = {stream: source.unsent(stream) for stream in STREAMS}
        status = Status(
            online=online,
            site=settings.site,
            epoch=source.epoch,
            boot=settings.boot,
            version=settings.version,
            at=self._clock.wall(),
            clock=self._clock.trusted(),
            mono=self._clock.monotonic(),
            window=self._machine.window,
            first={stream: first_to_send(source, stream) for stream in STREAMS},
            next={stream: source.next_sequence(stream) for stream in STREAMS},
            unsent={stream: count for stream, (_, _, count) in unsent.items()},
            nonce=self._orders.nonce() if online and self._orders is not None else "",
            audit=None if audit is None else audit.head(),
            links=None if audit is None or (found := audit.links()) is None else Links(*found),
            hours=self._hours(),
            absent=self._history.absent,
        )
        return wire.encode_status(status)

    def _topic(self, kind: wire.UpKind) -> str:
        return up_topic(self._settings.site, kind)

    def _remember(self, payload: bytes, name: BlockName) -> None:
        self._digests[wire.digest(payload)] = name
        while len(self._digests) > REMEMBERED:
            self._digests.popitem(last=False)
