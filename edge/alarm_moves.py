"""Which move of an alarm a verdict is, how long alarms may be held back, and the transition that a move makes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from edge.rules.instance import Plan, Verdict
from sitekeeper.model.alarm import (
    ACTIVE,
    HELD_BACK,
    LATCHED,
    AlarmRecord,
    AlarmState,
    Cause,
    Mode,
    Priority,
    Transition,
    split_key,
)
from sitekeeper.model.clock import DAY, Micros, Moment
from sitekeeper.model.veil import after, layers

PERMIT: Final[Micros] = 30 * DAY
"""How long an alarm may be out of service under one permit."""

_BEGINS: Final = frozenset({Cause.SHELVE, Cause.SUPPRESS, Cause.OUT})
"""What begins an occurrence of an alarm that is normal, besides a raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFacts:
    """What the book must know of a rule on a device, whether or not its alarm was ever raised.

    Attributes:
        priority: its first. realarm: 0 for never. audience: who alone may know of it: no drill of others hides it.
    """

    priority: Priority
    latched: bool = False
    mode: Mode = ""
    life_safety: bool = False
    realarm: Micros = 0
    parent: str = ""
    audience: str = ""


def facts_of(plans: Iterable[Plan]) -> dict[str, RuleFacts]:
    """Return the facts of all rules that have alarms, by `<device>/<rule>`."""
    shared: dict[RuleFacts, RuleFacts] = {}  # thousands of plans have the same few
    found: dict[str, RuleFacts] = {}
    for plan in plans:
        if plan.rule.alarm and plan.levels:
            facts = _facts(plan)
            found[plan.key] = shared.setdefault(facts, facts)
    return found


def _facts(plan: Plan) -> RuleFacts:
    return RuleFacts(
        priority=plan.levels[0][0],
        latched=plan.rule.latch,
        mode="watch" if plan.mode == "watch" else "",
        life_safety=plan.rule.life_safety,
        realarm=plan.rule.realarm,
        parent=plan.rule.parent,
        audience=plan.rule.audience,
    )


def cause_of(verdict: Verdict, record: AlarmRecord | None) -> Cause | None:
    """Return what a verdict is for an alarm that stands so; None for nothing."""
    state = AlarmState.NORMAL if record is None else record.standing
    if verdict.kind == "clear":
        return Cause.CLEAR if state in ACTIVE else None
    if verdict.kind == "note":
        return None
    if record is not None and state in ACTIVE:
        if verdict.priority == record.priority:
            return None
        return Cause.REANNUNCIATE if verdict.priority < record.priority else Cause.LEVEL
    if verdict.kind == "level":
        return None
    return Cause.REANNUNCIATE if state in LATCHED else Cause.RAISE


def mode_of(verdict: Verdict, record: AlarmRecord | None, cause: Cause, *, drill: bool) -> Mode:
    """Return how a move that a verdict makes counts; `drill`: one runs on its device.

    What is raised in a drill stays part of it, and what was real before it stays real; but a latched alarm whose
    condition comes back is judged anew.
    """
    if verdict.mode == "watch":
        return "watch"
    if record is None or cause is Cause.RAISE or (cause is Cause.REANNUNCIATE and record.standing in LATCHED):
        return "drill" if drill else ""
    return "drill" if record.mode == "drill" else ""


def begins(record: AlarmRecord | None, cause: Cause) -> bool:
    """Tell whether a move begins an occurrence."""
    if record is None or cause is Cause.RAISE:
        return True
    return record.state is AlarmState.NORMAL and cause in _BEGINS


def moved(
    record: AlarmRecord | None, cause: Cause, now: Moment, *, key: str, through: bool | None = None, **fields: Any
) -> Transition:
    """Return the transition that a move makes; `fields` are its own.

    Raises:
        Refused: there is no such move (`sitekeeper.model.veil.after`).
    """
    before = layers(record)
    then = after(before, cause, latched=fields["latched"], by=fields.get("by", ""), through=through)
    return Transition(
        key=key,
        rule=split_key(key)[2],
        source=before.shown,
        target=then.shown,
        cause=cause,
        at=now.wall,
        mono=now.mono,
        base=then.base if then.shown in HELD_BACK else None,
        through=then.through,
        **fields,
    )
