"""The tests written beside each rule, run through the engine that runs live.

    tests:
      - name: what it shows
        kind: {passenger: presence}          # kind of the test device's points, as a profile would say
        params: {stuck_for: 15s}             # as a profile would set them
        steps:                               # what happens, in order of time
          - {at: 0s, set: {door_zone: false}}    # good values; `online` is a point like others
          - {at: 9s, bad: [door_zone]}           # the points answer no more
          - {at: 12s, stale: true}               # the device goes offline, all its points are bad
          - {at: 20s, restart: true}             # the gateway stops and starts; everything is unknown until set again
        expect:
          - {until: 17s, none: L04}          # from the start to then, L04 raises nothing
          - {at: 18s, raise: L04, priority: P2}  # also: clear, level, note

What is expected of the rule itself must be all that it does; other rules may be named too. The test device has every
point of its class and all rules of the file. A test runs on until an hour after its last line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from edge.rules.compiling import Rules, compile_rules
from edge.rules.engine import Engine
from edge.rules.instance import Verdict
from edge.rules.places import note
from edge.rules.rule import DeviceSpec, Rule, RuleText, Setting
from edge.rules.types import BOOL, Type
from sitekeeper.durations import duration_text, parse_duration
from sitekeeper.faults import Faults
from sitekeeper.located_yaml import Plain
from sitekeeper.model.clock import HOUR, Micros
from sitekeeper.model.point import ONLINE, Point, PointKind, PointType
from sitekeeper.model.quality import GOOD, Reason, bad
from sitekeeper.model.sample import Sample, Value

DEVICE: Final = "test-device"
_KINDS: Final = ("raise", "clear", "level", "note")
_POINT_TYPES: Final[Mapping[str, PointType]] = {"bool": "bool", "number": "float", "enum": "enum", "text": "text"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one test went: `problems` is empty if all was as expected."""

    rule: str
    name: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Step:
    at: Micros
    set: Mapping[str, Value]
    bad: tuple[str, ...]
    stale: bool
    restart: bool


def run_tests(
    texts: Sequence[RuleText], classes: Mapping[str, Mapping[str, Type]], faults: Faults, *, only: str = ""
) -> list[Outcome]:
    """Run the tests beside the rules in `texts`; mistakes in rules and tests are noted in `faults`.

    Args:
        texts: the rules of one file or site.
        classes: types of points by class and name.
        faults: where mistakes are noted.
        only: a rule id, to run that rule's tests only.
    """
    rules = compile_rules(texts, classes, (), {}, faults)
    outcomes: list[Outcome] = []
    for rule in rules.rules:
        tests = rule.text.mapping.get("tests", [])
        for place, test in enumerate(tests if isinstance(tests, list) else ()):
            if only and rule.id != only:
                continue
            try:
                outcomes.append(_Test(rule, cast("dict[str, Any]", test), classes[rule.cls]).run(texts, classes))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                note(faults, rule.text.place("tests", place), "bad-test", why=f"{type(error).__name__}: {error}")
    return outcomes


