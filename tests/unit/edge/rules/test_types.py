"""Types: points, enumerations and units are checked before a rule runs, with the place of the mistake."""

import pytest

from edge.rules.compiling import compile_rules
from edge.rules.packs import shipped_classes
from sitekeeper.faults import Faults, Place
from tests.unit.edge.rules.worlds import THING, Setting, rule, texts, thing


def faults_of(yaml: str, **settings: object) -> list[tuple[str, int, int, str]]:
    """Return (code, line, column, hint) of every fault in a rule file."""
    faults = Faults()
    device = thing(**settings)
    compile_rules(texts(yaml, faults), {"thing": THING, **shipped_classes()}, [device], {}, faults)
    return [(f.code.removeprefix("rule-"), f.line, f.column, f.hint) for f in faults.found]


COLUMN = len('  when: "') + 1
"""Where the expression of `rule()` begins: behind the quote."""


@pytest.mark.parametrize(
    ("when", "offset", "code", "near"),
    [
        ("a and sensr", 6, "unknown-name", "sensor"),
        ("m == 'w'", 5, "unknown-member", "x"),
        ("m in ('x', 'zz')", 11, "unknown-member", "z"),
        ("n > speed", 4, "types-differ", ""),
        ("n > 15s", 4, "types-differ", ""),
        ("n + speed > 1", 4, "types-differ", ""),
        ("speed", 0, "types-differ", ""),
        ("not n", 4, "wrong-type", ""),
        ("a and n", 6, "wrong-type", ""),
        ("m > 'x'", 0, "wrong-type", ""),
        ("held(a, n)", 8, "wrong-type", ""),
        ("held(rose(a), 1s)", 5, "wrong-type", ""),
        ("rose(a)", 0, "types-differ", ""),
        ("count(a, 1s) > 1", 6, "wrong-type", ""),
        ("count(rose(a), 1s if a else 2s) > 1", 18, "not-constant", ""),
        ("heldd(a, 1s)", 0, "unknown-operator", "held"),
        ("held(a)", 0, "argument-missing", ""),
        ("held(a, 1s, 2s)", 12, "argument-extra", ""),
        ("latch(set=a, rest=b)", 18, "argument-unknown", "reset"),
        ("held(a, 1s, x=b)", 14, "argument-twice", ""),
        ("default(a, 1)", 11, "types-differ", ""),
        ("'x' if a else 1", 14, "types-differ", ""),
        ("stale(a)", 6, "wrong-type", ""),
        ("a.kind == 'presense'", 10, "unknown-member", "presence"),
        ("n * speed > 1", 4, "types-differ", ""),
    ],
)
def test_a_mistake_is_found_at_its_place(when, offset, code, near):
    """The fault names line and column inside the quoted expression, and what was probably meant."""
    found = faults_of(rule(when))
    assert [(c, line, column) for c, line, column, _ in found][:1] == [(code, 4, COLUMN + offset)]
    assert near in found[0][3]
    assert bool(near) == bool(found[0][3])


def test_every_mistake_of_an_expression_is_found_at_once():
    """Two wrong names are two faults."""
    assert [(c, col - COLUMN) for c, _, col, _ in faults_of(rule("aa and bb"))] == [
        ("unknown-name", 0),
        ("unknown-name", 7),
    ]


@pytest.mark.parametrize("when", ["n / n > 2", "speed * 2 > speed", "n + 1 > n", "-speed < 0", "2 * n > n", "n != 3",
                                  "held(a, 2 * 15s + 1s)", "a == b", "m == ('x' if a else 'y')"])  # fmt: skip
def test_units_that_fit_are_left_alone(when):
    """Numbers written down take the unit they meet, equal units cancel, and a duration may be scaled."""
    assert faults_of(rule(when)) == []


