"""Classes and profiles: the shipped ones and a site's own, read once each and checked as far as they go alone."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from drivers.base import EventField
from edge.settings.classes import read_class
from edge.settings.written import Origin, check, origin
from sitekeeper.data import data_path
from sitekeeper.faults import Faults, nearest
from sitekeeper.located_yaml import Document, read_document
from sitekeeper.profile import (
    ClassEvent,
    ClassEventField,
    ClassFile,
    ClassPoint,
    Meaning,
    ProfileFile,
    ProfilePoint,
    Writable,
)


@dataclass(frozen=True, slots=True)
class Declared:
    """One point of a profile with what it means. `keys` are the driver's; `sound` unless its words are wrong."""

    name: str
    meaning: Meaning
    written: ProfilePoint
    where: Origin
    sound: bool = True

    @property
    def keys(self) -> dict[str, object]:
        return dict(self.written.model_extra or {})

    @property
    def writable(self) -> Writable | None:
        """What the class allows to be written here; it allows nothing of a profile's own points."""
        return self.meaning.writable if isinstance(self.meaning, ClassPoint) else None

    @property
    def writes(self) -> bool:
        """Whether the profile says how it is written: every driver calls that key `write`."""
        key = self.keys.get("write")
        return key is not None and key is not False


@dataclass(frozen=True, slots=True)
class DeclaredEvent:
    """One event of a profile with what its class declares. `keys` are the driver's."""

    name: str
    meaning: ClassEvent
    keys: Mapping[str, object]
    where: Origin

    @property
    def fields(self) -> tuple[EventField, ...]:
        return tuple(
            EventField(name=name, type=field.type, members=tuple(field.members), personal=field.personal)
            for name, field in told(self.meaning).items()
        )


@dataclass(slots=True)
class Profile:
    """A profile as read. `points` and `events` lack those that are wrong by themselves."""

    file: ProfileFile
    document: Document
    cls: ClassFile
    points: dict[str, Declared] = field(default_factory=dict)
    events: dict[str, DeclaredEvent] = field(default_factory=dict)


class Library:
    """Finds classes and profiles by name. A site's own profile may not have the name of a shipped one."""

    def __init__(self, own: Path, faults: Faults) -> None:
        self._faults = faults
        self._classes: dict[str, ClassFile | None] = {}
        self._profiles: dict[str, Profile | None] = {}
        self._shipped = _by_name(data_path("profiles"))
        self._own = {name: path for name, path in _by_name(own).items() if path.is_file()}
        self.documents: list[Document] = []

    def names(self) -> list[str]:
        """Return the names of all profiles."""
        return sorted(self._shipped.keys() | self._own.keys())

    def own(self) -> list[str]:
        """Return the names of the site's own profiles."""
        return sorted(self._own)

    def profile(self, name: str) -> Profile | None:
        """Return the profile called `name`; None if there is none or it cannot be used."""
        if name not in self._profiles:
            self._profiles[name] = self._load_profile(name)
        return self._profiles[name]

    def _load_profile(self, name: str) -> Profile | None:
        path = self._own.get(name) or self._shipped.get(name)
        if path is None:
            return None
        shown = f"profiles/{path.name}" if name in self._own else f"config/profiles/{path.name}"
        document = read_document(path, shown, self._faults)
        if document is None:
            return None
        self.documents.append(document)
        if name in self._own and name in self._shipped:
            self._faults.add(document.place(("profile",)), "profile-shipped", hint="give-other-name", name=name)
        file = check(ProfileFile, document.data, origin(document), self._faults)
        if file is None:
            return None
        if file.profile != name:
            self._faults.add(document.place(("profile",)), "name-differs", name=file.profile, file=name)
        known = _by_name(data_path("classes"))
        if file.class_ not in known:
            near = nearest(file.class_, known)
            self._faults.add(document.place(("class",)), "unknown-class", near=near, name=file.class_)
            return None
        cls = self._class(file.class_)
        if cls is None:
            return None
        profile = Profile(file, document, cls)
        for point, written in file.points.items():
            declared = declare(cls, point, written, origin(document, "points", point), self._faults)
            if declared is not None:
                profile.points[point] = declared
        self._events(profile)
        self._whole(profile)
        return profile

    def _events(self, profile: Profile) -> None:
        """Join the profile's events with what its class declares of them."""
        for name, written in profile.file.events.items():
            where = origin(profile.document, "events", name)
            meaning = profile.cls.events.get(name)
            if meaning is None:
                near, known = nearest(name, profile.cls.events), ", ".join(profile.cls.events) or "-"
                place, cls = where.place(key=True), profile.file.class_
                self._faults.add(
                    place, "unknown-event", near=near, hint="known-events", name=name, cls=cls, known=known
                )
            elif self._fields_fit(name, meaning, written.model_extra or {}, where):
                profile.events[name] = DeclaredEvent(name, meaning, written.model_extra or {}, where)

    def _fields_fit(self, event: str, meaning: ClassEvent, keys: Mapping[str, object], where: Origin) -> bool:
        """Check that the fields of an event are those that the class declares; every driver calls that key `fields`."""
        given = keys.get("fields", {})
        if not isinstance(given, dict):
            return True  # the driver's model says what is wrong
        expected = told(meaning)
        missing = [name for name, field in expected.items() if name not in given and not field.optional]
        known = ", ".join(expected)
        for name in (name for name in given if name not in expected):
            place, near = where.place(("fields", name), key=True), nearest(str(name), expected)
            self._faults.add(
                place, "unknown-field", near=near, hint="known-fields", name=str(name), event=event, known=known
            )
        if missing:
            place, names = where.place(("fields",) if "fields" in keys else (), key=True), ", ".join(missing)
            self._faults.add(place, "missing-fields", hint="give-fields", event=event, names=names)
        return not missing and given.keys() <= expected.keys()

    def _whole(self, profile: Profile) -> None:
        """Check what concerns a profile as a whole: required points, heartbeat."""
        file, document = profile.file, profile.document
        for name, point in profile.cls.points.items():
            if point.required and name not in file.points:
                self._faults.add(document.place(("points",), key=True), "missing-point", name=name, cls=file.class_)
        beat = file.heartbeat
        if beat is not None:
            place = document.place(("heartbeat", "point"))
            written = file.points.get(beat.point)
            if written is None:
                self._faults.add(place, "unknown-point", near=nearest(beat.point, file.points), name=beat.point)
            elif written.derive is not None:
                self._faults.add(place, "heartbeat-derived", name=beat.point)
        for declared in profile.points.values():
            complete(declared, file.points, self._faults)

    def classes(self) -> dict[str, ClassFile]:
        """Return every device class that can be used."""
        found = {name: self._class(name) for name in _by_name(data_path("classes"))}
        return {name: cls for name, cls in found.items() if cls is not None}

    def _class(self, name: str) -> ClassFile | None:
        if name not in self._classes:
            path = data_path("classes", f"{name}.yaml")
            self._classes[name] = read_class(path, f"config/classes/{name}.yaml", self._faults)
        return self._classes[name]


