"""Two devices with one instance: found by what they say, forgotten when it is over, bounded under a flood."""

from drivers.bacnet.doubles import FORGET, Doubles
from sitekeeper.model.clock import MINUTE

HERE, THERE = "10.1.3.20", "10.1.3.21"


def test_another_address_with_our_instance_is_a_double():
    """The device itself is none, at whichever of the addresses the site has it; one elsewhere is, until it is gone."""
    doubles = Doubles({1200: frozenset({HERE}), 990001: frozenset()})
    assert not doubles.heard(1200, HERE, 0)
    assert not doubles.heard(1201, THERE, 0), "nobody here has that instance"
    assert (doubles.count(0), doubles.others(1200, 0)) == (0, [])
    assert doubles.heard(1200, THERE, 0)
    assert not doubles.heard(1200, THERE, MINUTE), "no news"
    assert (doubles.count(MINUTE), doubles.others(1200, MINUTE)) == (1, [THERE])
    assert doubles.heard(990001, HERE, MINUTE), "the gateway's own"
    assert doubles.count(MINUTE) == 2
    assert doubles.count(2 * MINUTE + FORGET) == 0
    assert doubles.heard(1200, THERE, 2 * MINUTE + FORGET), "again it is news"


def test_a_flood_is_bounded():
    """Whoever claims everything from everywhere fills nothing: instances of the site only, eight addresses of each."""
    doubles = Doubles({1200: frozenset({HERE})})
    for number in range(10_000):
        doubles.heard(number, f"10.2.{number >> 8}.{number & 255}", 0)
        doubles.heard(1200, f"10.3.{number >> 8}.{number & 255}", 0)
    assert len(doubles._heard) == 1
    assert len(doubles.others(1200, 0)) == 8
