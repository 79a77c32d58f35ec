"""Events on a broker in memory, in virtual time: how they are told, whose they are, and what is poison."""

import asyncio
import json
import random

import pytest

from drivers.mqtt.rejected import CODES, KEPT, Rejected
from sitekeeper.model.clock import MS, SECOND
from sitekeeper.model.event import pseudonym
from sitekeeper.texts import LANGUAGES, text
from tests.fixtures import mqtt
from tests.fixtures.mqtt import BASE, EVENT, REQUEST, SALT, STATUS
from tests.fixtures.mqtt_rig import Rig, on

CARD = "0012345678"


def test_ten_thousand_pieces_of_garbage_on_every_topic() -> None:
    """Garbage on states, events and status raises nothing, makes no value and no event, and all is acknowledged."""

    async def story(rig: Rig) -> None:
        rig.start()
        rng = random.Random(7)
        topics = (f"{BASE}/door/1", STATUS, EVENT)
        good = mqtt.event(1)
        for number in range(10_000):
            at = rng.randrange(len(good))
            broken = good[:at] + rng.randbytes(3) + good[at + rng.randrange(1, 9) :]
            rig.say(rng.choice(topics), rng.choice([rng.randbytes(rng.randrange(60)), broken]))
            if number % 50 == 0:
                await asyncio.sleep(0.01)
        assert await rig.unacknowledged() == 0
        counts = rig.driver.counts
        assert counts.dead > 1_000
        values = {o.value for scan in rig.sink.story if hasattr(scan, "outcomes") for o in scan.outcomes}
        assert values == {None}
        for heard in rig.sink.events:
            assert heard.device in {"", "door-1"}
            assert set(map(type, heard.fields.values())) <= {bool, int, str, type(None)}
            assert heard.fields.get("granted") in {True, False, None}
            assert heard.fields.get("dir") in {"in", "out", None}
            assert CARD not in str(heard)
        rows = rig.driver.rejected.rows()
        assert 5 < len(rows) <= KEPT
        assert sum(row.times for row in rows) == rig.driver.rejected.total > 1_000

    on(story)


def test_event_as_it_is_told() -> None:
    """A card read is told with its fields, number, counter and the device's time, and the card is a pseudonym."""

    async def story(rig: Rig) -> None:
        rig.present()
        rig.start()
        await asyncio.sleep(1)
        rig.say(EVENT, mqtt.event(4711, buffered=True))
        await asyncio.sleep(0.001)
        (heard,) = rig.sink.events
        assert (heard.device, heard.name, heard.sequence, heard.buffered) == ("door-1", "read.event", 4711, True)
        assert heard.counter == f"doors/{EVENT}"
        assert heard.source == 1_782_003_600_120_000
        told = {"granted": True, "reason": 1, "dir": "in", "cred": pseudonym(SALT, "card", CARD)}
        assert heard.fields == told | {"duress": None}, "what a controller does not tell is not known"
        assert 1 * SECOND <= heard.received <= 1 * SECOND + 2 * MS

    on(story)


def test_order_over_several_doors_and_states() -> None:
    """Events of one controller, and the states they lead to, reach the sink in the order in which they came."""

    async def story(rig: Rig) -> None:
        rig.present()
        rig.start()
        await asyncio.sleep(5.5)
        rig.sink.story.clear()
        for seq in range(1, 7, 2):
            door = seq // 2 % 2 + 1
            rig.say(EVENT, mqtt.event(seq, door=door))
            rig.say(EVENT, mqtt.event(seq + 1, "door", door=door, state="open"))
            rig.say(f"{BASE}/door/{door}", mqtt.state("open", "unlocked"))
        await asyncio.sleep(0.001)
        assert rig.sink.values() == [
            ("read.event", 1), ("door.event", 2), ("door-1", ["open", "unlocked"]),
            ("read.event", 3), ("door.event", 4), ("door-2", ["open", "unlocked"]),
            ("read.event", 5), ("door.event", 6),
        ]  # fmt: skip

    on(story, doors=2)


