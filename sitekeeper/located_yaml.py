"""YAML with places: the subset that people may write here, and where each piece of it stands.

libyaml parses; nodes are composed and typed here, by the YAML 1.2 core schema (YAML 1.2.2, section 10.3) with one
restriction: a number with a leading zero is text. So `NO`, `on`, `0123` and `12:30` are text, as a reader expects.
A duplicate key is a fault that shows both places, a tag is a fault, an alias may not multiply without bound.
Composing from events keeps an alias apart from what it stands for, and no depth of brackets can exhaust the C stack.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import yaml
from yaml.cyaml import CParser  # type: ignore[attr-defined]  # the stubs leave it out

from sitekeeper.faults import Faults, Place

Scalar = None | bool | int | float | str
Plain = Scalar | list["Plain"] | dict[Scalar, "Plain"]
"""What a document holds. Keys are resolved like values, so `{0: a, true: b}` has an int and a bool."""

Trail = tuple[Scalar, ...]
"""The way from the root of a document to a value: keys and indices."""

MAX_BYTES: Final = 4 * 1024 * 1024
MAX_COPIED: Final = 40_000
"""Values that aliases of one document may add; its own are bounded by its size."""
MAX_DEPTH: Final = 32

_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})")
_OTHER_BASE: Final = re.compile(r"0o[0-7]{1,21}|0x[0-9a-fA-F]{1,16}")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]{1,4})?")
_INFINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)")
_WORDS: Final[Mapping[str, Scalar]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a value stands, and its key if it has one."""

    value: Place
    key: Place | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """One file: its plain data and the place of every value in it.

    `written` is the data as the file has it, where `data` had references filled in that must not be shown; `lines` are
    the file's lines.
    """

    file: str
    data: Plain
    marks: Mapping[Trail, Mark]
    written: Plain = None
    lines: tuple[str, ...] = ()

    def place(self, trail: Trail, *, key: bool = False) -> Place:
        """Return where the value at `trail` stands (its key with `key`), or the nearest thing around it that stands."""
        for length in range(len(trail), -1, -1):
            mark = self.marks.get(trail[:length])
            if mark is not None:
                return mark.key if key and length == len(trail) and mark.key is not None else mark.value
        return Place(self.file)


def read_document(path: Path, name: str, faults: Faults, *, max_bytes: int = MAX_BYTES) -> Document | None:
    """Read the file at `path`, called `name` in messages; None if it is no document, with the reasons in `faults`."""
    try:
        if not path.is_file():
            faults.add(Place(name), "file-not-regular" if path.exists() else "file-missing", name=name)
            return None
        with path.open("rb") as stream:
            content = stream.read(max_bytes + 1)
    except OSError as error:
        faults.add(Place(name), "file-unreadable", reason=error.strerror or "")
        return None
    return parse_document(content, name, faults, max_bytes=max_bytes)


def parse_document(content: bytes, name: str, faults: Faults, *, max_bytes: int = MAX_BYTES) -> Document | None:
    """Parse one YAML document; None if it is not one, with the reasons in `faults`.

    A duplicate key or a tag is a fault too, but the document is returned, so that its other mistakes are found as well.
    """
    if len(content) > max_bytes:
        faults.add(Place(name), "file-too-big", limit=max_bytes)
        return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start = content.rfind(b"\n", 0, error.start) + 1
        column = len(content[start : error.start].decode("utf-8", "replace")) + 1
        place = Place(name, content.count(b"\n", 0, error.start) + 1, column)
        faults.add(place, "not-utf8", hint="save-as-utf8")
        return None
    composer = _Composer(name, faults)
    try:
        composer.take(text)
        data = composer.compose()
    except _GaveUpError:
        return None
    return Document(name, data, composer.marks, lines=tuple(text.splitlines()))


