"""MQTT devices on one broker: keeps what was last heard, tells events, and acknowledges them when they are durable.

    broker ─▶ session ─▶ receive ─┬▶ states ─▶ sink.scanned ──────────────┐
                                  └▶ events ─▶ sink.heard ─▶ (durable) ───┴▶ acknowledged, in order of arrival

Whatever is not acknowledged the broker delivers again, to this process or to the next one. A message that cannot be
understood is acknowledged like any other, so that poison does not block what lies behind it; it is kept among the
rejected ones.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Final

from drivers.base import Account, DeviceRead, Heard, Scan, Services, Sink
from drivers.broker import NO_SUBSCRIBERS, REFUSED, Delivery, Session
from drivers.captured import Messages
from drivers.mqtt.asking import TIMES, Request
from drivers.mqtt.clocks import Clocks
from drivers.mqtt.connecting import connect_to, polls_of
from drivers.mqtt.events import EventCounts, Events, Told
from drivers.mqtt.options import MqttLink, Place
from drivers.mqtt.parse import Unreadable
from drivers.mqtt.paths import Content
from drivers.mqtt.payload import written
from drivers.mqtt.pending import Pending, Waiting, resolved
from drivers.mqtt.rejected import Rejected
from drivers.mqtt.remedies import remedy
from drivers.mqtt.states import States
from drivers.mqtt.subscribing import AGAIN_S as SUBSCRIBE_AGAIN_S
from drivers.mqtt.subscribing import Subscribing, code_of
from drivers.mqtt.tapping import Taps
from drivers.mqtt.topics import Copies, overlap, subscriptions
from drivers.rejecting import Unusable
from sitekeeper.model.clock import SECOND, Clock, Moment
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


class MqttDriver:
    """A `drivers.base.Driver`, `Listener`, `Asker`, `Reporter`, `Rejecting` and `Captured` for all devices on a broker.

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
        self._taps = Taps(self._states)
        self._subscribed = self._wanted()
        self._subscribing = Subscribing(self._subscribed)
        self._copies = Copies(self._subscribed)
        self._points = {
            (device.id, point.name): point for device in devices for group in device.groups for point in group.points
        }
        self._polls = polls_of(devices)
        self._connect = connect_to(link_id, link, port, services)
        self._hides = len(services.salt) >= SALT or not self._events.personal
        self._session: Session | None = None
        self._running: asyncio.Task[None] | None = None
        self._lost = "not open"
        self._sink: Sink | None = None
        self._begun = asyncio.Event()
        self._settled = asyncio.Event()
        self._waiting = Waiting(link.unacknowledged, self._begun.set)
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
            "unacknowledged": len(self._waiting),
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

    async def captured(self, device: str) -> Messages:
        """Return what a device says within two seconds, as in `drivers.captured.Captured`."""
        session, topics = self._open_session(), self._states.topics_of(device)
        mine = [
            (each, queued) for each, queued in self._subscribed.items() if any(overlap(each, one) for one in topics)
        ]
        allowed = [each for each in mine if each[0] not in self._subscribing.refused]
        try:
            return await self._taps.listen(device, session, allowed)
        except (PeerUnreachable, Refused) as error:
            raise self._down(error) from None

    async def open(self) -> None:
        if self._connect is None:
            raise LinkDown("this process was given no connections to brokers", endpoint=self._endpoint)
        if not self._hides:
            raise LinkDown("the site has no salt, so cards cannot be hidden", endpoint=self._endpoint)
        self._states.forget()
        self._clocks.opened()
        self._events.asking.opened()
        self._waiting.opened()
        self._begun.clear()
        self._settled.clear()
        try:
            self._session = session = await self._connect()
        except (PeerUnreachable, Refused) as error:
            raise self._down(error) from None
        self._lost = ""
        self._running = running = asyncio.create_task(self._run(session), name=self._endpoint)
        running.add_done_callback(lambda _: self._begun.set())
        await self._begun.wait()  # each subscription is answered in time, or the connection is gone
        if running.done():
            await self.close()
            raise LinkDown(self._lost, endpoint=self._endpoint)
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
        try:
            if running is not None:
                running.cancel()
                await asyncio.wait((running,))
        finally:
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
            while self._waiting.untold:
                self._waiting.untold.popleft().tell(sink)
            await asyncio.wait((self._running,))
            self._open_session()
        finally:
            self._sink = None

    def ask(self, accounts: Mapping[str, Account]) -> None:
        self._want(self._events.asking.resumed(accounts))

    # while the link is open

    async def _run(self, session: Session) -> None:
        """Take and acknowledge messages until the connection is gone.

        Subscribing is part of it: where a broker sends all at once what it has kept, its answers lie behind that.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._receive(session), name=f"receive {self._endpoint}")
                tasks.create_task(self._acknowledge(session), name=f"acknowledge {self._endpoint}")
                await self._subscribing.all(session)
                for topic, why in self._subscribing.refused.items():
                    self._states.refused(topic, code_of(why), why, self._events.devices_on(topic))
                self._begun.set()
                tasks.create_task(self._ask(session), name=f"ask {self._endpoint}")
                tasks.create_task(self._poll(session), name=f"poll {self._endpoint}")
                tasks.create_task(self._try_again(session), name=f"subscribe {self._endpoint}")
        except* (PeerUnreachable, Refused) as failed:
            self._lost = self._down(failed.exceptions[0]).what

    async def _receive(self, session: Session) -> None:
        while True:
            await self._take(await session.receive())
            self.rejected.dropped(session.dropped, self._clock.monotonic())

    async def _take(self, delivery: Delivery) -> None:
        """Take one message: events first, then states, so that whoever opened a door is known before it is open."""
        pending = Pending(delivery)
        queued = bool(delivery.qos) or self._events.hears(delivery.topic)
        if queued:
            await self._waiting.put(pending)  # as long as this waits nothing more is taken: the time comes after
        topic, now = delivery.topic, self._now()
        content = Content(delivery.payload, now.wall if now.trusted else None)
        if self._taps:
            self._taps.take(delivery, content)
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
            heard = tuple(self._clocks.stamped(each, now) for each in told.heard)
            pending.heard = () if self._waiting.again(delivery) or copied else heard
            changed += [group for device in told.devices for group in self._alive(device, told, heard, now)]
            self._want([told.request] if told.request is not None else [])
        if pending.heard and self._sink is None:
            self._waiting.untold.append(pending)
        elif pending.heard and self._sink is not None:
            pending.tell(self._sink)
        for group in dict.fromkeys(changed):
            if self._sink is not None:
                self._sink.scanned(self._states.scan(group, now))

    def _alive(self, device: str, told: Told, heard: Sequence[Heard], now: Moment) -> list[str]:
        """Take an event for a sign of life, unless it waited at the broker; return the scan groups that come back."""
        own = next((each.source + (each.behind or 0) for each in heard if each.source is not None), told.source)
        return [] if self._states.waited(device, now, own) else self._states.alive(device, now.mono)

    async def _acknowledge(self, session: Session) -> None:
        """Acknowledge messages in the order in which they came (MQTT 5, section 4.6), events once they are durable."""
        while True:
            pending = await self._waiting.next()
            if pending.heard:
                await self._durable(pending)
            if not pending.carried:
                session.ack(pending.delivery)
            self._waiting.done()

    async def _durable(self, pending: Pending) -> None:
        """Wait until events are durable. Those that could not be stored are told again.

        The link stays open meanwhile: a full disk must not keep a fire alarm from opening the doors. The first time
        they are told again at once: while others waited before them the disk may have come back.
        """
        waits = 0.0
        while True:
            await pending.told.wait()
            assert pending.durable is not None
            try:
                return await resolved(pending.durable)
            except StorageError:
                pending.told.clear()
            await asyncio.sleep(waits)
            waits = AGAIN_S
            if self._sink is None:
                self._waiting.untold.append(pending)
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
