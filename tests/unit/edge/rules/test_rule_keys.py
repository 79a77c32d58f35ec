"""Keys of a rule that say how its alarm is treated: they are checked, and each verdict carries them."""

from dataclasses import replace

import pytest

from edge.rules.compiling import Rules
from edge.rules.engine import Engine
from edge.rules.rule import DeviceSpec
from sitekeeper.model.clock import HOUR, SECOND
from tests.unit.edge.rules.test_linkage import ALLOWED, linked, site
from tests.unit.edge.rules.worlds import compiled, found_in, rule, samples, thing, things

RESET = "{each: [zone, thing], write: {m: x}, priority: 3, until: reset, stagger: 2s, for: 1h}"
HIDES = "{each: [zone, any], rules: [R2], until: clear}"


def second(when: str, **more: str) -> str:
    """Return the text of a rule R2 beside R1."""
    return rule(when, **more).replace("id: R1", "id: R2")


def raised(yaml: str, *devices: DeviceSpec, **values: bool):
    """Return the verdicts on the first device, of which these points have these values."""
    rules = compiled(yaml, *devices)
    return Engine(rules, state={}, as_of=None, now=0).feed(samples(devices[0], 5, **values), now=6)


def test_what_a_rule_says_of_its_alarm_is_carried():
    """Flags stand in the rule; bundling and repeating in each verdict."""
    more = {"life_safety": "true", "audience": "security", "offline": "true", "parent": "F01", "realarm": "24h"}
    device = thing()
    (known,) = compiled(rule("a", **more), device).rules
    assert (known.life_safety, known.audience, known.offline) == (True, "security", True)
    (verdict,) = raised(rule("a", **more), device, a=True)
    assert (verdict.parent, verdict.realarm, verdict.until) == ("F01", 24 * HOUR, "clear")


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"audience": "everybody"}, "rule-bad-word"),
        ({"offline": "perhaps"}, "rule-bad-flag"),
        ({"parent": "f 01"}, "rule-bad-id"),
        ({"realarm": "soon"}, "rule-duration"),
        ({"forbid": "{each: [zone, thing], until: reset}"}, "rule-bad-until"),
        ({"suppress": "{each: [zone, any], until: clear}"}, "rule-bad-suppress"),
        ({"suppress": "{each: [zone, any], rules: [R2], offline: true, until: clear}"}, "rule-bad-suppress"),
        ({"suppress": "{each: [zone, any], rules: [R2], until: reset}"}, "rule-until-reset-needs-latch"),
        ({"do": RESET}, "rule-until-reset-needs-latch"),
        ({"latch": "true", "do": RESET, "suppress": HIDES}, "rule-two-untils"),
        ({"do": RESET.replace("2s", "two"), "latch": "true"}, "rule-duration"),
        ({"do": "{each: [zone, any], write: {m: x}, priority: 3, until: clear}"}, "rule-unknown-class"),
        ({"levels": "[{priority: P1, through: 1}]"}, "rule-bad-flag"),
    ],
)  # fmt: skip
def test_a_key_that_does_not_fit_is_a_fault(more, code):
    """Each is refused with its own code."""
    assert [fault.code for fault in found_in(rule("a", **more), *site(m=ALLOWED))] == [code]


def test_claims_until_the_reset_are_told_and_stand_while_the_alarm_waits_for_it():
    """The clear says that they stay; after a restart they stand if the alarm is still latched, and else not."""
    devices = site()
    rules = compiled(rule("a", do=RESET, latch="true"), *devices)
    engine = Engine(rules, state={}, as_of=None, now=0)
    both = engine.feed(samples(devices[0], 5, a=True) + samples(devices[0], SECOND, a=False), now=2 * SECOND)
    assert [(v.kind, v.until, v.stagger, v.ends) for v in both] == [
        ("raise", "reset", 2 * SECOND, HOUR),
        ("clear", "reset", 2 * SECOND, HOUR),
    ]
    state = {key: saved for key, saved in engine.dirty().items() if saved is not None}
    again = Engine(rules, state=state, as_of=2 * SECOND, now=50)
    assert again.standing() == []
    assert [(v.kind, len(v.writes)) for v in again.standing({"t1/R1"})] == [("raise", 2)]


def test_what_lasts_until_the_clear_does_not_stand_for_a_latched_alarm():
    """Only `until: reset` outlives the condition."""
    devices = site()
    engine = Engine(compiled(linked(latch="true"), *devices), state={}, as_of=None, now=0)
    assert engine.standing({"t1/R1"}) == []


