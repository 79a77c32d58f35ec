"""Patterns, what is subscribed to for them, and whose a message is."""

import itertools
import random

import pytest

from drivers.mqtt.topics import Copies, Router, concrete, filter_of, matches, subscriptions
from sitekeeper.model.clock import SECOND


@pytest.mark.parametrize(
    ("wanted", "topic", "it_does"),
    [
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a//c", True),
        ("a/+", "a/b/c", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/#", "ab", False),
        ("#", "a/b", True),
        ("#", "$SYS/broker/uptime", False),
        ("+/broker/uptime", "$SYS/broker/uptime", False),
        ("+/a", "$share/a", False),
        ("a/+", "a/", True),
        ("a", "a/", False),
    ],
)
def test_what_a_subscription_brings(wanted: str, topic: str, it_does: bool) -> None:
    """As the standard says (MQTT 5, 4.7): wildcards are no door to what the broker says of itself."""
    assert matches(wanted, topic) is it_does


def test_a_pattern_and_its_subscription() -> None:
    """What a device's own word is in a pattern is any word to the broker, and a name is none of its business."""
    assert filter_of("a/+=s1/+door/#") == "a/+/+/#"
    assert (concrete("a/+=s1/b"), concrete("a/+door"), concrete("a/#"), concrete("a/+")) == ("a/s1/b", None, None, None)


def test_one_subscription_for_ten_thousand_devices() -> None:
    """A message finds its device by its word, with the named levels; a stranger finds none."""
    router: Router[int] = Router()
    for serial in range(10_000):
        router.add(f"esp/+=s{serial}/+what", serial)
    assert router.filters == ["esp/+/+"]
    assert list(router.find("esp/s4711/state")) == [(4711, {"what": "state"})]
    assert list(router.find("esp/s10000/state")) == []
    assert list(router.find("esp/s1")) == []


def test_all_who_want_a_message_get_it() -> None:
    """Exact topics and patterns of several shapes side by side, in the order in which they were added."""
    router: Router[str] = Router()
    for pattern in ("a/b", "a/+=b", "a/+x", "+/b", "#", "a/b/#"):
        router.add(pattern, pattern)
    assert [target for target, _ in router.find("a/b")] == ["a/b", "a/+=b", "a/+x", "+/b", "#", "a/b/#"]
    assert [target for target, _ in router.find("a/c")] == ["a/+x", "#"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ([("a/b", False), ("a/b", True)], {"a/b": True}),
        ([("a/b", True), ("a/+", False), ("c", False)], {"a/+": True, "c": False}),
        ([("a/#", False), ("a", True), ("a/b/c", False)], {"a/#": True}),
        ([("a/+", False), ("a/+/+", True), ("a/#", False), ("#", False)], {"#": True}),
        ([("a/+/c", True), ("a/b/+", False)], {"a/+/c": True, "a/b/+": False}),
        ([("a/+", False), ("b/+", False)], {"a/+": False, "b/+": False}),
        ([("a/+/x", False), ("a/b/#", False)], {"a/+/x": False, "a/b/#": False}),
        ([("+/event", True), ("zigbee2mqtt/#", False)], {"+/event": True, "zigbee2mqtt/#": False}),
        (
            [("rfid/+", True), ("rfid/send", False), ("rfid/io/door", False)],
            {"rfid/+": True, "rfid/io/door": False},
        ),
    ],
)
def test_subscriptions_without_those_that_others_cover(wanted: list[tuple[str, bool]], found: dict[str, bool]) -> None:
    """What another covers is left out, what is queued stays queued, and none grows wider than somebody wants."""
    assert subscriptions(wanted) == found


def test_every_message_comes_and_no_other() -> None:
    """Whatever is wanted: exactly the topics that any of it brings are brought, by none that another covers."""
    rng = random.Random(6)
    topics = ["/".join(each) for size in (1, 2, 3, 4) for each in itertools.product("abc", repeat=size)]
    for _ in range(300):
        wanted = ["/".join(rng.choices("abc+", k=rng.randint(1, 3))) + rng.choice(["", "", "/#"]) for _ in range(4)]
        made = subscriptions([(each, rng.random() < 0.5) for each in wanted])
        for topic in topics:
            assert any(matches(each, topic) for each in made) == any(matches(each, topic) for each in wanted), wanted
        brought = {each: {topic for topic in topics if matches(each, topic)} for each in made}
        for one, other in itertools.permutations(brought, 2):
            assert not (brought[one] and brought[one] < brought[other]), wanted


def test_a_copy_is_what_follows_at_once_in_the_same_words() -> None:
    """As often as there are subscriptions for it beside the first; a third saying, a late one or another is none."""
    copies = Copies(["a/+/c", "a/b/+", "d/+", "e"])
    said = [("a/b/c", b"x", 0), ("a/b/c", b"x", 1), ("a/b/c", b"x", 2), ("a/b/c", b"y", 3), ("a/b/c", b"y", 4)]
    assert [copies.again(*each) for each in said] == [False, True, False, False, True]
    assert [copies.again("a/b/c", b"z", at) for at in (10, 10 + SECOND + 1)] == [False, False]
    assert not any(copies.again(topic, b"x", 20) for topic in ("a/b/d", "d/x", "e") for _ in range(2))
