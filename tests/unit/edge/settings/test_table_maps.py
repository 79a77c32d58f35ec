"""Profiles over several Modbus tables against golden vectors: bits and words typed from the published tables."""

import json
from pathlib import Path
from typing import Any

import pytest

from drivers.modbus.codec import decoder
from drivers.modbus.options import ModbusPoint
from drivers.modbus.plan import Limits, Span, plan
from edge.rules.derives import Derives
from edge.settings import Site, load
from sitekeeper.model.clock import SECOND
from sitekeeper.model.quality import GOOD, Reason, bad, is_good
from sitekeeper.model.sample import Sample, Value

MAPS = Path(__file__).parents[3] / "fixtures" / "maps"
PROFILES = ("sp-barrier-1", "sp-io-16-fire", "sp-io-16-gas", "sp-io-16-water")
GOLDEN = {name: json.loads((MAPS / f"{name}.json").read_text(encoding="utf-8")) for name in PROFILES}
VECTORS = [
    pytest.param(name, each, id=f"{name}: {each['name']}") for name in GOLDEN for each in GOLDEN[name]["vectors"]
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """One device of each profile."""
    folder = tmp_path_factory.mktemp("site")
    lines = [f"  - {{id: {name}, profile: {name}, link: l, unit: {unit}}}" for unit, name in enumerate(GOLDEN, 1)]
    links = "links: {l: {driver: modbus-tcp, host: 10.0.0.1}}"
    (folder / "site.yaml").write_text("\n".join(["site: {id: maps, timezone: UTC}", links, "devices:", *lines]))
    return load(folder, environment={})


def taken(vector: dict[str, Any], place: ModbusPoint) -> bytes:
    """Return what a device in the state of `vector` answers for one point."""
    written = vector[place.table]
    if isinstance(written, str):
        return bytes([int(written.replace(" ", "")[place.address])])
    words = written[place.address : place.address + place.size]
    return b"".join(int(word, 16).to_bytes(2, "big") for word in words)


def read(site: Site, profile: str, vector: dict[str, Any]) -> list[Sample]:
    samples = []
    for group in site.devices[profile].read.groups:
        for point in group.points:
            assert isinstance(point.address, ModbusPoint)
            value, q = decoder(point.address, point.type)(taken(vector, point.address))
            samples.append(Sample(point.handle, SECOND, value, q))
    return samples


def named(site: Site, samples: list[Sample]) -> dict[str, Value]:
    return {site.points[s.handle].name: s.value if is_good(s.q) else None for s in samples}


@pytest.mark.parametrize(("profile", "vector"), VECTORS)
def test_measured_points_mean_what_the_table_says(site: Site, profile: str, vector: dict[str, Any]) -> None:
    """Every measured point has the golden value in the golden type, and a raw value without a meaning is bad."""
    found = named(site, read(site, profile, vector))
    assert found == {
        name: pytest.approx(value) if type(value) is float else value for name, value in vector["values"].items()
    }
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in vector["values"].items()
    }


@pytest.mark.parametrize(("profile", "vector"), VECTORS)
def test_derived_points_mean_what_the_class_says(site: Site, profile: str, vector: dict[str, Any]) -> None:
    """What the map says in other words, or not at all, follows from what it has, after at most three seconds."""
    samples = read(site, profile, vector)
    derives = Derives(site.derivations, state={}, as_of=None, now=0)
    measured = {sample.handle for sample in samples}
    found = derives.feed(samples) + list(derives.advance(4 * SECOND))
    ours = [s for s in found if s.handle not in measured and site.points[s.handle].device == profile]
    assert named(site, ours) == vector["derived"]


def test_every_state_code_has_its_word_and_no_other_number_has_one(site: Site) -> None:
    """The barrier's state word means what the maker's table says; a number that is not in it is bad."""
    points = [point for group in site.devices["sp-barrier-1"].read.groups for point in group.points]
    state = next(point for point in points if point.name == "lane.state")
    assert isinstance(state.address, ModbusPoint)
    decode = decoder(state.address, state.type)
    found = {str(raw): decode(raw.to_bytes(2, "big")) for raw in range(256)}
    assert {raw: value for raw, (value, q) in found.items() if is_good(q)} == GOLDEN["sp-barrier-1"]["states"]


