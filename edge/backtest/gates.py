"""Limits that a change of rules must keep: nothing it may take away, and how loud it may become."""

from dataclasses import dataclass

from edge.backtest.compare import Result
from sitekeeper.durations import duration_text
from sitekeeper.model.clock import SECOND, Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """What is allowed.

    Attributes:
        added_p1: further P1 alarms, in all. removed: alarms that were there and would not be, in all.
        nuisance_per_day: nuisances of any one rule a day.
        later: by how much any alarm may come later than it came.
    """

    added_p1: int = 0
    removed: int = 0
    nuisance_per_day: float = 3.0
    later: Micros = 0


@dataclass(frozen=True, slots=True)
class Broken:
    """A limit that is not kept: its name, what is allowed, and what was found where."""

    gate: str
    allowed: str
    found: str
    where: str


def judge(result: Result, gates: Gates) -> list[Broken]:
    """Return every gate that is broken. Nothing decided about proves nothing, and breaks `records`."""
    broken: list[Broken] = []
    if result.records == 0:
        broken.append(Broken("records", "1", "0", ""))
    added = [d for d in result.differences if d.kind == "added" and d.new is not None and d.new.priority == "P1"]
    if len(added) > gates.added_p1:
        broken.append(Broken("added_p1", str(gates.added_p1), str(len(added)), added[0].key))
    removed = [d for d in result.differences if d.kind == "removed"]
    if len(removed) > gates.removed:
        broken.append(Broken("removed", str(gates.removed), str(len(removed)), removed[0].key))
    for rule, found in result.rules.items():
        if found.nuisance_new > gates.nuisance_per_day:
            broken.append(Broken("nuisance_per_day", f"{gates.nuisance_per_day:g}", f"{found.nuisance_new:.1f}", rule))
    late = [(d.new.start - d.old.start, d.key) for d in result.differences if d.kind == "later" and d.old and d.new]
    if late and max(late)[0] > gates.later:
        most, key = max(late)
        broken.append(Broken("later", duration_text(gates.later), duration_text(most // SECOND * SECOND), key))
    return broken
