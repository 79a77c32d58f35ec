"""The shipped BACnet profiles, and the simulator's own reading of the standard, against golden vectors in octets."""

import json
from pathlib import Path
from typing import Any

import pytest

from drivers.bacnet.codec import decoder
from drivers.bacnet.options import Place
from edge.rules.derives import Derives
from edge.settings import Site, load
from simulators.bacnet_maps import ACCESS_DOOR, BINARY_LIGHTING_OUTPUT, LIFT, LIGHTING_OUTPUT
from sitekeeper.model.quality import is_good
from sitekeeper.model.sample import Sample, Value

MAPS = Path(__file__).parents[3] / "fixtures" / "maps"
SIMULATED = {
    "bacnet-lift": LIFT,
    "bacnet-lighting-output": LIGHTING_OUTPUT,
    "bacnet-binary-lighting-output": BINARY_LIGHTING_OUTPUT,
    "bacnet-access-door": ACCESS_DOOR,
}
GOLDEN = {
    name: json.loads((MAPS / f"{name}.json").read_text(encoding="utf-8"))["vectors"]
    for name in (*SIMULATED, "bacnet-escalator")
}
VECTORS = [pytest.param(name, vector, id=f"{name}: {vector['name']}") for name in GOLDEN for vector in GOLDEN[name]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """One device of each profile."""
    folder = tmp_path_factory.mktemp("site")
    lines = [
        f"  - {{id: {name}, profile: {name}, link: l, device: 7, address: 10.0.0.7, object: 1}}" for name in GOLDEN
    ]
    text = (
        "site: {id: maps, timezone: Asia/Hong_Kong}\nlinks: {l: {driver: bacnet-ip, address: 10.0.0.1/24, instance: 1}}"
    )
    (folder / "site.yaml").write_text("\n".join([text, "devices:", *lines]))
    return load(folder)


def read(site: Site, profile: str, vector: dict[str, Any]) -> list[Sample]:
    """Decode the octets of a vector with the profile's own addresses."""
    samples = []
    for group in site.devices[profile].read.groups:
        for point in group.points:
            assert isinstance(point.address, Place)
            reference = point.address.reference(site.devices[profile].read.options)  # type: ignore[arg-type]
            key = f"{reference.property}" + (f"[{reference.element}]" if reference.element is not None else "")
            value, q = decoder(point.address.point, point.type)(bytes.fromhex(vector["octets"][key]))
            samples.append(Sample(point.handle, 1_000_000, value, q))
    return samples


def named(site: Site, samples: list[Sample]) -> dict[str, Value]:
    return {site.points[s.handle].name: s.value if is_good(s.q) else None for s in samples}


@pytest.mark.parametrize(("profile", "vector"), VECTORS)
def test_measured_points_mean_what_the_standard_says(site: Site, profile: str, vector: dict[str, Any]) -> None:
    """Every measured point has the golden value in the golden type; what the standard gives no meaning is bad."""
    found = named(site, read(site, profile, vector))
    assert found == vector["values"]
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in vector["values"].items()
    }


@pytest.mark.parametrize(("profile", "vector"), [each for each in VECTORS if "derived" in each.values[1]])  # type: ignore[operator]
def test_derived_points_mean_what_the_class_says(site: Site, profile: str, vector: dict[str, Any]) -> None:
    """What the object lacks is derived from what it has; without its unit the load is unknown."""
    samples = read(site, profile, vector)
    derives = Derives(site.derivations, state={}, as_of=None, now=0)
    measured = {sample.handle for sample in samples}
    found = derives.feed(samples) + list(derives.advance(2_000_000))
    derived = [s for s in found if s.handle not in measured and site.points[s.handle].device == profile]
    assert named(site, derived) == vector["derived"]


@pytest.mark.parametrize(("profile", "vector"), [each for each in VECTORS if "served" in each.values[1]])  # type: ignore[operator]
def test_the_simulator_reads_the_standard_alike(profile: str, vector: dict[str, Any]) -> None:
    """The simulator's own map, typed apart from the profiles, gives the same meaning to the same values."""
    points: dict[str, Value] = {}
    for name, value in vector["served"].items():
        points |= SIMULATED[profile][name](value)
    assert points == vector["values"] | vector.get("derived", {})


def test_the_vectors_cover_every_point_of_their_profile(site: Site) -> None:
    """No point of a shipped BACnet profile is without a golden value, and each has a good one somewhere."""
    for profile, vectors in GOLDEN.items():
        good = {name for vector in vectors for name, value in (vector["values"] | vector.get("derived", {})).items()
                if value is not None}  # fmt: skip
        assert good == {p.name for p in site.points if p.device == profile} - {"online"}
