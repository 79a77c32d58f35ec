"""The tests written beside each rule, run through the engine that runs live.

    tests:
      - name: what it shows
        kind: {passenger: presence}          # kind of the test device's points, as a profile would say
        params: {stuck_for: 15s}             # as a profile would set them
        tags: [perimeter]                    # of the test device
        asset: {rated_speed: 1.6}            # its equipment record
        without: [lux, read.event]           # points and events of its class that it lacks
        others: {door-1: {class: access, zone: hall, tags: [exit]}}   # more devices
        steps:                               # what happens, in order of time
          - {at: 0s, set: {door_zone: false, door-1/mode: free}}      # good values; `online` is a point like others
          - {at: 9s, bad: [door_zone]}           # the points answer no more
          - {at: 12s, stale: true}               # the device goes offline, all its points are bad
          - {at: 13s, set: {gateway/schedule.night: true}}   # a point of the gateway's own; it lacks those not named
          - {at: 14s, event: {read.event: {granted: false}}}          # told once; with `late: true` it came late
          - {at: 15s, command: cmd.open}         # a command on this point was accepted
          - {at: 20s, restart: true}             # the gateway stops and starts; everything is unknown until set again
        expect:
          - {until: 17s, none: L04}          # from the start to then, L04 raises nothing
          - {at: 18s, raise: L04, priority: P2}  # also: clear, level, note
          - {at: 18s, raise: A13, writes: {door-1/mode: free}}   # what it claims, all of it
          - {at: 18s, raise: X1, forbids: [lamp-1], veils: [door-1/A02]}   # the same of what it forbids and suppresses
          - {at: 18s, raise: F01, latched: true}   # the alarm stays until somebody resets it on site
          - {at: 20s, stands: A13}    # after a restart at that time its claims stand

What is expected of the rule itself must be all that it does; other rules may be named too. All rules of the file are
there. A test runs on until an hour after its last line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from edge.rules.compiling import Rules, compile_rules
from edge.rules.engine import Engine
from edge.rules.instance import Verdict
from edge.rules.packs import shipped_events, shipped_writables
from edge.rules.places import note
from edge.rules.rule import Rule, RuleText, Setting
from edge.rules.trial import Classes, Step, Trial
from edge.rules.types import Fields, Type
from sitekeeper.durations import duration_text, parse_duration
from sitekeeper.faults import Faults
from sitekeeper.located_yaml import Plain
from sitekeeper.model.clock import HOUR
from sitekeeper.profile import Writable

_KINDS: Final = ("raise", "clear", "level", "note", "stands")
_TEST: Final = frozenset({"name", "kind", "params", "tags", "asset", "without", "others", "steps", "expect"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one test went: `problems` is empty if all was as expected."""

    rule: str
    name: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Made:
    """A verdict, or that the rule's claims stood after a restart."""

    kind: str
    verdict: Verdict


def run_tests(
    texts: Sequence[RuleText],
    classes: Mapping[str, Mapping[str, Type]],
    faults: Faults,
    *,
    only: str = "",
    events: Mapping[str, Mapping[str, Fields]] | None = None,
    writables: Mapping[str, Mapping[str, Writable]] | None = None,
) -> list[Outcome]:
    """Run the tests beside the rules in `texts`; mistakes in rules and tests are noted in `faults`.

    Args:
        texts: the rules of one file or site.
        classes: types of points by class and name.
        faults: where mistakes are noted.
        only: a rule id, to run that rule's tests only.
        events, writables: of every class; those of the shipped classes if left out.
    """
    known = Classes(
        points=classes,
        events=shipped_events() if events is None else events,
        writables=shipped_writables() if writables is None else writables,
    )
    others = _others(texts)
    rules = compile_rules(texts, classes, (), {}, faults, events=known.events, elsewhere=others)
    outcomes: list[Outcome] = []
    sources = {str(text.mapping.get("id")): text for text in reversed(texts)}  # of two with one id the first counts
    for rule in rules.rules:
        source = sources[rule.id]
        tests = source.mapping.get("tests", [])
        for place, test in enumerate(tests if isinstance(tests, list) else ()):
            if only and rule.id != only:
                continue
            try:
                outcomes.append(_Test(rule, source, cast("dict[str, Any]", test), known).run(texts, others))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                note(faults, source.place("tests", place), "bad-test", why=f"{type(error).__name__}: {error}")
    return outcomes


def _others(texts: Sequence[RuleText]) -> dict[str, str]:
    """Return the class of every further device that some test names, so that any rule may speak of it."""
    tests: list[Any] = [test for text in texts for test in cast("list[Any]", text.mapping.get("tests") or [])]
    others = [test["others"] for test in tests if isinstance(test, dict) and isinstance(test.get("others"), dict)]
    devices = [(str(name), other) for each in others for name, other in each.items()]
    return {name: str(other.get("class", "")) for name, other in devices if isinstance(other, dict)}


