"""Finding BACnet devices by real broadcasts: bridges, a router and a BBMD in namespaces of their own.

The devices are bacpypes3 applications, each in a room of its own on the usual port; the search is that of the product.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from ipaddress import IPv4Interface, IPv4Network
from typing import Any

import pytest
from bacpypes3.app import Application
from bacpypes3.basetypes import BDTEntry, IPMode
from bacpypes3.local.device import DeviceObject
from bacpypes3.local.networkport import NetworkPortObject

from drivers.bacnet.options import IpLink
from drivers.bacnet.stack import Stack
from edge.discover.bacnet import Asked, Found, search
from sitekeeper.model.errors import DeviceSilent, LinkDown
from tests.fixtures.segments import Segments
from tests.sk import SK

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

ROOMS = {"one": "10.0.1.11", "two": "10.0.1.12", "three": "10.0.1.13", "near": "10.0.1.2", "away": "10.0.2.2"}
FAR = IPv4Network("10.0.1.0/24")
WAITS = (0.3, 1.0, 3.0, 8.0)
"""Seconds for answers; the longer ones only where this machine stalled while they came."""
EVERYBODY = [(11, "10.0.1.11:47808"), (12, "10.0.1.12:47808"), (13, "10.0.1.13:47808")]


class Loud(Application):
    """A device that introduces itself to everybody, as most do, and not only to who asked."""

    async def do_WhoIsRequest(self, apdu: Any) -> None:
        self.i_am()


def device(instance: int, address: str, *, bbmd: bool = False, loud: bool = False) -> Any:
    """Return a device of another library; as BBMD of its own network, where it is told so."""
    itself = DeviceObject(
        objectIdentifier=("device", instance), objectName=f"device {instance}", vendorIdentifier=999, modelName="M7"
    )
    port = NetworkPortObject(f"{address}/24:47808", objectIdentifier=("network-port", 1), objectName="port")
    if bbmd:
        port.bacnetIPMode = IPMode.bbmd
        port.bbmdBroadcastDistributionTable = [BDTEntry(f"{address}:47808")]
        port.bbmdAcceptFDRegistrations = True
    return (Loud if loud else Application).from_object_list([itself, port])


@asynccontextmanager
async def building(instances: tuple[int, int, int] = (11, 12, 13)) -> AsyncIterator[Segments]:
    """Three devices on one network: the first is its BBMD, the third answers to everybody."""
    with Segments(ROOMS) as rooms, ExitStack() as running:
        for room, instance in zip(("one", "two", "three"), instances, strict=True):
            with rooms.inside(room):
                app = device(instance, ROOMS[room], bbmd=room == "one", loud=room == "three")
                running.callback(_close, app)
                (link,) = app.link_layers.values()
                await asyncio.gather(*link.server._transport_tasks)
        yield rooms
    await asyncio.sleep(0)


def _close(app: Any) -> None:
    for link in app.link_layers.values():
        if hasattr(link, "_fdt_clock_handle"):
            link._fdt_clock_handle.cancel()
    app.close()


async def found(rooms: Segments, room: str, expected: list[tuple[int, str]], **given: Any) -> Found:
    """Search from a room, and longer if less was heard than there is."""
    for wait in WAITS:
        asked = Asked(own=IPv4Interface(f"{ROOMS[room]}/24"), port=47808, wait=wait, **{"details": False, **given})
        with rooms.inside(room):
            result = await search(asked)
        if heard(result) == expected and (result.nameless or not given.get("sweep")):
            break
    return result


def heard(result: Found) -> list[tuple[int, str]]:
    return [(each.instance, each.address) for each in result.heard]


async def test_everybody_on_our_network_is_found_and_nobody_beyond() -> None:
    """A Who-Is to all finds three devices, by whichever way they answer, and what they are; none across a router."""
    async with building() as rooms:
        result = await found(rooms, "near", EVERYBODY, details=True)
        assert (heard(result), result.error, result.twice) == (EVERYBODY, None, {})
        assert [each.identity["model"] for each in result.devices] == ["M7"] * 3
        narrow = await found(rooms, "near", EVERYBODY[1:2], low=12, high=12)
        assert heard(narrow) == EVERYBODY[1:2]
        assert heard(await found(rooms, "away", [])) == []


async def test_a_foreign_device_hears_everybody_through_the_bbmd() -> None:
    """From another network a registration at the BBMD finds all three; one that is no BBMD is told as such."""
    async with building() as rooms:
        result = await found(rooms, "away", EVERYBODY, bbmd=("10.0.1.11", 47808))
        assert (heard(result), result.error) == (EVERYBODY, None)
        nobody = await found(rooms, "away", [], bbmd=("10.0.1.99", 47808))
        assert isinstance(nobody.error, DeviceSilent)
        await _driver_hears_them(rooms)


async def _driver_hears_them(rooms: Segments) -> None:
    """The running driver's own link as a foreign device: the same three."""
    given = {"address": "10.0.2.2/24", "instance": 990001, "bbmd": "10.0.1.11"}
    stack = Stack(IpLink.model_validate(given))
    with rooms.inside("away"):
        await stack.open()
    try:
        for wait in WAITS:
            there = [(each.instance, each.address) for each in await stack.who_is(None, wait)]
            if there == [(instance, address.removesuffix(":47808")) for instance, address in EVERYBODY]:
                break
        assert len(there) == 3
    finally:
        await stack.close()


