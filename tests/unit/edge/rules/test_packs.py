"""The shipped packs: their own tests pass, can fail, and cover what every rule must show."""

from dataclasses import replace

import pytest

from edge.rules import packs
from edge.rules.compiling import compile_rules
from edge.rules.rule import DeviceSpec
from edge.rules.testing import run_tests
from sitekeeper.data import data_path
from sitekeeper.faults import Faults, Place
from sitekeeper.texts import LANGUAGES, text
from tests.unit.edge.rules.worlds import lift, points, rule, texts

CLASSES = packs.shipped_classes()


def shipped(name: str):
    faults = Faults()
    found = packs.load([(name, Place("test"))], faults)
    assert faults.found == []
    return found


@pytest.mark.parametrize("pack", packs.shipped())
def test_the_tests_beside_the_shipped_rules_pass(pack):
    """Every line written beside a rule is what the engine does."""
    faults = Faults()
    outcomes = run_tests(shipped(pack), CLASSES, faults)
    assert faults.found == []
    assert outcomes
    assert [(o.rule, o.name, o.problems) for o in outcomes if o.problems] == []


EVERY = [known for pack in packs.shipped() for known in shipped(pack)]


@pytest.mark.parametrize("known", EVERY, ids=lambda t: str(t.mapping["id"]))
def test_every_rule_shows_raising_not_raising_bad_input_and_restart(known):
    """A rule without one of these tests is not finished."""
    tests = known.mapping["tests"]
    steps = [step for test in tests for step in test["steps"]]
    expected = [line for test in tests for line in test["expect"]]
    assert any("raise" in line for line in expected)
    assert any("none" in line for line in expected)
    assert any("clear" in line for line in expected)
    assert any("bad" in step or "stale" in step for step in steps)
    assert any("restart" in step for step in steps)


@pytest.mark.parametrize("known", EVERY, ids=lambda t: str(t.mapping["id"]))
def test_every_playbook_has_words_in_every_language(known):
    """What a rule tells people to do exists for people of all three languages; what is no alarm tells nothing."""
    if known.mapping.keys() & {"do", "forbid"} and not known.mapping.keys() & {"priority", "levels"}:
        assert "playbook" not in known.mapping
        return
    for language in LANGUAGES:
        assert text(f"office.playbook.{known.mapping['playbook']}", language)


def test_the_pack_holds_the_rules_that_were_asked_for():
    """L01 to L27 and L29, all for a lift with every point; without some points those that need them are not."""
    faults = Faults()
    events = packs.shipped_events()
    rules = compile_rules(shipped("lift"), CLASSES, [lift()], {}, faults, events=events)
    assert sorted(plan.rule.id for plan in rules.plans) == [f"L{number:02}" for number in (*range(1, 28), 29)]
    without = lift(without=("power", "passenger", "load", "ebike"))
    lacking = compile_rules(shipped("lift"), CLASSES, [without], {}, faults, events=events)
    assert [(n.rule, n.needs) for n in lacking.not_applicable] == [("L22", "power"), ("L23", "ebike")]


def test_only_the_alarms_of_the_domain_are_life_safety():
    """Nobody may shelve these: entrapment, passenger alarm, duress, confirmed fire, high gas."""
    marked = {str(known.mapping["id"]) for known in EVERY if known.mapping.get("life_safety")}
    assert marked == {"L01", "L03", "A06", "F01", "H02"}


@pytest.mark.parametrize(
    ("cls", "ids"),
    [
        ("access", [f"A{number:02}" for number in (*range(1, 13), 15)]),
        ("fire", ["A13", "F01", "F02", "F03", "F04", "FIRE-CIRCUITS", "FIRE-EXITS", "FIRE-LIGHTS"]),
        (
            "lighting",
            [
                "CIRCUIT-DEFAULT",
                "CIRCUIT-PRESENCE",
                "CIRCUIT-TRIM",
                "G01",
                "G01-ZONE",
                "G02",
                "G03",
                "G04",
                "G05",
                "G06",
                "G07",
                "G11",
                "G19",
                "LIGHT-DEFAULT",
                "LIGHT-PRESENCE",
                "LIGHT-TRIM",
            ],
        ),
        ("parking", [*(f"B{number:02}" for number in (1, 2, 3, 4, 5, 6, 7, 8, 13)), "B13-CABINET", "B14", "B15"]),
    ],
)
def test_the_packs_of_the_other_families_apply(cls, ids):
    """A device with every point and event of its class has every rule of its pack; the least one has some."""
    full = _device(cls, "full", CLASSES[cls], packs.shipped_events()[cls])
    faults = Faults()
    rules = compile_rules(shipped(cls), CLASSES, [full], {}, faults, events=packs.shipped_events())
    assert faults.found == []
    assert [plan.rule.id for plan in rules.plans] == ids


def test_what_the_linkages_write_is_allowed_by_the_classes():
    """The shipped classes let rules free doors, hold exits open and light escape routes; nobody else is written to."""
    events, writables = packs.shipped_events(), packs.shipped_writables()
    tags = {"parking": ("exit",), "lighting": ("escape",)}
    devices = [
        replace(
            _device(cls, f"{cls}-1", CLASSES[cls], events[cls], first=100 * place),
            writables=writables[cls],
            tags=tags.get(cls, ()),
        )
        for place, cls in enumerate(("access", "fire", "lift", "lighting", "parking"))
    ]
    faults = Faults()
    rules = compile_rules(shipped("fire"), CLASSES, devices, {}, faults, events=events)
    assert faults.found == []
    found = {(w.device, w.point, w.value, w.priority) for plan in rules.plans for w in plan.writes}
    assert found == {
        ("access-1", "mode", "free", 1),
        ("parking-1", "hold_open", True, 1),
        ("lighting-1", "command", 100, 1),
        ("lighting-1", "on_command", True, 1),
    }


