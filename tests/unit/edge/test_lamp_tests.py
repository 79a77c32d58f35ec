"""Tests of emergency lighting as a machine: halves, windows, batteries, what is lost and when it is tried again."""

from collections.abc import Mapping

import pytest

from edge.commands.lamp_tests import READ_FOR, Act, Around, LampTests, Plan
from sitekeeper.model.clock import DAY, HOUR, MINUTE, Micros, Moment
from sitekeeper.model.errors import FormatError, Refused
from sitekeeper.model.sample import Value

LAMPS = tuple(f"em-{n}" for n in range(1, 6))
ODD, EVEN = LAMPS[0::2], LAMPS[1::2]
NIGHT = 8 * HOUR


class Cellar:
    """Five emergency lamps that obey, a clock that only moves when it is told, and a window that is open at first."""

    def __init__(self, **every: Micros) -> None:
        self.plan = Plan(id="cellar", lamps=LAMPS, every=every or {"function": 31 * DAY})
        self.mono, self.wall = HOUR, 400 * DAY
        self.open: bool | None = True
        self.closes: Micros | None = self.mono + NIGHT
        self.occupied: bool | None = False
        self.danger = False
        self.acts: list[Act] = []
        self.found: list[tuple[str, str, str]] = []
        self.state: dict[str, bytes] = {}
        self.deaf: set[str] = set()
        self.machine = LampTests(self.plan, None, self.now)
        self.all(LAMPS, testing=False, battery=100.0, power="mains", rated_minutes=180.0)
        self.all(LAMPS, status_function_failed=False, status_duration_failed=False)

    @property
    def now(self) -> Moment:
        return Moment(wall=self.wall, mono=self.mono, trusted=True)

    @property
    def around(self) -> Around:
        return Around(self.open, self.closes, self.occupied, self.danger)

    def says(self, values: Mapping[str, Mapping[str, Value]]) -> None:
        readings = [(lamp, point, value) for lamp, points in values.items() for point, value in points.items()]
        self.machine.feed(readings, self.now)

    def all(self, lamps: tuple[str, ...], **points: Value) -> None:
        self.says(dict.fromkeys(lamps, points))

    def ends(self, lamps: tuple[str, ...], **points: Value) -> None:
        """Let tests end, and pass the time in which their results are read."""
        self.all(lamps, testing=False, **points)
        self.passes(READ_FOR)

    def go(self) -> list[Act]:
        """Let the machine look, do what it says, and return that."""
        deeds = self.machine.advance(self.around, self.now)
        return self.take(deeds.acts, [(f.lamp, f.kind, f.result) for f in deeds.found], deeds.state)

    def take(self, acts: list[Act], found: list[tuple[str, str, str]], state: dict[str, bytes]) -> list[Act]:
        self.acts += acts
        self.found += found
        self.state |= state
        for lamp, point in acts:
            if lamp not in self.deaf:
                self.says({lamp: {"testing": point != "test.stop"}})
        return acts

    def passes(self, time: Micros) -> None:
        self.mono, self.wall = self.mono + time, self.wall + time

    def nights(self) -> None:
        """Let the window close, a day pass, and the next one open."""
        self.open = False
        self.go()
        self.passes(DAY)
        self.open, self.closes = True, self.mono + NIGHT


def starts(acts: list[Act]) -> tuple[str, ...]:
    return tuple(act.lamp for act in acts if act.point != "test.stop")


def test_two_neighbours_are_never_tested_together() -> None:
    """Every second lamp, then, when all of them have ended, the others; each result once."""
    cellar = Cellar()
    assert starts(cellar.go()) == ODD
    cellar.passes(MINUTE)
    assert cellar.go() == []
    cellar.ends(ODD[1:])
    assert cellar.go() == [], "one of the first half is still dark"
    cellar.ends(ODD[:1])
    assert starts(cellar.go()) == EVEN
    cellar.ends(EVEN)
    cellar.go()
    assert sorted(cellar.found) == [(lamp, "function", "passed") for lamp in LAMPS]
    assert cellar.machine.running is None
    cellar.passes(30 * DAY)
    cellar.closes = cellar.mono + NIGHT
    assert cellar.go() == [], "not due again before its month is over"
    cellar.passes(DAY)
    cellar.closes = cellar.mono + NIGHT
    assert starts(cellar.go()) == ODD