def test_two_in_the_same_millisecond_both_survive() -> None:
    """Two equal messages at the same moment are two events."""

    async def story(rig: Rig) -> None:
        rig.present()
        rig.start()
        await asyncio.sleep(1)
        rig.say(EVENT, mqtt.event(1))
        rig.say(EVENT, mqtt.event(2))
        await asyncio.sleep(0.001)
        assert [heard.sequence for heard in rig.sink.events] == [1, 2]
        assert rig.sink.events[0].received == rig.sink.events[1].received

    on(story)


def test_retained_message_on_an_event_topic_is_no_event() -> None:
    """A retained message is an echo: ignored, counted, acknowledged."""

    async def story(rig: Rig) -> None:
        rig.present()
        rig.say(EVENT, mqtt.event(9), retain=True)
        rig.start()
        assert await rig.unacknowledged() == 0
        assert not rig.sink.events
        assert rig.driver.counts.retained == 1

    on(story)


def test_event_of_a_stranger_is_told_for_its_number() -> None:
    """An event of a door that is not ours is told without device, so that its number is no gap."""

    async def story(rig: Rig) -> None:
        rig.present()
        rig.start()
        await asyncio.sleep(1)
        rig.say(EVENT, mqtt.event(1))
        rig.say(EVENT, mqtt.event(2, door=4))
        rig.say(EVENT, mqtt.event(3, "system"))
        await asyncio.sleep(0.001)
        assert [(heard.device, heard.name, heard.sequence) for heard in rig.sink.events] == [
            ("door-1", "read.event", 1), ("", "", 2), ("", "", 3),
        ]  # fmt: skip
        assert not any(heard.fields for heard in rig.sink.events[1:])
        assert rig.driver.counts.strangers == 2

    on(story)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"\x00\xff" + CARD.encode(), "not JSON"),
        (mqtt.event(1).replace(b'"seq": 1', b'"seq": "1"'), "no sequence number at seq"),
        (mqtt.event(-1), "no sequence number at seq"),
        (mqtt.event(1).replace(b'"seq"', b'"sequence"'), "nothing at seq"),
    ],
)
def test_poison_is_kept_without_its_card_and_acknowledged(payload: bytes, why: str) -> None:
    """What cannot be understood is a dead letter that shows no card; the next event is told."""

    async def story(rig: Rig) -> None:
        rig.present()
        rig.start()
        await asyncio.sleep(1)
        rig.say(EVENT, payload)
        rig.say(EVENT, mqtt.event(2))
        assert await rig.unacknowledged() == 0
        assert [heard.sequence for heard in rig.sink.events] == [2]
        (letter,) = rig.driver.rejected.rows()
        assert (letter.topic, rig.driver.counts.dead) == (EVENT, 1)
        assert why in letter.why
        assert CARD not in str(letter)
        assert not set(b"0123456789") & set(letter.first)

    on(story)


def test_people_are_told_what_was_not_understood_by_topic_and_reason() -> None:
    """The last first, alike ones once with their number, and nothing of what was in them that names a person."""

    async def story(rig: Rig) -> None:
        rig.present()
        rig.start()
        await asyncio.sleep(1)
        for _ in range(3):
            rig.say(EVENT, mqtt.event(-1))
            await asyncio.sleep(2)
        rig.say(EVENT, b"{" + CARD.encode())
        rig.say(f"{BASE}/door/1", mqtt.state("ajar", "locked", "x"))
        rig.say(EVENT, mqtt.event(2))
        rig.say(EVENT, mqtt.event(-1))
        await asyncio.sleep(1)
        rows = rig.driver.unusable()
        assert [(row["reason"], row["why"], row["times"]) for row in rows] == [
            ("no-number", "no sequence number at seq", 4),
            ("no-meaning", "mode: has no meaning there", 1),
            ("no-meaning", "door.state: has no meaning there", 1),
            ("not-json", rows[3]["why"], 1),
        ]
        assert (rows[0]["last"] - rows[0]["since"], rows[0]["device"]) == (6 * SECOND, "door-1")
        assert CARD not in str(rows)
        assert (rig.driver.unusable_total(), rig.driver.report("door-1")["rejected"]) == (7, 7)
        assert '"state": "ajar"' in rows[1]["first"], "what names nobody is shown"

    on(story)


