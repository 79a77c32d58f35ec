"""Patterns, what is subscribed to for them, and whose a message is."""

import itertools
import random

import pytest

from drivers.mqtt.topics import Router, concrete, filter_of, matches, subscriptions


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
        ([("a/+/c", True), ("a/b/+", False)], {"a/+/+": True}),
        ([("a/+", False), ("b/+", False)], {"a/+": False, "b/+": False}),
        ([("a/+/x", False), ("a/b/#", False)], {"a/+/#": False}),
        ([("a/b/+", False), ("a/+/c", False), ("a/x/d", False)], {"a/+/+": False}),
    ],
)
def test_subscriptions_that_do_not_overlap(wanted: list[tuple[str, bool]], found: dict[str, bool]) -> None:
    """What another covers is left out, two that overlap become one, and what is queued stays queued."""
    assert subscriptions(wanted) == found


def test_every_message_comes_exactly_once() -> None:
    """Whatever is wanted: each topic that any of it brings is brought by exactly one subscription."""
    rng = random.Random(6)
    topics = ["/".join(each) for size in (1, 2, 3) for each in itertools.product("abc", repeat=size)]
    for _ in range(300):
        wanted = ["/".join(rng.choices("abc+", k=rng.randint(1, 3))) + rng.choice(["", "", "/#"]) for _ in range(4)]
        made = subscriptions([(each, rng.random() < 0.5) for each in wanted])
        for topic in topics:
            brought = sum(matches(each, topic) for each in made)
            assert brought == 1 or (brought == 0 and not any(matches(each, topic) for each in wanted)), (wanted, topic)
