"""Devices that share topics: found by a level of the topic or by what is in the message, asked and commanded by it."""

import asyncio
import json
from typing import Any

from drivers.base import DeviceRead, EventField, EventRead, PointRead, ReadGroup
from drivers.mqtt import KIND
from sitekeeper.model.clock import SECOND
from sitekeeper.model.point import PointType
from sitekeeper.model.quality import GOOD, Reason, bad
from tests.fixtures.mqtt_rig import Rig, on

UNMAPPED, MISMATCH = bad(Reason.UNMAPPED), bad(Reason.MISMATCH)


def device(
    name: str,
    points: dict[str, tuple[PointType, dict[str, Any]]],
    *,
    events: dict[str, tuple[dict[str, PointType], dict[str, Any]]] | None = None,
    with_: dict[str, int | str] | None = None,
    **keys: Any,
) -> DeviceRead:
    """Return a device with points and events as a profile has them."""
    parameters: dict[str, int | str] = with_ or {}
    reads = tuple(
        PointRead(
            handle=at,
            name=point,
            type=kind,
            address=KIND.bind(
                KIND.point_model.model_validate(written), point_type=kind, members=(), parameters=parameters
            ),
        )
        for at, (point, (kind, written)) in enumerate(points.items())
    )
    told = []
    for event, (fields, written) in (events or {}).items():
        declared = tuple(EventField(name=field, type=kind) for field, kind in fields.items())
        assert KIND.event_model is not None
        address = KIND.bind_event(KIND.event_model.model_validate(written), fields=declared, parameters=parameters)
        told.append(EventRead(name=event, fields=declared, address=address))
    group = ReadGroup(id=f"{name}@1s", device=name, period=SECOND, points=reads)
    options = KIND.bind_device(KIND.device_model.model_validate(keys), parameters)
    return DeviceRead(id=name, options=options, groups=(group,), events=tuple(told))


def values(rig: Rig, name: str) -> list[Any]:
    group = rig.driver._states._groups[f"{name}@1s"]
    return [value if q == GOOD else q for value, q, _ in group.values]


def subscribed(rig: Rig) -> dict[str, bool]:
    (client,) = (each for name, each in rig.broker._clients.items() if name.startswith("sitekeeper-"))
    return client.subscriptions


def test_a_thousand_devices_on_one_subscription() -> None:
    """Each gets what is on its own level; a stranger's message is nobody's, and is put aside."""
    point: dict[str, tuple[PointType, dict[str, Any]]] = {"t": ("float", {"topic": "esp/+{serial}/state", "json": "t"})}
    devices = [device(f"d{n}", point, with_={"serial": f"s{n}"}) for n in range(1_000)]

    async def story(rig: Rig) -> None:
        await rig.driver.open()
        assert subscribed(rig) == {"esp/+/state": False}
        for n in (0, 7, 999):
            rig.say(f"esp/s{n}/state", json.dumps({"t": n / 2}).encode())
        rig.say("esp/s1000/state", b'{"t": 1}')
        await asyncio.sleep(0.1)
        assert [values(rig, f"d{n}") for n in (0, 7, 999)] == [[0.0], [3.5], [499.5]]
        assert values(rig, "d1") == [bad(Reason.NOT_YET)]
        (row,) = rig.driver.rejected.rows()
        assert (row.topic, row.code, row.device, row.first) == ("esp/s1000/state", "nobody", "", b'{"x": x}')

    on(story, devices=devices)


def test_devices_told_apart_by_what_is_in_the_message() -> None:
    """On one topic for all, `when` passes over what is another's: it makes no value and no point bad."""
    point: dict[str, tuple[PointType, dict[str, Any]]] = {
        "open": ("bool", {"topic": "gw/events/#", "json": 'doors["d{door}"]', "when": {"id": "{serial}"}})
    }
    devices = [device(f"d{n}", point, with_={"serial": n, "door": 1}) for n in (1, 2)]

    async def story(rig: Rig) -> None:
        await rig.driver.open()
        rig.say("gw/events", b'{"id": 1, "doors": {"d1": true}}')
        rig.say("gw/events/live", b'{"id": 3, "doors": {"d1": false}}')
        rig.say("gw/events/live", b'{"id": 2}')
        rig.say("gw/events/live", b"rubbish")
        await asyncio.sleep(0.1)
        assert (values(rig, "d1"), values(rig, "d2")) == ([True], [MISMATCH])
        assert [(row.code, row.device, row.subject) for row in rig.driver.rejected.rows()] == [
            ("not-json", "", ""),
            ("missing", "d2", "open"),
            ("nobody", "", ""),
        ]

    on(story, devices=devices)


def test_one_message_several_points_and_one_point_from_several_topics() -> None:
    """Bits, numbers and levels of the topic from one message; the last of all messages counts."""
    points: dict[str, tuple[PointType, dict[str, Any]]] = {
        "alarm": ("bool", {"topic": "x/+part/s", "json": "flags", "bit": 2, "when": {"$topic.part": ["a", "b"]}}),
        "power": ("float", {"topic": "x/a/s", "json": "p", "suffix": "W", "also": [{"topic": "x/power"}]}),
    }

    async def story(rig: Rig) -> None:
        await rig.driver.open()
        for topic, payload, found in (
            ("x/a/s", b'{"flags": 4, "p": "1.5 W"}', [True, 1.5]),
            ("x/power", b"2.5", [True, 2.5]),
            ("x/b/s", b'{"flags": 3}', [False, 2.5]),
            ("x/c/s", b'{"flags": 4}', [False, 2.5]),
            ("x/a/s", b'{"flags": 0, "p": "1.5 kW"}', [False, UNMAPPED]),
            ("x/power", b"0", [False, 0.0]),
        ):
            rig.say(topic, payload)
            await asyncio.sleep(0.01)
            assert values(rig, "d") == found, (topic, payload)

    on(story, devices=[device("d", points)])


