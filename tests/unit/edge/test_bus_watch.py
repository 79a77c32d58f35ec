"""Who may watch a link and what he is told, and the lines and files that the command line makes of it."""

import asyncio
import contextlib
import json
import struct
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from edge.cli import bus as cli
from edge.operations.bus import BACKLOG, operations
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import NotFound, Refused
from tests import virtual
from tests.fixtures.hostile_modbus import connect_to
from tests.fixtures.modbus import answer, asked, device, driver, registers

TECHNICIAN = Actor(name="lee", role="technician", origin="site")
VIEWER = Actor(name="may", role="viewer", origin="site")


def unit(request: bytes) -> list[bytes]:
    start, count = asked(request)
    return [answer(request, *range(start + 1000, start + count + 1000))]


def watching(actor: Actor, link: str, **args: Any) -> list[dict[str, Any]]:
    """Return what a watcher of a link is told from two readings, or from the past."""

    async def story() -> list[dict[str, Any]]:
        connect_to(unit)  # type: ignore[arg-type]
        field = driver(502, device("d", registers(2)), clock=virtual.VirtualClock(), frames=4096)
        site = SimpleNamespace(links={"plant": None, "doors": None})
        gateway = SimpleNamespace(site=site, drivers={"plant": field, "doors": object()})
        await field.open()
        await field.read("d@1s")
        told = []
        answers = operations(gateway)["bus.watch"](actor, {"link": link, **args})  # type: ignore[arg-type]

        async def take() -> None:
            async for item in answers:
                told.append(item)

        task = asyncio.create_task(take())
        await asyncio.sleep(0.1)
        await field.read("d@1s")
        await asyncio.sleep(0.1)
        if not task.done():
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert field._link.frames is not None
        assert field._link.frames._takers == []
        await field.close()
        return told

    return virtual.run(story())


def test_past_and_present_frames_of_a_link():
    """First what is kept, then what comes, each read with what was asked; who goes leaves nothing behind."""
    told = watching(TECHNICIAN, "plant")
    assert [item["direction"] for item in told] == ["sent", "received"] * 2
    sent, received = told[2:]
    assert (sent["unit"], sent["function"], sent["address"], sent["count"], sent["values"]) == (1, 3, 0, 2, None)
    assert (received["address"], received["values"], received["error"]) == (0, [1000, 1001], "")
    assert received["latency_ms"] >= 0
    assert received["wire"] == "modbus-tcp"
    assert len(watching(TECHNICIAN, "plant", past=True)) == 2


def test_who_may_watch_and_what():
    """Technicians may, viewers may not; a link is named, and one whose frames are not Modbus is said to be none."""
    with pytest.raises(Refused, match="viewer may not watch"):
        watching(VIEWER, "plant")
    with pytest.raises(NotFound, match="did you mean plant"):
        watching(TECHNICIAN, "plnt")
    with pytest.raises(Refused, match="usage"):
        watching(TECHNICIAN, "doors")
    assert BACKLOG < 10_000


def told(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    items = watching(TECHNICIAN, "plant")
    monkeypatch.setattr(cli, "ask", lambda *_, **__: iter(items))
    return CliRunner().invoke(cli.bus, ["watch", "plant", *arguments])


def test_a_line_for_each_frame(monkeypatch):
    """Columns with tabs; with --count it ends after so many."""
    said = told(monkeypatch, "--count", "2")
    lines = [line.split("\t") for line in said.output.splitlines()]
    assert lines[0] == list(cli._COLUMNS)
    assert lines[1][1:7] == ["sent", "1", "3", "0", "2", "-"]
    assert lines[2][1:7] == ["received", "1", "3", "0", "2", "1000 1001"]
    assert len(lines) == 3
    items = [json.loads(line) for line in told(monkeypatch, "--json").output.splitlines()]
    assert [item["raw"] for item in items][:2] == ["000100000006010300000002", "00010000000701030403e803e9"]


def test_the_same_frames_in_a_capture_file(monkeypatch, tmp_path):
    """--pcap writes what was shown, packet by packet; a file that cannot be written is said to be none."""
    file = tmp_path / "plant.pcap"
    assert told(monkeypatch, "--pcap", str(file)).exit_code == 0
    data, at, frames = file.read_bytes(), 24, []
    while at < len(data):
        (size,) = struct.unpack(">I", data[at + 8 : at + 12])
        frames.append(data[at + 16 : at + 16 + size][40:].hex())
        at += 16 + size
    assert len(frames) == 4
    assert frames[:2] == ["000100000006010300000002", "00010000000701030403e803e9"]
    refused = told(monkeypatch, "--pcap", str(tmp_path / "no" / "such"))
    assert (refused.exit_code, "No such file" in refused.output) == (2, True)