def test_a_lamp_that_fails_is_told_and_the_others_go_on() -> None:
    """The gear's own word, or a duration test that was shorter than rated."""
    cellar = Cellar(duration=365 * DAY)
    cellar.go()
    cellar.passes(180 * MINUTE)
    cellar.ends(ODD, result_minutes=180.0)
    cellar.says({ODD[0]: {"status_duration_failed": True}, ODD[1]: {"result_minutes": 121.0}})
    cellar.go()
    assert cellar.found == [
        (ODD[0], "duration", "failed"), (ODD[1], "duration", "failed"), (ODD[2], "duration", "passed"),
    ]  # fmt: skip
    assert starts(cellar.acts[3:]) == EVEN


def test_after_a_duration_test_the_other_half_waits_for_the_batteries() -> None:
    """Until each is above 80 percent, over days and a restart; then its own window has to be long enough."""
    cellar = Cellar(duration=365 * DAY)
    cellar.go()
    cellar.passes(180 * MINUTE)
    cellar.ends(ODD, result_minutes=180.0, battery=5.0)
    assert cellar.go() == []
    cellar.nights()
    cellar.all(ODD, battery=100.0)
    cellar.says({ODD[2]: {"battery": 80.0}})
    assert cellar.go() == []
    saved = cellar.state["~tests/cellar"]
    values = cellar.machine._values
    cellar.machine = LampTests(cellar.plan, saved, cellar.now)
    cellar.says({lamp: {p: v for (who, p), v in values.items() if who == lamp} for lamp in LAMPS})
    cellar.says({ODD[2]: {"battery": 81.0}})
    cellar.closes = cellar.mono + 3 * HOUR
    assert cellar.go() == [], "the window closes before the test could end"
    cellar.closes = cellar.mono + 4 * HOUR
    assert starts(cellar.go()) == EVEN


def test_a_half_that_is_never_charged_ends_the_run() -> None:
    """A battery that stays at 60 percent is an alarm of its own (G10); after a week the run is given up, untold."""
    cellar = Cellar(duration=365 * DAY)
    cellar.go()
    cellar.ends(ODD, result_minutes=180.0, battery=60.0)
    cellar.go()
    for _ in range(8):
        cellar.nights()
        assert starts(cellar.go()) == ()
    assert cellar.machine.running is None
    assert len(cellar.found) == 3


REFUSALS = [
    ({"occupied": True}, "occupied"),
    ({"occupied": None}, "occupied"),
    ({"open": False}, "outside-window"),
    ({"open": None}, "outside-window"),
    ({"closes": None}, "outside-window"),
    ({"closes": HOUR + 9 * MINUTE}, "outside-window"),
    ({"danger": True}, "life-safety"),
]


@pytest.mark.parametrize(("around", "why"), REFUSALS)
def test_a_test_does_not_begin_where_it_may_not(around: dict[str, object], why: str) -> None:
    """Neither by itself nor for a person; what is not known is no."""
    cellar = Cellar()
    for name, value in around.items():
        setattr(cellar, name, value)
    assert cellar.go() == []
    with pytest.raises(Refused) as refused:
        cellar.machine.start("function", "chan", cellar.around, cellar.now)
    assert refused.value.reason == why


def test_a_test_does_not_begin_beside_another_or_without_mains() -> None:
    """Somebody tests a lamp by hand, or a circuit is dead: none of the others is darkened."""
    cellar = Cellar()
    for point, value, before, why in (
        ("testing", True, False, "half-in-test"),
        ("power", "failed", "mains", "interlock"),
    ):
        cellar.says({LAMPS[1]: {point: value}})
        assert cellar.go() == []
        with pytest.raises(Refused) as refused:
            cellar.machine.start("function", "chan", cellar.around, cellar.now)
        assert refused.value.reason == why
        cellar.says({LAMPS[1]: {point: before}})
    assert starts(cellar.go()) == ODD


