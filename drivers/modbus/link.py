"""One Modbus endpoint: with `opening` the only file that knows pymodbus, whose exceptions and log lines end here.

The library connects and carries bytes. It would also frame requests and decode answers, but it hands over answers of
another function or length as good, lets malformed ones raise inside its protocol callback, and sits out the time-out
when the peer closes. So each byte received is judged by `framing`, nothing is left for the library to decode, and a
request in flight is failed at once when it cannot be answered any more. Answers are kept as bytes: registers that did
not change are then compared and never unpacked. Within the link every line is Modbus TCP: frames of serial lines are
put into its form and taken out of it at the last moment.

Retrying and reconnecting are switched off in the library: the poller does both.
"""

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from pymodbus.client import AsyncModbusTcpClient

from drivers.frames import Frames
from drivers.modbus.framing import Framing, framing
from drivers.modbus.opening import opener, why
from drivers.modbus.options import AnyLink, RtuLink, TcpLink
from drivers.modbus.reply import HEAD, ShortReply, Wrong
from drivers.modbus.request import EXCEPTIONS, Question
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.errors import DeviceRefused, DeviceSilent, FieldError, LinkDown, ReplyMismatch

JAMMED: Final = 5
"""Requests to one unit without an answer from anybody, after which the connection itself is held to be jammed.

Counted by unit, so that any number of dead units beside a live one, asked in turn, never cost it the connection.
"""

DOUBTS: Final = 2
"""How often a line must have been silent after a failure: before the next request, and again after its answer, which
may be one that came later than the first silence was long. The true answer then comes into the second one."""

BABBLE: Final = 10
"""A line that is not silent for once within so many times `quiet` is somebody else's, or broken."""

_HEAD: Final = struct.Struct(">HHHBB")
"""Transaction id, protocol, bytes that follow, unit, function."""
_NUMBERS: Final = 65_000
"""Transaction ids go from 1 to this."""

_BUFFER: Final = 4096
"""Most bytes kept while waiting for an answer; beyond, the library drops them and the request times out."""

_E = TypeVar("_E", bound=FieldError)

logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)  # all it says is in our errors, with more detail


def _give_up(answer: "asyncio.Future[Any]") -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())


