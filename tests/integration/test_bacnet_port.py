"""The gateway's own BACnet port: what it gives away, what it lets nobody do, and how it says that it cannot open."""

import asyncio
import socket
import struct
from time import perf_counter

import pytest

from drivers.bacnet import IP
from drivers.base import Services
from sitekeeper.model.clock import SystemClock
from sitekeeper.model.errors import LinkDown
from tests.fixtures import bacnet
from tests.fixtures.bacnet import Rig, counting, object_id


async def test_rubbish_on_the_port_hurts_nobody():
    """Datagrams that are not BACnet, or not for a client, are dropped while reading goes on."""
    async with bacnet.serving(counting) as peer, Rig(peer) as rig:
        await rig.read()
        address = ("127.0.0.1", rig.driver._stack._server().local_transport.get_extra_info("sockname")[1])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            whole = [b"", b"\x81", b"\x81\x0a\xff\xff", b"\x81\x0a\x00\x06\x01\x00", b"\0" * 1500]
            inside = [b"\xff" * 40, b"\x30", b"\x30\x01\x0e", b"\x10\x08", b"\x10\x00" + b"\xc4" * 9]
            for rubbish in [*whole, *map(bacnet.frame, inside)]:
                stranger.sendto(rubbish, address)
                assert (await rig.read()).answered


async def asked_of_the_gateway(rig: Rig, apdu: bytes) -> bytes:
    """Send a request to the gateway's own port and return the APDU of its answer."""
    port = rig.driver._stack._server().local_transport.get_extra_info("sockname")[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.setblocking(False)
        stranger.bind(("127.0.0.1", 0))
        stranger.sendto(b"\x81\x0a" + struct.pack(">H", len(apdu) + 6) + b"\x01\x04" + apdu, ("127.0.0.1", port))
        async with asyncio.timeout(2):
            return (await asyncio.get_running_loop().sock_recv(stranger, 1500))[6:]


async def test_nobody_writes_or_silences_the_gateway():
    """The gateway says who it is, and rejects a write and a DeviceCommunicationControl that would stop its polling."""
    async with bacnet.serving(counting) as peer, Rig(peer) as rig:
        own = object_id(8, 990001)
        name = await asked_of_the_gateway(rig, b"\x00\x05\x01\x0c" + own + b"\x19\x4d")
        assert name[0] == 0x30
        assert b"sitekeeper-990001" in name
        write = b"\x00\x05\x02\x0f" + own + b"\x19\x0b\x3e\x21\x01\x3f"  # APDU_Timeout := 1 ms
        assert await asked_of_the_gateway(rig, write) == b"\x60\x02\x09"
        disable = b"\x00\x05\x03\x11\x09\x3c\x19\x01"
        assert await asked_of_the_gateway(rig, disable) == b"\x60\x03\x09"
        assert (await rig.read()).answered


async def test_a_port_in_use_is_said_at_once():
    """If another program has the port, opening fails within a second and says so, instead of trying for ever."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        stranger.bind(("127.0.0.1", 0))
        driver = bacnet.driver(port=stranger.getsockname()[1])
        began = perf_counter()
        with pytest.raises(LinkDown, match="the port is in use by another program"):
            await driver.open()
        assert perf_counter() - began < 1


async def test_a_port_in_use_for_broadcasts():
    """The same if only the broadcast address on that port is taken; once it is free, opening succeeds."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.255.255.255", 0))
        driver = bacnet.driver(port=stranger.getsockname()[1])
        with pytest.raises(LinkDown, match="the port is in use by another program"):
            await driver.open()
    await driver.open()
    await driver.close()


async def test_a_port_that_never_opens(monkeypatch):
    """Where the library would try for ever, opening is given up after 2 s, says so and leaves nothing behind."""
    monkeypatch.setattr("drivers.bacnet.stack.probe", lambda _options: None)  # as if it was taken a moment later
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", 0))
        driver = bacnet.driver(port=stranger.getsockname()[1])
        began = perf_counter()
        with pytest.raises(LinkDown, match="did not open within 2 s"):
            await driver.open()
        assert perf_counter() - began < 2.5
    await driver.open()
    await driver.close()


async def test_an_address_of_another_machine():
    """An address that is not this machine's is a lost link that says why."""
    options = IP.link_model.model_validate({"address": "192.0.2.1/24", "port": 0, "instance": 1})
    driver = IP.create("link", options, [], SystemClock(), Services())
    with pytest.raises(LinkDown, match="cannot assign requested address"):
        await driver.open()


async def test_registers_as_a_foreign_device():
    """With a BBMD in the link's options, the gateway registers there for the time that the options say."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bbmd:
        bbmd.setblocking(False)
        bbmd.bind(("127.0.0.1", 0))
        options = IP.link_model.model_validate(
            {"address": "127.0.0.1/8", "port": 0, "instance": 1, "bbmd": f"127.0.0.1:{bbmd.getsockname()[1]}",
             "foreign_lifetime": "90s"}
        )  # fmt: skip
        driver = IP.create("link", options, [], SystemClock(), Services())
        await driver.open()
        async with asyncio.timeout(2):
            assert await asyncio.get_running_loop().sock_recv(bbmd, 100) == b"\x81\x05\x00\x06\x00\x5a"
        await driver.close()