class _Test:
    """One test. Reading it raises KeyError, TypeError, ValueError or AttributeError where it is not well made."""

    def __init__(self, rule: Rule, test: Mapping[str, Any], points: Mapping[str, Type]) -> None:
        unknown = test.keys() - {"name", "kind", "params", "steps", "expect"}
        if unknown:
            msg = f"unknown key {min(unknown)!r}"
            raise ValueError(msg)
        self._rule = rule
        self._name = str(test["name"])
        self._expect: list[Mapping[str, Any]] = list(test["expect"])
        self._params: Mapping[str, Plain] = test.get("params", {})
        self._points = _points(points, test.get("kind", {}))
        self._steps = [_step(step, self._points) for step in test["steps"]]

    def run(self, texts: Sequence[RuleText], classes: Mapping[str, Mapping[str, Type]]) -> Outcome:
        place = self._rule.text.place("tests")
        settings = {self._rule.id: {name: Setting(value, place) for name, value in self._params.items()}}
        device = DeviceSpec(id=DEVICE, cls=self._rule.cls, points=self._points, settings=settings)
        faults = Faults()
        rules = compile_rules(texts, classes, [device], {}, faults)
        if faults.found:
            raise ValueError(faults.found[0].message)
        made = _play(rules, self._steps, self._points)
        return Outcome(self._rule.id, self._name, tuple(self._compare(made)))

    def _compare(self, made: list[Verdict]) -> list[str]:
        problems: list[str] = []
        left = list(made)
        for expected in self._expect:
            if "none" in expected:
                until = parse_duration(expected["until"])
                early = [v for v in made if v.rule == expected["none"] and v.kind == "raise" and v.at <= until]
                known = {parse_duration(e["at"]) for e in self._expect if e.get("raise") == expected["none"]}
                problems += [f"{_say(v)} before {expected['until']}" for v in early if v.at not in known]
                continue
            kind = next(kind for kind in _KINDS if kind in expected)
            at, rule = parse_duration(expected["at"]), expected[kind]
            found = next((v for v in left if (v.kind, v.rule, v.at) == (kind, rule, at)), None)
            if found is None:
                problems.append(f"no {kind} of {rule} at {expected['at']}")
                continue
            left.remove(found)
            if expected.get("priority", found.priority) != found.priority:
                problems.append(f"{_say(found)} as {found.priority}, not {expected['priority']}")
        return problems + [f"{_say(v)}, not expected" for v in left if v.rule == self._rule.id]


def _say(verdict: Verdict) -> str:
    return f"{verdict.kind} of {verdict.rule} at {duration_text(verdict.at)}"


def _play(rules: Rules, steps: Sequence[_Step], points: Mapping[str, Point]) -> list[Verdict]:
    """Return everything the rules decide, with the steps' own times."""
    state: dict[str, bytes] = {}
    engine = Engine(rules, state=state, as_of=None, now=0)
    made: list[Verdict] = []
    for step in steps:
        if step.restart:
            made += engine.advance(step.at)
            state.update({key: saved for key, saved in engine.dirty().items() if saved is not None})
            engine = Engine(rules, state=state, as_of=step.at, now=step.at)
        made += engine.feed(_samples(step, points))
        state.update({key: saved for key, saved in engine.dirty().items() if saved is not None})
    return made + engine.advance(steps[-1].at + HOUR)


def _samples(step: _Step, points: Mapping[str, Point]) -> list[Sample]:
    broken = (*points, ONLINE) if step.stale else step.bad
    samples = [Sample(points[n].handle, step.at, None, bad(Reason.STALE)) for n in broken if n != ONLINE]
    if step.stale:
        samples.append(Sample(points[ONLINE].handle, step.at, False, GOOD))
    return samples + [Sample(points[name].handle, step.at, value, GOOD) for name, value in step.set.items()]


def _points(types: Mapping[str, Type], kinds: Mapping[str, PointKind]) -> dict[str, Point]:
    points = {
        name: Point(
            handle=handle,
            id=f"{DEVICE}/{name}",
            device=DEVICE,
            name=name,
            type=_POINT_TYPES[type_.base],
            group="",
            unit=type_.unit or "",
            members=type_.members,
        )
        for handle, (name, type_) in enumerate({**types, ONLINE: BOOL}.items())
    }
    return {**points, **{name: replace(points[name], kind=kind) for name, kind in kinds.items()}}


def _step(step: Mapping[str, Any], points: Mapping[str, Point]) -> _Step:
    unknown = step.keys() - {"at", "set", "bad", "stale", "restart"}
    values, broken = step.get("set", {}), tuple(step.get("bad", ()))
    strange = [*unknown, *(name for name in (*values, *broken) if name not in points)]
    for name, value in values.items():
        if name in points and not _may_be(points[name], value):
            strange.append(f"{name}: {value}")
    if strange:
        msg = f"unknown {strange[0]!r}"
        raise ValueError(msg)
    stale, restart = step.get("stale") is True, step.get("restart") is True
    return _Step(parse_duration(step["at"]), values, broken, stale, restart)


def _may_be(point: Point, value: Value) -> bool:
    if point.type == "enum":
        return value in point.members
    return isinstance(value, bool) == (point.type == "bool")
