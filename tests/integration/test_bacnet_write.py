"""Writes to BACnet devices: what goes over the wire, what comes back, and what is known when nothing does."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from sitekeeper.model.errors import DeviceRefused, DeviceSilent, LinkDown, NotFound, ReplyMismatch
from tests.fixtures.bacnet import abort, ack, answer, device, driver, error, reject, serving, simple_ack, unsigned

LEVEL = {"object": "lighting-output", "property": "present-value"}
POINTS = {
    "command": ({**LEVEL, "write": True}, "float"),
    "mode": (
        {"object": "access-door", "property": "present-value", "enum": {0: "controlled", 1: "free"}, "write": True},
        "enum",
        ("controlled", "free"),
    ),
    "level": ({"object": "lighting-output", "property": "tracking-value"}, "float"),
}
UNKNOWN = "whether it was carried out is unknown"


def taking(asked):
    """Acknowledge each write; every property read is 0."""
    return simple_ack(asked) if asked.service == 15 else answer(asked, {})


@asynccontextmanager
async def opened(script, **more):
    async with serving(script) as peer:
        field = driver(device("d", POINTS, port=peer.port, **more))
        await field.open()
        try:
            yield field, peer
        finally:
            await field.close()


async def met(field):
    """Read until the device has said who it is: on a busy machine even that may take longer than its time-out."""
    for _ in range(20):
        if (await field.read("d@1s")).answered:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the device never answered")


async def test_a_write_and_giving_it_up(no_leaked_tasks):
    """A value and a Null go out with their priority, once each, after the device said who it is."""
    async with opened(taking) as (field, peer):
        await field.write("d", "command", 72.0, 8)
        await field.write("d", "mode", "free", 1)
        await field.write("d", "command", None, 8)
        assert [asked.data.hex(" ") for asked in peer.writes] == [
            "0c 0d 80 00 01 19 55 3e 44 42 90 00 00 3f 49 08",
            "0c 07 80 00 01 19 55 3e 91 01 3f 49 01",
            "0c 0d 80 00 01 19 55 3e 00 3f 49 08",
        ]
        assert peer.requests == []  # who it is was asked and is not counted here


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (lambda asked: error(asked, 2, 40), r"error 40, write-access-denied \(class 2, property\)"),
        (lambda asked: error(asked, 2, 37), r"error 37, value-out-of-range \(class 2, property\)"),
        (lambda asked: error(asked, 1, 31), r"error 31, unknown-object \(class 1, object\)"),
        (lambda asked: reject(asked, 9), "reject 9, unrecognized-service"),
        (lambda asked: abort(asked, 4), "abort 4, segmentation-not-supported"),
    ],
)
async def test_a_refusal_names_class_and_code(reply, message, no_leaked_tasks):
    """The device's no says which; it is not asked again."""
    async with opened(lambda asked: reply(asked) if asked.service == 15 else answer(asked, {})) as (field, peer):
        with pytest.raises(DeviceRefused, match=message) as caught:
            await field.write("d", "command", 72.0, 8)
        assert caught.value.device == "d"
        assert caught.value.request == "write lighting-output 1 present-value 44 42 90 00 00 priority 8"
        assert "device 1200" in caught.value.endpoint
        assert len(peer.writes) == 1


@pytest.mark.parametrize(
    "reply",
    [
        lambda asked: simple_ack(asked, service=12),
        lambda asked: ack(asked, unsigned(1)),
        lambda asked: ack(asked._replace(service=12), b""),
    ],
    ids=["another service", "data", "data of another service"],
)
async def test_what_is_no_acknowledgement(reply, no_leaked_tasks):
    """An answer that is not the plain acknowledgement of a write is none, and leaves the outcome open."""
    async with opened(lambda asked: reply(asked) if asked.service == 15 else answer(asked, {})) as (field, peer):
        with pytest.raises(ReplyMismatch, match=UNKNOWN):
            await field.write("d", "command", 72.0, 8)
        assert len(peer.writes) == 1


async def test_silence_leaves_the_outcome_open_and_readers_alone(no_leaked_tasks):
    """A write without an answer is not repeated, says that its outcome is unknown, and stops nobody from reading."""
    async with opened(lambda asked: None if asked.service == 15 else answer(asked, {})) as (field, peer):
        await met(field)
        with pytest.raises(DeviceSilent, match=f"no answer within 0.2 s; {UNKNOWN}"):
            await field.write("d", "command", 72.0, 8)
        assert len(peer.writes) == 1
        await met(field)


async def test_a_mute_device_is_told_nothing(no_leaked_tasks):
    """Without a word from the device who it is, no write leaves, and nothing is unknown about one."""
    async with opened(taking) as (field, peer):
        peer.mute = True
        with pytest.raises(DeviceSilent) as caught:
            await field.write("d", "command", 72.0, 8)
        assert UNKNOWN not in str(caught.value)
        assert peer.writes == []


async def test_another_device_is_told_nothing(no_leaked_tasks):
    """A device of another instance at that address is never written to."""
    async with opened(taking, instance=77) as (field, peer):
        with pytest.raises(ReplyMismatch, match="another device answers there"):
            await field.write("d", "command", 72.0, 8)
        assert peer.writes == []


async def test_a_closed_port_is_told_apart(no_leaked_tasks):
    """With the port closed nothing was sent, and the error does not pretend that it might have been."""
    async with serving(taking) as peer:
        field = driver(device("d", POINTS, port=peer.port))
        await field.open()
        await field.write("d", "command", 1.0, 8)
        await field.close()
        with pytest.raises(LinkDown) as caught:
            await field.write("d", "command", 2.0, 8)
        assert UNKNOWN not in str(caught.value)
        assert len(peer.writes) == 1


async def test_a_write_keeps_to_the_devices_limit(no_leaked_tasks):
    """A device that takes one request at a time is never asked two things, though reads and writes come together."""
    async with opened(taking) as (field, peer):
        peer.delay = 0.02
        await asyncio.gather(field.read("d@1s"), *(field.write("d", "command", float(n), 8) for n in range(4)))
        assert (peer.most_open, len(peer.writes)) == (1, 4)


async def test_what_never_reaches_the_wire(no_leaked_tasks):
    """Unknown points, points without `write:`, impossible values and priorities send nothing."""
    async with opened(taking) as (field, peer):
        for point in ("level", "nothing"):
            with pytest.raises(NotFound, match="that can be written"):
                await field.write("d", point, 1.0, 8)
        for point, value, priority in (
            ("command", float("nan"), 8),
            ("mode", "locked", 8),
            ("command", 1.0, 0),
            ("command", 1.0, 17),
        ):
            with pytest.raises(ValueError):
                await field.write("d", point, value, priority)
        assert peer.writes == []
