"""What stays with the broker, on a broker in memory and in virtual time: everything that is not durable."""

import asyncio

import pytest

from sitekeeper.model.errors import LinkDown
from tests.fixtures import mqtt
from tests.fixtures.mqtt import BASE, EVENT, STATUS
from tests.fixtures.mqtt_rig import GROUP, Rig, on


def test_acknowledged_only_when_durable() -> None:
    """An event stays with the broker until the sink's future has resolved, and so do those after it."""

    async def story(rig: Rig) -> None:
        rig.present()
        rig.start()
        assert await rig.unacknowledged() == 0
        for seq in (1, 2, 3):
            rig.say(EVENT, mqtt.event(seq))
        rig.say(f"{BASE}/door/1", mqtt.state("open"))
        assert await rig.unacknowledged() == 3
        rig.sink.commit(1)
        assert await rig.unacknowledged() == 2
        rig.sink.commit()
        assert await rig.unacknowledged() == 0

    on(story, at_once=False)


def test_lost_connection_brings_what_was_not_durable_again() -> None:
    """After a cut the broker delivers again whatever was not acknowledged, in order, and the link comes back."""

    async def story(rig: Rig) -> None:
        rig.present()
        rig.start()
        await asyncio.sleep(1)
        for seq in (1, 2, 3):
            rig.say(EVENT, mqtt.event(seq))
        await asyncio.sleep(0.01)
        rig.sink.commit(1)
        await asyncio.sleep(0.01)
        rig.broker.cut()
        await asyncio.sleep(3)
        assert [heard.sequence for heard in rig.sink.events] == [1, 2, 3, 2, 3]
        rig.sink.commit()
        assert await rig.unacknowledged() == 0
        assert (await rig.driver.read(GROUP)).answered
        assert rig.poller.counts.reconnects == 1

    on(story, at_once=False)


def test_full_disk_keeps_the_link_open_and_the_events() -> None:
    """Events that cannot be stored are told again each second and stay unacknowledged; states and writes go on."""

    async def story(rig: Rig) -> None:
        rig.present()
        rig.start()
        await asyncio.sleep(1)
        rig.sink.full = True
        rig.say(EVENT, mqtt.event(1))
        await asyncio.sleep(5)
        rig.say(f"{BASE}/door/1", mqtt.state("open"))
        controller = await rig.broker.connector("controller")()
        await controller.subscribe(f"{BASE}/door/1/set")
        await rig.driver.write("door-1", "mode", "free", 1)
        await controller.close()
        assert await rig.unacknowledged() == 1
        assert rig.sink.values()[-1] == ("door-1", ["open"])
        rig.sink.full = False
        await asyncio.sleep(1.1)
        assert [heard.sequence for heard in rig.sink.durable] == [1]
        assert await rig.unacknowledged() == 0
        assert rig.poller.counts.reconnects == 0

    on(story)


def test_what_waited_for_the_disk_is_told_at_once_when_it_is_back() -> None:
    """All of it within two seconds, in order; with a second for each event states would be held up for a minute."""

    async def story(rig: Rig) -> None:
        rig.present()
        rig.start()
        await asyncio.sleep(1)
        rig.sink.full = True
        for seq in range(50):
            rig.say(EVENT, mqtt.event(seq))
        await asyncio.sleep(5)
        rig.sink.full = False
        await asyncio.sleep(2)
        assert [heard.sequence for heard in rig.sink.durable] == list(range(50))
        assert await rig.unacknowledged() == 0

    on(story, unacknowledged=64)


def test_states_do_not_crowd_out_events_while_the_gateway_is_away() -> None:
    """A broker keeps so many messages and no more: of three hours away it has every event, and no sign of life."""

    async def story(rig: Rig) -> None:
        rig.present()
        await rig.driver.open()
        await rig.driver.close()
        for _ in range(1_000):
            rig.say(STATUS, b'{"online":true}', retain=True)
            rig.say(f"{BASE}/door/1", mqtt.state(), retain=True)
        rig.say(EVENT, mqtt.event(1))
        assert await rig.unacknowledged() == 1
        rig.start()
        await asyncio.sleep(1)
        assert [heard.sequence for heard in rig.sink.durable] == [1]
        assert (await rig.driver.read(GROUP)).answered

    on(story)


def test_a_disk_that_fails_for_an_hour_makes_no_door_silent() -> None:
    """Signs of life and states come on behind an event that cannot be stored, so a fire finds the doors there."""

    async def story(rig: Rig) -> None:
        rig.present()
        rig.start()
        await asyncio.sleep(1)
        rig.sink.full = True
        rig.say(EVENT, mqtt.event(1))
        for _ in range(360):
            await asyncio.sleep(10)
            rig.say(STATUS, b'{"online":true}', retain=True)
            assert (await rig.driver.read(GROUP)).answered
        rig.sink.full = False
        await asyncio.sleep(2)
        assert await rig.unacknowledged() == 0

    on(story, unacknowledged=64)


def test_bounded_while_nothing_gets_durable() -> None:
    """With so many messages unacknowledged as the link allows, no more are taken, and none is lost."""

    async def story(rig: Rig) -> None:
        rig.present()
        rig.start()
        await asyncio.sleep(1)
        for seq in range(50):
            rig.say(EVENT, mqtt.event(seq))
        await asyncio.sleep(1)
        assert len(rig.sink.events) <= 10
        rig.sink.at_once = True
        rig.sink.commit()
        await asyncio.sleep(1)
        assert [heard.sequence for heard in rig.sink.events] == list(range(50))
        assert await rig.unacknowledged() == 0

    on(story, at_once=False, unacknowledged=8)


def test_events_before_anybody_listens_wait() -> None:
    """What comes between opening and listening is told first of all, before any state is read."""

    async def story(rig: Rig) -> None:
        rig.present()
        await rig.driver.open()
        rig.say(EVENT, mqtt.event(1))
        assert await rig.unacknowledged() == 1
        listening = asyncio.create_task(rig.driver.listen(rig.sink))
        assert await rig.unacknowledged() == 0
        assert rig.sink.values() == [("read.event", 1)]
        rig.broker.cut()
        with pytest.raises(LinkDown, match="connection lost"):
            await listening

    on(story)
