"""A telephone for tests and the demo: receives signed webhooks, checks them, writes each one down; fails when told.

`python -m simulators.phone --port N --journal FILE --secret-file FILE` prints `ready http://127.0.0.1:N/` and serves
until SIGTERM. Anything POSTed is a push. `PUT /mode` with a mode's word as the body switches how it fails from then on.
Journal, one JSON line per push: {t: wall us, event, status, signed, body}; status 0 means no answer was given,
so the sender cannot know; only status 200 is an acceptance.
"""

import argparse
import asyncio
import contextlib
import hashlib
import hmac
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from sitekeeper.model.clock import SECOND, Clock, SystemClock

HEAD: Final = 16 * 1024
BODY: Final = 1024 * 1024
TIMEOUT: Final = 30.0
"""Seconds for a request to arrive; also how long `hang` hangs."""
TOLERANCE: Final = 300
"""Seconds by which a signature's time may be off."""
REASONS: Final = {200: "OK", 204: "No Content", 400: "Bad Request", 401: "Unauthorized", 500: "Internal Server Error"}


class Mode(StrEnum):
    """How the telephone behaves."""

    OK = "ok"
    ERROR = "error"  # answers 500
    HANG = "hang"  # takes the push in and never answers
    CLOSE_BEFORE = "close_before"  # closes without reading
    CLOSE_AFTER = "close_after"  # takes the push in, then closes without an answer


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class BadRequest(Exception):
    """Not HTTP that this telephone understands."""


class Phone:
    """The receiver. `received` holds what the journal holds, newest last.

    Args:
        secret: key of the signatures; None accepts unsigned pushes.
    """

    def __init__(self, *, clock: Clock, journal: Path | None = None, secret: bytes | None = None) -> None:
        self.mode = Mode.OK
        self.received: list[dict[str, object]] = []
        self._clock = clock
        self._secret = secret
        self._journal = None if journal is None else journal.open("ab", buffering=0)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0) -> int:
        """Listen on loopback and return the port.

        Raises:
            OSError: the port is taken.
        """
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", port, limit=HEAD)
        number: int = self._server.sockets[0].getsockname()[1]
        return number

    async def close(self) -> None:
        """Stop listening and end what is under way."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._journal is not None:
            self._journal.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self.mode is not Mode.CLOSE_BEFORE:
                async with asyncio.timeout(TIMEOUT):
                    request = await read_request(reader)
                await self._answer(request, writer)
        except BadRequest as error:
            writer.write(_response(400, str(error)))
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the peer went, or was too slow
        except asyncio.CancelledError:
            writer.transport.abort()  # we are closing
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()
            self._tasks.discard(task)

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if request.method == "PUT" and request.path == "/mode":
            writer.write(_response(self._switch(request.body)))
            return
        if request.method != "POST":
            writer.write(_response(400, "only POST"))
            return
        signed = self._secret is not None and verify(self._secret, request, self._clock.wall() // SECOND)
        status = {Mode.ERROR: 500, Mode.HANG: 0, Mode.CLOSE_AFTER: 0}.get(self.mode, 200)
        if status == 200 and self._secret is not None and not signed:
            status = 401
        self._write_down(request, status, signed=signed)
        if self.mode is Mode.HANG:
            await asyncio.sleep(TIMEOUT)
        if status:
            writer.write(_response(status))
            await writer.drain()

    def _switch(self, body: bytes) -> int:
        try:
            self.mode = Mode(body.decode().strip())
        except (ValueError, UnicodeDecodeError):
            return 400
        return 204

    def _write_down(self, request: Request, status: int, *, signed: bool) -> None:
        try:
            body: object = msgspec.json.decode(request.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            body = request.body.decode("utf-8", "replace")
        line: dict[str, object] = {
            "t": self._clock.wall(),
            "event": request.headers.get("sitekeeper-event-id", ""),
            "status": status,
            "signed": signed,
            "body": body,
        }
        self.received.append(line)
        if self._journal is not None:
            self._journal.write(msgspec.json.encode(line) + b"\n")


def verify(secret: bytes, request: Request, now: int) -> bool:
    """Tell whether `Sitekeeper-Signature: t=<unix>,v1=<hex>` signs this body, recently by `now` (seconds)."""
    fields = dict(
        part.strip().partition("=")[::2] for part in request.headers.get("sitekeeper-signature", "").split(",")
    )
    stamp = fields.get("t", "")
    if not stamp.isascii() or not stamp.isdigit() or len(stamp) > 12 or abs(int(stamp) - now) > TOLERANCE:
        return False
    wanted = hmac.new(secret, stamp.encode() + b"." + request.body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted.encode(), fields.get("v1", "").encode())


async def read_request(reader: asyncio.StreamReader) -> Request:
    """Read one HTTP/1.1 request with a body of stated length.

    Raises:
        BadRequest: it is not one, or too large.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise BadRequest("head too large") from None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequest("not HTTP/1")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or len(length) > 9 or "transfer-encoding" in headers:
        raise BadRequest("needs a Content-Length")
    if int(length) > BODY:
        raise BadRequest("body too large")
    return Request(words[0], words[1], headers, await reader.readexactly(int(length)))


def _response(status: int, text: str = "") -> bytes:
    body = text.encode()
    head = f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


async def _run(port: int, journal: Path | None, secret: bytes | None) -> None:
    phone = Phone(clock=SystemClock(), journal=journal, secret=secret)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        sys.stdout.write(f"ready http://127.0.0.1:{await phone.start(port)}/\n")
        sys.stdout.flush()
        await stop.wait()
    finally:
        await phone.close()


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m simulators.phone", description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=0, help="0 for a free one")
    parser.add_argument("--journal", type=Path)
    parser.add_argument("--secret-file", type=Path)
    given = parser.parse_args()
    secret = None if given.secret_file is None else given.secret_file.read_bytes().strip()
    try:
        asyncio.run(_run(given.port, given.journal, secret))
    except OSError as error:
        sys.stderr.write(f"cannot listen: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
