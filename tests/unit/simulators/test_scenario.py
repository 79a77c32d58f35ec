"""Scenario files: every one that is shipped loads, and mistakes are told with their place."""

import re
from pathlib import Path

import pytest

from simulators import scenario
from simulators.acts_connection import FaultPart
from simulators.faults import Fault, FaultKind
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import ConfigError

SHIPPED = sorted(Path(__file__).parents[3].joinpath("config/scenarios").glob("*.yaml"))


def written(tmp_path: Path, device: str) -> Path:
    path = tmp_path / "scenario.yaml"
    path.write_text(f"title: t\nlinks:\n  - id: a\n    devices:\n      - {device}\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_scenarios_load(path: Path) -> None:
    """Each file in config/scenarios is a scenario with at least one device."""
    assert list(scenario.load(path).devices())


@pytest.mark.parametrize(
    ("device", "line", "said"),
    [
        ("{id: x, unit: 1, face: fancy}", 5, "face"),
        ("{id: x, unit: 300, face: lmon}", 5, "unit"),
        ("{id: x, unit: 1, face: lmon, lift: {flors: 3}}", 5, "flors"),
        ("{id: x, unit: 1, face: lmon, lift: {start_floor: 0}}", 5, "start_floor"),
        ("{id: x, unit: 1, face: lmon, story: [{at: 5m, do: {release: true}}]}", 5, "5min"),
        ("{id: x, unit: 1, face: lmon, story: [{at: 5s, do: {release: true, mains: failed}}]}", 5, "exactly one"),
        ("{id: x, unit: 1, face: lmon, story: [{at: 5s, do: {}}]}", 5, "exactly one"),
        ("{id: x, unit: 1, face: lmon, story: [{at: 5s, do: {words: {1: 2}}}]}", 5, "words"),
        ("{id: x, unit: 1, face: words, story: [{at: 5s, do: {mains: failed}}]}", 5, "mains"),
        ("{id: x, unit: 1, face: words, story: [{at: 5s, do: {words: {1: 65536}}}]}", 5, "65535"),
        ("{id: x, unit: 1, face: sp-barrier-1, story: [{at: 5s, do: {boom: explode}}]}", 5, "'open'"),
        ("{id: x, unit: 1, face: sp-barrier-1, story: [{at: 5s, do: {smoke: {zone: 1}}}]}", 5, "smoke"),
        ("{id: x, unit: 1, face: sp-io-16, story: [{at: 5s, do: {smoke: {zone: 9}}}]}", 5, "less than or equal to 8"),
        ("{id: x, unit: 1, face: sp-io-16, story: [{at: 5s, do: {fact: told}}]}", 5, "fact"),
        ("{id: x, unit: 1, face: lmon, watches: [y]}", 5, "watches nothing"),
        ("{id: x, unit: 1, face: lmon}\n      - {id: x, unit: 1, face: lmon}", 3, "same unit"),
        ("{id: x, unit: 1, face: lmon}\n      - {id: x, unit: 2, face: lmon}", 1, "twice: x"),
    ],
)
def test_mistakes_have_places(tmp_path: Path, device: str, line: int, said: str) -> None:
    """A mistake is refused, with the line on which it stands and words that name it."""
    with pytest.raises(ConfigError) as caught:
        scenario.load(written(tmp_path, device))
    assert any(said in fault.message and fault.line == line for fault in caught.value.faults), caught.value


def test_a_link_can_only_refuse(tmp_path: Path) -> None:
    """A link has no lift to get stuck and no reply to shorten."""
    path = tmp_path / "s.yaml"
    path.write_text(
        "title: t\nlinks: [{id: a, devices: [], story: [{at: 1s, do: {fault: {kind: short}}}]}]", encoding="utf-8"
    )
    with pytest.raises(ConfigError, match="refuse"):
        scenario.load(path)


def test_fault_particulars() -> None:
    """A fault in a file becomes the fault to switch on, with defaults where nothing is said; `none` is no fault."""
    part = FaultPart.model_validate({"kind": "late", "delay": "2s", "for": "10s", "times": 3})
    assert part.fault() == Fault(kind=FaultKind.LATE, delay=2 * SECOND, times=3)
    assert part.lasts == 10 * SECOND
    assert FaultPart(kind="none").fault() is None


def test_the_estate_stands_where_its_site_looks_for_it() -> None:
    """Each device of config/sites/estate is in the scenario of the same name, at its unit or object, and no other."""
    plan = scenario.load(SHIPPED[0].parent / "estate.yaml")
    ports = {link.id: link.port for link in plan.links}
    simulated = {device.id: device for device in plan.devices()}
    site = SHIPPED[0].parents[1] / "sites" / "estate"
    named = {
        "modbus": r"id: (\S+)\n +profile: \S+\n +link: (\S+)\n +unit: (\d+)",
        "bacnet": r"id: (lift\S+)\n +profile: \S+\n +link: (\S+)\n +device: \d+\n +address: \S+\n +object: (\d+)",
    }
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(site.rglob("*.yaml")))
    found = [match for pattern in named.values() for match in re.findall(pattern, text)]
    for name, link, number in found:
        device = simulated[name]
        assert (device.unit or device.object) == int(number), name
        assert link in ports
        assert f":{ports[link]}" in text or f"port: {ports[link]}" in text
    lamps = {f"lamp-{number:02}": number for number in range(1, 25)}
    assert {name: simulated[name].object for name in lamps} == lamps
    doors = {f"door-{name}" for name in ("lobby", "stairs", "office", "store", "roof", "plant")}
    assert simulated.keys() == {name for name, *_ in found} | lamps.keys() | doors


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("{id: cam, controller: '1', door: 1, face: mqtt-lpr, watches: [lane]}", "no lane is called lane"),
        (
            (
                "{id: cam, controller: '1', door: 1, face: mqtt-lpr}\n"
                "      - {id: door, controller: '1', door: 2, face: mqtt-door}"
            ),
            "have the same face",
        ),
    ],
)
def test_a_camera_watches_a_lane_and_shares_its_controller_with_no_door(tmp_path: Path, more: str, said: str) -> None:
    """Its lane is one of the scenario, and its words in topics are its own."""
    path = tmp_path / "s.yaml"
    path.write_text(f"title: t\nlinks:\n  - id: a\n    kind: mqtt\n    devices:\n      - {more}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        scenario.load(path)
    assert any(said in fault.message for fault in caught.value.faults), caught.value
