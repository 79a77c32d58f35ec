"""The uplink's shell: connects, reads blocks out of the outbox, publishes, listens; `uplink_machine` decides.

Exactly this layer reconnects. A connection ends by itself (`PeerUnreachable`) or because the machine wants a new one;
in between is a jittered back-off. Nothing here removes a block: `BlockSource.release` is called for receipts only.
"""

import asyncio
import contextlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

import structlog

from cloud_sync import wire
from cloud_sync.downlink import KINDS, Door, parse
from cloud_sync.session import Connect, Session, Will
from cloud_sync.uplink_machine import BlockId, Output, Reconnect, Release, Send, UplinkLimits, UplinkMachine
from cloud_sync.wire import Receipt, Request, Status, down_topic, up_topic
from sitekeeper.block import STREAMS, Stream
from sitekeeper.model.clock import MS, SECOND, Clock, Micros
from sitekeeper.model.command import Ack
from sitekeeper.model.errors import FormatError, PeerUnreachable, Refused, StorageError

log = structlog.get_logger()

REMEMBERED = 512
"""Digests of blocks sent lately that are kept to understand a `quarantined` answer; the oldest go first."""

MAX_ACKS = 64
"""Acknowledgements waiting for the door; what comes beyond is left out, because the office repeats it."""

LOOK_EVERY = 1.0
"""Seconds after which the outbox is looked at even if nobody said that something is new."""


