"""The present state of points, and finding them."""

import pytest

from edge.latest import Latest
from sitekeeper.model.errors import NotFound
from sitekeeper.model.point import Point
from sitekeeper.model.sample import Sample

POINTS = [
    Point(handle=n, id=f"lift-a1/{name}", device="lift-a1", name=name, type="int", group="lift-a1@1s")
    for n, name in enumerate(["door", "floor", "load"])
]


def test_the_last_sample_of_a_point_is_its_state() -> None:
    """Later samples replace earlier ones, and a point never heard of has none."""
    latest = Latest(POINTS)
    latest.update([Sample(0, 1, 1, 0), Sample(1, 2, 5, 0), Sample(0, 3, 2, 0)])
    assert latest.get(0) == Sample(0, 3, 2, 0)
    assert latest.get(2) is None
    assert [sample for _, sample in latest.all()] == [Sample(0, 3, 2, 0), Sample(1, 2, 5, 0), None]


def test_a_point_is_found_by_its_id_and_a_mistyped_one_names_its_neighbours() -> None:
    """A technician's typing mistake is answered with what was probably meant."""
    latest = Latest(POINTS)
    assert latest.find("lift-a1/floor").handle == 1
    with pytest.raises(NotFound) as caught:
        latest.find("lift-a1/flor")
    assert "lift-a1/floor" in caught.value.near


def test_the_present_state_can_be_sent_again_as_of_now() -> None:
    """After missed changes every known point is stated again, with its own source time."""
    latest = Latest(POINTS)
    latest.update([Sample(1, 2, 5, 0, 99)])
    assert latest.resend(7) == [Sample(1, 7, 5, 0, 99)]
