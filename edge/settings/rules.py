"""The seam to the rule engine: packs and the site's own rules in, compiled rules and their catalogue rows out."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import msgspec

from edge.rules import packs
from edge.rules.compiling import compile_rules
from edge.rules.derives import compile_derives
from edge.rules.forms import ASSETS
from edge.rules.places import Written
from edge.rules.rule import DeviceSpec, Rule, RuleText
from edge.rules.types import BOOL, Type, type_of
from edge.settings.devices import Draft, settings
from edge.settings.guards import check_guards, check_priorities, check_tags
from edge.settings.limits import LIMITS
from edge.settings.models import RulesSection
from edge.settings.values import Device, Site
from edge.settings.written import Origin
from sitekeeper.catalogue import CatalogueRule
from sitekeeper.faults import Faults
from sitekeeper.located_yaml import Document
from sitekeeper.model.point import ONLINE, Point
from sitekeeper.profile import ClassFile


def rule_texts(documents: Iterable[Document], faults: Faults) -> tuple[RuleText, ...]:
    """Return every rule of the site's own rule files."""
    return tuple(rule for document in documents for rule in packs.rules_of(document, faults))


def with_rules(
    site: Site,
    section: RulesSection,
    drafts: Sequence[Draft],
    own: tuple[RuleText, ...],
    classes: Mapping[str, ClassFile],
    where: Origin,
    faults: Faults,
    tried: tuple[RuleText, ...] = (),
) -> Site:
    """Return the site with its rules and derived points compiled and its rules in the catalogue.

    Args:
        own: the site's own rules. classes: all device classes. where: the `rules:` of the site file.
        tried: rules that are to be tried in the place of those with the same ids, or beside them.
    """
    asked = {rule for device in site.devices.values() for rule in device.profile_settings}
    chosen, others = _packs(section, where, asked, faults)
    ids = {text.mapping.get("id") for text in tried}
    texts = (*(text for text in (*chosen, *own) if text.mapping.get("id") not in ids), *tried)
    if len(texts) > LIMITS.rules:
        faults.add(where.place(), "limit", what="rules", limit=LIMITS.rules)
    types = {name: _types(cls) for name, cls in classes.items()}
    by_device: defaultdict[str, dict[str, Point]] = defaultdict(dict)
    for point in site.points:
        by_device[point.device][point.name] = point
    events = {name: _events(cls) for name, cls in classes.items()}
    told = {
        name: frozenset(event for event, it in cls.events.items() if it.by_gateway) for name, cls in classes.items()
    }
    specs = [
        _spec(device, by_device[device.id], events[device.cls], told[device.cls], others)
        for device in site.devices.values()
    ]
    specs += [
        DeviceSpec(id=own.id, cls=own.cls, points=by_device[own.id], events=events[own.cls], link=own.link)
        for own in site.own
    ]
    compiled = compile_rules(
        texts,
        types,
        specs,
        settings(section.overrides, where.within("overrides")),
        faults,
        events=events,
        groups=site.groups_by_name,
    )
    derivations = compile_derives(dict(_derives(drafts, by_device)), by_device, faults)
    check_guards(drafts, derivations, faults)
    check_priorities(own, faults)
    check_tags(drafts, classes, compiled.rules, faults)
    rows = tuple(sorted((_row(rule) for rule in compiled.rules), key=lambda row: row.id))
    catalogue = msgspec.structs.replace(site.catalogue, rules=rows)
    gates, required = section.gates.gates(), section.require
    return replace(
        site, rules=compiled, derivations=derivations, catalogue=catalogue, gates=gates, gates_required=required
    )


def _packs(
    section: RulesSection, where: Origin, asked: set[str], faults: Faults
) -> tuple[tuple[RuleText, ...], frozenset[str]]:
    """Rules of the chosen packs, and the ids of shipped rules that were not chosen.

    Args:
        asked: rules that profiles set something for. Unless one of them was not chosen nobody has to read the others.
    """
    chosen = packs.load([(name, where.place(("packs", index))) for index, name in enumerate(section.packs)], faults)
    if asked <= _ids(chosen):
        return chosen, frozenset()
    others = [(name, where.place()) for name in packs.shipped() if name not in section.packs]
    return chosen, _ids(packs.load(others, faults))


def _ids(texts: Iterable[RuleText]) -> frozenset[str]:
    return frozenset(str(text.mapping.get("id")) for text in texts)


def _spec(
    device: Device,
    points: Mapping[str, Point],
    events: Mapping[str, Mapping[str, Type]],
    own: frozenset[str],
    others: frozenset[str],
) -> DeviceSpec:
    """The device as rules see it. What its profile sets for rules that this site did not choose is not its business.

    Args:
        events: all of its class. own: those that the gateway tells of it.
    """
    return DeviceSpec(
        id=device.id,
        cls=device.cls,
        points=points,
        profile_settings={rule: values for rule, values in device.profile_settings.items() if rule not in others},
        settings=device.settings,
        events={name: fields for name, fields in events.items() if name in own or name in device.events},
        writables=device.writables,
        zone=device.zone,
        link=device.link,
        via=device.via,
        tags=device.tags,
        asset={name: float(value) for name in ASSETS if (value := getattr(device.asset, name)) is not None},
    )


def _types(cls: ClassFile) -> dict[str, Type]:
    types = {name: type_of(point.type, point.unit, tuple(point.members)) for name, point in cls.points.items()}
    return {**types, ONLINE: BOOL}


def _events(cls: ClassFile) -> dict[str, dict[str, Type]]:
    return {
        event: {name: type_of(field.type, field.unit, tuple(field.members)) for name, field in declared.fields.items()}
        for event, declared in cls.events.items()
    }


def _derives(
    drafts: Sequence[Draft], points: Mapping[str, Mapping[str, Point]]
) -> Iterator[tuple[str, tuple[Point, Written]]]:
    for draft in drafts:
        for name, declared in draft.points.items():
            expression = declared.written.derive
            if expression is not None:
                point = points[draft.section.id][name]
                lines = declared.where.document(("derive",)).lines
                yield point.id, (point, Written(expression, declared.where.place(("derive",)), lines))


def _row(rule: Rule) -> CatalogueRule:
    flags = tuple(name for name in ("life_safety", "offline") if getattr(rule, name))
    return CatalogueRule(rule.id, rule.levels[0].priority, rule.names, rule.playbook, rule.audience, flags)
