"""MQTT devices on one broker: keeps what was last heard, tells events, and acknowledges them when they are durable.

    broker ─▶ session ─▶ receive ─┬▶ states ─▶ sink.scanned ──────────────┐
                                  └▶ events ─▶ sink.heard ─▶ (durable) ───┴▶ acknowledged, in order of arrival

Whatever is not acknowledged the broker delivers again, to this process or to the next one. A message that cannot be
understood is acknowledged like any other, so that poison does not block what lies behind it; it is kept among the
rejected ones.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Final

import msgspec

from drivers.base import Account, DeviceRead, Heard, Scan, Services, Sink
from drivers.broker import NO_SUBSCRIBERS, REFUSED, Connect, Delivery, Session
from drivers.mqtt.asking import TIMES, Request
from drivers.mqtt.clocks import Clocks
from drivers.mqtt.events import EventCounts, Events
from drivers.mqtt.options import MqttDevice, MqttLink, Place
from drivers.mqtt.parse import Unreadable
from drivers.mqtt.paths import Content
from drivers.mqtt.payload import written
from drivers.mqtt.rejected import Rejected
from drivers.mqtt.remedies import remedy
from drivers.mqtt.states import States
from drivers.mqtt.subscribing import AGAIN_S as SUBSCRIBE_AGAIN_S
from drivers.mqtt.subscribing import Subscribing, code_of
from drivers.mqtt.topics import Copies, subscriptions
from drivers.rejecting import Unusable
from sitekeeper.model.clock import SECOND, Clock, Micros, Moment
from sitekeeper.model.errors import (
    DeviceRefused,
    DeviceSilent,
    LinkDown,
    NotFound,
    PeerUnreachable,
    Refused,
    StorageError,
)
from sitekeeper.model.sample import Value

SETTLE: Final = 0.3
"""Seconds that `open` gives retained messages to come, so that the first reading finds them."""

REQUESTS: Final = 64
"""Requests for missing events waiting to be published; further ones are dropped: the gap is on record anyway."""

AGAIN_S: Final = 1.0
"""Seconds until events that could not be stored are told again, as the outbox itself tries once a second."""

SALT: Final = 16
"""Bytes; a shorter salt hides no card number."""


@dataclass(slots=True)
class _Pending:
    """A message not yet acknowledged, with the events in it, and when they are durable once they are told."""

    delivery: Delivery
    heard: tuple[Heard, ...] = ()
    told: asyncio.Event = field(default_factory=asyncio.Event)
    durable: "Future[None] | None" = None

    def tell(self, sink: Sink) -> None:
        self.durable = sink.heard(self.heard)
        self.told.set()


class MqttDriver:
    """A `drivers.base.Driver`, `Listener`, `Asker`, `Reporter` and `Rejecting` for all devices on one broker.

    Attributes:
        refused_requests: requests for missing events that the broker did not take.
    """

    def __init__(
        self, link_id: str, link: MqttLink, devices: Sequence[DeviceRead], clock: Clock, services: Services
    ) -> None:
        port = link.port or (8883 if link.tls else 1883)
        self.refused_requests = 0
        self._endpoint = f"mqtt {link.host}:{port}"
        self._clock = clock
        self._events = Events(link_id, devices, services.salt)
        self._states = States(devices, self._endpoint, self._events.hidden, self._events.rejected)
        self._clocks = Clocks(devices)
        wanted = self._wanted()
        self._subscribing = Subscribing(wanted)
        self._copies = Copies(wanted)
        self._points = {
            (device.id, point.name): point for device in devices for group in device.groups for point in group.points
        }
        self._polls = _polls(devices)
        self._connect = _connect(link_id, link, port, services)
        self._hides = len(services.salt) >= SALT or not self._events.personal
        self._limit = link.unacknowledged
        self._session: Session | None = None
        self._running: asyncio.Task[None] | None = None
        self._lost = "not open"
        self._sink: Sink | None = None
        self._settled = asyncio.Event()
        self._unacknowledged: asyncio.Queue[_Pending] = asyncio.Queue(self._limit)
        self._untold: deque[_Pending] = deque()
        self._waiting = 0  # messages taken and not yet acknowledged
        self._requests: asyncio.Queue[Request] = asyncio.Queue(REQUESTS)

    @property
    def rejected(self) -> Rejected:
        """What came and could not become a value or an event."""
        return self._events.rejected

    @property
    def counts(self) -> EventCounts:
        return self._events.counts

    def report(self, device: str) -> Mapping[str, object]:
        asking, counters = self._events.asking, self._events.asking.counters(device)
        behind = self._clocks.behind(device, counters)
        return {
            "counters": counters,
            "clock_behind_s": None if behind is None else round(behind / SECOND, 1),
            "protocol": "" if self._session is None else self._session.protocol,
            "not_let": dict(self._subscribing.refused),
            "unacknowledged": self._waiting,
            "heard": asdict(self.counts),
            "ranges_asked": asking.asked,
            "asked_for": {each: asking.requests(each) for each in counters},
            "asked_at_most": TIMES,
            "requests_refused": self.refused_requests,
            "rejected": self.rejected.total,
        }

    def unusable(self) -> Sequence[Unusable]:
        return self.rejected.told()

    def unusable_total(self) -> int:
        return self.rejected.total

    async def open(self) -> None:
        if self._connect is None:
            raise LinkDown("this process was given no connections to brokers", endpoint=self._endpoint)
        if not self._hides:
            raise LinkDown("the site has no salt, so cards cannot be hidden", endpoint=self._endpoint)
        self._states.forget()
        self._clocks.opened()
        self._events.asking.opened()
        self._waiting = 0
        self._unacknowledged = asyncio.Queue(self._limit)
        self._untold.clear()
        self._settled.clear()
        try:
            self._session = session = await self._connect()
            await self._subscribing.all(session)
        except (PeerUnreachable, Refused) as error:
            await self.close()
            raise self._down(error) from None
        for topic, why in self._subscribing.refused.items():
            self._states.refused(topic, code_of(why), why, self._events.devices_on(topic))
        self._lost = ""
        self._running = asyncio.create_task(self._run(session), name=self._endpoint)
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE):
                await self._settled.wait()  # wait_for, on Python 3.11, forgets a cancellation that comes with it

    def _wanted(self) -> dict[str, bool]:
        """Return what is subscribed to, and whether it is kept for us while we are away.

        States are not: retained, and told again and again, they would crowd out the events.
        """
        states = dict.fromkeys(self._states.topics + self._clocks.topics + self._events.asking.topics)
        return subscriptions([(each, True) for each in self._events.topics] + [(each, False) for each in states])

    async def close(self) -> None:
        running, self._running = self._running, None
        session, self._session = self._session, None
        self._lost = self._lost or "not open"
        if running is not None:
            running.cancel()
            await asyncio.wait((running,))
        if session is not None:
            await session.close()

    async def read(self, group_id: str) -> Scan:
        self._open_session()
        return self._states.scan(group_id, self._now())

    async def write(self, device: str, point: str, value: Value, priority: int) -> None:  # noqa: ARG002 - MQTT has none
        read = self._points.get((device, point))
        if read is None or not isinstance(read.address, Place) or read.address.point.write is None:
            raise NotFound(f"a point {device}/{point} that can be written")
        if value is None:
            raise ValueError(f"{device}/{point} has no priorities, so there is no command to give up")
        payload = written(read.address.point, read.type, read.members, value)
        topic = read.address.point.write.topic
        try:
            code = await self._open_session().publish(topic, payload)
        except PeerUnreachable as error:
            raise self._down(error, f"publish {topic}") from None
        request = f"publish {topic}"
        if code >= REFUSED:
            what = f"the broker refused it, reason code {code}"
            raise DeviceRefused(what, exception_code=code, endpoint=self._endpoint, device=device, request=request)
        if code == NO_SUBSCRIBERS:
            raise DeviceSilent("nobody listens there", endpoint=self._endpoint, device=device, request=request)

    async def listen(self, sink: Sink) -> None:
        self._open_session()
        assert self._running is not None
        self._sink = sink
        try:
            while self._untold:
                self._untold.popleft().tell(sink)
            await asyncio.wait((self._running,))
            self._open_session()
        finally:
            self._sink = None

    def ask(self, accounts: Mapping[str, Account]) -> None:
        self._want(self._events.asking.resumed(accounts))

    # while the link is open

    async def _run(self, session: Session) -> None:
        """Take and acknowledge messages until the connection is gone."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._receive(session), name=f"receive {self._endpoint}")
                tasks.create_task(self._acknowledge(session), name=f"acknowledge {self._endpoint}")
                tasks.create_task(self._ask(session), name=f"ask {self._endpoint}")
                tasks.create_task(self._poll(session), name=f"poll {self._endpoint}")
                tasks.create_task(self._try_again(session), name=f"subscribe {self._endpoint}")
        except* PeerUnreachable as failed:
            self._lost = self._down(failed.exceptions[0]).what

    async def _receive(self, session: Session) -> None:
        while True:
            await self._take(await session.receive())
            self.rejected.dropped(session.dropped, self._clock.monotonic())

    async def _take(self, delivery: Delivery) -> None:
        """Take one message: events first, then states, so that whoever opened a door is known before it is open."""
        pending = _Pending(delivery)
        queued = bool(delivery.qos) or self._events.hears(delivery.topic)
        if queued:
            await self._unacknowledged.put(pending)  # as long as this waits nothing more is taken: the time comes after
            self._waiting += 1
        topic, content, now = delivery.topic, Content(delivery.payload), self._now()
        told = self._events.take(topic, content, now.mono, retained=delivery.retained)
        of_states = self._states.take(topic, content, now, retained=delivery.retained, queued=queued)
        changed = of_states or []
        self._clocks.take(topic, content, now, retained=delivery.retained)
        self._want(self._events.asking.take(topic, content, now.mono))
        if of_states is None and not (told is not None and (told.heard or told.rejected)):
            fault = content.fault or Unreadable("no device of this site claims it", "nobody")
            self.rejected.note(topic, content.payload, fault.code, str(fault), now.mono)
        if self._states.all_heard:
            self._settled.set()
        if told is not None:
            unnumbered = any(each.sequence is None for each in told.heard)
            copied = unnumbered and self._copies.again(topic, content.payload, now.mono)
            pending.heard = () if copied else tuple(self._clocks.stamped(each, now) for each in told.heard)
            changed += [group for device in told.devices for group in self._alive(device, pending.heard, now)]
            self._want([told.request] if told.request is not None else [])
        if pending.heard and self._sink is None:
            self._untold.append(pending)
        elif pending.heard and self._sink is not None:
            pending.tell(self._sink)
        for group in dict.fromkeys(changed):
            if self._sink is not None:
                self._sink.scanned(self._states.scan(group, now))

    def _alive(self, device: str, heard: Sequence[Heard], now: Moment) -> list[str]:
        """Take an event for a sign of life, unless it waited at the broker; return the scan groups that come back."""
        told = next((each.source + (each.behind or 0) for each in heard if each.source is not None), None)
        return [] if self._states.waited(device, now, told) else self._states.alive(device, now.mono)

    async def _acknowledge(self, session: Session) -> None:
        """Acknowledge messages in the order in which they came (MQTT 5, section 4.6), events once they are durable."""
        while True:
            pending = await self._unacknowledged.get()
            if pending.heard:
                await self._durable(pending)
            session.ack(pending.delivery)
            self._waiting -= 1

    async def _durable(self, pending: _Pending) -> None:
        """Wait until events are durable. Those that could not be stored are told again.

        The link stays open meanwhile: a full disk must not keep a fire alarm from opening the doors. The first time
        they are told again at once: while others waited before them the disk may have come back.
        """
        waits = 0.0
        while True:
            await pending.told.wait()
            assert pending.durable is not None
            try:
                return await _resolved(pending.durable)
            except StorageError:
                pending.told.clear()
            await asyncio.sleep(waits)
            waits = AGAIN_S
            if self._sink is None:
                self._untold.append(pending)
            else:
                pending.tell(self._sink)

    def _want(self, requests: Sequence[Request]) -> None:
        for request in requests[: REQUESTS - self._requests.qsize()]:
            self._requests.put_nowait(request)

    async def _ask(self, session: Session) -> None:
        """Publish requests for events that did not come."""
        while True:
            request = await self._requests.get()
            for payload in (request.payload, *request.more):
                self.refused_requests += await session.publish(request.topic, payload) >= REFUSED

    async def _try_again(self, session: Session) -> None:
        """Ask again for what the broker did not let us read."""
        while True:
            await asyncio.sleep(SUBSCRIBE_AGAIN_S)
            for topic in self._subscribing.again():
                if await self._subscribing.one(session, topic) is None:
                    self._states.allowed(topic)

    async def _poll(self, session: Session) -> None:
        """Ask devices to tell that do not by themselves; doors of one controller are asked once."""
        due = dict.fromkeys(self._polls, self._clock.monotonic())
        while due:
            poll = min(due, key=lambda each: due[each])
            await asyncio.sleep(max(due[poll] - self._clock.monotonic(), 0) / SECOND)
            self.refused_requests += await session.publish(poll[0], poll[1]) >= REFUSED
            due[poll] = self._clock.monotonic() + poll[2]

    def _open_session(self) -> Session:
        """Return the session.

        Raises:
            LinkDown: there is none, or it is lost.
        """
        running = self._running
        if running is not None and running.done():
            running.result()  # a fault of ours must not pass for one of the link
        if self._session is None or running is None or running.done():
            raise LinkDown(self._lost, endpoint=self._endpoint)
        return self._session

    def _down(self, error: Exception, request: str = "") -> LinkDown:
        what = remedy(error).replace(f"{self._endpoint}: ", "")  # the connection names it, too
        return LinkDown(what, endpoint=self._endpoint, request=request)

    def _now(self) -> Moment:
        return Moment(mono=self._clock.monotonic(), wall=self._clock.wall(), trusted=self._clock.trusted())