def test_tellers_that_share_a_topic_have_their_own_counters() -> None:
    """Each controller's numbers are its own; a door that is not ours counts for its controller, a stranger for none."""
    event: dict[str, tuple[dict[str, PointType], dict[str, Any]]] = {
        "read": (
            {"why": "int"},
            {
                "topic": "gw/events/#",
                "live": "gw/events/live",
                "teller": {"id": "{controller}"},
                "when": {"type": [1, 2], "door": "{door}"},
                "counter": "uh-{controller}",
                "sequence": "n",
                "fields": {"why": "why"},
                "request": {"topic": "gw/get", "json": {"id": "{controller}", "index": "$from"}, "most": 1},
            },
        )
    }
    devices = [device(f"d{n}", {}, events=event, with_={"controller": n, "door": 1}) for n in (1, 2)]

    async def story(rig: Rig) -> None:
        gateway = await rig.broker.connector("gateway")()
        await gateway.subscribe("gw/get")
        await rig.driver.open()
        rig.start()
        await asyncio.sleep(1)
        for where, body in (
            ("live", {"id": 1, "type": 1, "door": 1, "n": 10, "why": 5}),
            ("feed", {"id": 2, "type": 2, "door": 1, "n": 500, "why": 6}),
            ("live", {"id": 1, "type": 1, "door": 4, "n": 11}),
            ("live", {"id": 9, "type": 1, "door": 1, "n": 77}),
            ("live", {"id": 1, "type": 3, "door": 1, "n": 12}),
            ("live", {"id": 1, "type": 1, "door": 1, "n": 15, "why": 7}),
        ):
            rig.say(f"gw/events/{where}", json.dumps(body).encode())
        await asyncio.sleep(0.1)
        assert [(each.device, each.counter, each.sequence, each.buffered) for each in rig.sink.events] == [
            ("d1", "doors/uh-1", 10, False), ("d2", "doors/uh-2", 500, True), ("", "doors/uh-1", 11, False),
            ("", "doors/uh-1", 12, False), ("d1", "doors/uh-1", 15, False),
        ]  # fmt: skip
        asked = [json.loads((await gateway.receive()).payload) for _ in range(2)]
        assert asked == [{"id": 1, "index": 13}, {"id": 1, "index": 14}]
        assert [row.code for row in rig.driver.rejected.rows()] == ["nobody"]
        await gateway.close()

    on(story, devices=devices)


def test_devices_that_tell_only_when_asked_are_asked() -> None:
    """Once for all doors of a controller, at once and then every period, as long as the link is open."""
    poll = {"topic": "gw/status", "json": {"id": "{controller}"}, "every": "5s"}
    devices = [device(f"d{n}", {}, with_={"controller": 405, "door": n}, poll=poll) for n in (1, 2)]

    async def story(rig: Rig) -> None:
        gateway = await rig.broker.connector("gateway")()
        await gateway.subscribe("gw/status")
        await rig.driver.open()
        await asyncio.sleep(12)
        await rig.driver.close()
        await asyncio.sleep(30)
        asked = [json.loads((await gateway.receive()).payload) for _ in range(3)]
        assert asked == [{"id": 405}] * 3
        assert gateway._inbox.empty()  # type: ignore[attr-defined]
        await gateway.close()

    on(story, devices=devices)


def test_garbage_where_nothing_tells_an_event_is_no_event() -> None:
    """An event without a number and without a mark is one only if some of its fields is there."""
    event: dict[str, tuple[dict[str, PointType], dict[str, Any]]] = {
        "rang": ({"by": "int"}, {"topic": "bell", "fields": {"by": "by"}})
    }

    async def story(rig: Rig) -> None:
        rig.start()
        await asyncio.sleep(1)
        for payload in (b"", b"x", b"[]", b"{}", b'"by"', b'{"by": 3}', b'{"by": "x"}'):
            rig.say("bell", payload)
        await asyncio.sleep(0.1)
        assert [each.fields for each in rig.sink.events] == [{"by": 3}, {"by": None}]
        assert rig.driver.counts.dead == 5

    on(story, devices=[device("d", {}, events=event)])


def test_an_event_that_two_subscriptions_bring_is_one() -> None:
    """Of two that overlap a broker may deliver it twice; said again later, it is another."""
    rang: dict[str, tuple[dict[str, PointType], dict[str, Any]]] = {
        "rang": ({"by": "int"}, {"topic": "a/+door/bell", "fields": {"by": "by"}})
    }
    point: dict[str, tuple[PointType, dict[str, Any]]] = {
        "t": ("float", {"topic": "a/b/+what", "json": "t", "when": {"$topic.what": "t"}})
    }

    async def story(rig: Rig) -> None:
        rig.start()
        await asyncio.sleep(1)
        assert subscribed(rig) == {"a/+/bell": True, "a/b/+": False}
        for wait in (0, 0, 2):
            await asyncio.sleep(wait)
            rig.say("a/b/bell", b'{"by": 3}')
        await asyncio.sleep(0.1)
        assert [each.fields for each in rig.sink.events] == [{"by": 3}] * 2

    on(story, devices=[device("d", point, events=rang)])
