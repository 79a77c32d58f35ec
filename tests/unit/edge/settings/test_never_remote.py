"""What must never be done from afar (domain brief 2.4, 3.3, 4.2, 5.3, 6): no shipped class or profile allows it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from drivers.modbus.options import ModbusPoint
from edge.rules.derives import Derives
from edge.settings import Site, load
from edge.settings.library import Library, declare
from edge.settings.written import Origin, origin
from sitekeeper.data import data_path
from sitekeeper.faults import Faults
from sitekeeper.located_yaml import read_document
from sitekeeper.model.clock import SECOND
from sitekeeper.model.quality import GOOD, Reason, bad, is_good
from sitekeeper.model.sample import Sample, Value
from sitekeeper.profile import ProfilePoint, Writable

CLASSES = Library(Path("nowhere"), Faults()).classes()
POINTS = [(cls, point) for cls in CLASSES for point in CLASSES[cls].points]
WRITABLE = {(cls, name): point.writable for cls in CLASSES for name, point in CLASSES[cls].points.items()}
PROFILES = sorted(path.stem for path in data_path("profiles").glob("*.yaml"))
CLEAR: dict[str, Value] = {"input.safety": False, "fault.safety": False, "photocell": False, "safety_chain": True}


def writable(cls: str, point: str) -> Writable:
    found = WRITABLE[(cls, point)]
    assert found is not None
    return found


def of_profile(tmp_path: Path, name: str) -> Site:
    """Return a site with one device of a shipped profile, called `it`."""
    text = data_path("profiles", f"{name}.yaml").read_text()
    links = {
        "property:": (
            "{driver: bacnet-ip, address: 10.0.0.1/24, instance: 1}",
            "device: 7, address: 10.0.0.7, object: 1",
        ),
        "topic:": (
            "{driver: mqtt, host: 10.0.0.1}",
            "with: {site: s, controller: c, door: 1, client: k, zone: UTC, topic: t}",
        ),
        "holding: register": ("{driver: modbus-tcp, host: 10.0.0.1}", "unit: 1, with: {register: 8999}"),
        "input: sensor": ("{driver: modbus-tcp, host: 10.0.0.1}", "unit: 1, with: {sensor: 1}"),
        "short_address": ("{driver: modbus-tcp, host: 10.0.0.1}", "unit: 1, with: {channel: 0, short_address: 5}"),
        "20*group": ("{driver: modbus-tcp, host: 10.0.0.1}", "unit: 1, with: {channel: 0, group: 3}"),
        "coil: channel": ("{driver: modbus-tcp, host: 10.0.0.1}", "unit: 1, with: {channel: 0}"),
        "coil:": ("{driver: modbus-tcp, host: 10.0.0.1}", "unit: 1"),
        "input:": ("{driver: modbus-tcp, host: 10.0.0.1}", "unit: 1"),
        "holding:": ("{driver: modbus-tcp, host: 10.0.0.1}", "unit: 1"),
    }
    link, keys = next(given for mark, given in links.items() if mark in text)
    head = f"site: {{id: s, timezone: UTC}}\nlinks: {{l: {link}}}\n"
    (tmp_path / "site.yaml").write_text(f"{head}devices: [{{id: it, profile: {name}, link: l, {keys}}}]\n")
    return load(tmp_path, environment={})


def test_this_is_all_that_may_ever_be_written() -> None:
    """Whoever makes another point writable changes this list, and says in the brief's terms why it may be."""
    assert {key for key, allowed in WRITABLE.items() if allowed} == {
        ("access", "mode"),
        ("access", "unlock.pulse"),  # unlocking is a pulse only
        ("lighting", "command"),
        ("lighting", "on_command"),
        ("emergency", "test.function"),  # by the gateway's own tests only, which keep apart what stands side by side
        ("emergency", "test.duration"),
        ("emergency", "test.stop"),
        ("parking", "hold_open"),
        ("parking", "cmd.open"),
        ("parking", "cmd.stop"),
        ("parking", "cmd.close"),
    }


