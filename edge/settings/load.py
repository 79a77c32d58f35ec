"""From a site folder to a `Site`, or to every fault in it at once. Opens no socket. `sk config check` runs this."""

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from drivers import registry
from drivers.base import DriverKind
from edge.rules.packs import load as load_packs
from edge.rules.packs import read_rules
from edge.rules.rule import RuleText
from edge.settings import assemble
from edge.settings.calendar_file import with_days
from edge.settings.devices import Draft, Workshop
from edge.settings.emergency_tests import arrangements
from edge.settings.folder import SITE, Folder, read_folder
from edge.settings.library import Library
from edge.settings.limits import LIMITS
from edge.settings.local_targets import local_plan
from edge.settings.models import DevicesFile, LinkSection, RulesSection, SiteFile, SiteSection
from edge.settings.ranges import expand
from edge.settings.rules import rule_texts, with_rules
from edge.settings.values import Link, Site
from edge.settings.written import Origin, check, fields_of, origin
from sitekeeper.catalogue import encode
from sitekeeper.faults import Faults, Place, nearest
from sitekeeper.located_yaml import Document, Plain, Scalar
from sitekeeper.model.errors import ConfigError, FormatError, NotFound

Kinds = dict[str, DriverKind | None]
"""By link; None where the link is wrong, so that its devices are not blamed for it."""


def load(
    folder: Path, *, lang: str = "en", environment: Mapping[str, str] | None = None, tried: Path | None = None
) -> Site:
    """Load the site folder at `folder`.

    Args:
        lang: language of the faults' messages.
        environment: where secrets may also come from; the process's own by default.
        tried: a rule file that is to be tried: its rules take the place of those with the same ids.

    Raises:
        ConfigError: it cannot be used; carries every fault found.
    """
    faults = Faults(lang)
    read = read_folder(folder, os.environ if environment is None else environment, faults)
    library = Library(folder / "profiles", faults)
    if read.site is None:
        faults.stop_if_any()
    assert read.site is not None  # one that cannot be read is a fault
    file = check(SiteFile, read.site.data, origin(read.site), faults) or _salvage(read.site, faults)
    file = with_days(file, folder, read, origin(read.site, "calendar"), faults)
    kinds, links = _links(_mapping(read.site.data, "links"), origin(read.site, "links"), faults)
    workshop = Workshop(library, kinds, faults)
    drafts = list(_drafts(workshop, read, faults))
    workshop.unused(set(library.own()) - {draft.section.profile for draft in drafts})
    _apart(drafts, faults)
    _grouped(file.groups, workshop.seen, origin(read.site, "groups"), faults)
    own = rule_texts(read.rules, faults)
    classes = library.classes()
    site = assemble.site(folder, read, file, links, drafts, classes)
    more = () if tried is None else read_rules(tried, str(tried), faults)
    site = replace(site, lamp_tests=arrangements(file, site, origin(read.site, "emergency_tests"), faults))
    site = replace(site, local=local_plan(file.local, site, origin(read.site, "local"), faults))
    site = with_rules(site, file.rules, drafts, own, classes, origin(read.site, "rules"), faults, more)
    try:
        encode(site.catalogue)
    except FormatError as error:
        faults.add(Place(SITE), "catalogue", reason=str(error))
    faults.stop_if_any()
    return site


def load_texts(folder: Path, *, lang: str = "en") -> tuple[RuleText, ...]:
    """Return the rules of a site folder as they are written: those of its packs, and its own.

    Raises:
        ConfigError: the folder cannot be used; carries every fault found.
    """
    load(folder, lang=lang)
    faults = Faults(lang)
    read = read_folder(folder, os.environ, faults)
    assert read.site is not None  # it was loaded
    section = check(RulesSection, _mapping(read.site.data, "rules"), origin(read.site, "rules"), faults)
    packs = [(name, Place(SITE)) for name in (section or RulesSection()).packs]
    return (*load_packs(packs, faults), *rule_texts(read.rules, faults))


