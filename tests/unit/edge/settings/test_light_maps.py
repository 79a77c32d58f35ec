"""Profiles of lighting against golden vectors: words typed from the published tables, by their absolute addresses.

A vector gives the words of one device in its place (`with`); what lies beside them belongs to its neighbours.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from drivers.modbus.codec import decoder
from drivers.modbus.options import ModbusPoint
from edge.rules.derives import Derives
from edge.settings import Site, load
from sitekeeper.model.clock import SECOND
from sitekeeper.model.quality import is_good
from sitekeeper.model.sample import Sample, Value

MAPS = Path(__file__).parents[3] / "fixtures" / "maps"
PROFILES = ("sp-relay-8", "sp-lux-1", "dali-gear", "dali-emergency")
GOLDEN = {name: json.loads((MAPS / f"{name}.json").read_text(encoding="utf-8")) for name in PROFILES}
VECTORS = {
    f"{name}-{number}": (name, each) for name in GOLDEN for number, each in enumerate(GOLDEN[name]["vectors"], 1)
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """One device in the place of each vector."""
    folder = tmp_path_factory.mktemp("site")
    lines = [
        f"  - {{id: {device}, profile: {name}, link: l, unit: {unit}, with: {json.dumps(vector['with'])}}}"
        for unit, (device, (name, vector)) in enumerate(VECTORS.items(), 1)
    ]
    links = "links: {l: {driver: modbus-tcp, host: 10.0.0.1}}"
    (folder / "site.yaml").write_text("\n".join(["site: {id: maps, timezone: UTC}", links, "devices:", *lines]))
    return load(folder, environment={})


def taken(vector: dict[str, Any], place: ModbusPoint) -> bytes:
    """Return what a device in the state of `vector` answers for one point."""
    words = vector[place.table]
    if place.bits:
        return bytes([int(words[str(place.address)])])
    wanted = range(place.address, place.address + place.size)
    return b"".join(int(words[str(each)], 16).to_bytes(2, "big") for each in wanted)


def read(site: Site, device: str) -> list[Sample]:
    samples = []
    for group in site.devices[device].read.groups:
        for point in group.points:
            assert isinstance(point.address, ModbusPoint)
            value, q = decoder(point.address, point.type)(taken(VECTORS[device][1], point.address))
            samples.append(Sample(point.handle, SECOND, value, q))
    return samples


def named(site: Site, samples: list[Sample]) -> dict[str, Value]:
    return {site.points[s.handle].name: s.value if is_good(s.q) else None for s in samples}


@pytest.mark.parametrize("device", VECTORS)
def test_measured_points_mean_what_the_table_says(site: Site, device: str) -> None:
    """Every measured point of a device has the golden value in the golden type, wherever its block begins."""
    found, wanted = named(site, read(site, device)), VECTORS[device][1]["values"]
    assert {name: (type(value), value) for name, value in found.items()} == {
        name: (type(value), value) for name, value in wanted.items()
    }


@pytest.mark.parametrize("device", VECTORS)
def test_derived_points_mean_what_the_class_says(site: Site, device: str) -> None:
    """A circuit has a level, and an emergency luminaire tells that it is in test or without mains."""
    samples = read(site, device)
    derives = Derives(site.derivations, state={}, as_of=None, now=0)
    measured = {sample.handle for sample in samples}
    found = derives.feed(samples) + list(derives.advance(2 * SECOND))
    ours = [s for s in found if s.handle not in measured and site.points[s.handle].device == device]
    assert named(site, ours) == VECTORS[device][1]["derived"]


def test_the_vectors_cover_every_point_of_their_profile(site: Site) -> None:
    """No point of these profiles is without a golden value."""
    for device, (_, vector) in VECTORS.items():
        there = {point.name for point in site.points if point.device == device} - {"online"}
        assert there == {*vector["values"], *vector["derived"]}


def test_what_may_be_written(site: Site) -> None:
    """Levels and circuits by people and rules; tests of emergency luminaires by linkages only, as pulses."""
    writables = {name: site.devices[f"{name}-1"].writables for name in PROFILES}
    assert {name: set(points) for name, points in writables.items()} == {
        "sp-relay-8": {"on_command"},
        "sp-lux-1": set(),
        "dali-gear": {"command"},
        "dali-emergency": {"test.function", "test.duration", "test.stop"},
    }
    assert {(tuple(w.by), w.pulse) for w in writables["dali-emergency"].values()} == {(("linkage",), True)}
