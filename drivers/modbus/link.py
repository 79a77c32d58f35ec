"""One Modbus endpoint: the only file that knows pymodbus, whose exceptions and log lines end here.

The library frames requests, keeps transaction ids and times out. What it does not do is done here: it hands over
answers of another function or length as good, lets malformed ones raise inside its protocol callback, and sits out
the time-out when the peer closes. So each byte received passes `reply.examine` before the library sees it, and a
request in flight is failed at once when it cannot be answered any more. Answers are kept as bytes: registers that
did not change are then compared and never unpacked.

Retrying and reconnecting are switched off in the library: the poller does both.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from drivers.modbus.address import Table
from drivers.modbus.options import TcpLink
from drivers.modbus.reply import Expected, Wrong, examine
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import DeviceRefused, DeviceSilent, FieldError, LinkDown, ReplyMismatch

JAMMED: Final = 5
"""Requests to one unit without an answer from anybody, after which the connection itself is held to be jammed.

Counted by unit, so that any number of dead units beside a live one, asked in turn, never cost it the connection.
"""

_BUFFER: Final = 4096
"""Most bytes kept while waiting for an answer; beyond, the library drops them and the request times out."""

EXCEPTIONS: Final[dict[int, str]] = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledge",
    6: "server device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}
"""MODBUS Application Protocol V1.1b3, section 7."""

_REQUESTS: Final[dict[Table, type[ModbusPDU]]] = {
    "coil": ReadCoilsRequest,
    "discrete": ReadDiscreteInputsRequest,
    "holding": ReadHoldingRegistersRequest,
    "input": ReadInputRegistersRequest,
}

_E = TypeVar("_E", bound=FieldError)

logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)  # all it says is in our errors, with more detail


class _Answer(ModbusPDU):
    """The data of a read's answer as bytes; `reply.examine` has checked function and length."""

    data: bytes = b""

    def decode(self, data: bytes) -> None:
        self.data = data[1:]

    def __str__(self) -> str:
        return "answer"


class _Write(ModbusPDU):
    """A write request, whose bytes are made here."""

    def __init__(self, unit: int, function: int, data: bytes) -> None:
        super().__init__(dev_id=unit)
        self.function_code, self.data = function, data

    def encode(self) -> bytes:
        return self.data


_ANSWERS: Final = [type(f"_Answer{code}", (_Answer,), {"function_code": code}) for code in (1, 2, 3, 4, 5, 6, 15, 16)]

UNSURE: Final = "; whether it was carried out is unknown"


@dataclass(frozen=True, slots=True)
class Question:
    """A request: to read, made once and asked many times; or to write.

    Attributes:
        unsure: what to add to the error when it was sent and no right answer came.
    """

    pdu: ModbusPDU
    expected: Expected
    text: str
    unsure: str = ""


def question(unit: int, table: Table, address: int, count: int) -> Question:
    """Return the request to read `count` registers or bits of `unit`."""
    pdu = _REQUESTS[table](address=address, count=count, dev_id=unit)
    size = (count + 7) // 8 if table in {"coil", "discrete"} else 2 * count
    text = f"FC{pdu.function_code:02} address {address} count {count}"
    return Question(pdu, Expected(unit, pdu.function_code, size), text)


def command(unit: int, function: Literal[5, 6, 15, 16], address: int, chunk: bytes) -> Question:
    """Return the request to write `chunk` (see `encoder`) to `unit`, from `address` on."""
    place = address.to_bytes(2)
    match function:
        case 5:
            data = place + (b"\xff\x00" if chunk[0] else b"\0\0")
        case 6:
            data = place + chunk
        case 15:
            data = place + b"\0\1\1" + chunk
        case 16:
            data = place + (len(chunk) // 2).to_bytes(2) + bytes([len(chunk)]) + chunk
    text = f"FC{function:02} address {address} write {chunk.hex(' ', 2).upper()}"
    expected = Expected(unit, function, 0, echo=data[:4])
    return Question(_Write(unit, function, data), expected, text, unsure=UNSURE)


def _give_up(answer: "asyncio.Future[Any]") -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())


