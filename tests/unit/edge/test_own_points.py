"""The gateway's own devices as readings: when they are read, what is told, how links are judged."""

import pytest

from edge.own_points import SHARE_OVER, UNKNOWN, Members, OwnPoint, OwnPoints, Share, known
from sitekeeper.model.clock import MINUTE, SECOND, Moment
from sitekeeper.model.point import ScanGroup
from sitekeeper.model.quality import GOOD
from sitekeeper.model.sample import Sample

PERIOD = 10 * SECOND
GATEWAY = ScanGroup(id="gateway@10s", device="gateway", period=PERIOD, handles=(0, 1))
LINK = ScanGroup(id="link-a@10s", device="link-a", period=PERIOD, handles=(2,))


def at(mono: int) -> Moment:
    return Moment(wall=10**15 + mono, mono=mono)


def outcomes(own: OwnPoints, mono: int) -> list[tuple[str, bool, list[tuple[int, object]]]]:
    return [(s.device, s.complete, [(o.index, o.value) for o in s.outcomes]) for s in own.scans(at(mono))]


def test_all_is_told_first_and_then_what_differs() -> None:
    """The first reading is complete; a later one lists only what is no longer as it was, and vouches for the rest."""
    values = {"free": 5.0, "behind": False}
    points = [OwnPoint(lambda _: known(values["free"])), OwnPoint(lambda _: known(values["behind"]))]
    own = OwnPoints([(GATEWAY, points)], now=0)
    assert outcomes(own, 0) == [("gateway", True, [(0, 5.0), (1, False)])]
    assert (outcomes(own, PERIOD - 1), own.next_deadline()) == ([], PERIOD)
    values["behind"] = True
    assert outcomes(own, PERIOD) == [("gateway", False, [(1, True)])]
    assert outcomes(own, 2 * PERIOD) == [("gateway", False, [])]


def test_a_known_change_is_read_when_it_comes() -> None:
    """A schedule's edge is not waited for until the period is over; one that has passed is no reason to read again."""
    edge = 12 * SECOND
    own = OwnPoints([(LINK, [OwnPoint(lambda now: known(now.mono >= edge), lambda _: edge)])], now=0)
    assert outcomes(own, 0) == [("link-a", True, [(0, False)])]
    assert outcomes(own, PERIOD) == [("link-a", False, [])]
    assert own.next_deadline() == edge
    assert outcomes(own, edge) == [("link-a", False, [(0, True)])]
    assert own.next_deadline() == edge + PERIOD


def test_a_device_that_comes_or_goes_is_noticed_at_once() -> None:
    """Its link is read at once, others are not; samples of other points change nothing."""
    points = [OwnPoint(lambda _: known(1)), OwnPoint(lambda _: known(2))]
    own = OwnPoints([(GATEWAY, points), (LINK, points[:1])], now=0, links={7: LINK.id})
    own.scans(at(0))
    assert not own.seen([Sample(3, SECOND, True, GOOD)])
    assert own.seen([Sample(7, SECOND, False, GOOD)])
    assert [scan.device for scan in own.scans(at(SECOND))] == ["link-a"]


@pytest.mark.parametrize(
    ("said", "lost", "offline"),
    [
        ((False, False), (True, GOOD), 2),
        ((False, True), (False, GOOD), 1),
        ((False, None), UNKNOWN, 1),
        ((True, None), (False, GOOD), 0),
    ],
)
def test_a_link_is_lost_when_nobody_on_it_answers(said, lost, offline) -> None:
    """One that was not heard of since the start leaves it open, unless another answers."""
    members = Members([lambda each=each: each for each in said])
    assert members.lost(at(0)) == lost
    assert members.offline(at(0)) == (offline, GOOD)
    assert members.count(at(0)) == (2, GOOD)


def test_the_share_of_failed_readings_looks_back_ten_minutes() -> None:
    """Without a reading there is no share; what lies further back no longer counts."""
    counts = [0, 0]
    share = Share(lambda: (counts[0], counts[1]))
    assert share.read(at(0)) == UNKNOWN
    counts[:] = [100, 50]
    assert share.read(at(MINUTE)) == (0.5, GOOD)
    counts[:] = [300, 50]
    assert share.read(at(SHARE_OVER)) == (0.167, GOOD)
    assert share.read(at(SHARE_OVER + MINUTE)) == (0.0, GOOD)
    assert share.read(at(2 * SHARE_OVER + MINUTE)) == UNKNOWN
