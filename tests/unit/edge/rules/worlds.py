"""Small sites for rule tests: devices of a class, their rules from text, samples and events by name."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from edge.rules import packs
from edge.rules.compiling import Rules, compile_rules
from edge.rules.packs import rules_of
from edge.rules.rule import DeviceSpec, RuleText, Setting
from edge.rules.types import BOOL, COUNT, Type
from sitekeeper.faults import Faults, Place
from sitekeeper.located_yaml import parse_document
from sitekeeper.model.errors import Fault
from sitekeeper.model.event import Event
from sitekeeper.model.point import ONLINE, Point
from sitekeeper.model.quality import GOOD, Reason, bad
from sitekeeper.model.sample import Sample

THING: dict[str, Type] = {
    "a": Type("bool"),
    "b": Type("bool"),
    "n": Type("number", "m"),
    "speed": Type("number", "m/s"),
    "m": Type("enum", members=("x", "y", "z")),
    "sensor": Type("bool"),
    "secs": Type("number", "s"),
    "gone": Type("bool"),
    "online": Type("bool"),
}
"""A class for tests; the device of `thing` lacks the point `gone`."""

THING_EVENTS = {"ev": {"f": Type("bool"), "g": Type("number", "")}, "gone.ev": {"f": Type("bool"), "h": COUNT}}
"""Its events; the device of `thing` lacks `gone.ev`."""

shipped_classes = cache(packs.shipped_classes)
shipped_events = cache(packs.shipped_events)
"""Read once: a test file compiles hundreds of rules."""

_KIND_OF_POINT = {"bool": "bool", "number": "float", "enum": "enum", "text": "text"}


def points(
    types: Mapping[str, Type],
    device: str,
    *,
    without: tuple[str, ...] = (),
    kinds: Mapping[str, Any] = {},
    first: int = 0,
):
    """Return the points of a device that has all of `types` but those in `without`; handles count from `first`."""
    names = [name for name in {**types, ONLINE: Type("bool")} if name not in without]
    return {
        name: Point(
            handle=handle,
            id=f"{device}/{name}",
            device=device,
            name=name,
            type=_KIND_OF_POINT[{**types, ONLINE: Type("bool")}[name].base],
            group="",
            unit={**types, ONLINE: Type("bool")}[name].unit or "",
            members={**types, ONLINE: Type("bool")}[name].members,
            kind=kinds.get(name, ""),
        )
        for handle, name in enumerate(names, first)
    }


def thing(**settings: Any) -> DeviceSpec:
    """Return the one device of class `thing`."""
    given = {rule: {k: Setting(v, Place("site.yaml")) for k, v in values.items()} for rule, values in settings.items()}
    return DeviceSpec(
        id="t1",
        cls="thing",
        points=points(THING, "t1", without=("gone",)),
        settings=given,
        events={"ev": THING_EVENTS["ev"]},
        zone="z1",
        link="l1",
        via="c1",
        tags=("own",),
        asset={"floors": 2.0},
    )


def gateway() -> DeviceSpec:
    """Return the gateway's own device with two schedules and the sun."""
    names = ("schedule.night", "schedule.day", "sun.up", "holiday")
    return DeviceSpec(id="gateway", cls="gateway", points=points(dict.fromkeys(names, BOOL), "gateway", first=900))


def things() -> list[DeviceSpec]:
    """Return the thing and three others: in its zone, in its zone without `b`, and elsewhere without events."""
    events = {"ev": THING_EVENTS["ev"]}
    return [
        thing(),
        DeviceSpec(id="t2", cls="thing", points=points(THING, "t2", without=("gone",), first=100), events=events,
                   zone="z1", link="l2", via="c1", tags=("x",)),
        DeviceSpec(id="t3", cls="thing", points=points(THING, "t3", without=("gone", "b"), first=200), events=events,
                   zone="z1", link="l1"),
        DeviceSpec(id="t4", cls="thing", points=points(THING, "t4", without=("gone",), first=300), link="l1",
                   tags=("x", "y")),
    ]  # fmt: skip


GROUPS = {"ends": ["t1", "t4"]}
"""The groups of the site of `things`."""


def lift(kind: str = "presence", *, without: tuple[str, ...] = (), **params: Any) -> DeviceSpec:
    """Return a lift with every point of the shipped class but those in `without`; `params` are L01's."""
    given = {"L01": {name: Setting(value, Place("site.yaml")) for name, value in params.items()}}
    every = points(shipped_classes()["lift"], "lift-1", without=without, kinds={"passenger": kind})
    return DeviceSpec(id="lift-1", cls="lift", points=every, settings=given)


def texts(yaml: str, faults: Faults, file: str = "rules.yaml") -> tuple[RuleText, ...]:
    """Return the rules of a rule file with this text."""
    document = parse_document(yaml.encode(), file, faults)
    assert document is not None, faults.found
    return rules_of(document, faults)


def compiled(yaml: str, *devices: DeviceSpec) -> Rules:
    """Return the rules of a faultless text, for some devices."""
    faults = Faults()
    rules = compile_rules(
        texts(yaml, faults),
        {"thing": THING, **shipped_classes()},
        devices,
        {},
        faults,
        events={"thing": THING_EVENTS, **shipped_events()},
        groups=GROUPS,
    )
    assert faults.found == []
    return rules


def said(yaml: str) -> dict[str, dict[str, Any]]:
    """Return what a text says, by rule."""
    return {str(text.mapping["id"]): dict(text.mapping) for text in texts(yaml, Faults())}


def found_in(yaml: str, *devices: DeviceSpec, file: str = "rules.yaml") -> list[Fault]:
    """Return the faults of a text."""
    faults = Faults()
    events = {"thing": THING_EVENTS, **shipped_events()}
    classes = {"thing": THING, **shipped_classes()}
    compile_rules(texts(yaml, faults, file), classes, devices, {}, faults, events=events, groups=GROUPS)
    return faults.found


def rule(when: str, **more: Any) -> str:
    """Return the text of a rule file with one rule for class `thing`."""
    keys = {"priority": "P2", "off_delay": "0s", **more}
    if "levels" in more:
        del keys["priority"]
    lines = [f"  {key}: {value}" for key, value in keys.items()]
    quoted = when.replace('"', '\\"')
    head = f'- id: R1\n  class: thing\n  name: {{en: Rule, zh-Hant: 規則, zh-Hans: 规则}}\n  when: "{quoted}"\n'
    return head + "\n".join(lines) + "\n"


def samples(device: DeviceSpec, at: int, **values: Any) -> list[Sample]:
    """Return samples of one moment; None is a bad one."""
    return [
        Sample(device.points[name].handle, at, value, GOOD if value is not None else bad(Reason.COMM))
        for name, value in values.items()
    ]


def event(name: str, at: int, *, device: str = "t1", late: bool = False, **fields: Any) -> Event:
    """Return an event of a device."""
    return Event(source_id=f"{device}/{name}", at=at, fields=fields, late=late)
