"""The one door to aiomqtt (libraries.md 3.3): a `Session` on a real broker, MQTT 5 or 3.1.1.

aiomqtt 2.5 has no public manual acknowledgement and throws away the reason code of a publish, so this file reaches for
the paho client inside it, in nine marked places, and nowhere else. None of its exceptions gets out.
"""

import asyncio
import logging
import socket
from contextlib import suppress
from functools import partial
from typing import Any, cast

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from cloud_sync.inbox import Inbox
from cloud_sync.mqtt_settings import LARGE, SLOWEST_LINE, BrokerSettings, Line, tls_context
from cloud_sync.session import Allows, Connect, Delivery, NoAnswer, Session, Will
from sitekeeper.model.errors import PeerUnreachable, Refused

__all__ = ["AiomqttSession", "BrokerSettings", "connector"]

UNSUPPORTED_PROTOCOL = 132
NOT_ALLOWED: dict[int, str] = {4: "bad-credentials", 5: "not-authorised", 134: "bad-credentials", 135: "not-authorised"}
"""CONNACK codes after which trying again with the same credentials is pointless (3.1.1 table 3.1; 5, 3.2.2.2)."""

TCP_THIN_LINEAR_TIMEOUTS = 16
"""Linux, tcp(7): with less than four packets under way, the first six repeats of a lost one are not ever further apart.
On a line that loses every third packet this is what brings an alarm through in seconds; Python has no name for it. It
works with `reno` (which every kernel has and lets everybody choose) and `cubic`, and not with `bbr`."""

LONGEST_QUEUE = 3_600.0
"""Seconds for which the answer to a subscription may lie behind messages that keep coming."""

MAX_QUEUED_INCOMING = 10_000
"""Messages waiting to be received. Newer ones are dropped beyond it; unacknowledged, so the broker delivers them again
on the next connection, and whoever sent them gets no receipt."""


def connector(settings: BrokerSettings, client_id: str, *, persistent: bool = False) -> Connect:
    """Return what makes sessions of this client; the broker keeps the queue of a persistent one over reconnects."""
    chosen: list[aiomqtt.ProtocolVersion] = [
        aiomqtt.ProtocolVersion.V311 if settings.protocol == "3.1.1" else aiomqtt.ProtocolVersion.V5
    ]

    line = Line(settings)

    async def connect(will: Will | None = None) -> Session:
        try:
            return await _open(settings, client_id, will, chosen[0], line, persistent=persistent)
        except Refused as err:
            if err.reason != "unsupported-protocol" or settings.protocol != "auto":
                raise
        chosen[0] = aiomqtt.ProtocolVersion.V311
        return await _open(settings, client_id, will, chosen[0], line, persistent=persistent)

    return connect


async def _open(
    settings: BrokerSettings,
    client_id: str,
    will: Will | None,
    version: aiomqtt.ProtocolVersion,
    line: Line,
    *,
    persistent: bool,
) -> "AiomqttSession":
    where = f"mqtt {settings.host}:{settings.port}"
    words = _LastWords()
    client = _client(settings, client_id, will, version, words, persistent=persistent)
    _notice_hanging_up(client, words)
    if isinstance(client._queue, Inbox):  # noqa: SLF001 - what it was given itself (reach 8)
        _read_as_taken(client, client._queue)  # noqa: SLF001
    session = AiomqttSession(client, where, "5" if version is aiomqtt.ProtocolVersion.V5 else "3.1.1", line, words)
    try:
        await client.__aenter__()
    except aiomqtt.MqttError as err:
        await _clean_up(client)
        code = _code(err)
        if code in (1, UNSUPPORTED_PROTOCOL):
            raise Refused("unsupported-protocol", f"{where}: {err}") from None
        if code in NOT_ALLOWED:
            raise Refused(NOT_ALLOWED[code], f"{where}: {err}") from None
        raise PeerUnreachable(where, words.text or str(err) or "no connection") from None
    return session


