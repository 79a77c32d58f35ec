"""What the byte proxy's faults do to contents and their times, and the table of all faults."""

import pytest

from simulators.faults import SWITCHES, Fault, FaultKind, possible
from simulators.proxy import Line
from simulators.scenario import Scenario
from sitekeeper.model.clock import MS, SECOND


def times(kind: FaultKind, *, ordered: bool, **given: int) -> list[tuple[int, bytes]]:
    """Send five contents of ten bytes, 10 ms apart, and return what comes out."""
    line, fault = Line(7, ordered=ordered), Fault(kind=kind, **given)  # type: ignore[arg-type]
    return [piece for n in range(5) for piece in line.carry(bytes([n]) * 10, n * 10 * MS, fault)]


def test_a_sound_line_carries_at_once() -> None:
    """Without a fault everything comes out as it went in."""
    line = Line(ordered=True)
    assert [line.carry(b"a", at, None) for at in (1, 5)] == [[(1, b"a")], [(5, b"a")]]


def test_delay_and_jitter() -> None:
    """Delay is the same for all; jitter differs, stays within its bound, and overtakes nothing in a stream."""
    assert [at for at, _ in times(FaultKind.DELAY, ordered=True, delay=100 * MS)] == [
        100 * MS + n * 10 * MS for n in range(5)
    ]
    loose = [at - n * 10 * MS for n, (at, _) in enumerate(times(FaultKind.JITTER, ordered=False, delay=100 * MS))]
    assert len(set(loose)) == 5
    assert all(0 <= late <= 100 * MS for late in loose)
    stream = [at for at, _ in times(FaultKind.JITTER, ordered=True, delay=100 * MS)]
    assert stream == sorted(stream)
    assert stream != [at for at, _ in times(FaultKind.JITTER, ordered=False, delay=100 * MS)]


def test_throttle() -> None:
    """A hundred bytes a second let a content of ten bytes through every tenth of a second."""
    assert [at for at, _ in times(FaultKind.THROTTLE, ordered=True, count=100)] == [
        n * SECOND // 10 for n in range(1, 6)
    ]


def test_reorder() -> None:
    """Every other datagram comes behind the one after it."""
    came = [content[0] for _, content in sorted(times(FaultKind.REORDER, ordered=False, delay=15 * MS))]
    assert came == [1, 0, 3, 2, 4]


def test_repeat_and_garble() -> None:
    """Repeat doubles; garble changes one bit in as many bytes as told and no length."""
    assert [content for _, content in times(FaultKind.REPEAT, ordered=True)] == [
        bytes([n]) * 10 for n in range(5) for _ in range(2)
    ]
    for n, (_, content) in enumerate(times(FaultKind.GARBLE, ordered=True, count=3)):
        changed = [byte ^ n for byte in content if byte != n]
        assert len(content) == 10
        assert len(changed) == 3
        assert all(bits.bit_count() == 1 for bits in changed)
    assert len(Line(ordered=True).carry(b"x", 0, Fault(kind=FaultKind.GARBLE, count=9))[0][1]) == 1


def test_after_a_delay_nothing_overtakes() -> None:
    """What comes after a delay was switched off still waits behind what was delayed, in a stream."""
    line = Line(ordered=True)
    line.carry(b"a", 0, Fault(kind=FaultKind.DELAY, delay=SECOND))
    assert line.carry(b"b", 10, None) == [(SECOND, b"b")]


def test_every_fault_is_in_the_table() -> None:
    """Each kind of fault has a place, a protocol and words, and each protocol has faults at every place."""
    assert set(SWITCHES) == set(FaultKind)
    assert all(switch.protocols and switch.meaning for switch in SWITCHES.values())
    for protocol in ("modbus", "bacnet", "mqtt"):
        for place in ("device", "link", "way"):
            assert possible(protocol, place)


def scenario(kind: str, *, proxy: bool, link: str = "modbus") -> None:
    fault = [{"at": "1s", "do": {"fault": {"kind": kind}}}]
    Scenario.model_validate(
        {"title": "t", "links": [{"id": "a", "kind": link, "proxy": proxy, "devices": [], "story": fault}]}
    )


def test_the_way_is_spoilt_only_where_a_proxy_stands() -> None:
    """A fault of the way needs `proxy: true`, and datagrams to be put out of order."""
    scenario("cut", proxy=True)
    scenario("refuse", proxy=False)
    scenario("reorder", proxy=True, link="bacnet")
    with pytest.raises(ValueError, match="proxy: true"):
        scenario("cut", proxy=False)
    with pytest.raises(ValueError, match="only these faults"):
        scenario("reorder", proxy=True)
    with pytest.raises(ValueError, match="only these faults"):
        scenario("freeze", proxy=True)
