"""What protects must protect: interlocks that measure something, tags spelt right, life safety left to itself."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from edge.commands.warning import OCCUPIED
from edge.rules.derives import Derivation
from edge.rules.rule import Rule, RuleText
from edge.rules.syntax import Expression, Name, parts
from edge.settings.devices import Draft
from sitekeeper.faults import Faults, nearest
from sitekeeper.model.command import LIFE_SAFETY
from sitekeeper.model.point import ONLINE
from sitekeeper.profile import ClassFile, Writable

RESERVED: Final = range(LIFE_SAFETY, LIFE_SAFETY + 2)
"""Priorities of commands that only shipped rules have: 1 and 2, life safety (ANSI/ASHRAE 135-2020, 19.2)."""

_TAGS_OF_A_CONDITION: Final = re.compile(rb"tag(?:ged\(|=)\s*'([a-z0-9-]+)'")


def check_guards(drafts: Iterable[Draft], derivations: Iterable[Derivation], faults: Faults) -> None:
    """Note every derived interlock that would be the same whatever the device says."""
    derived = {derivation.point.id: derivation for derivation in derivations}
    for draft in drafts:
        for name, writable in draft.writables.items():
            guard = draft.points.get(writable.interlock or "")
            if guard is not None and not _measured(draft.section.id, guard.name, derived):
                place = guard.where.place(("derive",))
                faults.add(place, "guard-of-nothing", hint="derive-measured", name=guard.name, point=name)


def check_priorities(own: Iterable[RuleText], faults: Faults) -> None:
    """Note every rule of the site's own that would write with the priority of life safety.

    Of two equals the newer wins, so it could shut a door that a fire has opened.
    """
    for text in own:
        do = text.mapping.get("do")
        if isinstance(do, dict) and do.get("priority") in RESERVED:
            faults.add(text.place("do", "priority"), "life-safety-only", hint="own-priority", found=str(do["priority"]))


def check_tags(
    drafts: Iterable[Draft], classes: Mapping[str, ClassFile], rules: Iterable[Rule], faults: Faults
) -> None:
    """Note every tag that is nearly one that a class or a rule goes by: what was meant to be guarded would not be."""
    known = {tag for cls in classes.values() for point in cls.points.values() if point.writable
             for tag in _tags_of(point.writable)}  # fmt: skip
    for rule in rules:
        known |= {tag.decode() for tag in _TAGS_OF_A_CONDITION.findall(rule.canonical)}
        known |= set(rule.do.reach.tags) if rule.do else set()
    for draft in drafts:
        for place, tag in enumerate(draft.section.tags):
            if tag not in known and (near := nearest(tag, known)):
                faults.add(draft.where.place(("tags", place)), "near-tag", near=near, name=tag)


def _tags_of(writable: Writable) -> Iterator[str]:
    yield from writable.tagged
    yield from writable.off_most.tags if writable.off_most else ()
    yield from (OCCUPIED,) if writable.warn else ()


def _measured(device: str, name: str, derived: Mapping[str, Derivation]) -> bool:
    derivation = derived.get(f"{device}/{name}")
    if derivation is None:
        return name != ONLINE
    return any(_measured(device, other, derived) for other in _names(derivation.tree))


def _names(tree: Expression) -> Iterator[str]:
    if isinstance(tree, Name):
        yield tree.name
    for part in parts(tree):
        yield from _names(part)