def test_nothing_begins_before_the_lamps_were_heard() -> None:
    """After a start nobody knows how they stand; one that stays silent for five minutes is not waited for."""
    cellar = Cellar()
    cellar.machine = LampTests(cellar.plan, None, cellar.now)
    assert cellar.go() == []
    cellar.all(LAMPS[:4], testing=False, power="mains")
    assert cellar.go() == []
    with pytest.raises(Refused) as refused:
        cellar.machine.start("function", "chan", cellar.around, cellar.now)
    assert refused.value.reason == "not-heard"
    cellar.passes(5 * MINUTE + 1)
    assert starts(cellar.go()) == ODD


def test_the_short_test_comes_before_the_long_one() -> None:
    """Both are due: after the long one there is no charge for the short one."""
    cellar = Cellar(function=31 * DAY, duration=365 * DAY)
    assert {act.point for act in cellar.go()} == {"test.function"}


def test_what_came_of_a_test_is_read_some_time_after_its_end() -> None:
    """What says whether it failed may be read a minute later than that it has ended."""
    cellar = Cellar()
    cellar.go()
    cellar.all(ODD, testing=False)
    assert cellar.go() == []
    cellar.passes(MINUTE)
    cellar.says({ODD[0]: {"status_function_failed": True}})
    assert cellar.go() == []
    cellar.passes(READ_FOR - MINUTE)
    cellar.go()
    assert cellar.found[0] == (ODD[0], "function", "failed")


def test_a_plan_says_what_is_in_its_way() -> None:
    """Its window, the charge between the halves, a lost run; nothing while a half is under test."""
    cellar = Cellar(duration=365 * DAY)

    def waits() -> str:
        return cellar.machine.waits("duration", cellar.around, cellar.now)

    cellar.open = False
    assert waits() == "outside-window"
    cellar.open = True
    assert waits() == ""
    cellar.go()
    assert (waits(), cellar.machine.under_test) == ("", ODD)
    cellar.ends(ODD, result_minutes=180.0, battery=5.0)
    cellar.go()
    assert (waits(), cellar.machine.under_test) == ("charging", ())
    cellar.all(ODD, battery=90.0)
    cellar.go()
    cellar.danger = True
    cellar.go()
    cellar.danger = False
    assert waits() == "next-window"
    assert (cellar.machine.due("duration", cellar.now), cellar.machine.due("function", cellar.now)) == (0, None)


def test_a_person_starts_a_test_that_is_not_due() -> None:
    """It is the same run, his name is in each result, and there are not two at once."""
    cellar = Cellar(function=31 * DAY, duration=365 * DAY)
    deeds = cellar.machine.start("function", "chan", cellar.around, cellar.now)
    cellar.take(deeds.acts, [], deeds.state)
    with pytest.raises(Refused, match="under way"):
        cellar.machine.start("duration", "chan", cellar.around, cellar.now)
    cellar.ends(ODD)
    found = cellar.machine.advance(cellar.around, cellar.now).found
    assert {each.who for each in found} == {"chan"}


@pytest.mark.parametrize("how", ["power", "danger"])
def test_a_run_that_is_lost_is_stopped_and_tried_in_the_next_window(how: str) -> None:
    """The mains fail or a fire begins: what runs is stopped and told as aborted, and not begun again this night."""
    cellar = Cellar()
    cellar.go()
    if how == "power":
        cellar.says({LAMPS[0]: {"power": "failed"}})
    else:
        cellar.danger = True
    assert cellar.go() == [Act(lamp, "test.stop") for lamp in ODD]
    assert cellar.found == [(lamp, "function", "aborted") for lamp in ODD]
    cellar.says({LAMPS[0]: {"power": "mains"}})
    cellar.danger = False
    cellar.passes(HOUR)
    assert cellar.go() == []
    cellar.nights()
    assert starts(cellar.go()) == ODD