def test_a_fire_hides_what_freed_doors_say_and_nothing_else():
    """Forced, held open and both doors of a mantrap; a door that does not unlock, or is not heard, still rings."""
    events = packs.shipped_events()
    devices = [
        _device(cls, f"{cls}-{n}", CLASSES[cls], events[cls], first=100 * n)
        for n, cls in enumerate(("access", "fire", "access"))
    ]
    rules = compile_rules((*shipped("fire"), *shipped("access")), CLASSES, devices, {}, Faults(), events=events)
    veils = {plan.rule.id: plan.veils for plan in rules.plans if plan.veils}
    assert {rule: set(found) for rule, found in veils.items()} == {
        "A13": {("access-0", "A01"), ("access-0", "A02"), ("access-0", "A09"), ("access-2", "A01"), ("access-2", "A02")}
    }


def test_a_door_on_bacnet_obeys_the_same_rules():
    """It tells no events: forced and held doors are found all the same, refused cards are not applicable."""
    names = ("door.state", "lock.state", "door.alarm", "mode", "held_limit", "online")
    door = _device("access", "door-1", {n: t for n, t in CLASSES["access"].items() if n in names}, {})
    rules = compile_rules(shipped("access"), CLASSES, [door], {}, Faults(), events=packs.shipped_events())
    assert sorted(plan.rule.id for plan in rules.plans) == ["A01", "A02", "A09", "A10", "A11", "A12"]
    assert {n.rule: n.needs for n in rules.not_applicable} == {
        **dict.fromkeys(("A03", "A04", "A05", "A06", "A07"), "read.event"),
        "A08": "tamper.case",
        "A14": "gateway/table.credentials.age",
        "A15": "rex.event",
    }


def test_a_fire_rule_never_waits_and_is_never_only_watched():
    """Nothing stands between a confirmed fire and its alarm."""
    faults = Faults()
    panel = _device("fire", "panel", CLASSES["fire"], {})
    rules = compile_rules(shipped("fire"), CLASSES, [panel], {}, faults, events=packs.shipped_events())
    at_once = {plan.rule.id for plan in rules.plans if plan.levels[0][1] == 0}
    assert at_once >= {"A13", "F01", "F02", "FIRE-CIRCUITS", "FIRE-EXITS", "FIRE-LIGHTS"}
    assert {plan.mode for plan in rules.plans} == {""}
    assert {plan.rule.id: plan.levels[0][0] for plan in rules.plans}["F01"] == "P1"


@pytest.mark.parametrize(
    ("expect", "problem"),
    [
        ("{at: 2s, raise: R1}", "no raise of R1 at 2s"),
        ("{at: 1s, raise: R1, priority: P1}", "raise of R1 at 1s as P2, not P1"),
        ("{until: 2s, none: R1}", "raise of R1 at 1s before 2s"),
        ("{at: 1s, raise: R1}, {at: 5s, clear: R1}", "no clear of R1 at 5s"),
    ],
)
def test_a_wrong_expectation_fails(expect, problem):
    """What does not happen as written is said in words."""
    case = f"[{{name: t, steps: [{{at: 1s, set: {{a: true}}}}], expect: [{expect}]}}]"
    faults = Faults()
    outcomes = run_tests(texts(rule("a", tests=case), faults), {"thing": _thing()}, faults)
    assert faults.found == []
    assert problem in outcomes[0].problems


def test_what_is_not_expected_fails_too():
    """A rule that does more than its test says has not passed."""
    case = "[{name: t, steps: [{at: 1s, set: {a: true}}, {at: 2s, set: {a: false}}], expect: [{at: 1s, raise: R1}]}]"
    faults = Faults()
    outcomes = run_tests(texts(rule("a", tests=case), faults), {"thing": _thing()}, faults)
    assert outcomes[0].problems == ("clear of R1 at 2s, not expected",)


@pytest.mark.parametrize("step", ["{at: 1s, set: {aa: true}}", "{at: 1s, set: {m: w}}", "{at: 1s, sett: {a: true}}",
                                  "{at: 1, set: {a: true}}", "{set: {a: true}}"])  # fmt: skip
def test_a_malformed_test_is_a_fault_with_its_place(step):
    """A test that cannot be run is a fault in the file, not a pass."""
    faults = Faults()
    case = f"[{{name: t, steps: [{step}], expect: []}}]"
    assert run_tests(texts(rule("a", tests=case), faults), {"thing": _thing()}, faults) == []
    assert [(f.code, f.line) for f in faults.found] == [("rule-bad-test", 7)]


def test_an_unknown_pack_is_a_fault_with_a_suggestion():
    """The name that was probably meant is told."""
    faults = Faults()
    assert packs.load([("lfit", Place("site.yaml", 3, 9))], faults) == ()
    assert (faults.found[0].code, faults.found[0].line) == ("rule-unknown-pack", 3)
    assert "lift" in faults.found[0].hint


def test_rule_files_are_lists():
    """A mapping at the top of a rule file is refused."""
    faults = Faults()
    assert texts("id: L01", faults) == ()
    assert faults.found[0].code == "rule-not-a-list"


def test_the_example_stands_where_people_look():
    """The pack is data beside classes and profiles."""
    assert data_path("rules", "lift.yaml").is_file()


def _device(cls, name, types, events, *, first=0):
    found = points(types, name, first=first)
    return DeviceSpec(id=name, cls=cls, points=found, events=events, zone="z1", link="l1", via="l1")


def _thing():
    from tests.unit.edge.rules.worlds import THING

    return THING