def told(event: ClassEvent) -> dict[str, ClassEventField]:
    """Return the fields that a device itself tells; the others come from tables of the site."""
    return {name: field for name, field in event.fields.items() if not field.table}


def declare(cls: ClassFile, name: str, written: ProfilePoint, where: Origin, faults: Faults) -> Declared | None:
    """Join a profile's point with its meaning; None if it has none or contradicts it, with the reason in `faults`."""
    meaning = _meaning(cls, name, written, where, faults)
    if meaning is None:
        return None
    if written.unit is not None and written.unit != meaning.unit:
        faults.add(where.place(("unit",)), "wrong-unit", near=meaning.unit, text=written.unit, unit=meaning.unit or "-")
    allowed = meaning.kind if isinstance(meaning, ClassPoint) else []
    if written.kind and written.kind not in allowed:
        faults.add(where.place(("kind",), key=True), "kind-unexpected", name=name)
    elif allowed and not written.kind:
        faults.add(where.place(key=True), "kind-missing", name=name, kinds=", ".join(allowed))
    if written.deadband and meaning.type not in {"int", "float"}:
        faults.add(where.place(("deadband",), key=True), "deadband-type", name=name, type=meaning.type)
    keys = written.model_extra or {}
    sound = _words_fit(name, keys.get("enum"), meaning.members, where, faults)
    if written.derive is not None and keys:
        faults.add(where.place((next(iter(keys)),), key=True), "derive-and-address", name=name)
    elif written.derive is None and not keys:
        faults.add(where.place(key=True), "no-address", name=name)
        return None
    declared = Declared(name, meaning, written, where, sound)
    if declared.writes and declared.writable is None:
        place = where.place(("write",), key=True)
        faults.add(place, "write-not-allowed", hint="take-away-write", name=name, cls=cls.class_)
    return declared


def complete(point: Declared, names: Container[str], faults: Faults) -> None:
    """Note a point that is written although what guards the write, or shows its effect, is not in the profile."""
    writable = point.writable
    if writable is None or not point.writes:
        return
    for needed in (writable.interlock, writable.confirm.point if writable.confirm else None):
        if needed is not None and needed not in names:
            place = point.where.place(("write",), key=True)
            faults.add(place, "write-needs", hint="add-point", name=point.name, needs=needed)


def _words_fit(name: str, words: object, members: list[str], where: Origin, faults: Faults) -> bool:
    """Check the words of `enum:` against the point's members, at the place of each word."""
    known = words.items() if isinstance(words, dict) and members else ()
    strange = [raw for raw, word in known if word not in members]
    for raw in strange:
        place, text, choices = where.place(("enum", raw)), where.text(("enum", raw)), ", ".join(members)
        near = nearest(text, members)
        faults.add(place, "unknown-member", near=near, hint="known-members", text=text, name=name, members=choices)
    return not strange


def _meaning(cls: ClassFile, name: str, written: ProfilePoint, where: Origin, faults: Faults) -> Meaning | None:
    standard = cls.points.get(name)
    if standard is not None:
        if written.own is not None:
            faults.add(where.place(("own",), key=True), "own-standard", name=name, cls=cls.class_)
        return standard
    if written.own is None:
        near = nearest(name, cls.points)
        faults.add(where.place(key=True), "unknown-class-point", near=near, hint="make-own", name=name, cls=cls.class_)
    return written.own


def _by_name(folder: Path) -> dict[str, Path]:
    files: Iterable[Path] = sorted(folder.glob("*.yaml")) if folder.is_dir() else ()
    return {path.stem: path for path in files}
