"""The link and writes on a broker in memory, in virtual time: what works, and what is said where it does not."""

import asyncio
import json
from typing import Any

import pytest

from drivers.mqtt import KIND
from sitekeeper.model.errors import DeviceRefused, LinkDown, NotFound, PeerUnreachable
from sitekeeper.model.quality import GOOD, Reason, bad
from tests import virtual
from tests.fixtures import mqtt
from tests.fixtures.mqtt import BASE, CONTROLLER, EVENT, SALT, STATUS
from tests.fixtures.mqtt_rig import GROUP, Rig, on


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
        rig.broker.faults.denied |= set(rig.driver._wanted())
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


@pytest.mark.parametrize(("topic", "quality"), [(EVENT, GOOD), (f"{BASE}/door/1", bad(Reason.REFUSED))])
def test_a_topic_that_is_not_allowed_is_a_fault_of_its_device(topic: str, quality: int) -> None:
    """The link stays open for the others; the device shows topic and remedy until the access list is mended."""

    async def story(rig: Rig) -> None:
        rig.present()
        rig.broker.faults.denied.add(topic)
        await rig.driver.open()
        for _ in range(2):
            scan = await rig.driver.read(GROUP)
            assert scan.answered
            error = scan.errors[-1]
            assert isinstance(error, DeviceRefused)
            assert (error.device, error.request) == ("door-1", f"subscribe {topic}")
            assert "access list" in str(error)
            assert {q for _, q, _ in rig.driver._states._groups[GROUP].values} == {quality}
        assert topic in str(rig.driver.report("door-1")["not_let"])
        rig.broker.faults.denied.clear()
        rig.say(STATUS, b'{"online":true}', retain=True)
        await asyncio.sleep(301)
        rig.present()
        await asyncio.sleep(0.1)
        scan = await rig.driver.read(GROUP)
        assert (scan.errors, rig.driver.report("door-1")["not_let"]) == ((), {})
        assert {q for _, q, _ in rig.driver._states._groups[GROUP].values} == {GOOD}

    on(story)


def test_a_broker_that_hangs_up_on_one_topic_costs_that_topic_only() -> None:
    """After three times it is left out and shown; a broker that hangs up on whatever comes next is just down."""

    async def story(rig: Rig) -> None:
        rig.present()
        hates = {EVENT}
        connect = rig.driver._connect
        assert connect is not None

        async def picky() -> Any:
            session = await connect()
            subscribe = session.subscribe

            async def one(topic: str, *, queued: bool = True) -> None:
                if topic in hates:
                    raise PeerUnreachable("broker", "connection lost")
                await subscribe(topic, queued=queued)

            session.subscribe = one  # type: ignore[method-assign]
            return session

        rig.driver._connect = picky
        for _ in range(3):
            with pytest.raises(LinkDown):
                await rig.driver.open()
        await rig.driver.open()
        scan = await rig.driver.read(GROUP)
        assert "hangs up" in str(scan.errors[-1])
        assert scan.answered
        await rig.driver.close()
        hates |= set(rig.driver._wanted())
        for _ in range(6):
            with pytest.raises(LinkDown):
                await rig.driver.open()

    on(story)


def test_the_version_that_the_broker_takes_is_shown() -> None:
    """An old broker, on which refusals have no reasons, can be told from a new one."""

    async def story(rig: Rig) -> None:
        await rig.driver.open()
        assert rig.driver.report("door-1")["protocol"] == "5"

    on(story)
