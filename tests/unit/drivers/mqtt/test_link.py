"""The link and writes on a broker in memory, in virtual time: what works, and what is said where it does not."""

import asyncio
import json
from typing import Any

import pytest

from drivers.mqtt import KIND
from sitekeeper.model.errors import DeviceRefused, LinkDown, NotFound
from tests import virtual
from tests.fixtures import mqtt
from tests.fixtures.mqtt import BASE, CONTROLLER, EVENT, SALT
from tests.fixtures.mqtt_rig import Rig, on


def test_write() -> None:
    """A write publishes exactly what the profile says, once, not retained."""

    async def story(rig: Rig) -> None:
        controller = await rig.broker.connector("controller")()
        await controller.subscribe(f"{BASE}/door/1/set")
        await rig.driver.open()
        await rig.driver.write("door-1", "mode", "free", 1)
        delivery = await controller.receive()
        assert (json.loads(delivery.payload), delivery.retained) == ({"mode": "free"}, False)
        await controller.close()

    on(story)


def test_writes_that_are_refused() -> None:
    """What cannot be written is refused by its own name, and a broker that says no is a device that says no."""

    async def story(rig: Rig) -> None:
        with pytest.raises(LinkDown):
            await rig.driver.write("door-1", "mode", "free", 1)
        await rig.driver.open()
        for device, point in (("door-1", "door.state"), ("door-1", "x"), ("door-9", "mode")):
            with pytest.raises(NotFound):
                await rig.driver.write(device, point, "open", 1)
        for value in ("ajar", True, None):
            with pytest.raises(ValueError, match=r"cannot be written|no priorities"):
                await rig.driver.write("door-1", "mode", value, 1)
        rig.broker.faults.denied.add(f"{BASE}/door/1/set")
        with pytest.raises(DeviceRefused, match="reason code 135") as refused:
            await rig.driver.write("door-1", "mode", "free", 1)
        assert (refused.value.exception_code, refused.value.device) == (135, "door-1")
        rig.broker.cut()
        with pytest.raises(LinkDown):
            await rig.driver.write("door-1", "mode", "free", 1)

    on(story)


def test_link_down_says_why() -> None:
    """Without a broker, without a subscription, without salt or without connections, opening says what to do."""

    async def story(rig: Rig) -> None:
        rig.broker.up = False
        with pytest.raises(LinkDown, match="broker is down"):
            await rig.driver.open()
        rig.broker.up = True
        rig.broker.faults.denied.add(EVENT)
        with pytest.raises(LinkDown, match="access list"):
            await rig.driver.open()
        assert rig.broker._clients[next(iter(rig.broker._clients))].session is None
        with pytest.raises(LinkDown, match="no salt"):
            await mqtt.driver(mqtt.lent(rig.broker), rig.devices, rig.clock, salt=b"short").open()
        with pytest.raises(LinkDown, match="no connections"):
            await mqtt.driver(None, rig.devices, rig.clock).open()

    on(story)


def test_a_fault_of_ours_is_not_taken_for_one_of_the_link() -> None:
    """If the sink itself breaks, the poller ends with that error instead of reconnecting for ever."""

    async def main() -> None:
        rig = Rig()
        rig.present()

        def broken(_scan: Any) -> None:
            raise ZeroDivisionError

        rig.start()
        await asyncio.sleep(1.5)
        rig.sink.scanned = broken  # type: ignore[method-assign]
        rig.say(f"{BASE}/door/1", mqtt.state("open"))
        assert rig.task is not None
        await asyncio.wait({rig.task}, timeout=5)
        error = rig.task.exception()
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        assert isinstance(error, ZeroDivisionError)
        await rig.stop()

    virtual.run(main())


@pytest.mark.parametrize("key", ["availability", "clock", "sequence"])
def test_topic_that_needs_a_parameter(key: str) -> None:
    """A topic of the device itself with a parameter that it lacks is said with the key and the parameter's name."""
    with pytest.raises(ValueError, match=rf"^{key}: .* needs 'floor'"):
        mqtt.door(1, **{key: {"topic": "a/{floor}", "json": "x"}})


def test_identity_on_the_broker() -> None:
    """The client id comes from the link and the salt, unless it is given; the password is in no repr."""
    asked: list[dict[str, Any]] = []

    def brokers(**how: Any) -> Any:
        asked.append(how)

    async def main() -> None:
        clock = virtual.VirtualClock()
        for salt, link in ((SALT, {}), (SALT[::-1], {}), (SALT, {"client_id": "gw"}),
                           (SALT, {"tls": {"ca": "/ca.pem"}, "keepalive": "30s", "password": "hush"})):  # fmt: skip
            mqtt.driver(brokers, [mqtt.door(1)], clock, salt=salt, **link)
        assert "hush" not in repr(KIND.link_model(host="x", password="hush"))

    virtual.run(main())
    ids = [how["client_id"] for how in asked]
    assert ids[0].startswith("sitekeeper-doors-")
    assert (ids[0] != ids[1], ids[2], ids[3]) == (True, "gw", ids[0])
    assert [(how["port"], how["keepalive"], how["ca"]) for how in asked[2:]] == [
        (1883, 15, None),
        (8883, 30, "/ca.pem"),
    ]
    assert CONTROLLER not in str(asked)
