"""A class file by itself: whether what it allows to be written, and the events it declares, fit its points."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.rules.types import BUILT_IN
from edge.settings.written import Origin, check, origin
from sitekeeper.faults import Faults, Place, nearest
from sitekeeper.located_yaml import Trail, read_document
from sitekeeper.profile import Allowed, ClassFile, Confirm, Meaning, Narrower, Scalar, Writable, value_text

OWN_EVENTS: Final = frozenset({*BUILT_IN, "note"})
"""Names of events that the gateway itself makes for any device."""

_TYPES: Final = {"bool": bool, "int": int, "float": int | float, "enum": str, "text": str}


def read_class(path: Path, shown: str, faults: Faults) -> ClassFile | None:
    """Return the class in the file at `path`, called `shown` in faults; None if its form is wrong."""
    document = read_document(path, shown, faults)
    if document is None:
        return None
    cls = check(ClassFile, document.data, origin(document), faults)
    if cls is not None:
        check_class(cls, origin(document), faults)
    return cls


def check_class(cls: ClassFile, where: Origin, faults: Faults) -> None:
    """Note writes that name what the class has not, and events whose name is taken or that would tell who it was."""
    for name, point in cls.points.items():
        if point.writable is not None:
            _Writes(cls, name, point, where.within("points", name, "writable"), faults).check(point.writable)
    for name, event in cls.events.items():
        if name in cls.points or name in OWN_EVENTS:
            faults.add(where.place(("events", name), key=True), "event-name-taken", hint="name-otherwise", name=name)
        for field, meaning in event.fields.items():
            if meaning.personal and meaning.type != "text":  # nothing else can be a pseudonym
                place = where.place(("events", name, "fields", field, "personal"), key=True)
                faults.add(place, "personal-type", hint="make-text", name=field)


def fits(value: Scalar, meaning: Meaning) -> bool:
    """Tell whether `value` is one of the point's type and, of an enumeration, one of its members."""
    return (
        isinstance(value, _TYPES[meaning.type])
        and isinstance(value, bool) == (meaning.type == "bool")
        and (meaning.type != "enum" or value in meaning.members)
    )


@dataclass(frozen=True, slots=True)
class _Writes:
    """The `writable:` of one point."""

    cls: ClassFile
    name: str
    point: Meaning
    where: Origin
    faults: Faults

    def check(self, writable: Writable) -> None:
        self._allowed(writable, self.where)
        for tag, limit in writable.tagged.items():
            self._narrower(limit, writable, self.where.within("tagged", tag))
        if writable.rest is not None:
            if writable.pulse:
                self._add("pulse-held", self.where.place(("rest",), key=True), hint="take-away")
            elif self._of_type(self.name, self.point, writable.rest, ("rest",)):
                for allowed in (writable, *writable.tagged.values()):
                    self._permitted(writable.rest, allowed, self.where.place(("rest",)))
        if writable.interlock is not None:
            guard = self._other(writable.interlock, ("interlock",))
            if guard is not None and guard.type != "bool":
                self._add(
                    "interlock-type", self.where.place(("interlock",)), hint="bool-point", name=writable.interlock
                )
        if writable.confirm is not None:
            self._confirm(writable.confirm, writable)

    def _allowed(self, allowed: Allowed, here: Origin) -> None:
        """Every value is of the type, the range is one of numbers, and the values lie within it."""
        ordered = False
        if allowed.range is not None:
            low, high = allowed.range
            ordered = low <= high
            if self.point.type not in {"int", "float"}:
                self._add("range-type", here.place(("range",), key=True), hint="take-away", type=self.point.type)
            elif not ordered:
                self._add("range-order", here.place(("range",)), hint="lowest-first", low=f"{low:g}", high=f"{high:g}")
        for index, value in enumerate(allowed.values):
            if self._of_type(self.name, self.point, value, ("values", index), here) and ordered:
                self._permitted(value, Allowed(range=allowed.range), here.place(("values", index)))

    def _narrower(self, limit: Narrower, writable: Writable, here: Origin) -> None:
        self._allowed(limit, here)
        for index, value in enumerate(limit.values):
            if fits(value, self.point):
                self._permitted(value, writable, here.place(("values", index)))
        ends = limit.range or []
        if writable.range is not None and any(not writable.range[0] <= end <= writable.range[1] for end in ends):
            text = here.text(("range",))
            self._add("not-allowed", here.place(("range",)), hint="known-values", text=text, values=_shown(writable))

    def _permitted(self, value: Scalar, allowed: Allowed, place: Place) -> None:
        inside = allowed.range is None or isinstance(value, str) or allowed.range[0] <= value <= allowed.range[1]
        if not inside or (allowed.values and value not in allowed.values):
            text = value_text(value)
            self._add("not-allowed", place, hint="known-values", text=text, values=_shown(allowed))

    def _confirm(self, confirm: Confirm, writable: Writable) -> None:
        shown = self._other(confirm.point, ("confirm", "point"))
        if shown is None:
            return
        same = (shown.type, shown.unit, shown.members) == (self.point.type, self.point.unit, self.point.members)
        for index, reading in enumerate(confirm.readings):
            self._of_type(confirm.point, shown, reading, ("confirm", "readings", index))
        if not (confirm.values or confirm.readings or same):
            self._add("confirm-values", self.where.place(("confirm", "point")), hint="say-which", name=confirm.point)
        known = [value_text(value) for value in self._list(writable)]
        for written, readings in confirm.values.items():
            trail = self._trail(written)
            if known and written not in known:
                place, near, values = self.where.place(trail, key=True), nearest(written, known), ", ".join(known)
                self._add("not-allowed", place, near, hint="known-values", text=written, values=values)
            for index, reading in enumerate(readings):
                self._of_type(confirm.point, shown, reading, (*trail, index))

    def _list(self, writable: Writable) -> list[Scalar]:
        """All values that may be written; empty if they cannot be listed."""
        every: dict[str, list[Scalar]] = {"bool": [True, False], "enum": [*self.point.members]}
        return writable.values or every.get(self.point.type, [])

    def _trail(self, written: str) -> Trail:
        """Where the readings for one written value stand; the key may have been written as true or false."""
        spelt = {"true": True, "false": False}.get(written, written)
        trail = ("confirm", "values", spelt)
        return trail if self.where.has(trail) else ("confirm", "values", written)

    def _of_type(self, name: str, meaning: Meaning, value: Scalar, trail: Trail, here: Origin | None = None) -> bool:
        if fits(value, meaning):
            return True
        place, text = (here or self.where).place(trail), value_text(value)
        if meaning.type == "enum":
            near, members = nearest(text, meaning.members), ", ".join(meaning.members)
            self._add("unknown-member", place, near, hint="known-members", text=text, name=name, members=members)
        else:
            self._add("value-type", place, hint="value-of-type", text=text, name=name, type=meaning.type)
        return False

    def _other(self, name: str, trail: Trail) -> Meaning | None:
        """The point that guards or confirms."""
        if name not in self.cls.points:
            near, place = nearest(name, self.cls.points), self.where.place(trail)
            self._add("unknown-class-point", place, near, hint="declare-point", name=name, cls=self.cls.class_)
        return self.cls.points.get(name)

    def _add(self, code: str, place: Place, near: str = "", *, hint: str, **fields: str) -> None:
        self.faults.add(place, code, near=near, hint=hint, **{"name": self.name, **fields})


def _shown(allowed: Allowed) -> str:
    values = ", ".join(map(value_text, allowed.values))
    return values or (f"{allowed.range[0]:g} to {allowed.range[1]:g}" if allowed.range else "")
