"""Putting drafts together into a `Site`: handles, scan groups, catalogue."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from drivers.base import DeviceRead, PointRead, ReadGroup
from edge.calendar.schedules import Place, Schedule
from edge.changes import Heartbeat
from edge.settings.devices import Draft, settings
from edge.settings.folder import Folder
from edge.settings.models import AssetSection, OfficeSection, OutboxSection, SiteFile
from edge.settings.own_devices import OwnDevice, own_devices
from edge.settings.section_calendar import CalendarSection
from edge.settings.values import Device, Link, OfficeSettings, OutboxSettings, Site
from edge.settings.written import origin
from edge.tables import Lookup, TableFile
from sitekeeper.catalogue import Catalogue, CatalogueDevice, CatalogueGroup, CataloguePoint
from sitekeeper.model.asset import Asset
from sitekeeper.model.point import ONLINE, Names, Point, ScanGroup, stale_after
from sitekeeper.profile import ClassFile
from sitekeeper.texts import LANGUAGES, text

_NOTHING: Final[Mapping[str, int | str]] = {}
"""One for all devices without a `with:`."""


def site(
    folder: Path,
    read: Folder,
    file: SiteFile,
    links: dict[str, Link],
    drafts: Sequence[Draft],
    classes: Mapping[str, ClassFile],
) -> Site:
    """Return the site without its rules and derived points' expressions"""
    drafts = sorted({draft.section.id: draft for draft in drafts}.values(), key=lambda draft: draft.section.id)
    office = _office(folder, file.office)
    joined = office is not None and office.trust is not None
    where = file.site.position
    position = (where.latitude, where.longitude) if where else None
    place = (file.calendar or CalendarSection()).place(file.site.timezone, position)
    schedules = {name: section.schedule() for name, section in file.schedules.items()}
    own = own_devices(file, _OfSite(place, schedules), (draft.section.link for draft in drafts), classes, joined=joined)
    catalogue = _catalogue(file, drafts, own)
    points = _points(catalogue)
    groups = _groups(catalogue)
    parts = _parts(points, groups)
    return Site(
        id=file.site.id,
        names=_names(file.site.name),
        timezone=file.site.timezone,
        position=position,
        links=links,
        devices={draft.section.id: _device(draft, parts[draft.section.id]) for draft in drafts},
        points=points,
        groups=groups,
        outbox=_outbox(folder, file.outbox),
        office=office,
        catalogue=catalogue,
        own=own,
        place=place,
        schedules=schedules,
        tables={
            name: TableFile(path=folder / table.file, key=table.key, stale=table.stale)
            for name, table in file.tables.items()
        },
        lookups=_lookups(file, drafts),
        groups_by_name={name: tuple(members) for name, members in file.groups.items()},
        revision=read.revision,
    )


@dataclass(frozen=True, slots=True)
class _OfSite:
    """What the calendar asks of a site."""

    place: Place
    schedules: Mapping[str, Schedule]


def _points(catalogue: Catalogue) -> tuple[Point, ...]:
    periods = {group.id: group.period for group in catalogue.groups}
    return tuple(
        Point(
            handle=handle,
            id=row.id,
            device=row.device,
            name=row.id.removeprefix(f"{row.device}/"),
            type=row.type,
            group=row.group,
            unit=row.unit,
            members=row.members,
            kind=row.kind,
            deadband=row.deadband,
            stale_after=stale_after(periods.get(row.group, 0)),
            names=row.names,
        )
        for handle, row in enumerate(catalogue.points)
    )


def _groups(catalogue: Catalogue) -> tuple[ScanGroup, ...]:
    handles: dict[str, list[int]] = {group.id: [] for group in catalogue.groups}
    for handle, point in enumerate(catalogue.points):
        if point.group:
            handles[point.group].append(handle)
    return tuple(
        ScanGroup(id=group.id, device=group.device, period=group.period, handles=tuple(handles[group.id]))
        for group in catalogue.groups
    )


@dataclass(slots=True)
class _Parts:
    """Points and groups of one device."""

    points: dict[str, Point] = field(default_factory=dict)
    groups: list[ScanGroup] = field(default_factory=list)


def _parts(points: Sequence[Point], groups: Sequence[ScanGroup]) -> dict[str, _Parts]:
    parts: defaultdict[str, _Parts] = defaultdict(_Parts)
    for point in points:
        parts[point.device].points[point.name] = point
    for group in groups:
        parts[group.device].groups.append(group)
    return parts


def _device(draft: Draft, parts: _Parts) -> Device:
    section, profile = draft.section, draft.profile
    beat = profile.file.heartbeat
    pulse = parts.points.get(beat.point) if beat else None  # a fault was noted where a profile names no such point
    return Device(
        id=section.id,
        cls=profile.cls.class_,
        profile=profile.file.profile,
        link=section.link,
        read=_read(draft, parts),
        heartbeat=Heartbeat(handle=pulse.handle, within=beat.within) if beat and pulse else None,
        profile_settings=settings(profile.file.rules, origin(profile.document, "rules")),
        settings=settings(section.rules, draft.where.within("rules")),
        writables=draft.writables,
        parameters=section.with_ or _NOTHING,
        addressing=draft.addressing,
        zone=section.zone or "",
        via=_via(draft),
        tags=tuple(section.tags),
        names=_names(section.name),
        asset=_asset(section.asset),
    )


