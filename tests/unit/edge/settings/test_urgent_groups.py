"""Which scan groups of a site go first: it follows from its rules."""

import pytest

from edge.bus.urgent import urgent

PROFILE = """\
profile: speeds
class: lift
evidence: designed
points:
  service_mode: {input: 0, type: uint16, enum: {0: out_of_service, 1: normal}, scan: 10s}
  speed: {input: 1, type: int16, scale: 0.01, unit: m/s, scan: 2s}
  car_status: {derive: "'running' if speed != 0 else 'stopped'"}
  door_closed: {input: 2, bool: {true: 1, false: 2}, scan: 5s}
  floor: {input: 3, type: int16, scan: 20s}
  door_zone: {input: 4, bool: {true: 1, false: 2}, scan: 30s}
"""
SITE = """\
links:
  lifts: {driver: modbus-tcp, host: 10.1.3.41}
devices:
  - {id: lift-a1, profile: speeds, link: lifts, unit: 1}
  - {id: lift-a2, profile: speeds, link: lifts, unit: 2}
rules:
  packs: []
"""
RULE = "- {{id: X1, class: lift, name: {{en: x, zh-Hant: x, zh-Hans: x}}, when: {when}, priority: {priority}{more}}}\n"


def groups(site, when: str, priority: str = "P2", more: str = "", *, of: str = "lift-a1") -> set[str]:
    begin = "links:\n  lifts: {driver: modbus-tcp, host: 10.1.3.41}\ndevices:\n"
    old = begin + "  - {id: lift-a1, profile: sp-lift-1, link: lifts, unit: 1}\nrules:\n  packs: [lift]\n"
    rule = RULE.format(when=when, priority=priority, more=more)
    loaded = site(old, SITE, profiles__speeds=PROFILE, rules__own=rule)
    found = urgent(loaded.rules.plans, loaded.derivations)
    assert found <= {group.id for group in loaded.groups}
    return {group.removeprefix(f"{of}@") for group in found if group.startswith(f"{of}@")}


@pytest.mark.parametrize(
    ("when", "wanted"),
    [
        ("floor > 3", {"20s"}),
        ("floor > 3 and not door_closed", {"5s", "20s"}),
        ("\"car_status == 'stopped'\"", {"2s"}),
        ("stale(device)", set()),
        ('"any_of(link, lift, not door_closed)"', {"5s"}),
    ],
)
def test_what_a_rule_of_high_priority_reads_goes_first(site, when: str, wanted: set[str]) -> None:
    """Its own points, what its derived points are made from, and the points of the devices that it asks about."""
    assert groups(site, when) == wanted


def test_a_point_of_another_device_goes_first_there(site) -> None:
    """`point('device/point')` is read on the device that it names."""
    assert groups(site, "\"point('lift-a2/floor') > 3\"", of="lift-a2") == {"20s"}
    assert groups(site, "\"point('lift-a2/floor') > 3\"") == set()


@pytest.mark.parametrize(("priority", "more"), [("P3", ""), ("P4", ""), ("P1", ", mode: watch"), ("P1", ", mode: off")])
def test_what_is_pushed_to_nobody_at_once_is_not_urgent(site, priority: str, more: str) -> None:
    """P3 and P4, and what is only watched or switched off."""
    assert groups(site, "floor > 3", priority, more) == set()
