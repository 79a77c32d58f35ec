"""States on a broker in memory, in virtual time: what is known, what changes, and when a device is silent."""

import asyncio
from typing import Any

import pytest

from sitekeeper.model.clock import MS
from sitekeeper.model.errors import DeviceSilent, ReplyMismatch
from sitekeeper.model.quality import GOOD, Reason, bad
from tests.fixtures import mqtt
from tests.fixtures.mqtt import BASE, EVENT, STATUS
from tests.fixtures.mqtt_rig import GROUP, Rig, on

COMM = bad(Reason.COMM)


def listed(scan: Any) -> list[Any]:
    return [(outcome.index, outcome.value, outcome.q) for outcome in scan.outcomes]


CLOSED = [(0, "closed", GOOD), (1, "locked", GOOD), (2, "controlled", GOOD)]


def test_retained_state_is_there_at_the_first_reading() -> None:
    """What the broker retains is known when `open` returns, with the device's own time, and without waiting."""

    async def story(rig: Rig) -> None:
        rig.present()
        await rig.driver.open()
        assert rig.clock.monotonic() < 1 * MS
        scan = await rig.driver.read(GROUP)
        assert (listed(scan), scan.answered, scan.complete) == (CLOSED, True, True)
        assert scan.outcomes[0].source == 1_782_003_600_120_000

    on(story)


def test_a_change_reaches_the_sink_at_once() -> None:
    """A message that changes something is a scan at that moment; one that repeats the state is none."""

    async def story(rig: Rig) -> None:
        rig.present()
        rig.start()
        await asyncio.sleep(10.5)
        rig.sink.story.clear()
        rig.say(f"{BASE}/door/1", mqtt.state())
        rig.say(f"{BASE}/door/1", mqtt.state("open", "unlocked"))
        await asyncio.sleep(0.001)
        assert rig.sink.values() == [("door-1", ["open", "unlocked"])]

    on(story)


def test_silence_is_no_answer() -> None:
    """A device is silent when its availability says so, before it was heard, and after its longest silence."""

    async def story(rig: Rig) -> None:
        await rig.driver.open()
        scan = await rig.driver.read(GROUP)
        assert (scan.answered, listed(scan)) == (False, [(0, None, COMM), (1, None, COMM), (2, None, COMM)])
        assert "nothing heard since" in str(scan.errors[0])
        rig.present()
        await asyncio.sleep(29.9)
        assert (await rig.driver.read(GROUP)).answered
        await asyncio.sleep(0.2)
        scan = await rig.driver.read(GROUP)
        assert not scan.answered
        assert "nothing heard for 30s" in str(scan.errors[0])
        rig.say(STATUS, b'{"online":true}', retain=True)
        await asyncio.sleep(0.001)
        scan = await rig.driver.read(GROUP)
        assert (scan.answered, scan.complete, listed(scan)) == (True, True, CLOSED)
        for offline in (b'{"online":false}', b'{"fw":1}', b"?", b'{"online":"true"}'):
            rig.say(STATUS, b'{"online":true}', retain=True)
            await asyncio.sleep(0.001)
            assert (await rig.driver.read(GROUP)).answered
            rig.say(STATUS, offline, retain=True)
            await asyncio.sleep(0.001)
            assert not (await rig.driver.read(GROUP)).answered
        error = (await rig.driver.read(GROUP)).errors[0]
        assert (type(error), error.count) == (DeviceSilent, 2)

    on(story)


def test_after_a_reconnection_nothing_is_taken_for_granted() -> None:
    """What was known before a cut is forgotten: with a broker that retains nothing the device is silent until heard."""

    async def story(rig: Rig) -> None:
        rig.present()
        await rig.driver.open()
        assert (await rig.driver.read(GROUP)).answered
        await rig.driver.close()
        rig.broker.restart(keep=False)
        await rig.driver.open()
        scan = await rig.driver.read(GROUP)
        assert (scan.answered, "nothing heard since" in str(scan.errors[0])) == (False, True)
        rig.say(STATUS, b'{"online":true}')
        await asyncio.sleep(0.001)
        scan = await rig.driver.read(GROUP)
        assert (scan.answered, [outcome.q for outcome in scan.outcomes]) == (True, [bad(Reason.NOT_YET)] * 3)

    on(story)


