"""Rule files: the shipped packs and the classes that their rules speak of.

A pack is `config/rules/<pack>.yaml` and, where it is long, `<pack>-*.yaml` beside it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from edge.rules.places import note
from edge.rules.rule import SHIPPED, RuleText
from edge.rules.types import Fields, Type, type_of
from sitekeeper.data import data_path
from sitekeeper.faults import Faults, Place, nearest
from sitekeeper.located_yaml import Document, Plain, read_document
from sitekeeper.model.point import PointType
from sitekeeper.profile import Writable

_TYPES: Final[tuple[PointType, ...]] = ("bool", "int", "float", "enum", "text")


def shipped() -> list[str]:
    """Return the names of the packs that come with this software."""
    return sorted({path.stem.partition("-")[0] for path in data_path("rules").glob("*.yaml")})


def _files(pack: str) -> list[Path]:
    folder = data_path("rules")
    return [*folder.glob(f"{pack}.yaml"), *sorted(folder.glob(f"{pack}-*.yaml"))]


def load(names: Sequence[tuple[str, Place]], faults: Faults) -> tuple[RuleText, ...]:
    """Return the rules of the packs called `names`, each with the place where it is asked for."""
    found: list[RuleText] = []
    for name, place in names:
        if name in shipped():
            for path in _files(name):
                found += read_rules(path, f"{SHIPPED}{path.name}", faults)
        else:
            note(faults, place, "unknown-pack", near=nearest(name, shipped()), name=name)
    return tuple(found)


def read_rules(path: Path, name: str, faults: Faults) -> tuple[RuleText, ...]:
    """Return the rules of one file, which is a list of them; `name` is what messages call it."""
    document = read_document(path, name, faults)
    return () if document is None else rules_of(document, faults)


def rules_of(document: Document, faults: Faults) -> tuple[RuleText, ...]:
    """Return the rules of a rule file that was read."""
    if not isinstance(document.data, list):
        note(faults, document.place(()), "not-a-list")
        return ()
    for place, item in enumerate(document.data):
        if not isinstance(item, dict):
            note(faults, document.place((place,)), "bad-section", what="-")
    return tuple(RuleText(document, (place,), document.lines) for place in range(len(document.data)))


def shipped_classes() -> Mapping[str, Mapping[str, Type]]:
    """Return the types of the points of every shipped class, by class and point name."""
    return {str(cls["class"]): _types(cls["points"]) for cls in _class_files()}


def shipped_events() -> Mapping[str, Mapping[str, Fields]]:
    """Return the types of the fields of every event of every shipped class, by class, event and field."""
    found: dict[str, Mapping[str, Fields]] = {}
    for cls in _class_files():
        events = cls.get("events")
        found[str(cls["class"])] = {
            str(name): _types(event["fields"])
            for name, event in (events.items() if isinstance(events, dict) else ())
            if isinstance(event, dict)
        }
    return found


def shipped_writables() -> Mapping[str, Mapping[str, Writable]]:
    """Return what may be written to devices of every shipped class, by class and point."""
    found: dict[str, Mapping[str, Writable]] = {}
    for cls in _class_files():
        points = cls["points"]
        found[str(cls["class"])] = {
            str(name): Writable.model_validate(point["writable"])
            for name, point in (points.items() if isinstance(points, dict) else ())
            if isinstance(point, dict) and "writable" in point
        }
    return found


def _class_files() -> list[dict[str, Plain]]:
    faults = Faults()
    documents = [
        read_document(path, f"config/classes/{path.name}", faults)
        for path in sorted(data_path("classes").glob("*.yaml"))
    ]
    faults.stop_if_any()
    return [
        {str(key): value for key, value in document.data.items()}
        for document in documents
        if document is not None and isinstance(document.data, dict)
    ]


def _types(meanings: Plain) -> dict[str, Type]:
    types: dict[str, Type] = {}
    for name, meaning in meanings.items() if isinstance(meanings, dict) else ():
        if isinstance(meaning, dict):
            members = meaning.get("members")
            words = tuple(str(word) for word in members) if isinstance(members, list) else ()
            kind = next(kind for kind in _TYPES if kind == meaning["type"])
            types[str(name)] = type_of(kind, str(meaning.get("unit", "")), words)
    return types
