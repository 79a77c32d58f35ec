"""`sk probe bacnet` at our simulator, at a device of another make, and at devices that make it hard."""

import json
from typing import Any

import pytest
import yaml

from edge.cli.probe_bacnet import _link
from edge.probe.bacnet_talk import Report, examine
from simulators.scenario import Scenario
from tests.fixtures import bacnet
from tests.fixtures.bacnet import Asked, abort, error, names, reject, simple_ack, unsigned
from tests.fixtures.bacnet_peers import free_port, rusty_device, simulated
from tests.sk import sk

DEVICES = [
    {"id": "lift-a1", "object": 1, "face": "bacnet-lift"},
    {"id": "lamp-01", "object": 1, "face": "lighting-output"},
    {"id": "lamp-02", "object": 2, "face": "lighting-output"},
    {"id": "door-1", "object": 1, "face": "access-door"},
]
PLAN = {"title": "p", "links": [{"id": "bms", "kind": "bacnet", "instance": 1200, "devices": DEVICES}]}


async def probed(port: int, device: int | None = None, timeout: str = "300ms") -> Report:
    return await examine(_link("127.0.0.1/32", 0, timeout), f"127.0.0.1:{port}", "127.0.0.1", device)


async def test_our_simulator_fits_its_profiles():
    """It says who it is, each known object fits, and the YAML names all of them."""
    async with simulated(Scenario.model_validate(PLAN)) as (_, address, _lines):
        report = await probed(int(address.rpartition(":")[2]))
    assert (report.state, report.instance, report.listed) == ("answers", 1200, "whole")
    assert {"read-property-multiple", "write-property"} <= set(report.identity["services"])
    assert (report.identity["segmentation"], report.identity["max_apdu"]) == ("none", 1476)
    assert {each.candidate.profile: each.fits for each in report.examined} == {
        "bacnet-lift": "yes",
        "bacnet-lighting-output": "yes",
        "bacnet-access-door": "yes",
    }
    ids = [each["id"] for each in yaml.safe_load(report.yaml)["devices"]]
    assert ids == ["lift-1", "lamp-1", "lamp-2", "door-1"]


async def test_a_foreign_device_fits_in_part():
    """Another make lacks optional properties, each of which is named; nothing required is missing."""
    async with rusty_device() as (_, port):
        report = await probed(port)
    assert (report.state, report.instance, report.identity["vendor"]) == ("answers", 1300, "Rusty BACnet")
    fits = {each.candidate.object: each for each in report.examined}
    assert set(fits) == {"lift", "escalator", "lighting-output", "access-door"}
    lamp = fits["lighting-output"]
    assert (lamp.fits, set(lamp.missing)) == ("partly", {"feedback", "power"})
    assert "unknown-property" in lamp.missing["power"]
    assert "no" not in {each.fits for each in report.examined}


async def test_the_wrong_device_is_named():
    """Whoever answers instead of the device meant is told by its number."""
    async with simulated(Scenario.model_validate(PLAN)) as (_, address, _lines):
        report = await probed(int(address.rpartition(":")[2]), device=77)
    assert (report.state, str(report.error)) == ("wrong", f"bacnet-ip {address}: device 1200 answers there, not 77")


class Poor(bacnet.ByteDevice):
    """A device that hears no Who-Is, and whose object list of `listed` objects fits into no answer."""

    def __init__(self, listed: int, *, until: int = 10_000) -> None:
        super().__init__(self.answered)
        self.listed, self.left = listed, until
        self.read: list[tuple[int, int | None]] = []

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if data[6] >> 4 == 0:  # a confirmed request
            asked = Asked(data[8], data[9], data[10:])
            self.left -= 1
            if self.left >= 0:
                self.send(self.answered(asked), addr)

    def answered(self, asked: Asked) -> bytes:
        if asked.service == 14:
            return reject(asked, 9)
        ((kind, instance, prop),) = names(asked)
        index = asked.data[8 if len(asked.data) > 7 else 7 :] if len(asked.data) > 7 else b""
        element = int.from_bytes(index) if index else None
        self.read.append((prop, element))
        if (kind, instance) not in {(8, 4_194_303), (8, 1200)}:
            return error(asked, 2, 32)
        if prop == 75:
            return self.value(asked, b"\xc4" + (8 << 22 | 1200).to_bytes(4), instance=1200)
        if prop == 76 and element is None:
            return abort(asked, 4)
        if prop == 76:
            return self.value(
                asked, unsigned(self.listed) if not element else b"\xc4" + (54 << 22 | element).to_bytes(4)
            )
        return error(asked, 2, 32)

    @staticmethod
    def value(asked: Asked, content: bytes, instance: int | None = None) -> bytes:
        name = asked.data if instance is None else asked.data[:1] + (8 << 22 | instance).to_bytes(4) + asked.data[5:]
        return simple_ack(asked).replace(b"\x20", b"\x30", 1)[:2] + b"\x0c" + name + b"\x3e" + content + b"\x3f"


async def poor(listed: int, *, until: int = 10_000, device: int | None = None) -> tuple[Poor, Report]:
    peer = Poor(listed, until=until)
    await peer.start()
    try:
        return peer, await probed(peer.port, device, timeout="100ms")
    finally:
        await peer.stop()


async def test_a_list_too_long_is_read_one_by_one(no_leaked_tasks):
    """A device without segmentation that hears no Who-Is: found by the wildcard, its list read index by index."""
    peer, report = await poor(300)
    assert (report.state, report.instance, report.listed, report.count) == ("answers", 1200, "one by one", 300)
    assert report.kinds == {"lighting-output": list(range(1, 301))}
    assert [element for prop, element in peer.read if prop == 76] == [None, *range(301)]
    assert [(each.candidate.object, each.instance, each.fits) for each in report.examined] == [
        ("lighting-output", 1, "no")
    ]
    assert len(yaml.safe_load(report.yaml)["devices"]) == 300


async def test_a_device_that_falls_silent(no_leaked_tasks):
    """What it said so far is told, and that it is not all."""
    _, report = await poor(300, until=30)
    assert (report.state, report.instance) == ("incomplete", 1200)
    assert "no answer within 0.1 s" in str(report.error)


async def test_nobody_there(no_leaked_tasks):
    """Without any answer it is silence."""
    _, report = await poor(1, until=0)
    assert (report.state, report.instance) == ("silent", None)


@pytest.mark.slow
def test_the_command() -> None:
    """Exit codes and the envelope, from a process of its own."""
    said = sk("probe", "bacnet", f"127.0.0.1:{free_port()}", "--timeout", "200ms", "--json")
    answer = said.envelope()
    assert (said.code, answer["schema"], answer["problems"][0]["code"]) == (5, "sitekeeper.probe.bacnet/1", "silent")
    assert json.dumps(answer["data"]["device"]) == "null"
    assert sk("probe", "bacnet", "no.such.host.invalid").code == 5
    for wrong in ((), ("a", "--discover", "10.0.0.1/24"), ("10.0.0.1:x",), ("127.0.0.1", "--timeout", "soon")):
        assert sk("probe", "bacnet", *wrong).code == 2, wrong
    for network, code in (("127.0.0.1/32", "unreachable"), ("127.0.0.1/8", "silent")):
        where = ("--discover", network, "--port", str(free_port()), "--timeout", "200ms")
        said = sk("probe", "bacnet", *where, "--json")
        assert (said.code, said.envelope()["problems"][0]["code"]) == (5, code)
    chinese = sk("probe", "bacnet", f"127.0.0.1:{free_port()}", "--timeout", "100ms", "--lang", "zh-Hant")
    assert "檢查電源與位址" in chinese.err