def _salvage(document: Document, faults: Faults) -> SiteFile:
    """Stand in for a site file with faults, so that what it says about rules and groups is checked all the same."""
    rules = check(RulesSection, _mapping(document.data, "rules"), origin(document, "rules"), faults)
    written = _mapping(document.data, "groups").items()
    groups = {str(name): [str(each) for each in group] for name, group in written if isinstance(group, list)}
    site = SiteSection(id="unknown", timezone="UTC")
    return SiteFile(site=site, rules=rules or RulesSection()).model_copy(update={"groups": groups})


def _links(written: dict[Scalar, Plain], where: Origin, faults: Faults) -> tuple[Kinds, dict[str, Link]]:
    kinds: Kinds = {}
    links: dict[str, Link] = {}
    for name, data in written.items():
        link, here = str(name), where.within(name)
        kinds[link] = kind = _kind(data, here, faults)
        section = check(LinkSection, data, here, faults)
        if kind is None or section is None:
            continue
        options = check(kind.link_model, section.model_extra, here, faults, also=fields_of(LinkSection))
        if options is not None:
            links[link] = Link(id=link, kind=kind.name, options=options)
    return kinds, links


def _kind(data: Plain, where: Origin, faults: Faults) -> DriverKind | None:
    name = data.get("driver") if isinstance(data, dict) else None
    if not isinstance(name, str):
        return None
    try:
        return registry.kind(name)
    except NotFound:
        known = registry.names()
        near = nearest(name, known)
        place = where.place(("driver",))
        faults.add(place, "unknown-driver", near=near, hint="known-drivers", name=name, known=", ".join(known))
    except ConfigError as error:
        faults.add(where.place(("driver",)), "driver-library", reason=str(error))
    return None


def _drafts(workshop: Workshop, read: Folder, faults: Faults) -> Iterator[Draft]:
    count = points = 0
    for data, where in _entries(read, faults):
        if not isinstance(data, dict):
            faults.add(where.place(), "wrong-type", text=where.text(()), expected=faults.word("a-mapping"))
            continue
        for entry in expand(data, where, faults, most=LIMITS.devices):
            count += 1
            if count > LIMITS.devices:
                faults.add(where.place(), "limit", what="devices", limit=LIMITS.devices)
                return
            draft = workshop.draft(entry, where)
            if draft is None:
                continue
            points += len(draft.points) + 1
            if points > LIMITS.points:
                faults.add(where.place(), "limit", what="points", limit=LIMITS.points)
                return
            yield draft


def _entries(read: Folder, faults: Faults) -> Iterator[tuple[Plain, Origin]]:
    """Every entry of every `devices:` list, in the order of the files."""
    documents = [read.site] if read.site else []
    for document in read.devices:
        check(DevicesFile, document.data, origin(document), faults)
        documents.append(document)
    for document in documents:
        devices = document.data.get("devices") if isinstance(document.data, dict) else None
        for index, entry in enumerate(devices if isinstance(devices, list) else ()):
            yield entry, origin(document, "devices", index)


def _apart(drafts: list[Draft], faults: Faults) -> None:
    """Every device has a name of its own, and no two read the same thing on the same link."""
    names: dict[str, Draft] = {}
    targets: dict[object, Draft] = {}
    for draft in drafts:
        section, place = draft.section, draft.where.place(("id",))
        same_name = names.setdefault(section.id, draft)
        if same_name is not draft:
            faults.add(place, "duplicate-device", name=section.id, first=same_name.where.place(("id",)))
            continue
        target = (section.link, repr(draft.options), section.profile, tuple(sorted(section.with_.items())))
        same_target = targets.setdefault(target, draft)
        if same_target is not draft:
            faults.add(place, "same-device", name=section.id, other=same_target.section.id, link=section.link)


def _grouped(groups: Mapping[str, list[str]], known: Collection[str], where: Origin, faults: Faults) -> None:
    """Every group names devices of this site, each once."""
    for name, members in groups.items():
        for index, member in enumerate(members):
            place = where.place((name, index))
            if member not in known:
                near, devices = nearest(member, known), ", ".join(sorted(known)) or "-"
                faults.add(place, "unknown-device", near=near, hint="known-devices", name=member, known=devices)
            elif member in members[:index]:
                faults.add(place, "twice-in-group", hint="take-away", name=member, group=name)


def _mapping(data: Plain, key: str) -> dict[Scalar, Plain]:
    value = data.get(key) if isinstance(data, dict) else None
    return value if isinstance(value, dict) else {}
