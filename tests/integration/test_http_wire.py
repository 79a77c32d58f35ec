"""Hostile connections to the office's console and API: too large, not HTTP, slow, a flood; and names that look alike.

Whoever sends what cannot be a question is refused or cut off, and everybody else is served as before.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

import httpx
import pytest

from office.app import Office
from office.console import stream
from office.console.gate import MAX_ADDRESS, MAX_BODY
from tests.console_estate import until
from tests.integration.test_console_api import program
from tests.integration.test_http_hostile import EVIL, MOST_MIB, estate, memory_mib, quickly


async def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(tmp_path: Path) -> None:
    """Announced: 413 at once. Unannounced, in pieces: cut off when it has become too large. By one byte, too."""
    async with estate(tmp_path) as (app, _, occurrence), program(app, "admin") as client:
        path = f"/api/v1/alarms/{quote(occurrence)}/ack"
        exact = b'{"note": "x"}'.ljust(MAX_BODY)
        assert (await client.post(path, content=exact)).status_code == 200
        assert (await client.post(path, content=exact + b" ")).status_code == 413

        async def pieces(count: int) -> AsyncIterator[bytes]:
            for _ in range(count):
                yield b" " * 4096

        assert (await client.get("/api/v1/sites?x=" + "y" * MAX_ADDRESS)).status_code == 414
        before = memory_mib()
        with contextlib.suppress(httpx.WriteError, httpx.RemoteProtocolError):  # cut off while it was being sent
            answer = await client.post(path, content=pieces(4_000))
            assert answer.status_code == 400
        assert memory_mib() - before < MOST_MIB
        assert (await client.get("/healthz")).status_code == 200


async def said(app: Office, *pieces: bytes, within: float = 5.0) -> bytes:
    """Send bytes as they are and return all that comes until the connection is closed."""
    assert app.console is not None
    port = httpx.URL(app.console.address).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(within):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


HEAD = b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\n"
SMUGGLED: Final[dict[str, bytes]] = {
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 50\r\n\r\nhello",
    "length and chunks": HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nZ\r\nQ\r\n\r\n",
    "two encodings": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a strange encoding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "a length with a sign": HEAD + b"Content-Length: +5\r\n\r\nhello",
    "a length of 5,000 digits": HEAD + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n",
    "a length that is no ASCII": HEAD + b"Content-Length: \xb2\r\n\r\n",
    "a chunk of 2^64": HEAD + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
    "a bare line feed": b"GET /login HTTP/1.1\nHost: 127.0.0.1\nX: a\rb\n\n",
    "a zero in a header": HEAD + b"X: a\0b\r\n\r\n",
    "a blank before the colon": HEAD + b"X : a\r\n\r\n",
    "two hosts": b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n",
    "no host": b"GET /login HTTP/1.1\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
    "a request line of 100 KiB": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "headers of 1 MiB": HEAD + b"X: " + b"y" * 2**20 + b"\r\n\r\n",
}


async def test_what_is_no_clean_http_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Smuggling by lengths and chunks, broken heads, other protocols: 4xx, and the connection ends."""
    monkeypatch.setattr("office.console.hurried.PATIENCE_S", 0.5)
    async with estate(tmp_path) as (app, _, _), program(app) as client:
        for name, raw in SMUGGLED.items():
            answer = await said(app, raw, within=8.0)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), (name, answer[:200])
            assert answer.count(b"HTTP/1.1 ") <= 1, name
        assert (await client.get("/api/v1/sites")).status_code == 200