class Link:
    """Owns the connection to one endpoint. One request in flight; callers take turns.

    A request whose caller was cancelled still counts as in flight until its answer came or its time is over, so that
    a slow device is never asked two things at once.
    """

    def __init__(self, options: TcpLink) -> None:
        self.endpoint = f"tcp {options.host}:{options.port}"
        self._options = options
        self._client: AsyncModbusTcpClient | None = None
        self._turn = asyncio.Lock()
        self._asked: Question | None = None
        self._transaction = b""
        self._seen = b""
        self._silences: dict[int, int] = {}  # by unit, since the last answer of any
        self._failures = 0
        self._abandoned_until = 0.0
        self._answered = asyncio.Event()
        self._why = ""

    async def open(self) -> None:
        """Connect.

        Raises:
            LinkDown: no connection within the time-out; says why and how often in a row.
        """
        self.close()
        self._why = "no answer in time"
        client = AsyncModbusTcpClient(
            self._options.host,
            port=self._options.port,
            timeout=self._options.timeout / SECOND,
            retries=0,
            reconnect_delay=0,
            trace_packet=self._packet,
            trace_connect=self._connection,
        )
        client.set_max_no_responses(1 << 30)  # when to give up is decided here
        client.ctx.max_buffer_size = _BUFFER
        client.ctx.call_create = self._telling_why(client.ctx.call_create)
        for answer in _ANSWERS:
            client.register(answer)
        if not await client.connect():
            client.close()
            self._failures += 1
            raise LinkDown(self._why, endpoint=self.endpoint, count=self._failures)
        # The numbers of the last connection go on: a late answer to its first request is not that to our first.
        client.ctx.next_tid = int.from_bytes(self._transaction)
        self._client = client
        self._failures = 0
        self._silences.clear()
        self._abandoned_until = 0.0

    def close(self) -> None:
        """Close the connection, if there is one. A request in flight fails with LinkDown."""
        client, self._client = self._client, None
        if client is not None:
            self._fail(client, self._lost("closed by us", self._asked))
            client.close()

    async def ask(self, question: Question) -> bytes:
        """Return the data bytes of the answer; of a write's nothing that means anything.

        Raises:
            DeviceRefused: an exception; carries its code.
            DeviceSilent: no answer in time.
            ReplyMismatch: an answer that does not belong to the question.
            LinkDown: not open, or lost while asking.
        """
        async with self._turn:
            if self._abandoned_until:
                await self._settle()
            client = self._client
            self._seen = b""
            if client is None or not client.connected:
                raise self._down(self._why or "not open", question)
            self._asked = question
            try:
                answer = await self._exchange(client, question.pdu)
            except asyncio.CancelledError:
                self._abandon()
                raise
            except TimeoutError:
                raise self._silence(question) from None
            finally:
                self._asked = None
            self._silences.clear()
            if isinstance(answer, _Answer):
                return answer.data
            raise self._refusal(answer, question)

    async def _exchange(self, client: AsyncModbusTcpClient, pdu: ModbusPDU) -> Any:
        """Send a request and wait for what the library makes of the answer; raises TimeoutError.

        As the library's own `execute`, less what is done here already (turns, retries, checks of the answer), which
        saves a fifth of what a request costs.
        """
        ctx, loop = client.ctx, asyncio.get_running_loop()
        pdu.transaction_id = ctx.getNextTID()
        answer = ctx.response_future = loop.create_future()
        timer = loop.call_later(self._options.timeout / SECOND, _give_up, answer)
        try:
            ctx.pdu_send(pdu)
            return await answer
        finally:
            timer.cancel()

    # What the library calls: nothing here may raise.

    def _packet(self, sending: bool, data: bytes) -> bytes:
        """Let nothing reach the library but the one right answer or an exception for it."""
        if sending:
            self._transaction = data[:2]
            return data
        asked, client = self._asked, self._client
        if asked is None or client is None:
            self._answered.set()  # may be the late answer that `_settle` waits for
            return b""
        self._seen = data
        found = examine(data, self._transaction, asked.expected)
        if isinstance(found, bytes):
            return found
        if found is not None:
            self._refuse(client, asked, found)
        return b""

    def _connection(self, connected: bool) -> None:
        if connected:
            self._why = ""
            return
        self._why = "the peer closed the connection"
        self._answered.set()
        if self._client is not None:
            self._fail(self._client, self._lost(self._why, self._asked))

    def _refuse(self, client: AsyncModbusTcpClient, asked: Question, wrong: Wrong) -> None:
        """Fail the request in flight; if the stream is lost, give up the connection with it."""
        if not wrong.lost:
            self._silences.clear()
            self._fail(client, self._error(ReplyMismatch, wrong.what + asked.unsure, asked))
            return
        self._fail(client, self._lost(wrong.what, asked))
        self._why = wrong.what
        client.close()

    def _fail(self, client: AsyncModbusTcpClient, error: FieldError) -> None:
        waiting = client.ctx.response_future
        if self._asked is not None and not waiting.done():
            waiting.set_exception(error)

    # Errors

    def _error(self, kind: type[_E], what: str, asked: Question) -> _E:
        endpoint = f"{self.endpoint} unit {asked.expected.unit}"
        return kind(what, endpoint=endpoint, request=asked.text, raw=self._seen[:300])

    def _down(self, what: str, asked: Question | None = None) -> LinkDown:
        if asked is None:
            return LinkDown(what, endpoint=self.endpoint)
        return self._error(LinkDown, what, asked)

    def _lost(self, what: str, asked: Question | None) -> LinkDown:
        """The connection went while `asked` was under way, if anything was."""
        return self._down(what + asked.unsure if asked else what, asked)

    def _silence(self, asked: Question) -> FieldError:
        """No answer: the unit's fault, until nobody answers; then the connection's."""
        client = self._client
        if client is None or not client.connected:
            return self._lost(self._why or "lost", asked)
        unit = asked.expected.unit
        self._silences[unit] = self._silences.get(unit, 0) + 1
        if self._silences[unit] < JAMMED:
            what = "an incomplete answer" if self._seen else "no answer"
            within = f"{what} within {self._options.timeout / SECOND:g} s"
            return self._error(DeviceSilent, within + asked.unsure, asked)
        self.close()
        self._why = f"{JAMMED} requests in a row without an answer"
        return self._lost(self._why, asked)

    def _refusal(self, answer: ModbusPDU, asked: Question) -> DeviceRefused:
        code = answer.exception_code
        error = DeviceRefused(
            f"exception {code}, {EXCEPTIONS.get(code, 'not a code of the standard')}",
            exception_code=code,
            endpoint=f"{self.endpoint} unit {asked.expected.unit}",
            request=asked.text,
        )
        error.raw = self._seen
        return error

    # Requests whose caller went away

    def _abandon(self) -> None:
        self._answered.clear()
        self._abandoned_until = asyncio.get_running_loop().time() + self._options.timeout / SECOND

    async def _settle(self) -> None:
        """Wait until the answer to an abandoned request has come or can be held to never come."""
        left = self._abandoned_until - asyncio.get_running_loop().time()
        if left > 0:
            try:
                async with asyncio.timeout(left):
                    await self._answered.wait()
            except TimeoutError:
                pass
        self._abandoned_until = 0.0

    def _telling_why(self, create: Callable[[], Awaitable[Any]]) -> Callable[[], Any]:
        """Keep the reason of a failed connection, which the library only logs."""

        async def connect() -> Any:
            try:
                return await create()
            except OSError as error:
                number = error.errno or 0  # of name look-ups it is negative, of several addresses there is none
                self._why = os.strerror(number).lower() if number > 0 else error.strerror or str(error)
                raise
            except UnicodeError as error:  # a host that cannot be a name
                self._why = str(error)
                raise OSError(self._why) from error

        return connect