def test_a_lamp_that_does_nothing_spoils_its_own_test_only() -> None:
    """It never says that it is under test: aborted after three minutes, and the second half follows."""
    cellar = Cellar()
    cellar.deaf = {ODD[1]}
    cellar.go()
    cellar.ends((ODD[0], ODD[2]))
    cellar.go()
    cellar.passes(3 * MINUTE - READ_FOR)
    assert cellar.go() == []
    cellar.passes(1)
    assert cellar.go() == [Act(ODD[1], "test.stop"), *(Act(lamp, "test.function") for lamp in EVEN)]
    assert cellar.found[-1] == (ODD[1], "function", "aborted")


def test_a_quick_test_that_no_scan_saw_running_is_known_by_its_flag() -> None:
    """The gear was done between two scans: its done flag rose."""
    cellar = Cellar()
    cellar.deaf = set(LAMPS)
    cellar.all(LAMPS, function_done=False)
    cellar.go()
    cellar.all(ODD, function_done=True)
    cellar.passes(READ_FOR)
    assert starts(cellar.go()) == EVEN
    assert cellar.found == [(lamp, "function", "passed") for lamp in ODD]


def test_lamps_that_fall_silent_are_given_five_minutes() -> None:
    """Less is nothing; longer, and if it is all of them the run is lost."""
    cellar = Cellar(duration=365 * DAY)
    cellar.go()
    cellar.passes(HOUR)
    cellar.all(ODD, testing=None)
    cellar.passes(5 * MINUTE)
    assert cellar.go() == []
    cellar.all(ODD, testing=True)
    cellar.passes(HOUR)
    assert cellar.go() == [], "a value that stands is no silence"
    cellar.all(ODD, testing=None)
    cellar.passes(5 * MINUTE + 1)
    assert {act.point for act in cellar.go()} == {"test.stop"}
    assert cellar.machine.running is None
    assert [result for *_, result in cellar.found] == ["aborted"] * 3


def test_a_restart_goes_on_with_what_runs() -> None:
    """The lamps are asked how they stand; nothing is started twice."""
    cellar = Cellar(duration=365 * DAY)
    cellar.go()
    cellar.passes(HOUR)
    cellar.go()
    cellar.machine = LampTests(cellar.plan, cellar.state["~tests/cellar"], cellar.now)
    assert (cellar.go(), cellar.machine.running) == ([], "duration")
    cellar.all(LAMPS, testing=None)
    cellar.passes(4 * MINUTE)
    assert cellar.go() == [], "they were seen before the restart"
    cellar.passes(2 * HOUR)
    cellar.ends(LAMPS, battery=100.0, power="mains", rated_minutes=180.0, status_duration_failed=False)
    cellar.all(ODD, result_minutes=180.0)
    cellar.closes = cellar.mono + NIGHT
    assert starts(cellar.go()) == EVEN
    assert [result for *_, result in cellar.found] == ["passed"] * 3


def test_a_lamp_that_was_never_started_is_not_passed_after_a_restart() -> None:
    """The gateway was killed between the save and the pulses: nobody was tested, and the log says nothing else."""
    cellar = Cellar()
    cellar.deaf = set(LAMPS)
    cellar.go()
    cellar.passes(2 * MINUTE)
    cellar.machine = LampTests(cellar.plan, cellar.state["~tests/cellar"], cellar.now)
    cellar.all(LAMPS, testing=False, battery=100.0, power="mains", status_function_failed=False)
    cellar.closes = cellar.mono + NIGHT
    for _ in range(3):
        cellar.go()
        cellar.passes(MINUTE)
    assert cellar.found == [], "it may be that a pulse was given: they have their three minutes from the restart on"
    cellar.passes(1)
    assert starts(cellar.go()) == ()
    assert cellar.found == [(lamp, "function", "aborted") for lamp in ODD]
    assert cellar.machine.due("function", cellar.now) == 0, "it is not done"