def test_what_is_kept_of_rejected_messages_is_bounded() -> None:
    """Ten thousand topics of strangers take the room of two hundred, and are all counted."""
    rejected = Rejected(lambda _: False)
    for number in range(10_000):
        rejected.note(f"a/{number}" + "x" * 900, b"y" * 100_000, "nobody", "z" * 9_000, number)
    rows = rejected.rows()
    assert (len(rows), rejected.total, rejected.forgotten) == (KEPT, 10_000, 10_000 - KEPT)
    assert (rows[0].last, {len(row.first) + len(row.topic) + len(row.why) for row in rows}) == (9_999, {520})


def test_every_reason_has_a_remedy_in_each_language() -> None:
    """Whoever sees a reason is told what to do about it."""
    for lang in LANGUAGES:
        assert all(text(f"mqtt.rejected.{code}", lang) for code in CODES)


def test_a_field_without_meaning_is_none() -> None:
    """A wrong or missing field loses that field, not the event, and is counted."""

    async def story(rig: Rig) -> None:
        rig.present()
        rig.start()
        await asyncio.sleep(1)
        rig.say(EVENT, mqtt.event(1, granted="yes", dir="up", cred=12345678, reason=None))
        rig.say(EVENT, mqtt.event(2, cred=""))
        await asyncio.sleep(0.001)
        first, second = rig.sink.events
        assert first.fields == {
            "granted": None, "reason": None, "dir": None, "cred": pseudonym(SALT, "card", "12345678"), "duress": None,
        }  # fmt: skip
        assert second.fields["cred"] is None
        assert rig.driver.counts.unclear == 2

    on(story)


def test_gap_is_asked_for_once() -> None:
    """A jump asks for exactly the missing ones; their late arrival, repeats and small steps back ask for nothing."""

    async def story(rig: Rig) -> None:
        rig.present()
        controller = await rig.broker.connector("controller")()
        await controller.subscribe(REQUEST)
        rig.start()
        await asyncio.sleep(1)
        for seq in (4709, 4710, 4713, 4714, 4714):
            rig.say(EVENT, mqtt.event(seq))
        for seq in (4711, 4712):
            rig.say(EVENT, mqtt.event(seq, buffered=True))
        rig.say(EVENT, mqtt.event(4715))
        delivery = await controller.receive()
        assert json.loads(delivery.payload) == {"from": 4711, "to": 4712}
        rig.broker.cut()
        await asyncio.sleep(3)
        assert rig.driver.report("door-1")["ranges_asked"] == 1
        rig.say(EVENT, mqtt.event(1))  # the counter begins anew
        rig.say(EVENT, mqtt.event(3))
        rig.say(EVENT, mqtt.event(9_000))
        await asyncio.sleep(1)
        assert rig.driver.report("door-1")["ranges_asked"] == 3
        await controller.close()

    on(story)


def test_a_wide_gap_is_asked_for_within_bounds() -> None:
    """Of a gap wider than the bound the newest are asked for."""

    async def story(rig: Rig) -> None:
        rig.present()
        controller = await rig.broker.connector("controller")()
        await controller.subscribe(REQUEST)
        rig.start()
        await asyncio.sleep(1)
        rig.say(EVENT, mqtt.event(1))
        rig.say(EVENT, mqtt.event(2**60))
        delivery = await controller.receive()
        assert json.loads(delivery.payload) == {"from": 2**60 - 1_000, "to": 2**60 - 1}
        await controller.close()

    on(story)
