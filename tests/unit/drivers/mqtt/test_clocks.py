"""How a wrong clock is told from a message that waited: the estimate alone, and in the driver."""

import asyncio
import json
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.base import Heard
from drivers.mqtt.clocks import APART, CLOSE, COUNTERS, Clocks, Estimate
from sitekeeper.model.clock import DAY, HOUR, MINUTE, MS, SECOND, Micros, Moment
from tests.fixtures import mqtt
from tests.fixtures.mqtt import BASE, EVENT, STATUS
from tests.fixtures.mqtt_rig import Rig, on

ERRORS = st.integers(-DAY, DAY)
QUICK = st.integers(0, CLOSE)
EVERY = st.integers(APART, MINUTE)


def known(estimate: Estimate, *messages: tuple[float, float]) -> float | None:
    """Return what is known after messages of (age, time of receipt), all in seconds."""
    for age, at in messages:
        estimate.take(round(age * SECOND), round(at * SECOND))
    return None if estimate.behind is None else estimate.behind / SECOND


def test_two_messages_a_while_apart_make_an_age_known() -> None:
    """One proves nothing, nor do many within moments; the second after a while does, and the smaller age counts."""
    assert known(Estimate(), (20, 0)) is None
    assert known(Estimate(), (20.1, 0), (20, 1), (20.2, 7.9)) is None
    assert known(Estimate(), (20.3, 0), (20, 10)) == 20
    assert known(Estimate(), (-20, 0), (-19.7, 10)) == -20


def test_a_smaller_age_counts_at_once_and_a_larger_one_only_when_it_stays() -> None:
    """A clock that is set right is believed at once; a message that was held up once changes nothing."""
    assert known(Estimate(), (20, 0), (20, 10), (0, 20)) == 0
    assert known(Estimate(), (20, 0), (20, 10), (60, 20), (20, 30), (60, 40)) == 20
    assert known(Estimate(), (20, 0), (20, 10), (60, 20), (60, 30)) == 60


@settings(max_examples=200)
@given(ERRORS, st.lists(QUICK, min_size=2, max_size=12), EVERY)
def test_a_clock_is_known_from_the_second_message_on(error: Micros, ways: list[Micros], every: Micros) -> None:
    """However wrong a clock is and whatever the way takes, within its bounds: never less, and at most the way more."""
    estimate = Estimate()
    for index, way in enumerate(ways):
        estimate.take(error + way, index * every)
    assert estimate.behind is not None
    assert error <= estimate.behind <= error + min(ways)


@settings(max_examples=300)
@given(
    ERRORS,
    st.lists(st.integers(100 * MS, HOUR), min_size=1, max_size=60),
    st.floats(0, 0.7),
    st.lists(st.integers(0, SECOND), min_size=1, max_size=5),
    st.booleans(),
)
def test_what_a_broker_kept_never_passes_for_a_slow_clock(
    error: Micros, apart: list[Micros], pace: float, live: list[Micros], before: bool
) -> None:
    """A queue of any length and spacing, handed over faster than it was filled: none of it looks younger than it is.

    `pace` is the time that the queue takes to be handed over, as part of the time that it took to be filled.
    """
    estimate, now = Estimate(), 0
    if before:
        for _ in range(2):
            estimate.take(error, now)
            now += 10 * SECOND
        estimate.interrupted()
    begun = now
    told = [begun - sum(apart)]
    for step in apart:
        told.append(told[-1] + step)
    for at in told:  # the last one was told just when the handing over began
        now = begun + round((at - told[0]) * pace)
        waited = now - at
        estimate.take(waited + error, now)
        if estimate.behind is not None and waited > 5 * SECOND + CLOSE:
            assert waited + error - estimate.behind > 5 * SECOND, "late, as it is"
    for way in live:
        now += 10 * SECOND
        estimate.take(way + error, now)
    if len(live) > 1:
        assert estimate.behind is not None
        assert error <= estimate.behind <= error + SECOND


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(-DAY, DAY), st.integers(0, HOUR)), max_size=50))
def test_nothing_is_known_but_what_was_seen_twice(messages: list[tuple[Micros, Micros]]) -> None:
    """Whatever comes: what is known is the age of some message, and no older message of this age is younger than it."""
    estimate, now, ages = Estimate(), 0, []
    for age, step in messages:
        now += step
        ages.append(age)
        estimate.take(age, now)
        assert estimate.behind is None or estimate.behind in ages
        assert estimate.behind is None or len(ages) > 1


def stamp(wall: Micros) -> str:
    return datetime.fromtimestamp(wall / SECOND, UTC).isoformat(timespec="milliseconds")