def test_the_vectors_cover_every_point_of_their_profile(site: Site) -> None:
    """No point of these profiles is without a good golden value."""
    for profile, golden in GOLDEN.items():
        good = {
            name
            for vector in golden["vectors"]
            for name, value in (vector["values"] | vector["derived"]).items()
            if value is not None
        }
        assert good == {p.name for p in site.points if p.device == profile} - {"online"}


@pytest.mark.parametrize("change", [{"input.safety": 4}, {"photocell": 9}, {"fault.safety": 7}])
def test_closing_is_clear_only_two_seconds_after_the_lane_is(site: Site, change: dict[str, int]) -> None:
    """Whatever was under the boom, or made its loop unsure, must have been away for two seconds."""
    clear = GOLDEN["sp-barrier-1"]["vectors"][0]
    bits = clear["discrete"].replace(" ", "")
    for bit in change.values():
        bits = bits[:bit] + "1" + bits[bit + 1 :]
    blocked = {**clear, "discrete": bits}
    derives = Derives(site.derivations, state={}, as_of=None, now=0)
    derives.feed(read(site, "sp-barrier-1", blocked))
    freed = [Sample(s.handle, 10 * SECOND, s.value, s.q) for s in read(site, "sp-barrier-1", clear)]
    seen = [*derives.feed(freed), *derives.advance(12 * SECOND - 1)]
    handle = next(p.handle for p in site.points if p.id == "sp-barrier-1/close_clear")
    assert True not in [sample.value for sample in seen if sample.handle == handle]
    late = [sample for sample in derives.advance(13 * SECOND) if sample.handle == handle]
    assert [(sample.at, sample.value) for sample in late] == [(12 * SECOND, True)]


def test_what_was_unknown_may_have_been_a_car(site: Site) -> None:
    """After a sensor was bad for a moment the lane must be clear for two seconds again; meanwhile nothing is good."""
    clear = read(site, "sp-barrier-1", GOLDEN["sp-barrier-1"]["vectors"][0])
    handles = {point.id.removeprefix("sp-barrier-1/"): point.handle for point in site.points}
    derives = Derives(site.derivations, state={}, as_of=None, now=0)
    derives.feed(clear)
    before = [*derives.advance(9 * SECOND)]
    lost = derives.feed([Sample(handles["input.safety"], 10 * SECOND, None, bad(Reason.COMM))])
    back = derives.feed([Sample(handles["input.safety"], 11 * SECOND, False, GOOD)])
    after = list(derives.advance(20 * SECOND))
    seen = [s for s in (*before, *lost, *back, *after) if s.handle == handles["close_clear"]]
    assert [(s.at, s.value if is_good(s.q) else None) for s in seen] == [
        (3 * SECOND, True),
        (10 * SECOND, None),
        (11 * SECOND, False),
        (13 * SECOND, True),
    ]


def test_each_profile_costs_few_requests(site: Site) -> None:
    """One request for each table of the map, whatever the number of points."""
    asked = {}
    for device in site.devices.values():
        (group,) = device.read.groups
        places = [point.address for point in group.points]
        spans = [Span(at.table, at.address, at.size, n) for n, at in enumerate(places) if isinstance(at, ModbusPoint)]
        limits = Limits(max_registers=125, max_bits=2000, gaps=device.read.options.gaps)  # type: ignore[attr-defined]
        asked[device.id] = sorted((r.table, r.address, r.count) for r in plan(spans, limits))
    assert asked == {
        "sp-barrier-1": [("coil", 0, 3), ("discrete", 0, 16), ("holding", 0, 2), ("input", 0, 9)],
        "sp-io-16-fire": [("discrete", 0, 32), ("input", 16, 2)],
        "sp-io-16-gas": [("discrete", 0, 19), ("input", 16, 1)],
        "sp-io-16-water": [("discrete", 3, 18), ("input", 16, 1)],
    }