def _connect(link_id: str, link: MqttLink, port: int, services: Services) -> Connect | None:
    if services.brokers is None:
        return None
    own = hashlib.blake2b(link_id.encode(), digest_size=4, key=services.salt[:64]).hexdigest()
    return services.brokers(
        host=link.host,
        port=port,
        username=link.username,
        password=link.password,
        ca=link.tls.ca if link.tls else None,
        certificate=link.tls.certificate if link.tls else None,
        key=link.tls.key if link.tls else None,
        protocol=link.protocol,
        client_id=link.client_id or f"sitekeeper-{link_id}-{own}",
        keepalive=link.keepalive // SECOND,
        unacknowledged=link.unacknowledged,
    )


async def _resolved(durable: "Future[None]") -> None:
    """Wait for a future of another thread without ever cancelling it. Raises what it failed with."""
    loop, resolved = asyncio.get_running_loop(), asyncio.Event()

    def wake(_: "Future[None]") -> None:
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(resolved.set)

    durable.add_done_callback(wake)
    await resolved.wait()
    durable.result()


def _polls(devices: Sequence[DeviceRead]) -> list[tuple[str, bytes, Micros]]:
    """Return topic, payload and period of each message by which devices are asked to tell, every one once."""
    options = [device.options for device in devices]
    polls = [each.poll for each in options if isinstance(each, MqttDevice) and each.poll is not None]
    return list(dict.fromkeys((each.topic, msgspec.json.encode(each.json_body), each.every) for each in polls))
