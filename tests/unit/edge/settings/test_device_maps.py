"""Profiles against golden vectors: words typed from the published tables, by their absolute addresses.

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
from simulators import maps
from sitekeeper.model.clock import SECOND
from sitekeeper.model.quality import is_good
from sitekeeper.model.sample import Sample, Value

MAPS = Path(__file__).parents[3] / "fixtures" / "maps"
FORMS = {"with", "values", "derived"}
"""What each vector of such a file has; files of other forms have tests of their own."""
READ = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(MAPS.glob("*.json"))}
GOLDEN = {name: golden for name, golden in READ.items() if golden.get("vectors", [{}])[0].keys() >= FORMS}
VECTORS = {
    f"{name}-{number}": (name, each) for name in GOLDEN for number, each in enumerate(GOLDEN[name]["vectors"], 1)
}
WRITTEN = {
    "sp-relay-8": {"on_command"},
    "dali-gear": {"command"},
    "dali-emergency": {"test.function", "test.duration", "test.stop"},
}
"""What of them may be written; of all others nothing."""
BLOCKS = {
    "sp-relay-8": lambda table, channel: channel * (2 if table == "input" else 1),
    "dali-gear": lambda _, channel, short_address: 7000 * channel + 100 * short_address,
    "dali-emergency": lambda _, channel, short_address: 7000 * channel + 100 * short_address,
    "dali-group": lambda _, channel, group: 7000 * channel + 20 * group + 6400,
}
"""Where the map of one part begins within its unit; that of other devices begins at 0."""
FIRST = {"coil": 0, "discrete": maps.DISCRETE, "input": maps.INPUT, "holding": maps.HOLDING}
SHARED = {"sp-relay-8": {("input", 32)}}
"""Words that stand at their own address in every part."""


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
    """A circuit has a level, a lift on contacts a floor, and what is derived is as good as what it comes from."""
    samples = read(site, device)
    derives = Derives(site.derivations, state={}, as_of=None, now=0)
    measured = {sample.handle for sample in samples}
    found = derives.feed(samples) + list(derives.advance(2 * SECOND))
    ours = [s for s in found if s.handle not in measured and site.points[s.handle].device == device]
    assert named(site, ours) == VECTORS[device][1]["derived"]


def test_the_vectors_cover_every_point_of_their_profile(site: Site) -> None:
    """Each vector has every point of its profile, and each point has a good value somewhere."""
    good: dict[str, set[str]] = {name: set() for name in GOLDEN}
    for device, (name, vector) in VECTORS.items():
        there = {point.name for point in site.points if point.device == device} - {"online"}
        told = vector["values"] | vector["derived"]
        assert there == told.keys(), device
        good[name] |= {point for point, value in told.items() if value is not None}
    assert all(good[VECTORS[device][0]] >= VECTORS[device][1]["values"].keys() for device in VECTORS)
    assert len(GOLDEN) >= 11


def served(profile: str, vector: dict[str, Any]) -> dict[str, Value]:
    """Return what the simulator's own table takes the words of a vector for."""
    entries: maps.Map = getattr(maps, profile.upper().replace("-", "_"))
    block = BLOCKS.get(profile, lambda _, **__: 0)
    found: dict[int, int] = {}
    for table in FIRST.keys() & vector.keys():
        for at, word in vector[table].items():
            begins = 0 if (table, int(at)) in SHARED.get(profile, ()) else block(table, **vector["with"])
            found[FIRST[table] + int(at) - begins] = int(word, 0)
    told: dict[str, Value] = {}
    for name, entry in entries.items():
        words = [found.get(number, 0) for number in range(entry.first, entry.first + entry.count)]
        told[name] = entry.meaning(words)
    return told


@pytest.mark.parametrize("device", VECTORS)
def test_the_simulator_reads_the_source_alike(device: str) -> None:
    """The simulator's table, typed once more and apart, gives the same meaning to the same words."""
    profile, vector = VECTORS[device]
    wanted = {name: value for name, value in (vector["values"] | vector["derived"]).items() if value is not None}
    found = served(profile, vector)
    assert found.keys() >= wanted.keys()
    assert {name: found[name] for name in wanted} == {name: pytest.approx(wanted[name]) for name in wanted}


def test_what_may_be_written(site: Site) -> None:
    """Levels and circuits by people and rules; tests of emergency luminaires by linkages only, as pulses."""
    writables = {name: site.devices[f"{name}-1"].writables for name in GOLDEN}
    assert {name: set(points) for name, points in writables.items() if points} == WRITTEN
    assert {(tuple(w.by), w.pulse) for w in writables["dali-emergency"].values()} == {(("linkage",), True)}