def _client(
    settings: BrokerSettings,
    client_id: str,
    will: Will | None,
    version: aiomqtt.ProtocolVersion,
    words: "_LastWords",
    *,
    persistent: bool,
) -> aiomqtt.Client:
    """Return a fresh, unconnected client: a used one keeps its old queue and packet ids (libraries.md P12)."""
    five = version is aiomqtt.ProtocolVersion.V5
    properties = None
    if five:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = settings.session_expiry if persistent else 0
        properties.ReceiveMaximum = settings.receive_maximum
        if settings.largest is not None:
            properties.MaximumPacketSize = settings.largest
    inbox = None
    if settings.waiting is not None:
        inbox = partial(Inbox, waiting=settings.waiting, largest=settings.largest or settings.waiting)
    client = aiomqtt.Client(
        settings.host,
        settings.port,
        identifier=client_id,
        username=settings.username,
        password=settings.password,
        protocol=version,
        will=None if will is None else aiomqtt.Will(will.topic, will.payload, qos=1, retain=True),
        timeout=settings.timeout,
        keepalive=settings.keepalive,
        clean_session=None if five else not persistent,
        clean_start=not persistent if five else 3,  # 3 is paho's MQTT_CLEAN_START_FIRST_ONLY, the value for 3.1.1
        properties=properties,
        tls_context=tls_context(settings),
        socket_options=(
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
            (socket.IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, 1),
            (socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno"),
        ),
        queue_type=cast("type[asyncio.Queue[aiomqtt.Message]] | None", inbox),
        max_queued_incoming_messages=MAX_QUEUED_INCOMING,
        max_inflight_messages=1_000,  # the uplink's window is the bound; this must not become a second one
        logger=words.logger,
    )
    client._client.manual_ack_set(True)  # noqa: SLF001 - inside "async with" is too late  (reach 1)
    client._client.connect_timeout = settings.reach  # noqa: SLF001 - seconds for the TCP connection (reach 2)
    return client


class _LastWords(logging.Handler):
    """Keeps what the library would lose: its last error message, and what the broker said at hello and farewell.

    `logger` writes here and nowhere.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.text = ""
        self.allows = Allows()
        self.farewell = 0
        # One for each client, known to nobody. Its level spares the formatting of a line for each packet.
        self.logger = logging.Logger("cloud_sync.mqtt.library", logging.ERROR)  # noqa: LOG001
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


def _notice_hanging_up(client: aiomqtt.Client, words: _LastWords) -> None:
    """Hear what the broker says when it takes us and when it ends, and fail at once when it hangs up (reach 6, 7)."""
    paho, answered = client._client, client._connected  # noqa: SLF001
    hung_up_library, taken_library = paho.on_disconnect, paho.on_connect

    def hung_up(*args: Any) -> None:
        flags, code = args[2], args[3]
        if getattr(flags, "is_disconnect_packet_from_server", False):
            words.farewell = int(getattr(code, "value", 0))
        if not answered.done():
            answered.set_exception(aiomqtt.MqttError(words.text or "the broker hung up before it answered"))
        elif hung_up_library is not None:
            hung_up_library(*args)

    def taken(*args: Any) -> None:
        said = args[4] if len(args) > 4 else None
        words.allows = Allows(
            unanswered=getattr(said, "ReceiveMaximum", 65_535), packet=getattr(said, "MaximumPacketSize", None)
        )
        if taken_library is not None:
            taken_library(*args)

    paho.on_disconnect, paho.on_connect = hung_up, taken


def _read_as_taken(client: aiomqtt.Client, inbox: Inbox) -> None:
    """Read no more of the connection than `inbox` can hold, and hand it the mark of what comes again (reach 9)."""
    paho, loop = client._client, asyncio.get_running_loop()  # noqa: SLF001
    hand_over = paho.on_message

    def take(*args: Any) -> None:
        inbox.again = bool(args[2].dup)
        if hand_over is not None:
            hand_over(*args)

    def read() -> None:
        link = paho.socket()
        try:
            while link is not None and link is paho.socket() and not inbox.paused:
                paho.loop_read()
                if not getattr(link, "pending", int)():  # what TLS has unpacked wakes nobody
                    break
        except Exception as error:  # noqa: BLE001 - as in the reader of the library that this one stands for
            if not client._disconnected.done():  # noqa: SLF001
                client._disconnected.set_exception(error)  # noqa: SLF001

    def pause() -> None:
        if (link := paho.socket()) is not None:
            loop.remove_reader(link)

    def go_on() -> None:
        if (link := paho.socket()) is not None:
            loop.add_reader(link, read)
            loop.call_soon(read)

    paho.on_message, inbox.pause, inbox.go_on = take, pause, go_on


class AiomqttSession:
    """One connection to a real broker; implements `cloud_sync.session.Session`."""

    def __init__(self, client: aiomqtt.Client, where: str, protocol: str, line: Line, words: _LastWords) -> None:
        self.protocol = protocol
        self._client = client
        self._where = where
        self._line = line
        self._words = words
        self._silence = ""  # why nobody seems to be there, although nobody has hung up
        self._messages = client.messages
        self._open = True
        self._answers: dict[int, asyncio.Future[int]] = {}
        client._client.on_publish = self._on_publish  # noqa: SLF001 - for the reason code  (reach 3)

    @property
    def allows(self) -> Allows:
        return self._words.allows

    @property
    def farewell(self) -> int:
        return self._words.farewell

    @property
    def dropped(self) -> int:
        inbox = self._client._queue  # noqa: SLF001 - what it was given itself (reach 8)
        return inbox.dropped if isinstance(inbox, Inbox) else 0

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        self._check()
        began = asyncio.get_running_loop().time()
        patience = self._line.patience + (len(payload) / SLOWEST_LINE if len(payload) > LARGE else 0)
        info = self._client._client.publish(topic, payload, 1, retain)  # noqa: SLF001 - see above (reach 3)
        if info.rc != 0:
            raise self._gone(f"publish failed, code {int(info.rc)}")
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._answers[info.mid] = answer
        lost = self._client._disconnected  # noqa: SLF001 - else a dead link costs the whole timeout (reach 3)
        try:
            await self._answered(answer, patience)
            if answer.done():
                if len(payload) <= LARGE:
                    self._line.answered(asyncio.get_running_loop().time() - began)
                return answer.result()
        finally:
            self._answers.pop(info.mid, None)
        if lost.done():
            raise self._gone("connection lost")
        raise self._fell_silent(f"no answer to a publish for {patience:.3g} s")

    async def subscribe(self, topic: str, *, queued: bool = True) -> None:
        self._check()
        asked = asyncio.ensure_future(self._client.subscribe(topic, qos=int(queued), timeout=LONGEST_QUEUE))
        try:
            await self._answered(asked, self._line.settings.timeout)
            if not asked.done():
                raise self._gone(f"no answer to a subscription to {topic}")
            granted = asked.result()
        except aiomqtt.MqttError as err:
            raise self._gone(str(err)) from None
        finally:
            asked.cancel()
            await asyncio.wait((asked,))
        for reason in granted:
            code = reason.value if isinstance(reason, ReasonCode) else int(reason)
            if code >= 128:
                raise Refused("not-authorised", f"{self._where}: subscription to {topic}, reason code {code}")

    async def receive(self) -> Delivery:
        self._check()
        try:
            message = await anext(self._messages)
        except (aiomqtt.MqttError, StopAsyncIteration):
            raise self._gone("connection lost") from None
        payload = message.payload if isinstance(message.payload, bytes) else b""
        return Delivery(
            topic=str(message.topic), payload=payload, retained=message.retain, mid=message.mid, qos=message.qos,
            again=getattr(message, "again", False),
        )  # fmt: skip

    def ack(self, delivery: Delivery) -> None:
        if self._open and not self._client._disconnected.done():  # noqa: SLF001
            self._client._client.ack(delivery.mid, delivery.qos)  # noqa: SLF001 - no public way (reach 4)

    async def close(self) -> None:
        if not self._open:
            return
        self._open = False
        lost = self._client._disconnected  # noqa: SLF001
        if not self._silence:  # else nobody would answer a farewell either
            with suppress(aiomqtt.MqttError, ConnectionError, OSError):
                await self._client.__aexit__(None, None, None)
        if lost.done() and not lost.cancelled():
            lost.exception()  # seen: nobody needs to be warned about it
        await _clean_up(self._client)

    async def _answered(self, answer: "asyncio.Future[Any]", patience: float) -> None:
        """Wait for an answer so many seconds, or until the connection is lost.

        Where messages may fill the line, as long as they come, or wait to be taken: the answer lies behind them.
        """
        lost, inbox = self._client._disconnected, self._client._queue  # noqa: SLF001 - (reach 3, 8)
        while not (answer.done() or lost.done()):
            came = inbox.came if isinstance(inbox, Inbox) else 0
            await asyncio.wait((answer, lost), timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if not isinstance(inbox, Inbox) or (inbox.came == came and not inbox.paused):
                return

    def _on_publish(self, _client: Any, _userdata: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
        # A broker that does not set TCP_NODELAY holds the next message to us back until our kernel has acknowledged
        # this one, 40 ms later: let it do so now. Without this a receipt takes 44 ms instead of 4.
        link = self._client._client.socket()  # noqa: SLF001
        if isinstance(link, socket.socket):
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        answer = self._answers.get(mid)
        if answer is not None and not answer.done():
            answer.set_result(reason.value)

    def _check(self) -> None:
        if not self._open or self._client._disconnected.done():  # noqa: SLF001
            raise self._gone("connection lost")

    def _fell_silent(self, why: str) -> PeerUnreachable:
        """End the connection for everybody who uses it: who only receives would not know for long."""
        if not self._silence:
            self._silence = why
            self._line.silent()
        lost = self._client._disconnected  # noqa: SLF001 - (reach 3)
        if not lost.done():
            lost.set_exception(aiomqtt.MqttError(why))
        return self._gone(why)

    def _gone(self, why: str) -> PeerUnreachable:
        if self._silence:
            return NoAnswer(self._where, self._silence)
        if self._words.farewell:
            why = f"the broker ended the connection, reason code {self._words.farewell}"
        return PeerUnreachable(self._where, why or "connection lost")


async def _clean_up(client: aiomqtt.Client) -> None:
    """Close what the library leaves open after a failed or half-open connection: its socket and its ticking task."""
    client._client._sock_close()  # noqa: SLF001 - (reach 5)
    ticker = client._misc_task  # noqa: SLF001
    if ticker is None:
        await asyncio.sleep(0)  # it may be about to begin: the connecting thread asks the loop for it
        ticker = client._misc_task  # noqa: SLF001
    if ticker is not None:
        ticker.cancel()
        await asyncio.wait((ticker,))


def _code(err: aiomqtt.MqttError) -> int:
    code = getattr(err, "rc", None)
    value = getattr(code, "value", code)
    return value if isinstance(value, int) else -1
