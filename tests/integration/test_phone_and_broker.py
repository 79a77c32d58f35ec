"""The telephone and the embedded broker as processes of their own."""

import asyncio
import hashlib
import hmac
import json
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import httpx
import pytest

from simulators.phone import Mode, Phone
from sitekeeper.model.clock import SECOND, ManualClock

SECRET = b"a secret of some length"


@pytest.fixture(autouse=True)
def reaped(no_leaked_threads: None) -> Iterator[None]:
    """Let asyncio's waiting threads of ended processes (Python before 3.12) end too."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("asyncio-waitpid"):
            thread.join(1)


@asynccontextmanager
async def program(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """Start `python -m ...`, wait for its ready line, and stop it by SIGTERM."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", *arguments, stdout=-1, stderr=-1)
    assert process.stdout is not None
    async with asyncio.timeout(20):
        line = (await process.stdout.readline()).decode()
    try:
        assert line.startswith("ready "), line
        yield process, int(line.strip().strip("/").rpartition(":")[2])
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            await process.communicate()


def signature(body: bytes, stamp: int) -> dict[str, str]:
    mac = hmac.new(SECRET, f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {"Sitekeeper-Signature": f"t={stamp},v1={mac}", "Sitekeeper-Event-Id": "e1"}


async def test_phone_modes() -> None:
    """Signed pushes are accepted and written down; each failure mode fails as named, and only 200 is an acceptance."""
    clock = ManualClock()
    phone = Phone(clock=clock, secret=SECRET)
    url = f"http://127.0.0.1:{await phone.start()}/"
    body = b'{"rule":"L01"}'
    headers = signature(body, clock.wall() // SECOND)
    async with httpx.AsyncClient(timeout=0.3) as client:
        assert (await client.post(url, content=body, headers=headers)).status_code == 200
        assert (await client.post(url, content=body)).status_code == 401
        assert (await client.put(url + "mode", content="error")).status_code == 204
        assert (await client.put(url + "mode", content="fancy")).status_code == 400
        assert (await client.get(url)).status_code == 400
        assert (await client.post(url, content=body, headers=headers)).status_code == 500
        for mode in (Mode.HANG, Mode.CLOSE_BEFORE, Mode.CLOSE_AFTER):
            phone.mode = mode
            wanted = httpx.ReadTimeout if mode is Mode.HANG else (httpx.RemoteProtocolError, httpx.ReadError)
            with pytest.raises(wanted):
                await client.post(url, content=body, headers=headers)
    await phone.close()
    assert [(line["status"], line["signed"]) for line in phone.received] == [
        (200, True),
        (401, False),
        (500, True),
        (0, True),
        (0, True),
    ]
    assert phone.received[0] == {
        "t": clock.wall(),
        "event": "e1",
        "status": 200,
        "signed": True,
        "body": {"rule": "L01"},
    }


async def test_phone_program(tmp_path: Path) -> None:
    """As a program the telephone journals an acceptance before its answer leaves, and stops on SIGTERM."""
    secret, journal = tmp_path / "secret", tmp_path / "phone.jsonl"
    secret.write_bytes(SECRET + b"\n")
    arguments = ["simulators.phone", "--journal", str(journal), "--secret-file", str(secret)]
    async with program(*arguments) as (process, port), httpx.AsyncClient(timeout=5) as client:
        body = b"{}"
        answer = await client.post(f"http://127.0.0.1:{port}/", content=body, headers=signature(body, int(time.time())))
        assert answer.status_code == 200
        assert json.loads(journal.read_text())["status"] == 200
    assert process.returncode == 0


async def test_broker_program() -> None:
    """The embedded broker takes a QoS 1 message of 256 KiB over MQTT 3.1.1; a taken port is refused with a reason."""
    async with program("simulators.broker", "--port", "0") as (_, port):
        async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V311) as client:
            await client.subscribe("a/#", qos=1)
            await client.publish("a/b", b"x" * 256 * 1024, qos=1)
            async with asyncio.timeout(5):
                message = await anext(aiter(client.messages))
            assert message.payload == b"x" * 256 * 1024
        second = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "simulators.broker", "--port", str(port), stdout=-1, stderr=-1
        )
        _, errors = await second.communicate()
        assert second.returncode == 1
        assert b"in use" in errors
