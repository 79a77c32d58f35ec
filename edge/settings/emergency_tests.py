"""From `emergency_tests:` to plans that can be carried out: every name is known, every lamp can be tested."""

from collections.abc import Collection, Mapping
from typing import Final

from edge.commands.lamp_tests import KINDS, Arrangement
from edge.settings.models import SiteFile
from edge.settings.section_tests import PlanSection
from edge.settings.values import Device, Site
from edge.settings.written import Origin
from sitekeeper.faults import Faults, nearest
from sitekeeper.model.command import TESTS, Write

EMERGENCY: Final = "emergency"
LIGHTS: Final = {"command": 100, "on_command": True}
"""What a luminaire is held at, by the point that it has."""


def arrangements(file: SiteFile, site: Site, where: Origin, faults: Faults) -> tuple[Arrangement, ...]:
    """Return what is tested on a site; what cannot be is a fault.

    Args:
        where: the `emergency_tests:` of the site file.
    """
    tested: dict[str, str] = {}
    found = []
    for name, section in file.emergency_tests.items():
        here = where.within(name)
        for key, word in (("window", section.window), ("occupied", section.occupied)):
            _known(word, site.schedules, here, key, "schedule", faults)
        for key, group in (("group", section.group), ("hold", section.hold)):
            if group is not None:
                _known(group, file.groups, here, key, "group-of-lamps", faults)
        lamps = tuple(file.groups.get(section.group, ()))
        for lamp in lamps:
            _testable(lamp, site, here, faults)
            if (first := tested.setdefault(lamp, name)) != name:
                faults.add(here.place(("group",)), "tested-twice", hint="test-once", name=lamp, first=first)
        found.append(_arrangement(name, section, lamps, _lights(section, file.groups, site, here, faults)))
    return tuple(found)


def _arrangement(name: str, section: PlanSection, lamps: tuple[str, ...], lights: tuple[Write, ...]) -> Arrangement:
    plan = section.plan(name, lamps)
    return Arrangement(plan=plan, window=section.window, occupied=section.occupied, lights=lights)


def _known(name: str, known: Collection[str], where: Origin, key: str, what: str, faults: Faults) -> None:
    if name not in known:
        there = ", ".join(sorted(known)) or "-"
        faults.add(
            where.place((key,)), f"no-{what}", near=nearest(name, known), hint="known-devices", name=name, known=there
        )


def _testable(lamp: str, site: Site, where: Origin, faults: Faults) -> None:
    """Note a fault if a lamp is no emergency luminaire, or its profile lacks what a test needs."""
    device = site.devices.get(lamp)
    if device is None:
        return  # the group itself is at fault
    if device.cls != EMERGENCY:
        faults.add(where.place(("group",)), "no-emergency-lamp", hint="only-emergency", name=lamp, cls=device.cls)
        return
    names = {point.name for point in site.points if point.device == lamp}
    wanted = ["testing", *(f"status_{kind}_failed" for kind in KINDS)]
    lacking = [name for name in wanted if name not in names]
    lacking += [f"test.{kind}" for kind in (*KINDS, "stop") if f"test.{kind}" not in device.writables]
    if lacking:
        names_ = ", ".join(lacking)
        faults.add(
            where.place(("group",)), "untestable", hint="complete-profile", name=lamp, points=names_,
            profile=device.profile,
        )  # fmt: skip


def _lights(
    section: PlanSection, groups: Mapping[str, list[str]], site: Site, where: Origin, faults: Faults
) -> tuple[Write, ...]:
    """Return what is claimed while lamps are under test."""
    found = []
    for name in groups.get(section.hold or "", ()):
        device = site.devices.get(name)
        point = None if device is None else _switch(device)
        if device is not None and point is None:
            faults.add(where.place(("hold",)), "no-light", hint="only-lights", name=name, cls=device.cls)
        elif point is not None:
            found.append(Write(name, point, LIGHTS[point], TESTS))
    return tuple(found)


def _switch(device: Device) -> str | None:
    return next((point for point in LIGHTS if device.cls == "lighting" and point in device.writables), None)