def resolve(text: str) -> Scalar:
    """Return what an unquoted scalar means: YAML 1.2 core, but a number with a leading zero is text."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _OTHER_BASE.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INFINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text


class _GaveUpError(Exception):
    """Nothing more can be made of this document; the reason is among the faults."""


class _Composer:
    """Builds plain data from libyaml's events, one pass, bounded in depth and in the number of nodes."""

    def __init__(self, name: str, faults: Faults) -> None:
        self.marks: dict[Trail, Mark] = {}
        self._name = name
        self._faults = faults
        self._events: list[yaml.Event] = []
        self._targets: dict[int, int] = {}
        self._copied = 0
        self._at = 0
        self._outer: Place | None = None

    def take(self, text: str) -> None:
        """Parse `text` into events, and find for every alias the node it stands for."""
        anchors: dict[str, int] = {}
        documents = depth = 0
        try:
            parser = CParser(text)
            while (event := parser.get_event()) is not None:
                documents += isinstance(event, yaml.DocumentStartEvent)
                if documents > 1:
                    self._faults.add(self._place(event), "second-document")
                    raise _GaveUpError
                if isinstance(event, yaml.AliasEvent):
                    if event.anchor not in anchors:
                        self._faults.add(self._place(event), "unknown-alias", alias=event.anchor or "")
                        raise _GaveUpError
                    self._targets[len(self._events)] = anchors[event.anchor]
                elif isinstance(event, yaml.NodeEvent) and event.anchor is not None:
                    anchors[event.anchor] = len(self._events)
                if isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
                    self._events.append(event)
                depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
                if depth > MAX_DEPTH:  # at once: libyaml takes quadratic time over deep brackets
                    self._faults.add(self._place(event), "too-deep", limit=MAX_DEPTH)
                    raise _GaveUpError
        except yaml.MarkedYAMLError as error:
            self._syntax(text, error)
        except yaml.reader.ReaderError as error:
            character = error.character if isinstance(error.character, int) else 0xFFFD
            before = text[: error.position]
            place = Place(self._name, before.count("\n") + 1, error.position - before.rfind("\n"))
            self._faults.add(place, "bad-character", character=f"U+{character:04X}")
            raise _GaveUpError from error

    def compose(self) -> Plain:
        """Return the data of the one document."""
        if not self._events:
            self._faults.add(Place(self._name, 1, 1), "file-empty")
            raise _GaveUpError
        return self._node((), None, 0)

    def _node(self, trail: Trail, key: Place | None, depth: int) -> Plain:
        event = self._events[self._at]
        place = self._place(event)
        if self._outer is not None:
            self._copied += 1
            if self._copied > MAX_COPIED:
                self._faults.add(self._outer, "too-many-copies", limit=MAX_COPIED)
                raise _GaveUpError
        if depth > MAX_DEPTH:
            self._faults.add(self._outer or self._place(event), "too-deep", limit=MAX_DEPTH)
            raise _GaveUpError
        if isinstance(event, yaml.AliasEvent):
            return self._alias(trail, key, depth)
        self._refuse_tag(event)
        self.marks[trail] = Mark(place, key)
        self._at += 1
        if isinstance(event, yaml.ScalarEvent):
            return resolve(event.value) if event.implicit[0] else str(event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(trail, depth)
        return self._mapping(trail, depth)

    def _alias(self, trail: Trail, key: Place | None, depth: int) -> Plain:
        """Compose again what the alias stands for; its places are those of the text that was anchored."""
        outer, self._outer = self._outer, self._outer or self._place(self._events[self._at])
        back = self._at + 1
        self._at = self._targets[self._at]
        value = self._node(trail, key, depth + 1)
        self._at, self._outer = back, outer
        return value

    def _sequence(self, trail: Trail, depth: int) -> Plain:
        items: list[Plain] = []
        while not isinstance(self._events[self._at], yaml.SequenceEndEvent):
            items.append(self._node((*trail, len(items)), None, depth + 1))
        self._at += 1
        return items

    def _mapping(self, trail: Trail, depth: int) -> Plain:
        mapping: dict[Scalar, Plain] = {}
        seen: dict[Scalar, Place] = {}
        while not isinstance(self._events[self._at], yaml.MappingEndEvent):
            event = self._events[self._at]
            place = self._place(event)
            if not isinstance(event, yaml.ScalarEvent):
                self._faults.add(self._place(event), "key-not-scalar")
                raise _GaveUpError
            self._refuse_tag(event)
            key = resolve(event.value) if event.implicit[0] else str(event.value)
            self._at += 1
            first = seen.setdefault(key, place)
            inner = (*trail, key)
            if first is not place:
                self._faults.add(place, "duplicate-key", name=event.value, first=first)
                inner = (*trail, None, "duplicate")
            value = self._node(inner, place, depth + 1)
            if first is place:
                mapping[key] = value
        self._at += 1
        return mapping

    def _refuse_tag(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
            self._faults.add(self._place(event), "tag", tag=event.tag)

    def _place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        assert mark is not None
        return Place(self._name, mark.line + 1, mark.column + 1)

    def _syntax(self, text: str, error: yaml.MarkedYAMLError) -> NoReturn:
        mark = error.problem_mark or error.context_mark
        place = Place(self._name, mark.line + 1, mark.column + 1) if mark else Place(self._name)
        lines = text.split("\n")
        line = lines[mark.line] if mark and mark.line < len(lines) else ""
        if mark and line[: mark.column + 1].strip(" -").startswith("\t"):
            column = line.index("\t") + 1
            self._faults.add(Place(self._name, mark.line + 1, column), "tab", hint="use-spaces")
        else:
            self._faults.add(place, "yaml-syntax", problem=error.problem or error.context or "")
        raise _GaveUpError from error