async def told(rig: Rig, seconds: int, behind: Micros) -> None:
    """Let a controller tell its status, not kept, every 10 s."""
    for _ in range(seconds // 10):
        time = stamp(rig.clock.wall() - behind)
        rig.say(STATUS, json.dumps({"online": True, "time": time}).encode())
        await asyncio.sleep(10)


def test_events_say_how_far_their_clock_is_behind() -> None:
    """All doors of a controller share its clock; the time of an event stays as the device gave it."""

    async def story(rig: Rig) -> None:
        rig.present()
        rig.start()
        await asyncio.sleep(1)
        rig.say(EVENT, mqtt.event(1))
        await told(rig, 30, 20 * SECOND)
        given = stamp(rig.clock.wall() - 20 * SECOND)
        for door in (1, 2):
            rig.say(EVENT, mqtt.event(door + 1, door=door, ts=given))
        rig.say(STATUS, b"rubbish")
        await asyncio.sleep(0.01)
        first, *others = rig.sink.events
        assert first.behind is None
        for heard in others:
            assert heard.behind is not None
            assert abs(heard.behind - 20 * SECOND) < 2 * MS
            assert heard.source is not None
            assert abs(rig.clock.wall() - heard.source - 20 * SECOND) < 100 * MS
        assert rig.driver.report("door-2")["clock_behind_s"] == 20.0

    on(story, doors=2)


def test_what_the_broker_kept_tells_no_present_time() -> None:
    """A retained status of yesterday, at each new connection, makes no clock a day slow."""

    async def story(rig: Rig) -> None:
        old = json.dumps({"online": True, "time": stamp(rig.clock.wall() - DAY)}).encode()
        rig.say(STATUS, old, retain=True)
        rig.say(f"{BASE}/door/1", mqtt.state(), retain=True)
        rig.start()
        for _ in range(4):
            await asyncio.sleep(15)
            rig.broker.cut()
        assert rig.driver.report("door-1")["clock_behind_s"] is None

    on(story)


def heard(at: Micros, age: Micros, *, counter: str = "c", buffered: bool = False) -> tuple[Heard, Moment]:
    """Return an event and its moment of receipt."""
    wall = 10 * DAY + at
    event = Heard(
        device="door-1",
        name="read.event",
        received=at,
        fields={},
        counter=counter,
        source=wall - age,
        buffered=buffered,
    )
    return event, Moment(mono=at, wall=wall)


def test_without_a_clock_topic_the_events_of_a_counter_serve() -> None:
    """The second live event of one age, a while after the first, is known to be fresh; buffered ones tell nothing."""
    clocks = Clocks([mqtt.door(1, clock=None)])
    assert clocks.topics == []
    assert clocks.stamped(*heard(0, HOUR)).behind is None
    assert clocks.stamped(*heard(20 * SECOND, 2 * HOUR, buffered=True)).behind is None
    assert clocks.stamped(*heard(30 * SECOND, HOUR)).behind == HOUR
    assert clocks.stamped(*heard(31 * SECOND, 2 * HOUR, buffered=True)).behind == HOUR
    assert clocks.stamped(*heard(32 * SECOND, 0, counter="d")).behind is None
    assert clocks.behind("door-1", ["d", "c"]) == HOUR


def test_a_new_connection_forgets_what_was_only_surmised() -> None:
    """The first message after each of many reconnections proves nothing; what was known stays known."""
    clocks = Clocks([mqtt.door(1, clock=None)])
    for at in range(0, 10 * MINUTE, MINUTE):
        clocks.opened()
        assert clocks.stamped(*heard(at, HOUR)).behind is None
    assert clocks.stamped(*heard(10 * MINUTE, HOUR)).behind == HOUR
    clocks.opened()
    assert clocks.stamped(*heard(11 * MINUTE, 2 * HOUR)).behind == HOUR


def test_a_clock_of_ours_that_is_not_trusted_judges_none() -> None:
    """Without a trusted clock of our own nothing is learnt and nothing told."""
    clocks = Clocks([mqtt.door(1, clock=None)])
    for at in (0, 20 * SECOND):
        event, now = heard(at, HOUR)
        assert clocks.stamped(event, now._replace(trusted=False)).behind is None
    assert clocks.stamped(*heard(30 * SECOND, HOUR)).behind is None


def test_clocks_of_counters_are_bounded() -> None:
    """Counters without end, as under a wildcard, take no memory without end."""
    clocks = Clocks([mqtt.door(1, clock=None)])
    for number in range(2 * COUNTERS):
        clocks.stamped(*heard(0, 0, counter=str(number)))
    assert len(clocks._of_counter) == COUNTERS


def test_a_retained_message_is_no_present_time() -> None:
    """It may be of any day, and a broker may hand it over twice on one connection; a live one counts."""
    clocks = Clocks([mqtt.door(1)])
    for at, retained in ((0, True), (10 * SECOND, True), (20 * SECOND, False), (30 * SECOND, False)):
        now = Moment(mono=at, wall=10 * DAY + at)
        assert clocks.behind("door-1", []) is None
        payload = json.dumps({"time": stamp(now.wall - HOUR)}).encode()
        clocks.take(STATUS, payload, now, retained=retained)
    assert clocks.behind("door-1", []) == HOUR
