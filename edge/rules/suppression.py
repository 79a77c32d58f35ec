"""What `suppress:` comes to on a site: which alarms are not shown while another one stands."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from edge.rules.instance import Plan
from edge.rules.places import note
from edge.rules.rule import Rule, RuleText, Suppress
from edge.rules.sets import Around
from sitekeeper.faults import Faults


def check_suppressed(rules: Mapping[str, Rule], texts: Mapping[str, RuleText], faults: Faults) -> None:
    """Note every rule that would hide a life-safety alarm and may not: it is the site's own, or does not say why."""
    for rule in rules.values():
        text = texts[rule.id]
        if rule.suppress is None or (rule.suppress.documented and text.shipped):
            continue
        others = (other for other in rules.values() if other.life_safety and other is not rule)
        hidden = [other.id for other in others if _means(rule.suppress, other)]
        if hidden:
            note(faults, text.place("suppress"), "life-safety-suppressed", id=hidden[0])


def with_veils(plans: Sequence[Plan], around: Around) -> list[Plan]:
    """Return the plans, each with the (device, rule) of the alarms that it suppresses; its own is never among them."""
    by_device: dict[str, list[Plan]] = {}
    for plan in plans:
        if plan.rule.alarm:
            by_device.setdefault(plan.device.id, []).append(plan)
    return [_with_veils(plan, plan.rule.suppress, by_device, around) for plan in plans]


def _with_veils(plan: Plan, suppress: Suppress | None, plans: dict[str, list[Plan]], around: Around) -> Plan:
    if suppress is None:
        return plan
    veils = tuple(
        (device.id, other.rule.id)
        for device in around.chosen(suppress.reach, plan.device)
        for other in plans.get(device.id, ())
        if other is not plan and _means(suppress, other.rule)
    )
    return replace(plan, veils=veils)


def _means(suppress: Suppress, rule: Rule) -> bool:
    return rule.offline if suppress.offline else rule.id in suppress.rules
