"""What a rule writes while it holds: what it may, to whom, from when to when."""

from dataclasses import replace

import pytest

from edge.rules.engine import Engine
from edge.rules.rule import DeviceSpec
from sitekeeper.model.clock import SECOND
from sitekeeper.model.command import Write
from sitekeeper.profile import Writable
from tests.unit.edge.rules.worlds import compiled, found_in, rule, samples, things

DO = "{each: [zone, thing], write: {m: x}, priority: 3, until: clear}"
ALLOWED = Writable(by=["operator", "linkage"], values=["x", "y"])


def site(**writables: Writable) -> list[DeviceSpec]:
    """Return the things, of which `t1` and `t2` can be written."""
    first, second, *others = things()
    can = writables or {"m": ALLOWED}
    return [replace(first, writables=can), replace(second, writables=can), *others]


def linked(do: str = DO, **more: str) -> str:
    """Return a rule that only writes."""
    return rule("a", do=do, **more).replace("  priority: P2\n", "")


def engine_of(yaml: str, devices: list[DeviceSpec]) -> Engine:
    plans = compiled(yaml, *devices)
    return Engine(plans, state={}, as_of=None, now=0)


def test_writes_are_claimed_with_the_raise_and_given_up_with_the_clear():
    """Both verdicts carry the same writes, and none of them is an alarm."""
    devices = site()
    engine = engine_of(linked(), devices)
    found = engine.feed(samples(devices[0], 5, a=True) + samples(devices[0], SECOND, a=False), now=2 * SECOND)
    writes = (Write("t1", "m", "x", 3), Write("t2", "m", "x", 3))
    assert [(v.device, v.kind, v.writes, v.alarm) for v in found] == [
        ("t1", "raise", writes, False),
        ("t1", "clear", writes, False),
    ]


def test_a_rule_with_a_priority_is_an_alarm_too():
    """`do:` beside a priority raises and writes."""
    devices = site()
    (verdict,) = engine_of(rule("a", do=DO), devices).feed(samples(devices[0], 5, a=True), now=6)
    assert (verdict.alarm, verdict.priority, len(verdict.writes)) == (True, "P2", 2)


def test_devices_that_cannot_be_written_are_listed():
    """A device whose driver or profile lacks the point is skipped, and the list says so."""
    rules = compiled(linked(), *site())
    assert [(n.device, n.needs) for n in rules.not_applicable] == [("t3", "m")]


@pytest.mark.parametrize(
    ("each", "tags", "targets"),
    [
        ("[self, thing]", "[]", ["t1"]),
        ("[site, thing]", "[]", ["t1", "t2"]),
        ("[site, thing]", "[x]", ["t2"]),
        ("[link, thing]", "[]", ["t1"]),
        ("[ends, thing]", "[]", ["t1"]),
        ("[site, lift]", "[]", []),
    ],
)
def test_a_linkage_means_these_devices(each, tags, targets):
    """Scope, class and tags choose; a group is a scope by its name."""
    point = "m: x" if "thing" in each else "service_mode: normal"
    rules = compiled(linked(f"{{each: {each}, tags: {tags}, write: {{{point}}}, priority: 3, until: clear}}"), *site())
    plan = next(plan for plan in rules.plans if plan.device.id == "t1")
    assert [write.device for write in plan.writes] == targets


def test_a_watched_linkage_writes_nothing():
    """In mode `watch` it is recorded that it would have written, and nothing is claimed, after a restart neither."""
    devices = site()
    engine = engine_of(linked(mode="watch"), devices)
    (verdict,) = engine.feed(samples(devices[0], 5, a=True), now=6)
    assert (verdict.kind, verdict.writes, engine.standing()) == ("raise", (), [])


def test_unless_keeps_it_from_writing():
    """A note claims nothing."""
    devices = site()
    (verdict,) = engine_of(linked(unless="b"), devices).feed(samples(devices[0], 5, a=True, b=True), now=6)
    assert (verdict.kind, verdict.writes) == ("note", ())


