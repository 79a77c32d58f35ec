"""Pushes over real sockets: what a receiver sees, and what the office makes of every way in which it can fail."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from office.notify.channels import Channel, Message
from office.notify.channels.apprise import Apprise
from office.notify.channels.webhook import Webhook
from office.settings import load
from sitekeeper.data import data_path
from sitekeeper.model.clock import SECOND, SystemClock
from sitekeeper.model.errors import ConfigError, Refused

SECRET = "0123456789abcdef-shared"


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """An HTTP server written on sockets, so that it can misbehave in ways that a framework cannot."""

    mode: str = "ok"
    got: list[Request] = field(default_factory=list)
    port: int = 0
    tasks: set[asyncio.Task[None] | None] = field(default_factory=set)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.add(asyncio.current_task())
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.got.append(Request(first.split()[1], headers, body))
            await self._answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        match self.mode:
            case "ok":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            case "endless-answer":
                writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 1000000\r\n\r\n...")
                await writer.drain()
                await self.over.wait()
            case "500":
                writer.write(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            case "redirect":
                writer.write(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")
            case "hang":
                await self.over.wait()
            case "close":
                return
            case "garbage":
                writer.write(b"\x00\xff not http at all\r\n\r\n")
        await writer.drain()


@asynccontextmanager
async def receiving(mode: str = "ok") -> AsyncIterator[Receiver]:
    receiver = Receiver(mode)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        receiver.over.set()
        server.close()
        await asyncio.gather(*filter(None, receiver.tasks))
        await server.wait_closed()


@pytest.fixture(autouse=True)
def library_threads_end() -> Iterator[None]:
    """Wait for Apprise's threads, which may outlive an attempt by a moment, before leaks are counted."""
    yield
    deadline = time.monotonic() + 5
    while any(t.name.startswith("apprise") for t in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.005)


@asynccontextmanager
async def opened(channel: Channel) -> AsyncIterator[Channel]:
    try:
        yield channel
    finally:
        await channel.close()


def webhook(port: int, timeout: float = 5.0) -> Webhook:
    return Webhook(f"http://127.0.0.1:{port}/hook?token=x", SECRET, int(timeout * SECOND), SystemClock())


def apprise(port: int, timeout: float = 10.0) -> Apprise:
    return Apprise(f"json://127.0.0.1:{port}/chat", int(timeout * SECOND))


MESSAGE = Message(
    event_id="hq/lift-a1/L01@e1-1", occurrence="hq/lift-a1/L01@e1-1", site="hq", device="lift-a1", rule="L01",
    priority="P1", cause="raise", at=1_800_000_000_123_000, title="【緊急】電梯困人｜松濤苑一期 3號樓客梯2｜14:03",
    body="Floor: 7\nEvent hq/lift-a1/L01@e1-1", values={"floor": 7, "door_closed": True},
)  # fmt: skip


def verified(request: Request, secret: str) -> bool:
    """Check a signature as a receiver would, from the specification alone."""
    parts = dict(part.split("=", 1) for part in request.headers["sitekeeper-signature"].split(","))
    wanted = hmac.new(secret.encode(), parts["t"].encode() + b"." + request.body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted, parts["v1"])


async def test_a_webhook_is_signed_json_that_only_the_shared_secret_verifies() -> None:
    """The receiver verifies the signature with plain hmac, finds the event id in a header, and reads the fields."""
    async with receiving() as receiver, opened(webhook(receiver.port)) as channel:
        answer = await channel.send(MESSAGE)
    [request] = receiver.got
    assert (answer.outcome, answer.text) == ("accepted", "200 OK")
    assert verified(request, SECRET)
    assert not verified(request, SECRET + "x")
    assert not verified(Request(request.path, request.headers, request.body + b" "), SECRET)
    assert request.headers["sitekeeper-event-id"] == MESSAGE.event_id
    body = json.loads(request.body)
    assert body["schema"] == "sitekeeper.push/1"
    assert (body["title"], body["values"]["floor"], body["possible_repeat"]) == (MESSAGE.title, 7, False)
    assert body["at"] == "2027-01-15T08:00:00.123+00:00"


async def test_the_recipient_on_record_holds_no_secret() -> None:
    """The row names the URL without its query, and for Apprise only the kind of target."""
    async with opened(webhook(80)) as hook, opened(Apprise("json://user:hidden@127.0.0.1:80/chat", SECOND)) as chat:
        assert hook.recipient == "http://127.0.0.1:80/hook" or hook.recipient == "http://127.0.0.1/hook"
        assert chat.recipient == "apprise json"


async def test_apprise_delivers_title_and_body() -> None:
    """One Apprise target gets the same words; two equal messages both go out."""
    async with receiving() as receiver, opened(apprise(receiver.port)) as channel:
        answers = [await channel.send(MESSAGE), await channel.send(MESSAGE)]
    assert [answer.outcome for answer in answers] == ["accepted", "accepted"]
    bodies = [json.loads(request.body) for request in receiver.got]
    assert [(body["title"], body["message"]) for body in bodies] == [(MESSAGE.title, MESSAGE.body)] * 2