def _via(draft: Draft) -> str:
    """Return what the device is reached through: what is written, else its controller on its link, else its link."""
    section = draft.section
    if section.via is not None:
        return f"={section.via}"
    controller = getattr(draft.options, "device", section.with_.get("controller"))
    return section.link if controller is None else f"{section.link}:{controller}"


def _read(draft: Draft, parts: _Parts) -> DeviceRead:
    by_handle = {point.handle: point for point in parts.points.values()}
    groups = tuple(
        ReadGroup(
            id=group.id,
            device=group.device,
            period=group.period,
            points=tuple(_point_read(by_handle[handle], draft) for handle in group.handles),
        )
        for group in parts.groups
    )
    return DeviceRead(id=draft.section.id, options=draft.options, groups=groups, events=draft.events)


def _point_read(point: Point, draft: Draft) -> PointRead:
    return PointRead(
        handle=point.handle,
        name=point.name,
        type=point.type,
        address=draft.addresses.get(point.name),
        unit=point.unit,
        members=point.members,
    )


def _lookups(file: SiteFile, drafts: Sequence[Draft]) -> dict[str, tuple[Lookup, ...]]:
    """Return the fields that come from this site's tables, by source."""
    found = {}
    for draft in drafts:
        told = {event.name for event in draft.events}
        for name, event in draft.profile.cls.events.items() if file.tables else ():
            lookups = tuple(
                Lookup(field, meaning.table, meaning.key, meaning.column, meaning.absent, tuple(meaning.members))
                for field, meaning in event.fields.items()
                if meaning.table in file.tables
            )
            if lookups and name in told:
                found[f"{draft.section.id}/{name}"] = lookups
    return found


def _catalogue(file: SiteFile, drafts: Sequence[Draft], own: Sequence[OwnDevice]) -> Catalogue:
    """The catalogue without its rules; everything sorted by id."""
    groups = {device.group: device.group_row() for device in own} | {
        draft.group(point): CatalogueGroup(draft.group(point), draft.section.id, point.written.scan)
        for draft in drafts
        for point in draft.points.values()
        if draft.group(point)
    }
    points = [row for draft in drafts for row in _rows(draft)]
    points += [row for device in own for row in device.point_rows()]
    devices = [*(_device_row(draft) for draft in drafts), *(device.row() for device in own)]
    return Catalogue(
        site=file.site.id,
        names=_names(file.site.name),
        timezone=file.site.timezone,
        groups=tuple(groups[name] for name in sorted(groups)),
        devices=tuple(sorted(devices, key=lambda row: row.id)),
        points=tuple(sorted(points, key=lambda row: row.id)),
        secrets=tuple(sorted({name for draft in drafts for name in _secrets(draft)})),
    )


def _secrets(draft: Draft) -> Iterator[str]:
    for name, event in draft.profile.cls.events.items():
        yield from (f"{name}/{field}" for field, meaning in event.fields.items() if meaning.secret)


def _device_row(draft: Draft) -> CatalogueDevice:
    section, profile = draft.section, draft.profile
    return CatalogueDevice(
        id=section.id,
        cls=profile.cls.class_,
        profile=profile.file.profile,
        names=_names(section.name),
        zone=section.zone or "",
        tags=tuple(section.tags),
        asset=_asset(section.asset),
    )


def _rows(draft: Draft) -> Iterator[CataloguePoint]:
    device = draft.section.id
    online = {lang: text("settings.online", lang) for lang in LANGUAGES}
    yield CataloguePoint(f"{device}/{ONLINE}", device, "bool", names=_names(online))
    for name, point in draft.points.items():
        meaning, written = point.meaning, point.written
        yield CataloguePoint(
            id=f"{device}/{name}",
            device=device,
            type=meaning.type,
            group=draft.group(point),
            unit=meaning.unit,
            members=tuple(meaning.members),
            kind=written.kind,
            deadband=written.deadband,
            names=_names({**meaning.name, **written.name}),
        )


def _names(written: Mapping[Any, str]) -> Names:
    return _shared(tuple((str(lang), name) for lang, name in written.items()))


@cache
def _shared(names: tuple[tuple[str, str], ...]) -> Names:
    """Return the same mapping for the same names: the points of all devices of a class have them."""
    return dict(names)


def _asset(section: AssetSection) -> Asset:
    return Asset(**section.model_dump(exclude_none=True))


def _outbox(folder: Path, section: OutboxSection) -> OutboxSettings:
    return OutboxSettings(
        path=folder / section.path,
        history=section.history,
        max_size=section.max_size,
        reserve=section.reserve,
        commit=section.commit,
    )


def _office(folder: Path, section: OfficeSection | None) -> OfficeSettings | None:
    if section is None:
        return None
    parts = urlsplit(section.broker)
    tls = parts.scheme == "mqtts"
    trust = folder / (section.trust or "trust")
    joined = tls and (section.trust is not None or (section.certificate is None and trust.is_dir()))
    return OfficeSettings(
        host=parts.hostname or "",
        port=parts.port or (8883 if tls else 1883),
        tls=tls,
        protocol=section.protocol,
        username=section.username or "",
        password=section.password or "",
        ca=folder / section.ca if section.ca else None,
        certificate=folder / section.certificate if section.certificate else None,
        key=folder / section.key if section.key else None,
        command_key=trust / "office-command.pub" if section.commands else None,
        trust=trust if joined else None,
        backfill=int(section.backfill.removesuffix("/s")),
    )