@pytest.mark.parametrize(("cls", "point"), [pair for pair in POINTS if WRITABLE[pair] is None])
def test_no_profile_can_make_another_point_writable(cls: str, point: str, tmp_path: Path) -> None:
    """A `write` on any other standard point is refused, whatever driver it is meant for."""
    (tmp_path / "p.yaml").write_text("a: 1\n")
    document = read_document(tmp_path / "p.yaml", "p.yaml", Faults())
    assert document is not None
    for key in (5, 6, True, "real", {"topic": "t"}):
        faults = Faults()
        kind = CLASSES[cls].points[point].kind
        written = ProfilePoint.model_validate({"address": 1, "write": key, **({"kind": kind[0]} if kind else {})})
        declare(CLASSES[cls], point, written, Origin(origin(document).layers), faults)
        assert [fault.code for fault in faults.found] == ["write-not-allowed"]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_shipped_profile_writes_nothing_else(profile: str, tmp_path: Path) -> None:
    """A device of a shipped profile takes what its class allows; a lift, an escalator or a fire panel takes nothing."""
    device = of_profile(tmp_path, profile).devices["it"]
    expected = {
        "bacnet-access-door": {"mode"},
        "mqtt-door": {"mode", "unlock.pulse"},
        "bacnet-binary-lighting-output": {"on_command"},
        "came-gard-ptx": {"cmd.open", "cmd.stop"},
        "bacnet-lighting-output": {"command"},
        "dali-emergency": {"test.function", "test.duration", "test.stop"},
        "dali-gear": {"command"},
        "sp-relay-8": {"on_command"},
        "sp-barrier-1": {"cmd.open", "cmd.stop", "cmd.close", "hold_open"},
    }
    assert set(device.writables) == expected.get(profile, set())


def test_nobody_writes_as_the_office() -> None:
    """The role `office` only acknowledges; people there come as operators, and with what their site allows."""
    for allowed in filter(None, WRITABLE.values()):
        assert set(allowed.by) <= {"operator", "linkage"}


# --- 2.4 lifts, and escalators after it


@pytest.mark.parametrize(
    ("act", "points"),
    [
        ("move the car", ["car_status", "direction", "floor", "speed"]),
        ("open or close doors", ["door", "door_closed"]),
        ("reset the safety chain", ["safety_circuit", "door_lock_circuit", "fault_safety_circuit"]),
        (
            "reset unintended movement, limits or faults",
            ["fault_unintended_movement", "fault_overrun_top", "error_code"],
        ),
        ("release the brake", ["brake_released"]),
        ("change or clear fire mode", ["service_mode"]),
        ("end a passenger alarm", ["passenger_alarm"]),
    ],
)
def test_lifts(act: str, points: list[str]) -> None:
    """Each thing that nobody does to a lift from afar has its points, and none of them is writable."""
    assert all(WRITABLE[("lift", point)] is None for point in points), act


def test_the_monitors_own_limits_are_not_written(tmp_path: Path) -> None:
    """The limits of an LMON monitor are read; writing them is for its own tool, on site."""
    site = of_profile(tmp_path, "lift-lmon")
    assert [point.name for point in site.points if point.name.startswith("limit_")]
    assert not site.devices["it"].writables


# --- 3.3 lighting


def test_escape_luminaires_are_never_switched_off() -> None:
    """On the example estate a luminaire tagged `escape` takes full light and nothing less; others any level."""
    site = load(data_path("sites", "estate"), environment={})
    lamps = [device for device in site.devices.values() if device.cls == "lighting"]
    assert len(lamps) == 24
    for lamp in lamps:
        assert lamp.writables["command"].range == ([100, 100] if "escape" in lamp.tags else [0, 100])
    assert {"escape" in lamp.tags for lamp in lamps} == {True, False}


def test_no_group_is_commanded() -> None:
    """The level of one luminaire, or its contactor, is all that lighting takes: no broadcast, no scene."""
    assert [name for (cls, name), allowed in WRITABLE.items() if cls == "lighting" and allowed] == [
        "command",
        "on_command",
    ]


def test_nobody_starts_a_test_of_emergency_gear_by_hand() -> None:
    """Tests are pulses of the gateway itself: no person starts one, and no rule can hold one."""
    tests = [allowed for (cls, _), allowed in WRITABLE.items() if cls == "emergency" and allowed]
    assert len(tests) == 3
    for allowed in tests:
        assert (allowed.by, allowed.pulse, allowed.values) == (["linkage"], True, [True])


# --- 4.2 access


def test_no_door_is_locked_from_afar(tmp_path: Path) -> None:
    """`locked` may be read, not written; and no shipped profile has a raw value for it."""
    mode = writable("access", "mode")
    assert "locked" in CLASSES["access"].points["mode"].members
    assert sorted(map(str, mode.values)) == ["controlled", "free"]
    assert mode.rest == "controlled"
    read = of_profile(tmp_path, "bacnet-access-door").devices["it"].read
    address = next(point.address for group in read.groups for point in group.points if point.name == "mode")
    assert "locked" not in (address.point.enum or {}).values()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("act", "points"),
    [
        ("clear duress", ["door.alarm"]),
        ("disable the exit button", ["rex", "pulse_time", "held_limit"]),
        ("override the fire release", ["fire.release"]),
        ("silence tamper", ["tamper.reader", "tamper.case"]),
    ],
)
def test_doors(act: str, points: list[str]) -> None:
    """What would take away a way out, or an alarm, cannot be written."""
    assert all(WRITABLE[("access", point)] is None for point in points), act


# --- 5.3 parking


