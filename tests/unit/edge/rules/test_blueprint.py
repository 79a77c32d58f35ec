"""Instances that share a blueprint share nothing that changes, and those that must differ do."""

from dataclasses import replace

import edge.rules.engine  # noqa: F401 - every kind of node is known then
from edge.rules.engine import Engine
from edge.rules.instance import Designs
from edge.rules.nodes import Keeper, Node
from edge.rules.rule import Setting
from sitekeeper.faults import Place
from sitekeeper.model.clock import SECOND
from tests.unit.edge.rules.worlds import GROUPS, compiled, event, rule, samples, things


def _kinds(base: type[Node]) -> list[type[Node]]:
    return [kind for each in base.__subclasses__() for kind in (each, *_kinds(each))]


def test_every_node_computes_and_every_keeper_saves():
    """They have no abstract base that would see to it."""
    known = [kind for kind in _kinds(Node) if kind is not Keeper and not kind.__name__.startswith("_")]
    assert [kind for kind in known if kind.compute is Node.compute] == []
    keepers = [kind for kind in known if issubclass(kind, Keeper)]
    assert [kind for kind in keepers if Keeper.save is kind.save or Keeper.restore is kind.restore] == []


def test_devices_alike_share_a_design_and_keep_their_own_state():
    """One of two equal devices raises; the other knows nothing of it."""
    first, second, *_ = things()
    second = replace(second, tags=first.tags)
    rules = compiled(rule("count(on(ev, f), 5s) >= 2 and held(a, 1s)"), first, second)
    designs = Designs()
    assert designs.of(rules.plans[0], {}) is designs.of(rules.plans[1], {})
    engine = Engine(rules, state={}, as_of=None, now=0)
    fed = [*samples(first, 1, a=True), event("ev", 2, f=True), event("ev", 3, f=True)]
    fed += [*samples(second, 4, a=True), event("ev", 5, device="t2", f=True)]
    assert [(v.device, v.kind) for v in engine.feed(fed, now=2 * SECOND)] == [("t1", "raise")]


def test_what_decides_about_the_nodes_parts_the_designs():
    """A parameter, a delay, a missing point, a tag or a number of the record that the rule asks for."""
    first, second, *_ = things()
    texts = {
        "held(a, wait)": replace(second, settings={"R1": {"wait": Setting("2s", Place("s"))}}),
        "a": replace(second, settings={"R1": {"off_delay": Setting("2s", Place("s"))}}),
        "optional(b, a)": replace(second, points={k: p for k, p in second.points.items() if k != "b"}),
        "a and tagged('x')": second,
        "count(rose(a), 9s) > optional(asset('floors'), 1)": second,
        "optional(within(on(ev), 1s), a)": replace(second, events={}),
    }
    for when, other in texts.items():
        rules = compiled(rule(when, params="{wait: 1s}"), first, other)
        designs, tallies = Designs(), {}
        assert designs.of(rules.plans[0], tallies) is not designs.of(rules.plans[1], tallies), when


def test_each_instance_reads_the_set_of_its_own_device():
    """The question is the same, the devices that are asked are not."""
    first, second, third, fourth = things()
    assert GROUPS
    rules = compiled(rule("any_of(link, thing, b)"), first, second, third, fourth)
    engine = Engine(rules, state={}, as_of=None, now=0)
    found = engine.feed(samples(second, 1, b=True) + samples(first, 1, b=False) + samples(fourth, 1, b=False), now=2)
    assert [(v.device, v.kind) for v in found] == [("t2", "raise")]


def test_the_revision_is_what_is_written_too():
    """Two devices of one design that write to other devices keep their states apart."""
    from tests.unit.edge.rules.test_linkage import linked, site

    plans = compiled(linked("{each: [self, thing], write: {m: x}, priority: 3, until: clear}"), *site()).plans
    designs = Designs()
    revisions = {designs.of(plan, {}).revision(plan) for plan in plans if plan.device.id in ("t1", "t2")}
    assert len(revisions) == 2
