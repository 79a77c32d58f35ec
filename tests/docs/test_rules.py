"""`docs/rules.md` does what it says: its rules are written, its console blocks run, its tables are the code's."""

from pathlib import Path
from typing import Any, cast

import pytest

from edge.rules import packs
from edge.rules.checking import FORMS
from edge.rules.compiling import compile_rules
from edge.rules.operators import OPERATORS
from edge.rules.rule import DeviceSpec, RuleText
from edge.rules.types import Type
from sitekeeper.faults import Faults, Place
from sitekeeper.model.point import ONLINE, Point, PointType
from tests.docs.pages import DOCS, play, table

PAGE = (DOCS / "rules.md").read_text(encoding="utf-8")
OFF_DELAY = "10s"
CLASSES, EVENTS = packs.shipped_classes(), packs.shipped_events()


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    """Every command of the page gives exactly the output that the page shows."""
    assert play("rules.md", tmp_path) == 3


def test_the_page_names_every_operator() -> None:
    """An operator that is not on the page is not there for people."""
    assert [name for name in (*OPERATORS, *FORMS) if f"`{name}(" not in PAGE and f"`{name}`" not in PAGE] == []


def test_every_shipped_rule_stands_in_the_table() -> None:
    """Id, words, priority, delays, parameters and what a device must have, as in config/rules."""
    shown = table("rules.md", "## The shipped rules")
    wanted = [row for pack in packs.shipped() for row in _rows(pack)]
    assert shown == wanted, "the table should be:\n" + "\n".join(f"| {' | '.join(row)} |" for row in wanted)


@pytest.mark.parametrize("pack", packs.shipped())
def test_the_page_tells_every_key_that_shipped_rules_have(pack: str) -> None:
    """A key that is used and not explained is a riddle."""
    for text in packs.load([(pack, Place("test", 1, 1))], Faults()):
        assert [key for key in text.mapping if f"`{key}" not in PAGE and f"  {key}: " not in PAGE] == []


def _rows(pack: str) -> list[list[str]]:
    texts = packs.load([(pack, Place("test", 1, 1))], Faults())
    return [
        [str(text.mapping["id"]), _part(text, "name")["en"], _priority(text), _delays(text), _needs(text)]
        for text in texts
    ]


def _part(text: RuleText, key: str) -> dict[str, Any]:
    return cast("dict[str, Any]", text.mapping.get(key, {}))


def _levels(text: RuleText) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", text.mapping.get("levels", []))


def _priority(text: RuleText) -> str:
    if "priority" in text.mapping:
        return str(text.mapping["priority"])
    return ", ".join(str(level["priority"]) for level in _levels(text)) or "-"


def _delays(text: RuleText) -> str:
    found = [f"on {text.mapping['on_delay']}"] if "on_delay" in text.mapping else []
    found += [f"{level['priority']} after {level['after']}" for level in _levels(text) if "after" in level]
    if text.mapping.get("off_delay", OFF_DELAY) != OFF_DELAY:
        found.append(f"off {text.mapping['off_delay']}")
    return "; ".join([*found, *(f"`{name}` {value}" for name, value in _part(text, "params").items())]) or "-"


def _needs(text: RuleText) -> str:
    """Return each point and event without which the rule does not apply to a device that has all others."""
    cls, written = str(text.mapping["class"]), str(text.mapping)
    names = [name for name in (*CLASSES[cls], *EVENTS[cls]) if name in written]
    return ", ".join(f"`{name}`" for name in names if not _applies(text, cls, name)) or "-"


def _applies(text: RuleText, cls: str, without: str) -> bool:
    names = [name for name in (*CLASSES[cls], ONLINE) if name != without]
    device = DeviceSpec(
        id="one",
        cls=cls,
        points={name: _point(handle, name, CLASSES[cls].get(name)) for handle, name in enumerate(names)},
        events={name: fields for name, fields in EVENTS[cls].items() if name != without},
        zone="zone",
        link="link",
    )
    faults = Faults()
    rules = compile_rules([text], CLASSES, [device], {}, faults, events=EVENTS)
    faults.stop_if_any()
    return bool(rules.plans)


def _point(handle: int, name: str, kind: Type | None) -> Point:
    written = "bool" if kind is None else {"number": "float"}.get(kind.base, kind.base)
    unit, members = ("", ()) if kind is None else (kind.unit or "", kind.members)
    return Point(
        handle=handle, id=f"one/{name}", device="one", name=name, type=cast("PointType", written), group="", unit=unit,
        members=members,
    )  # fmt: skip