def test_a_rule_that_forbids_names_the_devices_and_is_no_alarm():
    """With no priority beside it, it only forbids; after a restart it still does."""
    yaml = rule("a", forbid="{each: [zone, thing], tags: [x], until: clear}").replace("  priority: P2\n", "")
    (verdict,) = raised(yaml, *things(), a=True)
    assert (verdict.forbids, verdict.alarm) == (("t2",), False)


@pytest.mark.parametrize(
    ("suppress", "veils"),
    [
        ("{each: [zone, thing], tags: [x], rules: [R1, R2], until: clear}", {("t2", "R1"), ("t2", "R2")}),
        ("{each: [zone, thing], rules: [R1], until: clear}", {("t2", "R1"), ("t3", "R1")}),
        ("{each: [self, any], rules: [R1], until: clear}", set()),
        ("{each: [site, any], tags: [x], offline: true, until: clear}", {("t2", "R2"), ("t4", "R2")}),
    ],
)  # fmt: skip
def test_suppression_names_alarms_and_never_its_own(suppress, veils):
    """By rule or by what says that a device is silent; the raise carries them."""
    yaml = rule("a", suppress=suppress) + second("stale(device)", offline="true")
    verdicts = raised(yaml, *things(), a=True)
    assert {*verdicts[0].veils} == veils


def test_a_watched_rule_forbids_and_suppresses_nothing():
    """It is being tried out."""
    more = {"suppress": "{each: [zone, any], rules: [R2], until: clear}", "mode": "watch"}
    (verdict,) = raised(
        rule("a", forbid="{each: [zone, thing], until: clear}", **more) + second("b"), *things(), a=True
    )
    assert (verdict.mode, verdict.forbids, verdict.veils) == ("watch", (), ())


def test_a_life_safety_alarm_is_suppressed_by_a_shipped_rule_that_says_why_and_by_no_other():
    """A site's own rule never may, whatever it says."""
    hidden = second("b", life_safety="true")
    plain = rule("a", suppress="{each: [zone, any], rules: [R2], until: clear}") + hidden
    reasoned = rule("a", suppress="{each: [zone, any], rules: [R2], until: clear, documented: why}") + hidden
    assert [fault.code for fault in found_in(plain, thing())] == ["rule-life-safety-suppressed"]
    assert [fault.code for fault in found_in(reasoned, thing())] == ["rule-life-safety-suppressed"]
    assert found_in(reasoned, thing(), file="config/rules/thing.yaml") == []


def test_a_level_may_be_shown_through_a_suppression():
    """`through` belongs to the level's priority: it is told with each verdict of that priority."""
    levels = "[{priority: P3}, {priority: P2, when: b, through: true}]"
    device = thing()
    engine = Engine(compiled(rule("a", levels=levels), device), state={}, as_of=None, now=0)
    found = engine.feed(samples(device, 5, a=True, b=False) + samples(device, 9, b=True), now=10)
    assert [(v.kind, v.priority, v.through) for v in found] == [("raise", "P3", False), ("level", "P2", True)]


def test_a_rule_that_is_off_is_listed_and_decides_nothing():
    """Its plan is there, and an alarm that it had raised before is cleared."""
    device = thing()
    live = Engine(compiled(rule("a"), device), state={}, as_of=None, now=0)
    live.feed(samples(device, 5, a=True), now=6)
    state = {key: saved for key, saved in live.dirty().items() if saved is not None}
    rules: Rules = compiled(rule("a", mode="off"), device)
    assert [plan.mode for plan in rules.plans] == ["off"]
    engine = Engine(rules, state=state, as_of=6, now=10)
    assert [(v.kind, v.detail) for v in engine.feed(samples(device, 20, a=True), now=30)] == [("clear", "rule-gone")]
    assert engine.dirty() == {"t1/R1": None}


def test_via_is_a_scope_like_the_others():
    """Devices behind one controller are asked together; a device that is reached through nothing shares with nobody."""
    first, second_, third, _ = things()
    devices = [replace(first, via="c1"), replace(second_, via="c1"), third]
    rules = compiled(rule("any_of(via, thing, b)", once="via"), *devices)
    assert [plan.device.id for plan in rules.plans] == ["t1"]
    engine = Engine(rules, state={}, as_of=None, now=0)
    assert engine.feed(samples(devices[2], 3, a=True), now=4) == []
    assert [v.device for v in engine.feed(samples(devices[1], 5, b=True), now=6)] == ["t1"]