@pytest.mark.parametrize("make", [webhook, apprise])
async def test_a_refusal_is_surely_not_accepted(make: Callable[[int], Channel]) -> None:
    """Status 500 is `failed`, and the answer on record says 500."""
    async with receiving("500") as receiver, opened(make(receiver.port)) as channel:
        answer = await channel.send(MESSAGE)
    assert answer.outcome == "failed"
    assert "500" in answer.text
    assert len(receiver.got) == 1, "the channel itself never retries"


@pytest.mark.parametrize("make", [webhook, apprise])
@pytest.mark.parametrize("mode", ["close", "garbage"])
async def test_an_answer_that_is_lost_is_unknown(make: Callable[[int], Channel], mode: str) -> None:
    """The receiver took the request and closed or babbled: it may have accepted."""
    async with receiving(mode) as receiver, opened(make(receiver.port)) as channel:
        answer = await channel.send(MESSAGE)
    assert answer.outcome == "unknown"
    assert len(receiver.got) == 1, "the channel itself never retries"


@pytest.mark.parametrize("make", [webhook, apprise])
async def test_nobody_listening_is_failed(make: Callable[[int], Channel]) -> None:
    """A refused connection carried nothing, so the next attempt is no repeat."""
    async with receiving() as receiver:
        port = receiver.port
    async with opened(make(port)) as channel:
        assert (await channel.send(MESSAGE)).outcome == "failed"


@pytest.mark.parametrize("make", [webhook, apprise])
async def test_a_receiver_that_hangs_costs_the_timeout_and_no_more(make: Callable[..., Channel]) -> None:
    """Within the channel's own timeout the outcome is `unknown`."""
    async with receiving("hang") as receiver, opened(make(receiver.port, 0.3)) as channel:
        began = asyncio.get_running_loop().time()
        answer = await channel.send(MESSAGE)
        took = asyncio.get_running_loop().time() - began
        assert receiver.got
    assert answer.outcome == "unknown"
    assert 0.25 < took < 2.0


async def test_the_status_line_decides_even_if_the_answer_never_ends() -> None:
    """202 and then a body that hangs is accepted at once."""
    async with receiving("endless-answer") as receiver, opened(webhook(receiver.port)) as channel:
        async with asyncio.timeout(2):
            answer = await channel.send(MESSAGE)
    assert (answer.outcome, answer.text) == ("accepted", "202 Accepted")


async def test_a_redirect_is_not_followed() -> None:
    """A signed message is not carried to another address: 302 is `failed`."""
    async with receiving("redirect") as receiver, opened(webhook(receiver.port)) as channel:
        answer = await channel.send(MESSAGE)
    assert answer.outcome == "failed"
    assert [request.path for request in receiver.got] == ["/hook?token=x"]


def test_a_target_that_apprise_does_not_know_is_refused_without_its_secret() -> None:
    """The error names the scheme only."""
    with pytest.raises(Refused, match="nonsense") as caught:
        Apprise("nonsense://user:hidden@host", SECOND)
    assert "hidden" not in str(caught.value)


def test_an_apprise_url_must_be_one_that_apprise_knows(tmp_path: Path) -> None:
    """A target that could never send is found at its place before the office starts."""
    path = tmp_path / "office.yaml"
    path.write_text(
        "store: {path: x}\nbroker: {host: x}\nchannels:\n- {id: chat, kind: apprise, url: 'nonsense://h'}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(path)
    [fault] = caught.value.faults
    assert (fault.line, fault.code) == (4, "bad-value")
    assert "nonsense" in fault.message


def test_the_shipped_example_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """config/office/example.yaml is correct once its secrets exist."""
    for name in ("BROKER_PASSWORD", "DESK_WEBHOOK", "CHAT_TOKEN"):
        monkeypatch.setenv(f"SITEKEEPER_SECRET_{name}", "0123456789abcdef")
    path = tmp_path / "office.yaml"
    path.write_bytes(data_path("office", "example.yaml").read_bytes())
    assert [channel.id for channel in load(path).channels] == ["duty-desk", "duty-chat"]


FIRST_PUSH = """
import asyncio, sys
from office.notify.channels import Message
from office.notify.channels.webhook import Webhook
from sitekeeper.model.clock import SECOND, SystemClock

async def push():
    webhook = Webhook("http://127.0.0.1:9/", "0123456789abcdef", SECOND, SystemClock())
    names = "event_id occurrence site device rule priority cause title body"
    words = dict.fromkeys(names.split(), "")
    before = set(sys.modules)
    answer = await webhook.send(Message(**words, at=0, values={}))
    await webhook.close()
    print(answer.outcome, *(set(sys.modules) - before))

asyncio.run(push())
"""


def test_the_first_push_imports_nothing() -> None:
    """What a push needs was loaded with the channel: an alarm does not wait for it."""
    done = subprocess.run([sys.executable, "-c", FIRST_PUSH], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.split() == ["failed"]
