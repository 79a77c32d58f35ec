"""The table of the shipped rules, worked out from config/rules. `python -m tests.docs.rules_table` writes it."""

from dataclasses import replace
from typing import Any, Final, cast

from edge.rules import packs
from edge.rules.compiling import compile_rules
from edge.rules.far import far_calls
from edge.rules.forms import ASSETS, far_point
from edge.rules.rule import DeviceSpec, RuleText
from edge.rules.scope import GATEWAY
from edge.rules.types import Type
from sitekeeper.faults import Faults, Place
from sitekeeper.model.point import ONLINE, Point, PointType
from tests.docs.pages import DOCS

HEADING: Final = "## The shipped rules"
OFF_DELAY: Final = "10s"
CLASSES, EVENTS = packs.shipped_classes(), packs.shipped_events()


def rows() -> list[list[str]]:
    """Return a row for every shipped rule."""
    return [row for pack in packs.shipped() for row in _rows(pack)]


def lines(wanted: list[list[str]]) -> list[str]:
    """Return the rows as they stand on the page."""
    return [f"| {' | '.join(row)} |" for row in wanted]


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
        asset=dict.fromkeys(ASSETS, 1.0),
    )
    faults = Faults()
    rules = compile_rules([text], CLASSES, [device, _gateway(text)], {}, faults, events=EVENTS)
    faults.stop_if_any()
    return bool(rules.plans)


def _gateway(text: RuleText) -> DeviceSpec:
    """Return the gateway's own device with everything that the rule asks of it."""
    faults = Faults()
    (rule,) = compile_rules([text], CLASSES, (), {}, faults, events=EVENTS).rules
    words = {name: value.value for name, value in rule.parameters.items()}
    ids = {far_point(call, words) for call in far_calls(rule)}
    points = {id_: replace(_point(900 + at, "", Type("bool")), id=id_, device=GATEWAY, name=id_.partition("/")[2])
              for at, id_ in enumerate(sorted(ids))}  # fmt: skip
    return DeviceSpec(id=GATEWAY, cls=GATEWAY, points={point.name: point for point in points.values()})


def _point(handle: int, name: str, kind: Type | None) -> Point:
    written = "bool" if kind is None else {"number": "float"}.get(kind.base, kind.base)
    unit, members = ("", ()) if kind is None else (kind.unit or "", kind.members)
    return Point(
        handle=handle, id=f"one/{name}", device="one", name=name, type=cast("PointType", written), group="", unit=unit,
        members=members,
    )  # fmt: skip


def main() -> None:
    """Put the table of today in the place of the one on the page."""
    page = DOCS / "rules.md"
    before, _, after = page.read_text(encoding="utf-8").partition(HEADING)
    old = after.split("\n")
    first = next(number for number, line in enumerate(old) if line.startswith("|---")) + 1
    last = next(number for number in range(first, len(old)) if not old[number].startswith("|"))
    new = [*old[:first], *lines(rows()), *old[last:]]
    page.write_text(before + HEADING + "\n".join(new), encoding="utf-8")


if __name__ == "__main__":
    main()