def test_after_a_restart_the_writes_of_active_rules_stand():
    """Who claims what is said again before anything is heard."""
    devices = site()
    rules = compiled(linked(), *devices)
    engine = Engine(rules, state={}, as_of=None, now=0)
    engine.feed(samples(devices[0], 5, a=True), now=6)
    assert [v.device for v in engine.standing()] == ["t1"]
    state = {key: saved for key, saved in engine.dirty().items() if saved is not None}
    (verdict,) = Engine(rules, state=state, as_of=6, now=50).standing()
    assert (verdict.kind, verdict.at, verdict.writes[0]) == ("raise", 50, Write("t1", "m", "x", 3))


def test_other_writes_are_another_revision():
    """What is written decides, so a saved state does not meet a rule that writes something else."""
    one, other = (compiled(linked(do), *site()) for do in (DO, DO.replace("m: x", "m: y")))
    revisions = {Engine(rules, state={}, as_of=None, now=0)._instances[0].revision for rules in (one, other)}
    assert len(revisions) == 2


@pytest.mark.parametrize(
    ("do", "code", "near"),
    [
        (DO.replace("m: x", "mm: x"), "unknown-name", "m"),
        (DO.replace("m: x", "m: w"), "bad-write", ""),
        (DO.replace("m: x", "m: 1"), "bad-write", ""),
        (DO.replace("m: x", "m: z"), "write-value", ""),
        (DO.replace("priority: 3", "priority: 17"), "bad-command-priority", ""),
        (DO.replace(", until: clear", ""), "bad-until", ""),
        (DO.replace("[zone, thing]", "[zone]"), "bad-each", ""),
        (DO.replace("[zone, thing]", "[zone, thign]"), "unknown-class", "thing"),
        (DO.replace("[zone, thing]", "[endz, thing]"), "unknown-group", "ends"),
        (DO.replace("write:", "writ:"), "unknown-key", "write"),
        ("5", "bad-section", ""),
    ],
)
def test_a_mistake_in_a_linkage_is_found(do, code, near):
    """Each with its line, and what was probably meant."""
    faults = found_in(linked(do), *site())
    assert f"rule-{code}" in [fault.code for fault in faults]
    fault = next(fault for fault in faults if fault.code == f"rule-{code}")
    assert fault.line == 6
    assert near in fault.hint


@pytest.mark.parametrize(
    ("writable", "code"),
    [
        (Writable(by=["operator"], values=["x"]), "write-role"),
        (Writable(by=["linkage"], values=["x"], pulse=True), "write-pulse"),
        (Writable(by=["linkage"], values=["y"]), "write-value"),
    ],
)
def test_what_the_class_forbids_no_rule_may_write(writable, code):
    """The allow-list of the class holds for rules as for people, and is told once, not for every device."""
    assert [fault.code for fault in found_in(linked(), *site(m=writable))] == [f"rule-{code}"]


def test_a_number_must_lie_within_the_range_of_the_class():
    """A level of 101 % is refused when the rule is read."""
    do = DO.replace("m: x", "n: 101")
    assert [f.code for f in found_in(linked(do), *site(n=Writable(by=["linkage"], range=[0, 100])))] == [
        "rule-write-value"
    ]


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("a and not tagged('own')", False),
        ("(tagged('other') or tagged('far')) and a", False),
        ("a or not tagged('own')", True),
        ("a and tagged('own')", True),
        ("not a", True),
    ],
)
def test_what_the_tags_of_a_device_rule_out_is_never_written_and_so_no_mistake(when, told):
    """A rule about its own device may write what the class keeps from devices that its condition leaves out."""
    [device, *_] = site(m=Writable(by=["linkage"], values=["y"]))
    found = found_in(linked(DO.replace("zone", "self")).replace('"a"', f'"{when}"'), replace(device, tags=("own",)))
    assert [fault.code for fault in found] == ["rule-write-value"] * told
