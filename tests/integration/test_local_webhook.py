"""A local target's post over a real socket: signed as the office's, and any receiver costs one bounded attempt."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from edge.local.plan import Post
from edge.local.webhook import post
from simulators.phone import Mode, Phone
from sitekeeper.model.clock import SECOND, SystemClock

SECRET = "sixteen characters or more"
Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(answer: Answering) -> AsyncIterator[str]:
    """Serve on loopback; give the URL."""

    tasks: set[asyncio.Task[None] | None] = set()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/guard?x=1"
    finally:
        server.close()
        for task in filter(None, tasks):
            task.cancel()
            await asyncio.wait({task})
        await server.wait_closed()


def says(line: bytes) -> Answering:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(line)
        await writer.drain()

    return answer


async def drips(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One byte at a time, for ever: each wait for a byte is short."""
    for _each in range(100):
        writer.write(b"H")
        await writer.drain()
        await asyncio.sleep(0.05)


async def test_a_post_is_signed_as_the_offices_are() -> None:
    """The telephone that checks the office's signatures takes it with the right secret, and refuses another one."""
    phone = Phone(clock=SystemClock(), secret=SECRET.encode())
    port = await phone.start()
    try:
        now = int(time.time())
        assert await post(Post(f"http://127.0.0.1:{port}/", SECRET), b'{"alarms":[]}', now) == "told"
        assert await post(Post(f"http://127.0.0.1:{port}/", "another secret, long"), b"{}", now) == "status-401"
        phone.mode = Mode.ERROR
        assert await post(Post(f"http://127.0.0.1:{port}/", SECRET), b"{}", now) == "status-500"
    finally:
        await phone.close()
    assert phone.received[0]["body"] == {"alarms": []}


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (says(b"HTTP/1.1 204 No Content\r\n"), "told"),
        (says(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"), "status-302"),
        (says(b"SSH-2.0-OpenSSH_9.2\r\n"), "no-answer"),
        (says(b"\x00\xff\n"), "no-answer"),
        (says(b"H" * 5_000), "no-answer"),
        (says(b""), "no-answer"),
        (drips, "timed_out"),
    ],
)
async def test_any_answer_costs_one_bounded_attempt(answer: Answering, outcome: str) -> None:
    """Success, redirection, another protocol, garbage, a line without end, silence, one byte at a time."""
    async with listening(answer) as url:
        began = time.monotonic()
        assert await post(Post(url), b"{}", 0, within=SECOND // 2) == outcome
        assert time.monotonic() - began < 30


async def test_nobody_there_is_told_as_such() -> None:
    """A port that nobody listens on; a secret that no TLS receiver is behind."""
    async with listening(says(b"HTTP/1.1 200 OK\r\n")) as url:
        assert await post(Post(url.replace("http:", "https:")), b"{}", 0, within=SECOND) in {"unreachable", "timed_out"}
    assert await post(Post(url), b"{}", 0) == "unreachable"


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/", "http://127.0.0.1:80a/", "http://[::1/", "http://a..b/"])
async def test_an_address_that_cannot_be_is_nobody_there(url: str) -> None:
    """A port or name that no connection can be tried to costs one attempt as well."""
    assert await post(Post(url), b"{}", 0) == "unreachable"