def test_closing_is_guarded_and_nobodys_rule() -> None:
    """The boom is closed by a person on site, once, while `close_clear` holds; it cannot be held closed."""
    close = writable("parking", "cmd.close")
    assert (close.interlock, close.by, close.pulse, close.rest) == ("close_clear", ["operator"], True, None)
    assert CLASSES["parking"].points["close_clear"].writable is None


@pytest.mark.parametrize("point", sorted(CLEAR))
def test_closing_is_not_clear_while_a_sensor_is_unknown(point: str, tmp_path: Path) -> None:
    """A sensor that is bad or stale, or a broken safety chain, leaves `close_clear` false or without a value."""
    for value, q in ((not CLEAR[point], GOOD), (None, bad(Reason.STALE)), (None, bad(Reason.COMM))):
        assert closing(tmp_path, {point: (value, q)}) is not True
    assert closing(tmp_path, {}) is True


def closing(tmp_path: Path, changed: dict[str, Any]) -> Value:
    """Return `close_clear` ten seconds after these readings; None if it is not good."""
    site = of_profile(tmp_path, "sp-barrier-1")
    handles = {point.name: point.handle for point in site.points}
    readings = {**{name: (value, GOOD) for name, value in CLEAR.items()}, **changed}
    derives = Derives(site.derivations, state={}, as_of=None, now=0)
    found = derives.feed([Sample(handles[name], SECOND, value, q) for name, (value, q) in readings.items()])
    found = [*found, *derives.advance(10 * SECOND)]
    last = [sample for sample in found if sample.handle == handles["close_clear"]]
    return last[-1].value if last and is_good(last[-1].q) else None


def test_the_neutral_barrier_has_no_reset(tmp_path: Path) -> None:
    """Of the barrier only open, stop, close and the hold-open reason are written: no board reset, no stepping."""
    device = of_profile(tmp_path, "sp-barrier-1").devices["it"]
    places = {}
    for point in (point for group in device.read.groups for point in group.points):
        assert isinstance(point.address, ModbusPoint)
        if point.address.write is not None:
            places[point.name] = (point.address.table, point.address.address)
    assert places == {
        "cmd.open": ("coil", 0),
        "cmd.stop": ("coil", 1),
        "cmd.close": ("coil", 2),
        "hold_open": ("holding", 1),
    }


# --- 6 fire


def test_a_fire_panel_is_only_watched(tmp_path: Path) -> None:
    """No acknowledging, silencing, resetting, disabling, testing: nothing is writable, and no coil is even read."""
    assert all(allowed is None for (cls, _), allowed in WRITABLE.items() if cls == "fire")
    groups = of_profile(tmp_path, "sp-io-16-fire").devices["it"].read.groups
    tables = {point.address.table for group in groups for point in group.points}  # type: ignore[attr-defined]
    assert tables == {"discrete", "input"}


@pytest.mark.parametrize(("cls", "profile"), [("gas", "sp-io-16-gas"), ("water", "sp-io-16-water")])
def test_gas_and_leak_detectors_are_only_watched(tmp_path: Path, cls: str, profile: str) -> None:
    """No muting, resetting or disabling: nothing is writable, and no coil is even read."""
    allowed = [allowed for (family, _), allowed in WRITABLE.items() if family == cls]
    assert allowed == [None] * len(allowed) != []
    groups = of_profile(tmp_path, profile).devices["it"].read.groups
    tables = {point.address.table for group in groups for point in group.points}  # type: ignore[attr-defined]
    assert tables == {"discrete", "input"}


# --- rules


def test_shipped_rules_open_and_light_but_never_shut_or_darken() -> None:
    """A shipped linkage writes only what helps people out: doors free, barriers held open, full light.

    Lighting control also says what is off by default: with the lowest priority of all, and no escape luminaire.
    """
    files = sorted(data_path("rules").glob("*.yaml"))
    rules = [rule for file in files for rule in yaml.safe_load(file.read_text(encoding="utf-8"))]
    linkages = [(rule, write) for rule in rules for write in rule.get("do", {}).get("write", {}).items()]
    dark = [rule for rule, write in linkages if write in [("command", 0), ("on_command", False)]]
    assert [rule["id"] for rule in dark] == ["LIGHT-DEFAULT", "CIRCUIT-DEFAULT"]
    for rule in dark:
        assert rule["do"]["each"] == ["self", "lighting"]
        assert rule["do"]["priority"] == 16
        assert rule["when"].endswith("and not tagged('escape')")
    writes = [write for rule, write in linkages if rule not in dark]
    allowed = [("mode", "free"), ("hold_open", True), ("command", 100), ("on_command", True)]
    assert all(write in allowed for write in writes), writes
    assert all(write in writes for write in allowed), "a fire opens the doors and the barriers and lights the ways out"