def test_a_lamp_that_was_seen_under_test_is_known_to_have_been_after_a_restart() -> None:
    """That it showed so is saved when it is seen, and by then nothing else has changed."""
    cellar = Cellar()
    cellar.go()
    cellar.state.clear()
    cellar.passes(MINUTE)
    cellar.go()
    cellar.machine = LampTests(cellar.plan, cellar.state["~tests/cellar"], cellar.now)
    cellar.all(LAMPS, testing=False, battery=100.0, power="mains", status_function_failed=False)
    cellar.passes(READ_FOR)
    cellar.go()
    assert cellar.found == [(lamp, "function", "passed") for lamp in ODD]


def test_a_stop_is_repeated_until_the_lamp_says_that_its_test_is_over() -> None:
    """One that is away in the fire hears it when it is back, over a restart; when no test can run any more it ends."""
    cellar = Cellar(duration=365 * DAY)
    cellar.go()
    cellar.passes(MINUTE)
    cellar.says({ODD[0]: {"testing": None}})
    cellar.deaf, cellar.danger = {ODD[0]}, True
    assert len(cellar.go()) == 3
    assert cellar.machine.running is None
    cellar.machine._state.done["duration"] = cellar.wall  # else the next run is due, and looked for
    assert cellar.machine.next_deadline() == cellar.mono + MINUTE
    assert cellar.go() == [], "not before a minute has passed"
    for _ in range(5):
        cellar.passes(MINUTE)
        assert cellar.go() == [Act(ODD[0], "test.stop")]
    cellar.machine = LampTests(cellar.plan, cellar.state["~tests/cellar"], cellar.now)
    cellar.all(LAMPS[1:], testing=False)
    assert cellar.go() == [Act(ODD[0], "test.stop")]
    cellar.says({ODD[0]: {"testing": True}})
    cellar.passes(MINUTE)
    assert cellar.go() == [Act(ODD[0], "test.stop")]
    cellar.says({ODD[0]: {"testing": False}})
    cellar.passes(MINUTE)
    assert cellar.go() == []
    cellar.says({ODD[0]: {"testing": True}})
    assert cellar.go() == [Act(ODD[0], "test.stop")], "what it said was of before its start"
    cellar.says({ODD[0]: {"testing": None}})
    cellar.passes(3 * HOUR + 11 * MINUTE)
    assert cellar.go() == []
    assert cellar.machine._state.stops == {}


def test_what_was_stopped_is_not_stopped_in_its_next_test() -> None:
    """A run that begins anew takes the stops of the last one back."""
    cellar = Cellar()
    cellar.go()
    cellar.danger = True
    assert len(cellar.go()) == 3
    cellar.danger = False
    cellar.open = False
    cellar.go()
    cellar.open = True
    assert starts(cellar.go()) == ODD
    cellar.passes(MINUTE)
    assert cellar.go() == []


def test_a_run_of_the_future_never_was() -> None:
    """It was done under a wrong clock: the next is due at once, and is looked for."""
    cellar = Cellar()
    cellar.wall += 3650 * DAY
    cellar.go()
    for half in (ODD, EVEN):
        cellar.ends(half)
        cellar.go()
    assert cellar.machine.next_deadline() == cellar.mono + 31 * DAY
    cellar.wall -= 3650 * DAY
    assert cellar.machine.due("function", cellar.now) == 0
    assert starts(cellar.go()) == ODD


def test_what_was_saved_must_be_read() -> None:
    """A state that is none is said to be, and not taken for a site that was never tested."""
    cellar = Cellar()
    with pytest.raises(FormatError):
        LampTests(cellar.plan, b"nonsense", cellar.now)


def test_the_deadline_is_a_minute_in_a_run_and_else_the_day_it_is_due() -> None:
    """So nothing has to look every second for a test that comes once a month."""
    cellar = Cellar()
    cellar.go()
    assert cellar.machine.next_deadline() == cellar.mono + MINUTE
    cellar.ends(ODD)
    cellar.go()
    cellar.ends(EVEN)
    cellar.go()
    assert cellar.machine.next_deadline() == cellar.mono + 31 * DAY
    assert LampTests(Plan(id="x", lamps=LAMPS, every={}), None, cellar.now).next_deadline() is None