async def test_a_directed_broadcast_reaches_another_network() -> None:
    """Where the router passes directed broadcasts on, those who answer to who asked are found."""
    async with building() as rooms:
        rooms.pass_directed()
        result = await found(rooms, "away", EVERYBODY[:2], directed=FAR)
        assert heard(result) == EVERYBODY[:2]  # the third answers to its own network only


async def test_a_sweep_finds_those_whom_no_broadcast_reaches() -> None:
    """Where broadcasts are blocked a Who-Is finds nobody, and a sweep everybody; who tells all is at least seen."""
    async with building() as rooms:
        rooms.deafen("one", "two", "three", "near")
        assert heard(await found(rooms, "near", [])) == []
        result = await found(rooms, "near", EVERYBODY[:2], sweep=IPv4Network("10.0.1.8/29"))
        assert (heard(result), result.nameless) == (EVERYBODY[:2], ["10.0.1.13:47808"])


async def test_two_devices_of_one_instance_are_both_found_and_told() -> None:
    """The same instance twice: both addresses are listed."""
    there = [(11, "10.0.1.11:47808"), (12, "10.0.1.12:47808"), (12, "10.0.1.13:47808")]
    async with building((11, 12, 12)) as rooms:
        result = await found(rooms, "near", there)
        assert (heard(result), result.twice) == (there, {12: ["10.0.1.12:47808", "10.0.1.13:47808"]})


async def test_the_command_says_who_has_the_port() -> None:
    """Beside a gateway that holds the port the command names it, and asks nobody; what it would send is said first."""
    with Segments({"near": "10.0.1.2"}) as rooms:
        stack = Stack(IpLink.model_validate({"address": "10.0.1.2/24", "instance": 990001}))
        with rooms.inside("near"):
            await stack.open()
            with pytest.raises(LinkDown):
                await Stack(IpLink.model_validate({"address": "10.0.1.2/24", "instance": 990002})).open()
            command = await asyncio.create_subprocess_exec(
                *SK, "discover", "bacnet", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
        _, complaint = await asyncio.wait_for(command.communicate(), 30)
        await stack.close()
    said = complaint.decode()
    assert command.returncode == 5
    assert "Who-Is for instances 0 to 4194302 to 10.0.1.255:47808" in said
    assert "the port is in use by another program" in said
    assert f"(pid {os.getpid()})" in said