class _Test:
    """One test. Reading it raises KeyError, TypeError, ValueError or AttributeError where it is not well made."""

    def __init__(self, rule: Rule, source: RuleText, test: Mapping[str, Any], classes: Classes) -> None:
        unknown = test.keys() - _TEST
        if unknown:
            msg = f"unknown key {min(unknown)!r}"
            raise ValueError(msg)
        self._rule = rule
        self._name = str(test["name"])
        self._expect: list[Mapping[str, Any]] = list(test["expect"])
        self._classes = classes
        params: Mapping[str, Plain] = test.get("params", {})
        place = source.place("tests")
        settings = {rule.id: {name: Setting(value, place) for name, value in params.items()}}
        self._trial = Trial(rule.cls, test, classes, settings)

    def run(self, texts: Sequence[RuleText], others: Mapping[str, str]) -> Outcome:
        faults = Faults()
        classes, devices = self._classes, self._trial.devices
        own = self._concerned(texts)
        rules = compile_rules(own, classes.points, devices, {}, faults, events=classes.events, elsewhere=others)
        if faults.found:
            raise ValueError(faults.found[0].message)
        return Outcome(self._rule.id, self._name, tuple(self._compare(_play(rules, self._trial.steps))))

    def _concerned(self, texts: Sequence[RuleText]) -> Sequence[RuleText]:
        """Return this rule and those that its test speaks of: no other is judged.

        One that suppresses others needs all.
        """
        if self._rule.suppress is not None:
            return texts
        named = {str(line[key]) for line in self._expect for key in (*_KINDS, "none") if key in line}
        return [text for text in texts if text.mapping.get("id") in {self._rule.id, *named}]

    def _compare(self, made: list[_Made]) -> list[str]:
        problems: list[str] = []
        left = list(made)
        for expected in self._expect:
            if "none" in expected:
                problems += self._early(expected, made)
                continue
            kind = next(kind for kind in _KINDS if kind in expected)
            at, rule = parse_duration(expected["at"]), expected[kind]
            found = next((m for m in left if (m.kind, m.verdict.rule, m.verdict.at) == (kind, rule, at)), None)
            if found is None:
                problems.append(f"no {kind} of {rule} at {expected['at']}")
                continue
            left.remove(found)
            problems += _differences(found, expected)
        return problems + [
            f"{_say(m)}, not expected" for m in left if m.verdict.rule == self._rule.id and m.kind != "stands"
        ]

    def _early(self, expected: Mapping[str, Any], made: list[_Made]) -> list[str]:
        until = parse_duration(expected["until"])
        known = {parse_duration(e["at"]) for e in self._expect if e.get("raise") == expected["none"]}
        raised = [m for m in made if m.kind == "raise" and m.verdict.rule == expected["none"]]
        early = [m for m in raised if m.verdict.at <= until and m.verdict.at not in known]
        return [f"{_say(m)} before {expected['until']}" for m in early]


def _differences(made: _Made, expected: Mapping[str, Any]) -> list[str]:
    verdict, problems = made.verdict, []
    if expected.get("priority", verdict.priority) != verdict.priority:
        problems.append(f"{_say(made)} as {verdict.priority}, not {expected['priority']}")
    if expected.get("latched", verdict.latched) != verdict.latched:
        problems.append(f"{_say(made)} {'latched' if verdict.latched else 'not latched'}")
    writes = {f"{write.device}/{write.point}": write.value for write in verdict.writes}
    if expected.get("writes", writes) != writes:
        problems.append(f"{_say(made)} writes {writes}")
    for key, found in (("forbids", [*verdict.forbids]), ("veils", ["/".join(veil) for veil in verdict.veils])):
        if sorted(expected.get(key, found)) != sorted(found):
            problems.append(f"{_say(made)} {key} {found}")
    return problems


def _say(made: _Made) -> str:
    return f"{made.kind} of {made.verdict.rule} at {duration_text(made.verdict.at)}"


def _play(rules: Rules, steps: Sequence[Step]) -> list[_Made]:
    """Return everything the rules decide, with the steps' own times."""
    state: dict[str, bytes] = {}
    engine = Engine(rules, state=state, as_of=None, now=0)
    made: list[_Made] = []
    for step in steps:
        if step.restart:
            made += _made(engine.advance(step.at))
            state.update({key: saved for key, saved in engine.dirty().items() if saved is not None})
            engine = Engine(rules, state=state, as_of=step.at, now=step.at)
            made += [_Made("stands", verdict) for verdict in engine.standing()]
        made += _made(engine.feed(step.records))
        state.update({key: saved for key, saved in engine.dirty().items() if saved is not None})
    return made + _made(engine.advance(steps[-1].at + HOUR))


def _made(verdicts: Sequence[Verdict]) -> list[_Made]:
    return [_Made(verdict.kind, verdict) for verdict in verdicts]