def test_a_folded_expression_has_exact_places():
    """In a folded YAML text the place is that of the word, on its own line."""
    yaml = rule("a").replace('when: "a"', "when: >-\n      a and\n        b or\n      wrong")
    assert [(code, line, column) for code, line, column, _ in faults_of(yaml)] == [("unknown-name", 7, 7)]


def test_an_anchored_expression_has_exact_places():
    """An anchor in front of an expression is not part of it, and an alias points at what was anchored."""
    yaml = rule("a").replace('when: "a"', "when: &w a and wrong") + rule("b").replace("R1", "R2").replace('"b"', "*w")
    assert [(code, line, column) for code, line, column, _ in faults_of(yaml)] == [("unknown-name", 4, 18)]


def test_settings_must_name_a_parameter_and_fit_it():
    """An unknown parameter is a fault with a suggestion, a wrong type another."""
    yaml = rule("held(a, wait)", params="{wait: 3s}")
    assert faults_of(yaml, R1={"wiat": "3s"})[0][0] == "unknown-setting"
    assert "wait" in faults_of(yaml, R1={"wiat": "3s"})[0][3]
    assert faults_of(yaml, R1={"wait": 3})[0][0] == "bad-setting"
    assert faults_of(yaml, R1={"wait": "5s", "off_delay": "1min", "mode": "watch", "priority": "P3"}) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"wen": "a"}, "unknown-key"),
        ({"priority": "P5"}, "bad-priority"),
        ({"latch": "perhaps"}, "bad-flag"),
        ({"mode": "quiet"}, "bad-word"),
        ({"params": "{a: 3s}"}, "name-taken"),
        ({"let": "{held: a, and: b}"}, "bad-name"),
        ({"let": "{p: q, q: a}"}, "unknown-name"),
        ({"on_delay": "n"}, "types-differ"),
        ({"levels": "[{priority: P1}]", "on_delay": "3s"}, "beside-levels"),
        ({"levels": "[{priority: P1, then: 3s}]"}, "unknown-key"),
        ({"show": "[a, nn]"}, "unknown-name"),
        ({"off_delay": "10"}, "types-differ"),
    ],
)
def test_a_malformed_rule_is_refused(change, code):
    """Each mistake in the frame of a rule has its own code."""
    assert code in [found[0] for found in faults_of(rule("a", **change))]


def test_two_rules_with_one_id_are_refused():
    """The second one is named."""
    assert [found[0] for found in faults_of(rule("a") + rule("b"))] == ["twice"]


def test_the_site_wins_over_the_profile_and_the_device_over_both():
    """Parameters come from the rule, the profile, the site's overrides and the device, the last one wins."""
    from dataclasses import replace

    def told(**layers: str) -> str:
        give = {name: {"R1": {"wait": Setting(value, Place("x"))}} for name, value in layers.items()}
        device = replace(thing(), profile_settings=give.get("profile", {}), settings=give.get("device", {}))
        faults = Faults()
        yaml = texts(rule("held(a, wait)", params="{wait: 1s}"), faults)
        rules = compile_rules(yaml, {"thing": THING}, [device], give.get("site", {}), faults)
        return rules.plans[0].parameters["wait"].words()

    assert told() == "1s"
    assert told(profile="2s") == "2s"
    assert told(profile="2s", site="3s") == "3s"
    assert told(profile="2s", site="3s", device="4s") == "4s"


def test_a_rule_that_needs_a_missing_point_is_not_applicable():
    """It says which point; wrapped in default it applies."""
    faults = Faults()
    classes = {"thing": THING}
    without = compile_rules(texts(rule("a and gone"), faults), classes, [thing()], {}, faults)
    assert [(n.rule, n.needs) for n in without.not_applicable] == [("R1", "gone")]
    assert without.plans == ()
    wrapped = compile_rules(texts(rule("a and default(gone, false)"), faults), classes, [thing()], {}, faults)
    assert wrapped.not_applicable == ()
    assert len(wrapped.plans) == 1
    assert faults.found == []
