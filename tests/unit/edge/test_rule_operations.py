"""What may be asked about rules at work: who may, what is refused, and what is written down."""

from types import SimpleNamespace
from typing import Any

import pytest

from edge.commands.audit import decode
from edge.operations.rules import operations
from sitekeeper.catalogue import Catalogue, CatalogueRule
from sitekeeper.model.clock import SECOND
from sitekeeper.model.command import Actor, Role
from sitekeeper.model.errors import NotFound, Refused, StorageError
from tests.unit.edge.pipeline_rig import Rig
from tests.unit.edge.rules.worlds import compiled, rule, samples, thing

LEARNS = "n < 0.5 * baseline(n, by=secs, step=1, learn=a, settle=1s, least=2)"


class Site:
    """A gateway as far as these operations look at it, with one rule on one device."""

    def __init__(self, when: str = LEARNS, *, audience: str = "", **more: Any) -> None:
        rules = compiled(rule(when, **more), thing())
        self.rig = Rig(rules)
        self.rig.pipeline._flow(samples(thing(), self.rig.start, a=True, secs=0.0, n=4.0), self.rig.moment())
        self.rig.clock.advance(5 * SECOND)
        self.rig.pipeline._flow([], self.rig.moment())
        known = Catalogue(site="hq", rules=(CatalogueRule("R1", "P2", audience=audience),))
        self.gateway: Any = SimpleNamespace(
            site=SimpleNamespace(id="hq", rules=rules, catalogue=known, devices={"t1": None}, own=()),
            pipeline=self.rig.pipeline,
            clock=self.rig.clock,
            outbox=SimpleNamespace(behind=lambda _: False, problem=None),
        )

    async def ask(self, op: str, role: Role = "technician", origin: Any = "site", **args: Any) -> list[Any]:
        operation = operations(self.gateway)[op]
        return [item async for item in operation(Actor("chan", role, origin), {"rule": "R1", "device": "t1"} | args)]

    def learned(self) -> object:
        instance = self.rig.pipeline.instance("R1", "t1")
        assert instance is not None
        return next(node.bins for node in instance.nodes if hasattr(node, "bins"))

    def audited(self) -> list[tuple[str, str, str, str]]:
        rows = [decode(row) for each in self.rig.store.appended for row in each.audit]
        return [(row.operation, row.target, row.outcome, row.note) for row in rows]


async def test_a_technician_has_a_rule_forget_what_it_learned() -> None:
    """Its bins are empty, in the same transaction as the row that says who did it and why."""
    site = Site()
    assert site.learned() == {0: (5, 4.0)}
    assert await site.ask("rule.forget", note="another lamp") == [{"rule": "R1", "device": "t1", "forgotten": True}]
    assert site.learned() == {}
    assert site.audited() == [("rule.forget", "t1/R1", "done", "another lamp")]
    assert "t1/R1" in (site.rig.store.appended[-1].rule_state or {})


@pytest.mark.parametrize(("role", "origin"), [("operator", "site"), ("engineer", "office"), ("viewer", "site")])
async def test_others_may_not_and_that_is_written_down(role: Role, origin: str) -> None:
    """Not from the office, and not by who only watches."""
    site = Site()
    with pytest.raises(Refused, match="not-permitted"):
        await site.ask("rule.forget", role, origin, note="x")
    assert site.learned() != {}
    assert site.audited() == [("rule.forget", "t1/R1", "not-permitted", "x")]


async def test_what_learns_nothing_forgets_nothing() -> None:
    """A rule without a baseline, and a disk that takes nothing at present."""
    with pytest.raises(Refused, match="nothing-learned"):
        await Site("a").ask("rule.forget", note="x")
    site = Site()
    site.rig.store.events_behind = True
    with pytest.raises(StorageError):
        await site.ask("rule.forget", note="x")
    assert site.learned() != {}


async def test_how_a_rule_stands_is_told_with_its_alarm() -> None:
    """State, alarm, mode and the tree, times as seconds from now; without a device on every one."""
    site = Site("held(a, 2s)", on_delay="9s", mode="watch")
    (told,) = await site.ask("rule.explain")
    assert [(told[key]) for key in ("state", "alarm", "mode", "priority", "veiled")] == [
        "waiting",
        "A",
        "watch",
        "P2",
        [],
    ]
    assert told["levels"][0]["wait"] == {"shown_s": 3.0, "of_s": 9.0, "due_in_s": 6.0, "reached": False}
    assert told["when"]["wait"] == {"shown_s": 2.0, "of_s": 2.0, "due_in_s": None, "reached": True}
    assert told["when"]["children"][0]["quality"] == "good"
    site.rig.clock.advance(9 * SECOND)
    site.rig.pipeline._flow([], site.rig.moment())
    (later,) = await site.ask("rule.explain", device=None)
    assert (later["state"], later["alarm"]) == ("active", "B")


async def test_what_cannot_be_asked_says_why() -> None:
    """No such rule or device, a point that is lacking, a rule that is off; of what is for security nothing is told."""
    site = Site("gone or a")
    for args, why in (({"rule": "R2"}, "no rule 'R2'"), ({"device": "t9"}, "no device 't9'"), ({}, "it has no gone")):
        with pytest.raises(NotFound, match=why):
            await site.ask("rule.explain", **args)
    with pytest.raises(Refused, match="not-run"):
        await Site("a", mode="off").ask("rule.explain")
    hidden = Site("a", audience="security")
    with pytest.raises(NotFound, match="no rule 'R1'"):
        await hidden.ask("rule.explain")
    assert await hidden.ask("rule.explain", **{"~security": True}) != []
