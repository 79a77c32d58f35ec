"""One entry of `devices:` with its profile and its link: what is to be read, or every reason why it cannot be."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel

from drivers import registry
from drivers.base import DriverKind, EventRead
from edge.rules.rule import Setting, Settings
from edge.settings.library import Declared, DeclaredEvent, Library, Profile, complete, declare
from edge.settings.models import DeviceSection
from edge.settings.overlap import overlaps
from edge.settings.written import Origin, check, fields_of
from sitekeeper.durations import duration_text
from sitekeeper.faults import Faults, Place, nearest
from sitekeeper.profile import Parameters, ProfilePoint, Writable


@dataclass(frozen=True, slots=True)
class Draft:
    """One device whose points have no handles yet.

    Attributes:
        addresses: what the driver's kind bound, by point name.
        writables: what may be written to it: what its class and its driver allow, and its tags leave of that.
        addressing: names out of its `with:` that addresses of its points are written over.
    """

    section: DeviceSection
    profile: Profile
    options: BaseModel
    points: Mapping[str, Declared]
    addresses: Mapping[str, object]
    writables: Mapping[str, Writable]
    events: tuple[EventRead, ...]
    where: Origin
    addressing: tuple[str, ...]

    def group(self, point: Declared) -> str:
        """Return the id of the scan group that reads `point`; empty for a derived one."""
        derived = point.written.derive is not None
        return "" if derived else f"{self.section.id}@{duration_text(point.written.scan)}"


@dataclass(slots=True)
class Workshop:
    """Makes drafts. Points that two devices have in common are checked once. `seen`: every device's id so far."""

    library: Library
    kinds: Mapping[str, DriverKind | None]
    faults: Faults
    seen: set[str] = field(default_factory=set)
    _models: dict[tuple[str, str, str], BaseModel | None] = field(default_factory=dict)

    def draft(self, data: object, where: Origin) -> Draft | None:
        """Return the device that `data` describes; None if it is not usable, with the reasons in `faults`."""
        if isinstance(data, dict):
            self.seen.add(str(data.get("id")))  # nobody who names it is to blame for what is wrong in it
        section = check(DeviceSection, data, where, self.faults, also=self._link_keys(data))
        if section is None:
            return None
        profile = self._profile(section, where)
        kind = self._kind(section, where)
        if profile is None or kind is None:
            return None
        options = self._options(section, profile, kind, where)
        points = self._points(section, profile, where)
        if not self._in_range(section, profile, where):
            return None  # every address made with it would be found wrong too, and the profile be blamed
        addresses = self._addresses(section, profile, kind, points, where)
        overlaps(points, addresses, self.faults)
        writables = self._writables(section, kind, points, addresses)
        events = self._events(section, profile, kind) if addresses else ()
        if options is None:
            return None
        addressing = _addressing(section, kind, points.values())
        return Draft(section, profile, options, points, addresses, writables, events, where, addressing)

    def unused(self, names: Iterable[str]) -> None:
        """Check the driver's keys in profiles that no usable device has, as far as that goes without a device."""
        kinds = [registry.kind(name) for name in registry.names()]
        for name in names:
            profile = self.library.profile(name)
            for kind in kinds if profile else ():
                assert profile is not None
                theirs = [point for point in profile.points.values() if kind.marker_keys & point.keys.keys()]
                for point in theirs:
                    self._model(name, kind, point)
                for event in profile.events.values() if theirs else ():
                    self._event_model(name, kind, event)

    def _link_keys(self, data: object) -> list[str]:
        kind = self.kinds.get(str(data.get("link"))) if isinstance(data, dict) else None
        return fields_of(kind.device_model) if kind else []

    def _profile(self, section: DeviceSection, where: Origin) -> Profile | None:
        known = self.library.names()
        if section.profile not in known:
            near = nearest(section.profile, known)
            self.faults.add(
                where.place(("profile",)), "unknown-profile", near=near, hint="known-profiles", name=section.profile,
                known=", ".join(known),
            )  # fmt: skip
        return self.library.profile(section.profile)

    def _kind(self, section: DeviceSection, where: Origin) -> DriverKind | None:
        if section.link not in self.kinds:
            near = nearest(section.link, self.kinds)
            self.faults.add(
                where.place(("link",)), "unknown-link", near=near, hint="known-links", name=section.link,
                known=", ".join(sorted(self.kinds)) or "-",
            )  # fmt: skip
        return self.kinds.get(section.link)

    def _options(self, section: DeviceSection, profile: Profile, kind: DriverKind, where: Origin) -> BaseModel | None:
        data = {**profile.file.device, **(section.model_extra or {})}
        both = Origin((*where.layers, (profile.document, ("device",))))
        options = check(kind.device_model, data, both, self.faults, also=fields_of(DeviceSection))
        if options is None:
            return None
        try:
            return kind.bind_device(options, section.with_)
        except ValueError as error:
            key, _, reason = str(error).partition(": ")
            self.faults.add(both.place((key,)), "bad-address", name=key, reason=reason)
            return None

    def _in_range(self, section: DeviceSection, profile: Profile, where: Origin) -> bool:
        """Refuse a parameter outside what its profile allows: it would read another part of the same device."""
        before = len(self.faults.found)
        for name, (least, most) in profile.file.with_.items():
            value = section.with_.get(name)
            if value is not None and not (str(value).isdecimal() and least <= int(value) <= most):
                reason = f"{value!r} is no number of a part: write a whole number from {least} to {most}"
                self.faults.add(where.place(("with", name)), "bad-address", name=name, reason=reason)
        return len(self.faults.found) == before

    def _points(self, section: DeviceSection, profile: Profile, where: Origin) -> dict[str, Declared]:
        """The profile's points with this device's changes laid over them."""
        points = dict(profile.points)
        for name, changes in section.points.items():
            here = where.within("points", name)
            if name not in profile.file.points:
                known = profile.file.points
                self.faults.add(here.place(key=True), "unknown-point", near=nearest(name, known), name=name)
                continue
            layers = Origin((*here.layers, (profile.document, ("points", name))))
            assert isinstance(profile.document.data, dict)
            written = profile.document.data["points"]
            assert isinstance(written, dict)
            base = written[name]
            assert isinstance(base, dict)  # the profile was checked
            merged = {str(key): value for key, value in base.items()} | changes
            model = check(ProfilePoint, merged, layers, self.faults)
            declared = model and declare(profile.cls, name, model, layers, self.faults)
            if declared:
                points[name] = declared
                complete(declared, profile.file.points, self.faults)
        return points

    def _addresses(
        self, section: DeviceSection, profile: Profile, kind: DriverKind, points: Mapping[str, Declared], where: Origin
    ) -> dict[str, object]:
        measured = {name: point for name, point in points.items() if point.written.derive is None}
        if measured and not any(kind.marker_keys & point.keys.keys() for point in measured.values()):
            keys = ", ".join(sorted(kind.marker_keys))
            name, link = section.profile, section.link
            self.faults.add(where.place(("link",)), "wrong-family", name=name, link=link, driver=kind.name, keys=keys)
            return {}
        found: dict[str, object] = {}
        for name, point in measured.items():
            changed = section.id if name in section.points else profile.file.profile
            marker = sorted(kind.marker_keys & point.keys.keys())
            if point.writes and not marker:
                place, keys = point.where.place(("write",), key=True), ", ".join(sorted(kind.marker_keys))
                self.faults.add(place, "write-without-read", hint="add-address", name=name, keys=keys)
                continue
            model = self._model(changed, kind, point)
            if model is None or not point.sound:
                continue
            try:
                found[name] = kind.bind(
                    model,
                    point_type=point.meaning.type,
                    members=tuple(point.meaning.members),
                    parameters=section.with_,
                )
            except ValueError as error:
                place = point.where.place((marker[0],)) if marker else point.where.place(key=True)
                self._unbound(place, name, error)
        return found

    def _unbound(self, place: Place, name: str, error: ValueError) -> None:
        reason, _, near = str(error).partition("; did you mean ")
        self.faults.add(place, "bad-address", near=near.rstrip("?"), name=name, reason=reason)

    def _writables(
        self, section: DeviceSection, kind: DriverKind, points: Mapping[str, Declared], addresses: Mapping[str, object]
    ) -> dict[str, Writable]:
        found: dict[str, Writable] = {}
        for name in (name for name, address in addresses.items() if kind.writable(address)):
            allowed = points[name].writable
            if allowed is None:
                continue  # never written, whatever the driver could do
            left = allowed.narrowed(section.tags)
            if left is not None:
                found[name] = left
        return found

    def _events(self, section: DeviceSection, profile: Profile, kind: DriverKind) -> tuple[EventRead, ...]:
        found = []
        for event in profile.events.values():
            model = self._event_model(profile.file.profile, kind, event)
            if model is None:
                continue
            try:
                address = kind.bind_event(model, fields=event.fields, parameters=section.with_)
            except ValueError as error:
                self._unbound(event.where.place(key=True), event.name, error)
            else:
                found.append(EventRead(name=event.name, fields=event.fields, address=address))
        return tuple(found)

    def _event_model(self, owner: str, kind: DriverKind, event: DeclaredEvent) -> BaseModel | None:
        """Return the driver's keys of `event`, checked once per profile."""
        key = (owner, kind.family, f"event {event.name}")
        if key not in self._models:
            self._models[key] = None
            if kind.event_model is None:
                place = event.where.place(key=True)
                self.faults.add(place, "no-events", hint="take-away", name=event.name, driver=kind.name)
            else:
                self._models[key] = check(kind.event_model, event.keys, event.where, self.faults)
        return self._models[key]

    def _model(self, owner: str, kind: DriverKind, point: Declared) -> BaseModel | None:
        """Return the driver's keys of `point`, checked once per owner: its profile, or the device that changes it."""
        key = (owner, kind.family, point.name)
        if key not in self._models:
            also = fields_of(ProfilePoint)
            self._models[key] = check(kind.point_model, point.keys, point.where, self.faults, also=also)
        return self._models[key]


def _addressing(section: DeviceSection, kind: DriverKind, points: Iterable[Declared]) -> tuple[str, ...]:
    """Return which parameters of the device stand in the address of a point, or in braces anywhere in it."""
    if not section.with_:
        return ()
    points = list(points)
    written = " ".join(str(point.keys[key]) for point in points for key in kind.marker_keys & point.keys.keys())
    named = re.findall(r"\w+", written) + re.findall(r"\{(\w+)\}", " ".join(str(point.keys) for point in points))
    return tuple(sorted(section.with_.keys() & set(named)))


def settings(rules: Mapping[str, Parameters], where: Origin) -> Settings:
    """Return what one file sets for rules, each value with its place."""
    return {
        rule: {name: Setting(value, where.place((rule, name))) for name, value in values.items()}
        for rule, values in rules.items()
    }
