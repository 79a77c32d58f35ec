"""Interlocks: what guards a write must follow from what the device measures, not from a word of the profile."""

from collections.abc import Iterable, Iterator, Mapping

from edge.rules.derives import Derivation
from edge.rules.syntax import Expression, Name, parts
from edge.settings.devices import Draft
from sitekeeper.faults import Faults
from sitekeeper.model.point import ONLINE


def check_guards(drafts: Iterable[Draft], derivations: Iterable[Derivation], faults: Faults) -> None:
    """Note every derived interlock that would be the same whatever the device says."""
    derived = {derivation.point.id: derivation for derivation in derivations}
    for draft in drafts:
        for name, writable in draft.writables.items():
            guard = draft.points.get(writable.interlock or "")
            if guard is not None and not _measured(draft.section.id, guard.name, derived):
                place = guard.where.place(("derive",))
                faults.add(place, "guard-of-nothing", hint="derive-measured", name=guard.name, point=name)


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
