"""Callers who are slow, mute, many or gone cost the daemon nothing; and a daemon that misbehaves is named so."""

import asyncio
import contextlib
import json
import socket
import threading
from pathlib import Path

import pytest

from edge.cli.client import ask
from sitekeeper import control
from tests.integration.callers import Door, Table, asked, descriptors, said, until


async def test_a_caller_who_says_nothing_is_let_go(door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time for a request the connection is closed without an answer."""
    monkeypatch.setattr(door.module, "REQUEST_TIMEOUT_S", 0.1)
    async with door.serving(tmp_path / "s") as api:
        assert await said(tmp_path / "s", b"") == b""
        assert await said(tmp_path / "s", b'{"v": 1, "op"') == b""
        await until(lambda: not api._callers)


async def test_a_caller_who_does_not_read_costs_a_bounded_buffer_and_a_bounded_time(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood stops being made as soon as it is not taken; then the caller is cut off and the operation ended."""
    monkeypatch.setattr(door.module, "WRITE_TIMEOUT_S", 0.3)
    table = Table()
    async with door.serving(tmp_path / "s", table) as api:
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(tmp_path / "s"))
            caller.sendall(control.encode_request("flood", {}))
            await until(lambda: table.watching == 1)
            await until(lambda: not api._callers)
            assert table.watching == 0
            assert table.made < 200, "2 MB at most for somebody who takes nothing"
            assert await asked(tmp_path / "s", "echo", a=1) == [{"a": 1}]


async def test_an_answer_that_is_not_taken_does_not_hold_its_connection_open(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller who asks, gets more than fits into the socket, and never reads: his connection ends all the same."""
    monkeypatch.setattr(door.module, "WRITE_TIMEOUT_S", 0.3)
    async with door.serving(tmp_path / "s") as api:
        with socket.socket(socket.AF_UNIX) as caller:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            caller.connect(str(tmp_path / "s"))
            request = control.encode_request("echo", {"a": "y" * 250_000})
            await asyncio.to_thread(caller.sendall, request)
            await until(lambda: len(api._callers) == 1)
            await until(lambda: not api._callers)
            caller.setblocking(True)
            caller.settimeout(5)
            with contextlib.suppress(ConnectionError):
                while await asyncio.to_thread(caller.recv, 1 << 16):
                    pass  # it ends: closed, not kept


async def test_a_watch_ends_when_the_caller_closes(door: Door, tmp_path: Path) -> None:
    """The operation's own clean-up runs at once, not at the next change."""
    table = Table()
    async with door.serving(tmp_path / "s", table) as api:
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(control.encode_request("watch", {}))
        assert json.loads(await reader.readline()) == {"item": {"n": 0}}
        assert table.watching == 1
        writer.close()
        await writer.wait_closed()
        await until(lambda: table.watching == 0 and not api._callers, within=2)


async def test_a_caller_who_hangs_up_half_way_never_gets_half_an_answer_as_a_whole(door: Door, tmp_path: Path) -> None:
    """Shutting the sending side ends the conversation: what was not answered has no end line that says ok."""
    async with door.serving(tmp_path / "s"):
        heard = await said(tmp_path / "s", control.encode_request("slow", {}), hang_up=True)
        items = [json.loads(line) for line in heard.splitlines()]
        assert {"item": {"n": 2}} in items or not any("ok" in item for item in items)


async def test_thirty_two_callers_are_served_and_the_next_is_told_busy(door: Door, tmp_path: Path) -> None:
    """A place is free again as soon as one of them leaves."""
    table, most = Table(), door.module.MAX_CALLERS
    assert most == 32
    async with door.serving(tmp_path / "s", table), contextlib.AsyncExitStack() as stack:
        writers = []
        for _ in range(most):
            reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
            stack.callback(writer.close)
            writer.write(control.encode_request("watch", {}))
            await reader.readline()
            writers.append(writer)
        assert table.watching == most
        for _ in range(5):
            with pytest.raises(control.ControlError, match="too many callers"):
                await asked(tmp_path / "s", "echo", a=1)
        writers[0].close()
        await until(lambda: table.watching == most - 1)
        assert await asked(tmp_path / "s", "echo", a=1) == [{"a": 1}]


async def test_a_thousand_callers_in_a_row_leave_nothing_behind(door: Door, tmp_path: Path) -> None:
    """Half of them hang up before the answer; no task and no file descriptor stays."""
    async with door.serving(tmp_path / "s") as api:
        before = descriptors()
        for number in range(1000):
            if number % 2:
                assert await asked(tmp_path / "s", "echo", a=number) == [{"a": number}]
            else:
                _, writer = await asyncio.open_unix_connection(tmp_path / "s")
                writer.write(control.encode_request("watch", {})[: number % 30])
                writer.close()
        await until(lambda: not api._callers)
        await asyncio.sleep(0.05)
        assert descriptors() <= before + 2


async def test_closing_ends_the_conversations(door: Door, tmp_path: Path) -> None:
    """A watcher is no reason for a daemon to live on; its operation is cleaned up."""
    table = Table()
    async with door.serving(tmp_path / "s", table):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(control.encode_request("watch", {}))
        await reader.readline()
    assert table.watching == 0
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    assert not (tmp_path / "s").exists()


def test_the_client_names_a_daemon_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing within the client's patience is `unreachable`; a daemon that hangs up is `closed`; garbage too."""
    monkeypatch.setattr("edge.cli.client.TIMEOUT_S", 0.2)
    answers = [b"", b'{"item": 1}\n', b"garbage\n", None]
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(str(tmp_path / "s"))
        daemon.listen(1)

        def serve() -> None:
            for answer in answers:
                caller, _ = daemon.accept()
                with caller:
                    caller.recv(1000)
                    if answer is None:
                        caller.recv(1)  # until he gives up
                    else:
                        caller.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        found = []
        for _ in answers:
            with pytest.raises(control.ControlError) as caught:
                list(ask(tmp_path / "s", "status"))
            found.append(caught.value.problems[0].code)
        thread.join()
    assert found == ["closed", "closed", "closed", "unreachable"]