class Link:
    """Owns the connection to one endpoint. One request in flight; callers take turns.

    A request whose caller was cancelled still counts as in flight until its answer came or its time is over, so that
    a slow device is never asked two things at once. On a serial line, where no answer tells what it answers, nothing
    is asked after a failure until the line has been silent for `quiet`.
    """

    def __init__(self, options: AnyLink) -> None:
        self.endpoint = options.endpoint
        self._options = options
        self._framing: Framing = framing(options)
        self._quiet = 0.0 if isinstance(options, TcpLink) else options.quiet / SECOND
        self._pause = max(options.pause, options.gap if isinstance(options, RtuLink) else 0)
        self._doubts = 0
        self._heard = self._due = 0.0
        self.hushed: Micros = 0  # waited so far for the line to be silent after failures
        self._client: AsyncModbusTcpClient | None = None
        self._turn = asyncio.Lock()
        self._asked: Question | None = None
        self._number = 0  # of the last request: the transaction id
        self._seen = b""
        self._silences: dict[int, int] = {}  # by unit, since the last answer of any
        self._failures = 0
        self._abandoned_until = 0.0
        self._answered: asyncio.Event | None = None  # made when it is needed: many links never need it
        self._why = ""
        self.room = options.frames
        self.frames: Frames | None = None

    @property
    def numbered(self) -> bool:
        """Whether answers tell which request they belong to."""
        return self._framing.numbered

    async def open(self) -> None:
        """Connect.

        Raises:
            LinkDown: no connection within the time-out; says why and how often in a row.
        """
        self.close()
        self._why = "no answer in time"
        client = AsyncModbusTcpClient(
            self.endpoint,
            timeout=self._options.timeout / SECOND,
            retries=0,
            reconnect_delay=0,
            trace_packet=self._came,
            trace_connect=self._connection,
        )
        client.set_max_no_responses(1 << 30)  # when to give up is decided here
        client.ctx.max_buffer_size = _BUFFER
        opening = opener(self._options, client.ctx.handle_new_connection)
        client.ctx.call_create = self._telling_why(opening)
        if not await client.connect():
            client.close()
            self._failures += 1
            raise LinkDown(self._why, endpoint=self.endpoint, count=self._failures)
        self._client = client
        self._failures = 0
        self._silences.clear()
        self._abandoned_until = 0.0
        # What the last owner of the line asked may be answered now.
        self._doubt()

    async def reopen(self) -> None:
        """Connect anew, between two requests.

        Raises:
            LinkDown: as `open`.
        """
        async with self._turn:
            await self.open()

    def close(self) -> None:
        """Close the connection, if there is one. A request in flight fails with LinkDown."""
        client, self._client = self._client, None
        if client is not None:
            self._fail(client, self._lost("closed by us", self._asked))
            client.close()

    async def ask(self, question: Question, pause: Micros = 0) -> bytes:
        """Return the data bytes of the answer; of a write's nothing that means anything.

        Args:
            pause: let the line rest for so long before, if the link's own pause is not longer.

        Raises:
            DeviceRefused: an exception; carries its code.
            DeviceSilent: no answer in time.
            ReplyMismatch: an answer that does not belong to the question.
            LinkDown: not open, or lost while asking.
        """
        async with self._turn:
            if self._abandoned_until:
                await self._settle()
            await self._rest(max(pause, self._pause))
            if self._doubts:  # after the rest, for something may have come into it
                await self._silent(question)
            client = self._client
            self._seen = b""
            if client is None or not client.connected:
                raise self._down(self._why or "not open", question)
            self._asked = question
            try:
                answer = await self._exchange(client, question)
            except asyncio.CancelledError:
                self._abandon()
                raise
            except TimeoutError:
                raise self._silence(question) from None
            finally:
                self._asked = None
            self._silences.clear()
            if answer[HEAD + 1] & 0x80:
                raise self._refusal(answer[HEAD + 2], question)
            return answer[HEAD + 3 :]

    async def _exchange(self, client: AsyncModbusTcpClient, question: Question) -> bytes:
        """Send a request and return the frame of its answer, or of an exception; raises TimeoutError.

        Frames are made and taken apart here: what was compared byte by byte need not be decoded, and a request costs
        a fifth less than by the library's `execute`.
        """
        ctx, loop, expected = client.ctx, asyncio.get_running_loop(), question.expected
        # The numbers of an earlier connection go on: a late answer to its first request is not that to our first.
        self._number = self._number % _NUMBERS + 1
        head = _HEAD.pack(self._number, 0, 2 + len(question.data), expected.unit, expected.function)
        going = self._framing.sent(head + question.data)
        if self.frames is not None:
            self.frames.note(going, sent=True)
        answer: asyncio.Future[bytes] = loop.create_future()
        ctx.response_future = answer
        timer = loop.call_later(self._options.timeout / SECOND, _give_up, answer)
        if not self.numbered:
            ctx.recv_buffer = b""
            self._due = loop.time() + self._options.timeout / SECOND
        try:
            ctx.send(going)
            return await answer
        finally:
            timer.cancel()

    # What the library calls: nothing here may raise.

    def _came(self, sending: bool, data: bytes) -> bytes:  # noqa: ARG002 - what goes is not sent by way of its frames
        """Take what has come; nothing of it is left to the library, whose `recv_buffer` it is."""
        asked, client = self._asked, self._client
        if asked is None and self._framing.noise(data):
            return b""
        self._heard = asyncio.get_running_loop().time()
        if asked is None or client is None:
            if self.frames is not None:
                self.frames.note(data, error="nobody had asked")
            self._settled()  # may be the late answer that `_settle` waits for
            self._doubt()
            return b""
        self._seen = data
        found = self._framing.examine(data, asked.expected)
        if self.frames is not None and found is not None:
            self.frames.note(data, error=found.what if isinstance(found, Wrong) else "")
        if isinstance(found, bytes):
            client.ctx.recv_buffer = b""
            if not client.ctx.response_future.done():
                client.ctx.response_future.set_result(found)
        elif found is not None:
            self._refuse(client, asked, found)
        return b""

    def _connection(self, connected: bool) -> None:
        if connected:
            self._why = ""
            return
        self._why = "the peer closed the connection"
        self._settled()
        if self._client is not None:
            self._fail(self._client, self._lost(self._why, self._asked))

    def _refuse(self, client: AsyncModbusTcpClient, asked: Question, wrong: Wrong) -> None:
        """Fail the request in flight; if the stream is lost, give up the connection with it."""
        if not wrong.lost:
            self._silences.clear()
            self._doubt()
            kind = ShortReply if wrong.short else ReplyMismatch
            self._fail(client, self._error(kind, wrong.what + asked.unsure, asked))
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
        self._doubt()
        if self.frames is not None:
            self.frames.note(self._seen, error="an incomplete answer" if self._seen else "no answer")
        unit = asked.expected.unit
        self._silences[unit] = self._silences.get(unit, 0) + 1
        if self._silences[unit] < JAMMED:
            what = "an incomplete answer" if self._seen else "no answer"
            within = f"{what} within {self._options.timeout / SECOND:g} s"
            return self._error(DeviceSilent, within + asked.unsure, asked)
        self.close()
        self._why = f"{JAMMED} requests in a row without an answer"
        return self._lost(self._why, asked)

    def _refusal(self, code: int, asked: Question) -> DeviceRefused:
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
        self._doubt()
        self._answered = asyncio.Event()
        self._abandoned_until = asyncio.get_running_loop().time() + self._options.timeout / SECOND

    async def _settle(self) -> None:
        """Wait until the answer to an abandoned request has come or can be held to never come."""
        left = self._abandoned_until - asyncio.get_running_loop().time()
        if left > 0 and self._answered is not None:
            try:
                async with asyncio.timeout(left):
                    await self._answered.wait()
            except TimeoutError:
                pass
        self._abandoned_until = 0.0

    def _settled(self) -> None:
        if self._answered is not None:
            self._answered.set()

    # Lines on which answers are not numbered, and devices that need time

    def _doubt(self) -> None:
        """Something may come, or has come, that looks like the answer to what is asked next."""
        self._doubts = 0 if self.numbered else DOUBTS
        self._heard = asyncio.get_running_loop().time()

    async def _silent(self, question: Question) -> None:
        """Wait until the line has been silent for long enough since it was heard, and since the last answer was due.

        What came as that answer may have been another one, and the answer itself be under way. Raises LinkDown if the
        line is never silent.
        """
        time = asyncio.get_running_loop().time
        began = time()
        most = max(began, self._due) + BABBLE * self._quiet
        while (left := max(self._heard, self._due) + self._quiet - time()) > 0:
            if time() > most:
                self.close()
                self._why = (
                    f"not silent for {self._quiet:g} s in {BABBLE * self._quiet:g} s: another master, or a broken unit"
                )
                raise self._down(self._why, question)
            await asyncio.sleep(left)
        self._doubts -= 1
        self.hushed += round((time() - began) * SECOND)

    async def _rest(self, pause: Micros) -> None:
        left = pause and self._heard + pause / SECOND - asyncio.get_running_loop().time()
        if left > 0:
            await asyncio.sleep(left)

    def _telling_why(self, create: Callable[[], Awaitable[Any]]) -> Callable[[], Any]:
        """Keep the reason of a failed connection, which the library only logs."""

        async def connect() -> Any:
            try:
                return await create()
            except OSError as error:
                self._why = why(error)
                raise

        return connect
