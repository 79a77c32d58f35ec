"""What a broker keeps of a device: a state, never a sign of life of now and never an event."""

import asyncio
import json
from datetime import UTC, datetime

import pytest

from sitekeeper.model.clock import DAY, MINUTE, SECOND, Micros
from tests.fixtures import mqtt
from tests.fixtures.mqtt import BASE, EVENT, STATUS
from tests.fixtures.mqtt_rig import GROUP, Rig, on


def status(rig: Rig, age: Micros, *, online: bool = True) -> bytes:
    """Return a status by a clock that is so far behind, or of so long ago."""
    at = datetime.fromtimestamp((rig.clock.wall() - age) / SECOND, UTC)
    return json.dumps({"online": online, "time": at.isoformat()}).encode()


async def answered(rig: Rig) -> tuple[bool, str]:
    scan = await rig.driver.read(GROUP)
    return scan.answered, "" if scan.answered else scan.errors[0].what


def test_online_from_a_broker_that_lost_the_device() -> None:
    """A retained `online` is believed for the longest silence and no longer, and then it is said why not."""

    async def story(rig: Rig) -> None:
        rig.present()
        await rig.driver.open()
        assert await answered(rig) == (True, "")
        await asyncio.sleep(31)
        assert await answered(rig) == (False, "nothing heard for 30s but what the broker kept")

    on(story)


def test_reconnecting_again_and_again_keeps_no_dead_device_alive() -> None:
    """The grace is one over all connections; once the device has spoken, a new connection gives a new one."""

    async def story(rig: Rig) -> None:
        rig.present()
        await rig.driver.open()
        for _ in range(3):
            assert await answered(rig) == (True, "")
            await asyncio.sleep(9)
            await rig.driver.close()
            await rig.driver.open()
        await asyncio.sleep(5)
        assert not (await answered(rig))[0]
        rig.say(STATUS, status(rig, 0), retain=True)
        await asyncio.sleep(0.1)
        assert await answered(rig) == (True, "")
        await rig.driver.close()
        await asyncio.sleep(600)
        rig.say(STATUS, status(rig, 0), retain=True)
        await rig.driver.open()
        assert await answered(rig) == (True, "")

    on(story)


@pytest.mark.parametrize(
    ("age", "alive"),
    [(0, True), (20 * SECOND, True), (10 * MINUTE, False), (3 * DAY, False), (-3 * DAY, True), (20_000 * DAY, False)],
)
def test_the_age_of_a_retained_status_by_its_own_time(age: Micros, alive: bool) -> None:
    """One that is old by its own time is no sign of life at all; a clock ahead of ours proves nothing."""

    async def story(rig: Rig) -> None:
        rig.present()
        rig.say(STATUS, status(rig, age), retain=True)
        rig.say(f"{BASE}/door/1", mqtt.state(ts="2020-01-01T00:00:00Z"), retain=True)
        await rig.driver.open()
        found, why = await answered(rig)
        assert found is alive
        if not alive and age < 20_000 * DAY:
            assert why.startswith("nothing heard but what the broker kept")
        rig.say(STATUS, status(rig, age), retain=True)
        await asyncio.sleep(0.1)
        assert await answered(rig) == (True, ""), "said now, it is a sign of life, however wrong the clock"
        scan = await rig.driver.read(GROUP)
        assert rig.driver._states._groups[GROUP].values[0][0] == "closed", scan

    on(story)


def test_a_clock_of_ours_that_is_not_to_be_trusted_judges_no_age() -> None:
    """Without a time of our own a retained message has no age; the longest silence still holds."""

    async def story(rig: Rig) -> None:
        rig.clock.trusted = lambda: False  # type: ignore[method-assign]
        rig.say(STATUS, status(rig, 3 * DAY), retain=True)
        await rig.driver.open()
        assert (await answered(rig))[0]
        await asyncio.sleep(31)
        assert not (await answered(rig))[0]

    on(story)


def test_a_last_will_that_is_retained_is_believed_whatever_its_age() -> None:
    """`offline` needs no fresh proof: who is there says so himself."""

    async def story(rig: Rig) -> None:
        rig.present()
        rig.say(STATUS, b'{"online":false}', retain=True)
        await rig.driver.open()
        assert await answered(rig) == (False, "offline, says its availability topic")
        rig.say(EVENT, mqtt.event(1))
        await asyncio.sleep(0.1)
        assert not (await answered(rig))[0]

    on(story)


def test_a_retained_event_wakes_nobody() -> None:
    """It is no event and no sign of life, and people can see that it came."""

    async def story(rig: Rig) -> None:
        rig.say(EVENT, mqtt.event(9), retain=True)
        rig.start()
        await asyncio.sleep(1)
        assert not rig.sink.events
        assert not (await answered(rig))[0]
        (row,) = rig.driver.rejected.rows()
        assert (row.code, row.times) == ("retained", 1)

    on(story)
