"""What a broker kept is older than what is said: no message that waited there is taken for one of now."""

import asyncio
import json
from typing import Any

import pytest

from drivers.base import DeviceRead, EventField, EventRead
from drivers.mqtt import KIND
from drivers.mqtt.events import Events
from drivers.mqtt.rejected import Rejected
from drivers.mqtt.states import States
from sitekeeper.model.clock import DAY, MINUTE, SECOND, Moment
from sitekeeper.model.quality import GOOD, Reason, bad
from tests.fixtures import mqtt
from tests.fixtures.mqtt import EVENT
from tests.fixtures.mqtt_rig import GROUP, Rig, on
from tests.unit.drivers.mqtt.test_shared import device

START = 1_800_000_000
NOW = Moment(mono=10 * SECOND, wall=START * SECOND, trusted=True)
MOVED = {"topic": "new/c", "json": "v", "source": "t", "also": [{"topic": "old/c", "json": "v", "source": "t"}]}


def one(**more: Any) -> States:
    """Return the states of one device whose point two topics tell."""
    return States([device("c", {"p": ("bool", MOVED)}, max_silence="1min", **more)], "broker", lambda _: False)


def value(states: States) -> Any:
    found, q, _ = states._groups["c@1s"].values[0]
    return found if q == GOOD else q


def say(states: States, topic: str, v: object, ago: int, **how: bool) -> None:
    states.take(topic, json.dumps({"v": v, "t": START - ago}).encode(), NOW, **how)


@pytest.mark.parametrize("first", ["new/c", "old/c"])
def test_of_several_that_were_kept_the_newest_counts(first: str) -> None:
    """A broker repeats them in any order."""
    states = one()
    for topic in sorted(("new/c", "old/c"), key=lambda each: each != first):
        say(states, topic, topic == "new/c", 20 if topic == "new/c" else 50_000, retained=True)
    assert value(states) is True


def test_what_was_kept_replaces_nothing_that_was_said() -> None:
    """Not even if it is newer by its own time, and not if it has none; a new connection begins anew."""
    states = one()
    say(states, "new/c", True, 5)
    say(states, "old/c", False, 1, retained=True)
    states.take("old/c", b"rubbish", NOW, retained=True)
    assert value(states) is True
    states.forget()
    say(states, "old/c", False, 1, retained=True)
    assert value(states) is False
    say(states, "new/c", True, 30)
    assert value(states) is True, "what is said replaces what was kept, whatever its time"


def test_permission_wipes_only_what_was_refused() -> None:
    """A broker may repeat what it kept before it says that we may read it."""
    states = one()
    states.refused("new/c", 135, "no")
    assert value(states) == bad(Reason.REFUSED)
    say(states, "new/c", True, 1, retained=True)
    states.allowed("new/c")
    assert value(states) is True
    states.refused("new/c", 135, "no")
    states.allowed("new/c")
    assert value(states) == bad(Reason.NOT_YET)


@pytest.mark.parametrize(
    ("ago", "queued", "found"),
    [
        (3 * 86_400, True, bad(Reason.COMM)),
        (61, True, bad(Reason.COMM)),
        (59, True, False),
        (-3 * 86_400, True, False),
        (9_000 * 86_400, True, False),
        (3 * 86_400, False, False),
    ],
)
def test_a_state_that_waited_at_the_broker_is_none_of_now(ago: int, queued: bool, found: object) -> None:
    """No value and no sign of life, if it is old by a time that can be; what cannot have waited is of now."""
    states = one()
    say(states, "new/c", v=False, ago=ago, queued=queued)
    scan = states.scan("c@1s", NOW)
    assert scan.answered is (found is False)
    assert (scan.outcomes[0].value if scan.answered else scan.outcomes[0].q) == found


def test_an_event_that_waited_at_the_broker_is_told_and_is_no_sign_of_life() -> None:
    """It is of the days before; one of now brings the doors back."""

    async def story(rig: Rig) -> None:
        rig.present()
        rig.start()
        await asyncio.sleep(40)
        for seq, ago, alive in ((1, 3 * DAY, False), (2, 2 * MINUTE, False), (3, 0, True)):
            rig.say(EVENT, mqtt.event(seq, ts=(rig.clock.wall() - ago) / SECOND))
            await asyncio.sleep(0.1)
            assert len(rig.sink.events) == seq
            assert (await rig.driver.read(GROUP)).answered is alive

    on(story)


