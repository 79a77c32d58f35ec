"""Every error of a driver names what a technician needs, whatever goes wrong: each failure through the real drivers.

The peers answer rightly first, so that there is a last good time to be named, and then fail twice, which is counted.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from drivers.modbus.driver import ModbusDriver
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import DeviceSilent, FieldError, LinkDown
from tests import virtual
from tests.fixtures import bacnet, modbus, mqtt
from tests.fixtures.mqtt_rig import Rig

Reply = Callable[[bytes], bytes | None]
LOST = {"closed", "not-modbus"}
SPOKE = {"silent", "closed"}
"""Of these nothing came that could be shown."""


def _closed(request: bytes) -> bytes:
    return b""


MODBUS: dict[str, Reply] = {
    "silent": lambda _: None,
    "exception": lambda q: modbus.frame(q, bytes([q[7] | 0x80, 4])),
    "behind-a-gateway": lambda q: modbus.frame(q, bytes([q[7] | 0x80, 11])),
    "another-unit": lambda q: modbus.frame(q, b"\x03\x06" + bytes(6), unit=9),
    "another-function": lambda q: modbus.answer(q, 1, 2, 3, function=4),
    "too-few": lambda q: modbus.answer(q, 1),
    "too-many": lambda q: modbus.answer(q, 1, 2, 3, 4),
    "incomplete": lambda q: modbus.answer(q, 1, 2, 3)[:-2],
    "a-long-exception": lambda q: modbus.frame(q, bytes([q[7] | 0x80, 4, 4])),
    "not-modbus": lambda _: b"HTTP/1.1 400 Bad Request\r\n",
    "closed": _closed,
}


def lacks(error: FieldError, *, raw: bool, counted: bool = True, device: bool = True) -> list[str]:
    """Return what an error does not name, of what it must; and of what it has, what is not in its one line."""
    line = str(error)
    must = {"endpoint": error.endpoint, "request": error.request, "what": error.what, "last good": error.last_good}
    must |= {"device": error.device} if device else {}
    must |= {"raw": error.raw} if raw else {}
    must |= {"count": error.count > 1} if counted else {}
    missing = [name for name, value in must.items() if not value]
    told = [error.device, error.endpoint, error.request, error.what, error.raw.hex(" ")]
    told += [f"{error.count} times in a row"] if counted else []
    told += ["last good 2026-"]
    return missing + [f"not told: {each}" for each in told if each not in line]


async def _twice(field: ModbusDriver) -> FieldError:
    """Return the error of the second reading that fails, or the one by which the link failed."""
    errors: tuple[FieldError, ...] = ()
    for _ in range(2):
        errors = (await field.read("lift@1s")).errors
    (error,) = errors
    return error


async def _modbus(name: str, act: Callable[[ModbusDriver], Awaitable[FieldError]]) -> FieldError:
    """Have a unit answer rightly once, then as `name` says, and return the error that comes of it."""
    failing = False

    def script(request: bytes, writer: asyncio.StreamWriter) -> None:
        reply = MODBUS[name](request) if failing else modbus.counting(request)
        if reply:
            writer.write(reply)
        elif reply is not None:
            writer.close()

    async with modbus.serving(script) as peer:
        points = modbus.registers(2) | {"sp": ({"holding": 2, "type": "uint16", "write": 6}, "int")}
        field = modbus.driver(peer.port, modbus.device("lift", points), clock=virtual.VirtualClock())
        await field.open()
        assert (await field.read("lift@1s")).answered
        failing = True
        try:
            return await act(field)
        finally:
            await field.close()


@pytest.mark.parametrize("name", sorted(MODBUS.keys() - LOST))
def test_a_reading_that_fails_names_everything(name: str) -> None:
    """Device, endpoint with unit, function, address and count, the bytes that came, how often, the last good time."""
    error = virtual.run(_modbus(name, _twice))
    assert lacks(error, raw=name not in SPOKE) == []
    assert error.endpoint.endswith("unit 1")
    assert error.request == "FC03 address 0 count 3"


async def _write(field: ModbusDriver) -> FieldError:
    with pytest.raises(FieldError) as caught:
        await field.write("lift", "sp", 7, 8)
    return caught.value


@pytest.mark.parametrize("name", sorted(MODBUS.keys() - LOST - {"too-few", "too-many"}))
def test_a_write_that_fails_names_everything(name: str) -> None:
    """And what was to be written; it is never repeated, so it is not counted."""
    error = virtual.run(_modbus(name, _write))
    assert lacks(error, raw=name not in SPOKE, counted=False) == []
    assert error.request == "FC06 address 2 write 0007"


async def _lost(field: ModbusDriver) -> FieldError:
    with pytest.raises(LinkDown) as caught:
        await field.read("lift@1s")
    return caught.value


@pytest.mark.parametrize("name", sorted(LOST))
def test_a_link_that_is_lost_names_what_was_under_way(name: str) -> None:
    """The link as a whole: no device, and the time is added by the poller, which knows it of all its devices."""
    error = virtual.run(_modbus(name, _lost))
    assert isinstance(error, LinkDown)
    error.last_good = error.last_good or virtual.START
    assert lacks(error, raw=name not in SPOKE, counted=False, device=False) == []
    assert error.request == "FC03 address 0 count 3"


BACNET: dict[str, Callable[[bacnet.Asked], bytes | None]] = {
    "silent": lambda _: None,
    "no-property": lambda q: bacnet.answer(q, {}),
    "error": lambda q: bacnet.error(q, 2, 32),
    "reject": lambda q: bacnet.reject(q, 4),
    "abort": lambda q: bacnet.abort(q, 0),
    "garbage": lambda q: bacnet.ack(q, b"\xff\xff\xff"),
}


async def _bacnet(name: str) -> list[FieldError]:
    failing = False

    def script(asked: bacnet.Asked) -> bytes | None:
        return BACNET[name](asked) if failing else bacnet.counting(asked)

    async with bacnet.serving(script) as peer:
        field = bacnet.driver(bacnet.device("d", bacnet.values(1), port=peer.port))
        await field.open()
        try:
            for _ in range(100):  # the machine may be too busy to answer in time; first the state that is meant
                if (await field.read("d@1s")).answered:
                    break
            failing = True
            await field.read("d@1s")
            return list((await field.read("d@1s")).errors)
        finally:
            await field.close()


@pytest.mark.parametrize("name", sorted(BACNET))
async def test_a_bacnet_device_that_fails_is_named_by_all_it_is_known_by(name: str) -> None:
    """Instance, endpoint, object and property; an answer that cannot be used, in its bytes.

    An error, reject or abort is a code and nothing else, which is told in numbers and in words.
    """
    (error,) = await _bacnet(name)
    told = str(error)
    assert (error.device, error.count > 1 or isinstance(error, DeviceSilent)) == ("d", True)
    assert "device 1200" in error.endpoint
    assert "127.0.0.1:" in error.endpoint
    assert "positive-integer-value 1" in error.request
    assert "present-value" in error.request
    assert error.last_good is not None
    assert "last good 20" in told
    assert bool(error.raw) == (name == "garbage")


def test_a_door_that_is_silent_or_tells_nonsense_names_its_topic() -> None:
    """Link, topic, the first bytes of the payload, how often, the last good time."""

    async def story() -> tuple[FieldError, FieldError]:
        rig = Rig()
        rig.present()
        await rig.driver.open()
        listening = asyncio.create_task(rig.driver.listen(rig.sink))
        await asyncio.sleep(1)
        assert (await rig.driver.read("door-1@1s")).answered
        for _ in range(2):
            rig.say(f"{mqtt.BASE}/door/1", b"nonsense")
            await asyncio.sleep(1)
        (wrong,) = (await rig.driver.read("door-1@1s")).errors
        rig.say(mqtt.STATUS, b'{"online":false}')
        await asyncio.sleep(1)
        await rig.driver.read("door-1@1s")
        (silent,) = (await rig.driver.read("door-1@1s")).errors
        listening.cancel()
        await asyncio.wait({listening})
        await rig.driver.close()
        return wrong, silent

    wrong, silent = virtual.run(story())
    assert lacks(wrong, raw=True) == []
    assert wrong.request == f"topic {mqtt.BASE}/door/1"
    assert wrong.raw == b"nonsense"
    assert lacks(silent, raw=False) == []
    assert silent.request == f"topic {mqtt.STATUS}"


def test_a_time_that_is_not_known_is_not_told() -> None:
    """Nothing was ever good: no time, rather than 1970."""
    assert str(DeviceSilent("no answer", endpoint="tcp h:502 unit 1")) == "tcp h:502 unit 1: no answer"
    good = DeviceSilent("no answer", endpoint="e", last_good=1_780_272_000 * SECOND + 7)
    assert str(good) == "e: no answer: last good 2026-06-01T00:00:00Z"
