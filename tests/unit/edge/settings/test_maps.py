"""The shipped profiles against golden vectors: raw words typed from the published tables, with what they mean."""

import json
from pathlib import Path

import pytest

from drivers.modbus.codec import decoder
from edge.rules.derives import Derives
from edge.settings import Site, load
from sitekeeper.data import data_path
from sitekeeper.model.quality import is_good
from sitekeeper.model.sample import Sample, Value

MAPS = Path(__file__).parents[3] / "fixtures" / "maps"
DEVICES = {"sp-lift-1": "lift-a1", "lift-lmon": "lift-a2"}
VECTORS = [
    (profile, vector["name"])
    for profile in DEVICES
    for vector in json.loads((MAPS / f"{profile}.json").read_text())["vectors"]
]


@pytest.fixture(scope="module")
def one_lift() -> Site:
    return load(data_path("sites", "one-lift"), environment={})


def read(site: Site, profile: str, name: str) -> tuple[dict, list[Sample]]:
    """Decode one vector with the profile's own addresses; return it with the samples."""
    golden = json.loads((MAPS / f"{profile}.json").read_text())
    vector = next(each for each in golden["vectors"] if each["name"] == name)
    data = b"".join(int(word, 16).to_bytes(2, "big") for word in vector["words"])
    samples = []
    for group in site.devices[DEVICES[profile]].read.groups:
        for point in group.points:
            address = point.address
            assert address.table == golden["table"]
            start = 2 * (address.address - golden["start"])
            value, q = decoder(address, point.type)(data[start : start + 2 * address.size])
            samples.append(Sample(point.handle, 1_000_000, value, q))
    return vector, samples


def named(site: Site, samples: list[Sample]) -> dict[str, Value]:
    return {site.points[s.handle].name: s.value if is_good(s.q) else None for s in samples}


@pytest.mark.parametrize(("profile", "name"), VECTORS)
def test_measured_points_mean_what_the_table_says(one_lift: Site, profile: str, name: str) -> None:
    """Every measured point of the profile has the golden value, and a raw value without a meaning is bad."""
    vector, samples = read(one_lift, profile, name)
    found = named(one_lift, samples)
    assert found == {
        **vector["values"],
        **{k: pytest.approx(v) for k, v in vector["values"].items() if type(v) is float},
    }
    assert {k: type(v) for k, v in found.items()} == {k: type(v) for k, v in vector["values"].items()}


@pytest.mark.parametrize(("profile", "name"), [pair for pair in VECTORS if pair[0] == "lift-lmon"])
def test_derived_points_mean_what_the_class_says(one_lift: Site, profile: str, name: str) -> None:
    """What the LMON map lacks is derived from what it has, bad where its inputs are."""
    vector, samples = read(one_lift, profile, name)
    derives = Derives(one_lift.derivations, state={}, as_of=None, now=0)
    measured = {sample.handle for sample in samples}
    found = derives.feed(samples) + list(derives.advance(2_000_000))
    derived = [sample for sample in found if sample.handle not in measured]
    names = {site_point.handle: site_point.name for site_point in one_lift.points if site_point.device == "lift-a2"}
    last = {names[s.handle]: s.value if is_good(s.q) else None for s in derived if s.handle in names}
    assert last == vector["derived"]


def test_the_vectors_cover_every_point_of_their_profile(one_lift: Site) -> None:
    """No point of a shipped profile is without a golden value."""
    for profile, device in DEVICES.items():
        golden = json.loads((MAPS / f"{profile}.json").read_text())["vectors"]
        covered = {name for vector in golden for name in (*vector["values"], *vector.get("derived", ()))}
        assert covered == {p.name for p in one_lift.points if p.device == device} - {"online"}