class BlockSource(Protocol):
    """What the uplink needs of the outbox."""

    @property
    def epoch(self) -> str:
        """Return the id of the outbox file."""

    def next_sequence(self, stream: Stream) -> int:
        """Return the sequence that the next block of this stream will get."""

    def unsent(self, stream: Stream) -> tuple[int, int, int]:
        """Return (oldest, newest, count) of the unreleased blocks; the first two mean nothing when count is 0."""

    def read(self, stream: Stream, sequence: int, *, history: bool = False) -> bytes | None:
        """Return an unreleased block's bytes, with `history` also those of a released one; None if it is not there."""

    def release(self, epoch: str, ranges: list[tuple[Stream, int, int]]) -> object:
        """The office has committed these closed ranges; ids that do not exist are passed over."""

    def catalogue(self, catalogue_hash: str) -> bytes | None:
        """Return an encoded catalogue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkSettings:
    """Who we are and how often we speak; times in microseconds."""

    site: str
    boot: str
    version: str
    catalogue: str
    status_every: Micros = 10 * SECOND
    backoff_first: Micros = 500 * MS
    backoff_most: Micros = 5 * SECOND
    backoff_alarms: Micros = SECOND
    limits: UplinkLimits = field(default_factory=UplinkLimits)


@dataclass(slots=True, kw_only=True)
class UplinkReport:
    """How the uplink stands, for `sk status` and `sk sync status`.

    Attributes:
        state: `connecting`, `connected`, `waiting` (no receipts) or `refused`; key `sync.uplink.<state>` of the texts.
        last_receipt: wall time.
        refused: the broker's reason codes per stream.
        published, released: blocks since the start, repeats counted.
    """

    state: str = "connecting"
    protocol: str = ""
    window: int = 0
    in_flight: int = 0
    last_receipt: Micros | None = None
    last_error: str = ""
    refused: dict[Stream, int] = field(default_factory=dict)
    connections: int = 0
    published: int = 0
    released: int = 0
    ignored: int = 0


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
    ) -> None:
        self._connect = connect
        self._source = source
        self._door = door
        self._settings = settings
        self._clock = clock
        self._random = random or Random()  # noqa: S311 - jitter, not secrets
        self._machine = UplinkMachine(source.epoch, settings.limits, self._random)
        self._wake = asyncio.Event()
        self._acks: asyncio.Queue[Ack] = asyncio.Queue(MAX_ACKS)
        self._digests: OrderedDict[str, BlockId] = OrderedDict()
        self._announced = False
        self._report = UplinkReport()

    def wake(self) -> None:
        """The outbox has something new. To be called on the event loop, as often as one likes."""
        self._wake.set()

    def report(self) -> UplinkReport:
        """Return how the uplink stands."""
        machine, report = self._machine, self._report
        report.window, report.in_flight, report.refused = (
            machine.window,
            len(machine.in_flight()),
            dict(machine.refused),
        )
        if machine.connected:
            report.state = "refused" if machine.refused else "waiting" if machine.probing else "connected"
        else:
            report.state = "connecting"
        return report

    async def run(self) -> None:
        """Connect, work, and connect again, until cancelled."""
        delay = self._settings.backoff_first
        while True:
            began = self._clock.monotonic()
            # A task of its own: a TaskGroup of Python 3.11 loses a cancellation that comes when one of its tasks fails,
            # and leaves `cancelling` wrong. Here, outside of it, `cancelling` tells the truth.
            why = await asyncio.create_task(self._one_connection(), name="uplink-connection")
            this = asyncio.current_task()
            if this is not None and this.cancelling():
                raise asyncio.CancelledError
            if self._machine.connected:
                self._machine.disconnect(self._clock.monotonic())
            if why != self._report.last_error:
                log.info("uplink lost", why=why)
            self._report.last_error = why
            if self._clock.monotonic() - began > 2 * self._settings.backoff_most:
                delay = self._settings.backoff_first
            await self._back_off(int(self._random.uniform(0.5, 1.0) * delay))
            delay = min(2 * delay, self._settings.backoff_most)

    async def _back_off(self, wait: Micros) -> None:
        """Wait before the next attempt; while an alarm waits to be told, no longer than `backoff_alarms`."""
        began = self._clock.monotonic()
        while True:
            self._wake.clear()
            most = min(wait, self._settings.backoff_alarms) if self._source.unsent("alarms")[2] else wait
            left = began + most - self._clock.monotonic()
            if left <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left / SECOND):
                    await self._wake.wait()

    async def _one_connection(self) -> str:
        """Use one connection until it ends; return why it did."""
        try:
            session = await self._connect(Will(topic=self._topic("status"), payload=self._status(online=False)))
        except (PeerUnreachable, Refused) as err:
            return str(err)
        why = "ended"
        try:
            await self._work(session)
        except* (PeerUnreachable, Refused, _Renew) as group:
            why = str(group.exceptions[0])
        finally:
            await session.close()
        return why

    async def _work(self, session: Session) -> None:
        for kind in KINDS:
            await session.subscribe(down_topic(self._settings.site, kind))
        await session.publish(self._topic("status"), self._status(online=True), retain=True)
        if not self._announced:
            await self._send_catalogue(session, self._settings.catalogue)
            self._announced = True
        self._machine.connect(self._clock.monotonic())
        self._report.protocol = session.protocol
        self._report.connections += 1
        log.info("uplink connected", protocol=session.protocol, after=self._report.last_error)
        self._report.last_error = ""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(session), name="uplink-listen")
            tasks.create_task(self._tell_status(session), name="uplink-status")
            tasks.create_task(self._hand_over_acks(), name="uplink-acks")
            tasks.create_task(self._pump(session, tasks), name="uplink-pump")

    async def _pump(self, session: Session, tasks: asyncio.TaskGroup) -> None:
        """Do what the machine says, whenever something happened or a deadline has come."""
        while True:
            self._wake.clear()
            for stream in STREAMS:
                oldest, newest, count = self._source.unsent(stream)
                if count:
                    self._machine.offer(stream, oldest, newest)
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
                payload = self._source.read(stream, sequence, history=stream == "alarms")
                if payload is None:
                    self._machine.absent(stream, sequence)
                    return
                self._machine.spent(stream, sequence, len(payload))
                self._remember(payload, (stream, sequence))
                tasks.create_task(self._publish(session, stream, sequence, payload), name=f"uplink-{stream}-{sequence}")
            case Release(epoch, ranges):
                self._report.released += sum(end - start + 1 for _, start, end in ranges)
                self._source.release(epoch, ranges)
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
            await self._obey(message, session)
            self._wake.set()

    async def _obey(self, message: Receipt | Request | Ack, session: Session) -> None:
        now = self._clock.monotonic()
        if isinstance(message, Receipt):
            self._report.last_receipt = self._clock.wall()
            outputs = self._machine.receipt(message, now)
        elif isinstance(message, Ack):
            if not self._acks.full():
                self._acks.put_nowait(message)
            return
        else:
            outputs = await self._answer(message, session, now)
        for output in outputs:
            if isinstance(output, Release):
                self._report.released += sum(end - start + 1 for _, start, end in output.ranges)
                self._source.release(output.epoch, output.ranges)

    async def _answer(self, request: Request, session: Session, now: Micros) -> list[Output]:
        if request.catalogue is not None:
            await self._send_catalogue(session, request.catalogue)
        elif request.resend is not None and request.resend.epoch == self._source.epoch:
            self._machine.resend(request.resend.stream, request.resend.start, now)
        elif request.version is not None and request.version.epoch == self._source.epoch:
            log.warning("office is older than this gateway", stream=request.version.stream)
            self._machine.too_new(request.version.stream, now)
        elif request.quarantined is not None and (block := self._digests.get(request.quarantined)) is not None:
            log.error("office cannot read a block", stream=block[0], sequence=block[1])
            return self._machine.quarantined(*block, now)
        return []

    async def _send_catalogue(self, session: Session, catalogue_hash: str) -> None:
        payload = self._source.catalogue(catalogue_hash)
        if payload is not None:
            await session.publish(self._topic("catalogue"), payload)

    async def _tell_status(self, session: Session) -> None:
        while True:
            await asyncio.sleep(self._settings.status_every / SECOND)
            await session.publish(self._topic("status"), self._status(online=True), retain=True)

    async def _hand_over_acks(self) -> None:
        while True:
            ack = await self._acks.get()
            try:
                await self._door.acknowledge(ack)
            except Refused as err:
                log.debug("acknowledgement of the office not needed", occurrence=ack.occurrence, reason=err.reason)
            except StorageError as err:
                log.warning("acknowledgement of the office not recorded", occurrence=ack.occurrence, why=str(err))

    def _status(self, *, online: bool) -> bytes:
        source, settings = self._source, self._settings
        unsent = {stream: source.unsent(stream) for stream in STREAMS}
        status = Status(
            online=online,
            site=settings.site,
            epoch=source.epoch,
            boot=settings.boot,
            version=settings.version,
            at=self._clock.wall(),
            clock=self._clock.trusted(),
            window=self._machine.window,
            first={
                stream: oldest if count else source.next_sequence(stream)
                for stream, (oldest, _, count) in unsent.items()
            },
            unsent={stream: count for stream, (_, _, count) in unsent.items()},
            nonce=secrets.token_hex(8),
        )
        return wire.encode_status(status)

    def _topic(self, kind: wire.UpKind) -> str:
        return up_topic(self._settings.site, kind)

    def _remember(self, payload: bytes, block: BlockId) -> None:
        self._digests[wire.digest(payload)] = block
        while len(self._digests) > REMEMBERED:
            self._digests.popitem(last=False)