def controllers() -> Events:
    """Return two doors of controller 1 and one of controller 2, all of whose events come on one topic."""
    keys = {"topic": "uh/events/#", "sequence": "n", "fields": {"granted": "g"}}
    doors = [
        device(
            name,
            {},
            events={
                "read": (
                    {"granted": "bool"},
                    keys | {"when": {"id": of, "door": door}, "teller": {"id": of}, "counter": f"u-{of}"},
                )
            },
        )
        for name, of, door in (("a", 1, 1), ("b", 1, 2), ("c", 2, 1))
    ]
    return Events("doors", doors, b"x" * 16)


@pytest.mark.parametrize(
    ("payload", "alive"),
    [
        (b'{"id": 1, "door": 1, "n": 5, "g": true}', ("a", "b")),
        (b'{"id": 1, "door": 4, "n": 5}', ("a", "b")),
        (b'{"id": 2, "door": 9, "n": 5}', ("c",)),
        (b'{"id": 3, "door": 1, "n": 5}', ()),
        (b'{"id": 1, "door": 1, "n": "x"}', ()),
        (b"{}", ()),
        (b"garbage", ()),
    ],
)
def test_on_one_topic_for_all_a_controller_vouches_for_its_own_doors(payload: bytes, alive: tuple[str, ...]) -> None:
    """A dead controller is not kept alive by its neighbours, and by what nobody can read no one is."""
    told = controllers().take("uh/events/live", payload, 1, retained=False)
    assert told is not None
    assert told.devices == alive


def test_of_rubbish_on_one_topic_for_all_nobody_knows_whose_it_is() -> None:
    """It is put aside under no device's name, so only its shape is kept."""
    events = controllers()
    events.take("uh/events/live", b"card 123", 1, retained=False)
    (row,) = events.rejected.rows()
    assert (row.device, row.first) == ("", b"xxxx xxx")


def test_a_long_topic_hides_its_cards_too() -> None:
    """Whose a message is, is decided by the whole topic, of which only the beginning is kept."""
    fields = (EventField(name="cred", type="text", personal="card"), EventField(name="granted", type="bool"))
    keys = {"topic": "acs/+reader/event", "sequence": "n", "counter": "acs", "fields": {"cred": "card"}}
    assert KIND.event_model is not None
    place = KIND.bind_event(KIND.event_model.model_validate(keys), fields=fields, parameters={})
    options = KIND.bind_device(KIND.device_model.model_validate({}), {})
    read = EventRead(name="read", fields=fields, address=place)
    events = Events("doors", [DeviceRead(id="d", options=options, groups=(), events=(read,))], b"x" * 16)
    events.take("acs/" + "r" * 200 + "/event", b'{"card": "0012345678"}', 1, retained=False)
    (row,) = events.rejected.rows()
    assert (row.device, len(row.topic), row.first) == ("d", 200, b'{"xxxx": "xxxxxxxxxx"}')


def test_no_topic_commands_a_terminal() -> None:
    """What cannot be printed in a topic is a dot where people see it."""
    rejected = Rejected(lambda _: False)
    rejected.note("a/\x1b[2J\n", b"\x1b", "missing", "nothing at \x07", 1, device="d")
    (row,) = rejected.told()
    assert (row["topic"], row["why"], row["first"]) == ("a/.[2J.", "nothing at .", ".")


def test_what_the_connection_dropped_is_shown_with_the_rejected() -> None:
    """As one row with their number, over all connections."""
    rejected = Rejected(lambda _: False)
    for so_far in (0, 3, 3, 5, 2):
        rejected.dropped(so_far, 1)
    (row,) = rejected.told()
    assert (row["reason"], row["times"], rejected.total) == ("dropped", 7, 7)


def test_the_driver_asks_what_was_dropped() -> None:
    """With the message that it takes next."""

    async def story(rig: Rig) -> None:
        await rig.driver.open()
        rig.driver._session.dropped = 4  # type: ignore[union-attr,misc]
        rig.present()
        await asyncio.sleep(0.1)
        assert rig.driver.unusable_total() == 4
        assert [each["times"] for each in rig.driver.unusable() if each["reason"] == "dropped"] == [4]

    on(story)