async def test_who_is_slow_is_cut_off_and_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head or a body that does not end, or a connection on which nothing comes, is closed; others are served."""
    monkeypatch.setattr("office.console.hurried.PATIENCE_S", 0.5)
    slow = {
        "nothing": (),
        "half a head": (HEAD,),
        "half a body": (HEAD + b"Content-Length: 100\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\nname=",),
        "half a chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nFF\r\nabc",),
        "a good question and half a head": (b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"GET /hea"),
    }
    async with estate(tmp_path) as (app, _, _), program(app) as client:
        many = [asyncio.create_task(said(app, *pieces, within=4.0)) for pieces in slow.values() for _ in range(20)]
        await asyncio.sleep(0.2)
        _, late = await quickly(client, "GET", "/api/v1/sites")
        assert late == []
        for name, answers in zip(slow, [many[at : at + 20] for at in range(0, len(many), 20)], strict=True):
            for answer in await asyncio.gather(*answers):
                assert b"Traceback" not in answer
                assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 200 OK")), (name, answer[:100])


async def test_an_open_stream_is_not_taken_for_a_slow_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asked in full may listen for as long as he likes."""
    monkeypatch.setattr("office.console.hurried.PATIENCE_S", 0.2)
    async with (
        estate(tmp_path) as (app, _, _),
        program(app) as client,
        client.stream("GET", "/api/v1/stream") as answer,
    ):
        began, beats = time.monotonic(), 0
        async for piece in answer.aiter_text():
            beats += piece.count("event: beat")
            if beats >= 3:
                break
        assert time.monotonic() - began > 1.0


async def test_a_flood_of_streams_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit a stream is refused as busy, pages go on, and a stream that ends makes room."""
    monkeypatch.setattr(stream, "MAX_CLIENTS", 20)
    async with estate(tmp_path) as (app, _, _), program(app) as client, contextlib.AsyncExitStack() as listening:
        assert app.console is not None
        hub = app.console.parts.hub
        first = await listening.enter_async_context(client.stream("GET", "/api/v1/stream"))
        for _ in range(19):
            assert (await listening.enter_async_context(client.stream("GET", "/api/v1/stream"))).status_code == 200
        await until(lambda: len(hub._clients) == 20)
        refused = [await client.get("/api/v1/stream") for _ in range(30)]
        assert {(answer.status_code, answer.json()["problem"]) for answer in refused} == {(503, "busy")}
        answer, slow = await quickly(client, "GET", "/api/v1/sites")
        assert (answer.status_code, slow) == (200, [])
        await first.aclose()
        await until(lambda: len(hub._clients) < 20)
        async with client.stream("GET", "/api/v1/stream") as again:
            assert again.status_code == 200


async def test_look_alikes_of_a_site_are_not_that_site(tmp_path: Path) -> None:
    """Full-width letters, Cyrillic ones, other case, blanks and marks that do not show: there is no such site."""
    async with estate(tmp_path) as (app, _, _), program(app) as client:
        for alike in ("ｈｑ", "hԛ", "һq", "HQ", "hq ", " hq", "hq\u200b", "\ufeffhq", "h\u00adq", "hq%00", "hq."):
            for path in ("/api/v1/sites/{}", "/api/v1/sites/{}/points", "/api/v1/ledger?site={}"):
                answer = await client.get(path.format(quote(alike, safe="")))
                assert answer.status_code == 404, (alike, path)


async def test_hostile_names_leave_as_data(tmp_path: Path) -> None:
    """What a site calls itself is JSON that no browser renders, metrics that keep to their format, SQL to nobody."""
    async with estate(tmp_path) as (app, _, occurrence), program(app) as client:
        for path in ("/api/v1/sites", "/api/v1/sites/hq", f"/api/v1/alarms/{quote(occurrence)}"):
            answer = await client.get(path)
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["x-content-type-options"] == "nosniff"
        assert (await client.get("/api/v1/sites/hq")).json()["names"]["en"] == EVIL
        told = (await client.get("/api/v1/sites/hq/points")).json()
        assert "=cmd|' /C calc'!A0" in {point["value"] for point in told}
        lines = (await client.get("/metrics")).text.splitlines()
        assert all(line.startswith(("#", "sitekeeper_")) for line in lines)
        assert json.loads((await client.get(f"/api/v1/alarms/{quote(occurrence)}")).text)["state"] == "B"
