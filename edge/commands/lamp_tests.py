"""Tests of emergency lighting: which lamp is tested when, and what came of it. Pure; `lamp_shell` drives it.

    waiting ─▶ first half ─▶ between (after a duration test: until the batteries are charged) ─▶ second half ─▶ waiting

The lamps of a plan are listed as they hang. Every second one is a half, so that of two neighbours one always gives its
light. A test begins in its window, while nobody is there, and only if it can end in it. When the mains fail, a danger
to life comes, or none of a half is heard, the run is lost and begun anew in the next window. One lamp that is not heard
spoils its own test only, and is overdue (G08, G09). Sources: EN 50172 (monthly function test, yearly duration test,
log), domain brief 3.3.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

import msgspec

from sitekeeper.model.clock import MINUTE, SECOND, Micros, Moment
from sitekeeper.model.command import Write
from sitekeeper.model.errors import FormatError, Refused
from sitekeeper.model.sample import Value

PREFIX: Final = "~tests/"
"""Where the tests are among the saved states."""

BEGINS_WITHIN: Final[Micros] = 3 * MINUTE
"""How long a lamp may take to show that its test runs, with a scan a minute."""

READ_FOR: Final[Micros] = 90 * SECOND
"""So long after its end what came of a test is read: with a scan a minute, all of it has been read anew by then."""

SILENT_MOST: Final[Micros] = 5 * MINUTE
"""For so long it may be unknown whether a lamp is under test."""

FUNCTION_MOST: Final[Micros] = 10 * MINUTE
"""The longest that a function test takes."""

OVERTIME: Final[Micros] = 10 * MINUTE
"""What a duration test may take beyond its rated time."""

CHARGED: Final = 80.0
"""Percent that the batteries of the first half must be above before those of the second are emptied."""

CHARGING_MOST: Final[Micros] = 7 * 24 * 60 * MINUTE
"""For so long a run waits between its halves; then it is given up, and begun anew when it is due."""

LOOK: Final[Micros] = MINUTE
"""How often a run that is under way is looked at without anything having changed."""

Kind = Literal["function", "duration"]
KINDS: Final[tuple[Kind, ...]] = ("function", "duration")
"""In the order in which they begin when both are due: the long one would leave no charge for the short one."""
Outcome = Literal["passed", "failed", "aborted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is tested together.

    Attributes:
        lamps: as they hang. every: how often each kind is due. minutes: a duration test's, where a lamp does not say.
    """

    id: str
    lamps: tuple[str, ...]
    every: Mapping[Kind, Micros]
    minutes: float = 180.0

    def half(self, number: int) -> tuple[str, ...]:
        """Return every second lamp: 0 for the first, the third and so on."""
        return self.lamps[number::2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """A plan as a site has it: the schedules of its window and of people's hours, and what is lit meanwhile."""

    plan: Plan
    window: str
    occupied: str
    lights: tuple[Write, ...] = ()


class Around(NamedTuple):
    """The moment's surroundings of a plan.

    Attributes:
        open: whether its window is open. closes: monotonic time at which it closes. Unknown is no.
        occupied: whether people are there. danger: whether a danger to life holds a device of the site.
    """

    open: bool | None
    closes: Micros | None
    occupied: bool | None
    danger: bool = False


class Act(NamedTuple):
    """A pulse to be given: `test.function`, `test.duration` or `test.stop` of a lamp."""

    lamp: str
    point: str


class Found(NamedTuple):
    """What came of one lamp's test: an event of the lamp and a line of the log."""

    lamp: str
    kind: Kind
    result: Outcome
    minutes: float
    battery: float | None
    who: str


@dataclass(slots=True)
class Deeds:
    """What is to be done now; `state` is to be saved together with what was found."""

    acts: list[Act] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    state: dict[str, bytes] = field(default_factory=dict)


class _Run(msgspec.Struct):
    kind: Kind
    who: str
    half: int = 0
    between: bool = False
    began: Micros = 0  # wall time at which this half, or the waiting after the first, began
    left: list[str] = []
    known: bool = False  # something is known of a lamp of this half
    lost: bool = False
    seen: list[str] = []  # of this half, those that have shown that their test runs: a restart cannot tell it else


class _State(msgspec.Struct):
    done: dict[Kind, Micros] = {}  # wall time of the last run of which nothing was lost
    run: _Run | None = None
    next_window: bool = False  # what was lost in this window is not tried again in it
    stops: dict[str, Kind] = {}  # what was stopped and may run on, by lamp


class LampTests:
    """One plan at work.

    Args:
        saved: what `Deeds.state` had last, None at the very first start.

    Raises:
        FormatError: the saved state cannot be read.
    """

    def __init__(self, plan: Plan, saved: bytes | None, now: Moment) -> None:
        self.plan = plan
        self._values: dict[tuple[str, str], Value] = {}
        self._now = self._woke = now
        try:
            self._state = _State() if saved is None else msgspec.msgpack.decode(saved, type=_State)
        except msgspec.MsgspecError as error:
            raise FormatError(f"tests of {plan.id}: {error}") from error
        run = self._state.run
        self._began = now.mono if run is None else now.mono - max(0, now.wall - run.began)
        if run is not None:
            run.left = [lamp for lamp in run.left if lamp in plan.lamps]
        self._state.stops = {lamp: kind for lamp, kind in self._state.stops.items() if lamp in plan.lamps}
        self._stopped = dict.fromkeys(self._state.stops, (now.mono, now.mono - LOOK))
        """When a lamp that is in `stops` was told so for the first time, and for the last, by this process."""
        self._last_saved = msgspec.msgpack.encode(self._state)
        self._silent: dict[str, Micros] = dict.fromkeys(plan.lamps, now.mono)
        self._ended: dict[str, Micros] = {}
        """Since when a lamp is known not to be under test."""

    @property
    def running(self) -> Kind | None:
        """The kind of the run that is under way."""
        return None if self._state.run is None else self._state.run.kind

    @property
    def under_test(self) -> tuple[str, ...]:
        """The lamps whose test has begun and of which nothing is known yet."""
        return () if self._state.run is None else tuple(self._state.run.left)

    def due(self, kind: Kind, now: Moment) -> Micros | None:
        """Return the wall time at which a kind is due, 0 if it never was; None if the plan has no such tests.

        A run of the future never was: the clock was wrong then.
        """
        every, last = self.plan.every.get(kind), self._state.done.get(kind)
        return None if every is None else 0 if last is None or last > now.wall else last + every

    def waits(self, kind: Kind, around: Around, now: Moment) -> str:
        """Return why a run could not begin or go on now, as a refusal's word; empty if nothing is in its way."""
        run = self._state.run
        if run is None:
            return "next-window" if self._state.next_window else self._refusal(kind, 0, around, now)
        if run.kind != kind or not run.between:
            return ""
        return self._refusal(kind, 1, around, now) if self._charged(run) else "charging"

    def feed(self, readings: Iterable[tuple[str, str, Value]], now: Moment) -> None:
        """Take (lamp, point, value) of the points of class `emergency`; None is unknown."""
        run = self._state.run
        for lamp, point, value in readings:
            before = self._values.get((lamp, point))
            self._values[lamp, point] = value
            if point == "testing":
                self._heard(lamp, value, now)
            if run is None or value is not True or lamp not in run.left or lamp in run.seen:
                continue
            if point == "testing" or (point == f"{run.kind}_done" and before is False):
                run.seen.append(lamp)

    def _heard(self, lamp: str, testing: Value, now: Moment) -> None:
        if testing is None:
            self._silent.setdefault(lamp, now.mono)
            return
        self._silent.pop(lamp, None)
        if testing is True:
            self._ended.pop(lamp, None)
        else:
            self._ended.setdefault(lamp, now.mono)

    def start(self, kind: Kind, who: str, around: Around, now: Moment) -> Deeds:
        """Begin a run because a person wants it.

        Raises:
            Refused: `occupied`, `outside-window`, `life-safety`, `not-heard`, `half-in-test` or `interlock`.
        """
        if self._state.run is not None:
            raise Refused("half-in-test", f"{self.plan.id}: a {self._state.run.kind} test is under way")
        if why := self._refusal(kind, 0, around, now):
            raise Refused(why, f"{self.plan.id}: no {kind} test now")
        deeds = Deeds()
        self._begin(_Run(kind, who), now, deeds)
        return self._saved(deeds)

    def advance(self, around: Around, now: Moment) -> Deeds:
        """Do what is due: to be called when something was fed, when the surroundings change, and at the deadline."""
        self._now, state, deeds = now, self._state, Deeds()
        self._stop_on(now, deeds)
        if around.open is False:
            state.next_window = False
        if state.run is None:
            may = (kind for kind in KINDS if self._due(kind, now) and not self._refusal(kind, 0, around, now))
            if not state.next_window and (kind := next(may, None)) is not None:
                self._begin(_Run(kind, ""), now, deeds)
        elif state.run.between:
            self._wait(state.run, around, now, deeds)
        else:
            self._look(state.run, around, now, deeds)
        return deeds if msgspec.msgpack.encode(state) == self._last_saved else self._saved(deeds)

    def next_deadline(self) -> Micros | None:
        """Return the monotonic time at which `advance` has something to look at; None if nothing is ever due."""
        if self._state.run is not None or self._state.stops:
            return self._now.mono + LOOK
        dues = [due for kind in KINDS if (due := self.due(kind, self._now)) is not None]
        return self._now.mono + max(LOOK, min(dues) - self._now.wall) if dues else None

    def _due(self, kind: Kind, now: Moment) -> bool:
        due = self.due(kind, now)
        return due is not None and now.trusted and now.wall >= due

    def _refusal(self, kind: Kind, half: int, around: Around, now: Moment) -> str:
        """Return why this half may not be tested now; empty if it may."""
        if around.occupied is not False:
            return "occupied"
        if around.open is not True or around.closes is None or around.closes - now.mono < self._longest(kind, half):
            return "outside-window"
        if around.danger:
            return "life-safety"
        if self._unheard(now):
            return "not-heard"
        if any(self._values.get((lamp, "testing")) is True for lamp in self.plan.lamps):
            return "half-in-test"
        return "interlock" if self._dark() else ""

    def _unheard(self, now: Moment) -> bool:
        """Tell whether it is too early to say how the lamps stand; one that stays silent is not waited for."""
        return len(self._silent) == len(self.plan.lamps) or any(
            now.mono - since <= SILENT_MOST for since in self._silent.values()
        )

    def _dark(self) -> bool:
        return any(self._values.get((lamp, "power")) == "failed" for lamp in self.plan.lamps)

    def _longest(self, kind: Kind, half: int) -> Micros:
        return max((self._lasts(kind, lamp) for lamp in self.plan.half(half)), default=0)

    def _lasts(self, kind: Kind, lamp: str) -> Micros:
        """Return the longest that a lamp's test takes."""
        if kind == "function":
            return FUNCTION_MOST
        return int((self._number(lamp, "rated_minutes") or self.plan.minutes) * MINUTE) + OVERTIME

    def _begin(self, run: _Run, now: Moment, deeds: Deeds) -> None:
        """Start the tests of the run's half."""
        run.left, run.began, run.between, run.known = list(self.plan.half(run.half)), now.wall, False, False
        self._state.run, self._began, run.seen = run, now.mono, []
        self._ended |= dict.fromkeys(run.left, now.mono)
        for lamp in run.left:
            self._state.stops.pop(lamp, None)
        deeds.acts += [Act(lamp, f"test.{run.kind}") for lamp in run.left]

    def _look(self, run: _Run, around: Around, now: Moment, deeds: Deeds) -> None:
        """See what has become of the half that is under test."""
        if self._dark() or around.danger:
            for lamp in run.left:
                self._end(run, lamp, "aborted", now, deeds)
            run.left, run.lost = [], True
        for lamp in tuple(run.left):
            result = self._result(run, lamp, now)
            if result is not None:
                self._end(run, lamp, result, now, deeds)
                run.left.remove(lamp)
        if run.left:
            return
        run.lost = run.lost or not run.known
        if run.lost or run.half == 1 or len(self.plan.lamps) == 1:
            self._finish(run, now)
        else:
            run.between, run.began, self._began = True, now.wall, now.mono
            self._wait(run, around, now, deeds)

    def _result(self, run: _Run, lamp: str, now: Moment) -> Outcome | None:
        """Return what came of a lamp's test; None while it is not known."""
        passed = now.mono - self._began
        silent = now.mono - self._silent.get(lamp, now.mono)
        if silent > SILENT_MOST or passed > self._longest(run.kind, run.half):
            return "aborted"
        if lamp not in run.seen:
            return "aborted" if now.mono - max(self._began, self._woke.mono) > BEGINS_WITHIN else None
        failed, ended = self._values.get((lamp, f"status_{run.kind}_failed")), self._ended.get(lamp)
        if failed is None or ended is None or now.mono - ended < READ_FOR:
            return None
        minutes, rated = self._number(lamp, "result_minutes"), self._number(lamp, "rated_minutes")
        short = run.kind == "duration" and minutes is not None and rated is not None and minutes < rated
        return "failed" if failed is True or short else "passed"

    def _end(self, run: _Run, lamp: str, result: Outcome, now: Moment, deeds: Deeds) -> None:
        minutes = self._number(lamp, "result_minutes") if run.kind == "duration" and result != "aborted" else None
        ended = now.mono if result == "aborted" else self._ended.get(lamp, now.mono)
        took = round((ended - self._began) / MINUTE, 1) if minutes is None else minutes
        deeds.found.append(Found(lamp, run.kind, result, took, self._number(lamp, "battery"), run.who))
        run.known = run.known or result != "aborted"
        if result == "aborted":
            self._state.stops[lamp] = run.kind
            self._stopped[lamp] = now.mono, now.mono
            deeds.acts.append(Act(lamp, "test.stop"))

    def _stop_on(self, now: Moment, deeds: Deeds) -> None:
        """Stop again, once in a `LOOK`, what does not say that its test is over: it may not have heard it.

        A lamp that was not started yet when it was stopped says so too, so what it says counts after `BEGINS_WITHIN`.
        One that is silent is told until its test has ended by itself.
        """
        for lamp, kind in tuple(self._state.stops.items()):
            first, last = self._stopped[lamp]
            testing = self._values.get((lamp, "testing"))
            if now.mono - first > (BEGINS_WITHIN if testing is False else self._lasts(kind, lamp)):
                del self._state.stops[lamp]
            elif testing is not False and now.mono - last >= LOOK:
                self._stopped[lamp] = first, now.mono
                deeds.acts.append(Act(lamp, "test.stop"))

    def _wait(self, run: _Run, around: Around, now: Moment, deeds: Deeds) -> None:
        """Begin the second half when the first would give its light again, and it may be."""
        if self._charged(run) and not self._refusal(run.kind, 1, around, now):
            run.half = 1
            self._begin(run, now, deeds)
        elif now.mono - self._began > CHARGING_MOST:
            run.lost = True
            self._finish(run, now)

    def _charged(self, run: _Run) -> bool:
        low = (lamp for lamp in self.plan.half(0) if (self._number(lamp, "battery") or 0.0) <= CHARGED)
        return run.kind == "function" or next(low, None) is None

    def _finish(self, run: _Run, now: Moment) -> None:
        self._state.run = None
        if run.lost:
            self._state.next_window = True
        else:
            self._state.done[run.kind] = now.wall

    def _number(self, lamp: str, point: str) -> float | None:
        value = self._values.get((lamp, point))
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def _saved(self, deeds: Deeds) -> Deeds:
        self._last_saved = deeds.state[PREFIX + self.plan.id] = msgspec.msgpack.encode(self._state)
        return deeds