def test_going_offline_and_coming_back_is_told_at_once() -> None:
    """The last will makes the door's points bad at that moment, and the status that follows brings them back."""

    async def story(rig: Rig) -> None:
        rig.present()
        rig.start()
        await asyncio.sleep(5.5)
        rig.sink.story.clear()
        rig.say(STATUS, b'{"online":false}', retain=True)
        await asyncio.sleep(0.001)
        (lost,) = rig.sink.story
        assert (lost.answered, [outcome.q for outcome in lost.outcomes]) == (False, [COMM] * 3)
        rig.say(STATUS, b'{"online":true}', retain=True)
        await asyncio.sleep(0.001)
        assert rig.sink.values()[-1] == ("door-1", ["closed", "locked", "controlled"])

    on(story)


def test_an_event_is_a_sign_of_life() -> None:
    """Events of a controller keep its doors from being silent, and bring them back."""

    async def story(rig: Rig) -> None:
        rig.present()
        rig.start()
        for seq in range(4):
            await asyncio.sleep(25)
            rig.say(EVENT, mqtt.event(seq, door=2))
            await asyncio.sleep(0.001)
            assert (await rig.driver.read(GROUP)).answered
        await asyncio.sleep(31)
        rig.sink.story.clear()
        rig.say(EVENT, mqtt.event(5, door=2))
        await asyncio.sleep(0.001)
        assert ("door-1", ["closed", "locked", "controlled"]) in rig.sink.values()

    on(story)


@pytest.mark.parametrize(
    ("payload", "reasons", "why"),
    [
        (b"?", [Reason.MISMATCH] * 3, "not JSON"),
        (b"[" * 99_999, [Reason.MISMATCH] * 3, "nested deeper"),
        (b'"' + b"x" * 300_000 + b'"', [Reason.MISMATCH] * 3, "300002 bytes"),
        (b'{"state":"open","lock":"locked"}', [Reason.NONE, Reason.NONE, Reason.MISMATCH], "mode: nothing at mode"),
        (mqtt.state("ajar"), [Reason.UNMAPPED, Reason.NONE, Reason.NONE], "door.state has no meaning"),
        (mqtt.state(5), [Reason.UNMAPPED, Reason.NONE, Reason.NONE], "door.state has no meaning"),
        (mqtt.state(None), [Reason.DEVICE_FLAGGED, Reason.NONE, Reason.NONE], ""),
    ],
)
def test_a_bad_message_makes_its_points_bad_and_no_others(payload: bytes, reasons: list[Reason], why: str) -> None:
    """A payload without meaning makes its points bad for the right reason, is counted, and ends with a good one."""

    async def story(rig: Rig) -> None:
        rig.present()
        await rig.driver.open()
        await rig.driver.read(GROUP)
        for count in (1, 2):
            rig.say(f"{BASE}/door/1", payload)
            await asyncio.sleep(0.001)
            scan = await rig.driver.read(GROUP)
            assert scan.answered
            if why:
                (error,) = scan.errors
                assert isinstance(error, ReplyMismatch)
                assert (error.count, error.raw, error.device) == (count, payload[:48], "door-1")
                assert why in str(error)
                assert f"topic {BASE}/door/1" in str(error)
            else:
                assert not scan.errors
        found = {outcome.index: outcome.q for outcome in (await _whole(rig)).outcomes}
        assert [found[at] for at in range(3)] == [bad(r) if r else GOOD for r in reasons]
        rig.say(f"{BASE}/door/1", mqtt.state())
        await asyncio.sleep(0.001)
        scan = await rig.driver.read(GROUP)
        assert not scan.errors

    on(story)


async def _whole(rig: Rig) -> Any:
    """Return a scan that lists every point."""
    rig.driver._states._groups[GROUP].memory.forget()
    return await rig.driver.read(GROUP)
