"""A registration at a BBMD is kept up, and devices behind routers are reached: on virtual time, with peers in bytes."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from pydantic import ValidationError

from drivers.bacnet.foreign import LOOK
from drivers.bacnet.message import Reference, read_single, single
from drivers.bacnet.options import BacnetDevice, IpLink, behind, endpoint
from drivers.bacnet.stack import Stack
from tests import virtual

LIFETIME = 10


class Peer(asyncio.DatagramProtocol):
    """Answers each frame by a script; keeps what came."""

    def __init__(self, script: Callable[[bytes], bytes | None]) -> None:
        self.script, self.came = script, list[bytes]()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.came.append(data)
        answer = self.script(data)
        if answer is not None:
            self.transport.sendto(answer, addr)


def with_peer(script: Callable[[bytes], bytes | None], what: Callable[[Peer, int], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        peer = Peer(script)
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: peer, ("127.0.0.1", 0))
        try:
            await what(peer, transport.get_extra_info("sockname")[1])
        finally:
            transport.close()

    virtual.run(main())


def test_a_registration_is_taken_up_again_for_as_long_as_the_link_is_open() -> None:
    """Refused at first, and unanswered for a minute later: each time it stands again soon after the BBMD takes it."""
    answers: list[int | None] = [0x30]

    def bbmd(data: bytes) -> bytes | None:
        code = answers[-1] if data[1] == 5 else None
        return None if code is None else b"\x81\x00\x00\x06" + code.to_bytes(2)

    async def story(peer: Peer, port: int) -> None:
        given = {"address": "127.0.0.1/8", "port": 0, "instance": 1, "bbmd": f"127.0.0.1:{port}"}
        stack = Stack(IpLink.model_validate(given | {"foreign_lifetime": f"{LIFETIME}s"}))
        await stack.open()
        watch = stack._foreign
        assert watch is not None
        for down in (0x30, None):
            answers.append(down)
            await asyncio.sleep(LIFETIME + 60)
            assert watch.state in {"refused", "waiting"}
            answers.append(0)
            await asyncio.sleep(3 * LOOK)
            assert watch.state == "registered"
        await stack.close()
        peer.came.clear()
        await asyncio.sleep(300)
        assert peer.came == []

    with_peer(bbmd, story)


def test_a_device_behind_a_router_is_asked_by_its_network_and_mac() -> None:
    """The request goes to the router with the device's address in it, and the answer that names it is taken."""
    name, asked = Reference(8, 77, 77), list[bytes]()

    def router(data: bytes) -> bytes | None:
        asked.append(data[4:12])
        invoke = data[13]
        ack = bytes([0x30, invoke, 12]) + single(name) + b"\x3e\x75\x03\x00hi\x3f"
        npdu = b"\x01\x08\x00\x05\x01\x0a" + ack
        return b"\x81\x0a" + (len(npdu) + 4).to_bytes(2) + npdu

    async def story(_: Peer, port: int) -> None:
        stack = Stack(IpLink.model_validate({"address": "127.0.0.1/8", "port": 0, "instance": 1}))
        peer = stack.peer(f"5:0a@127.0.0.1:{port}")
        await stack.open()
        try:
            answer = await stack.ask(peer, 12, single(name))
        finally:
            await stack.close()
        assert asked == [b"\x01\x24\x00\x05\x01\x0a\xff\x00"]  # a reply is wanted; network 5, MAC 0a; a request
        assert isinstance(answer, bytes)
        assert read_single(answer, name) == [b"\x75\x03\x00hi"]

    with_peer(router, story)


def test_addresses_behind_routers_are_checked() -> None:
    """Network and MAC in hex before the router; anything else is refused with an example."""
    given = {"device": 1, "object": 1}
    for right in ("10.1.3.20", "10.1.3.20:47809", "5:0a@10.1.3.1", "65534:0a0b0c0d0e0f@10.1.3.1:47809"):
        assert BacnetDevice.model_validate(given | {"address": right}).address == right
    assert (endpoint("5:0a@10.1.3.1:47809"), behind("5:0a@10.1.3.1")) == (("10.1.3.1", 47809), (5, b"\x0a"))
    assert behind("10.1.3.1") is None
    for wrong in (
        "0:0a@10.1.3.1",
        "65535:0a@10.1.3.1",
        "5:a@10.1.3.1",
        "5@10.1.3.1",
        "5:0A@10.1.3.1",
        "@10.1.3.1",
        "5:0a@x",
    ):
        with pytest.raises(ValidationError):
            BacnetDevice.model_validate(given | {"address": wrong})
