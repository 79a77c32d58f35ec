"""The LMON profile through scenario S1: the words of the trace, decoded, derived and judged by the shipped rules."""

import pytest

from drivers.modbus.codec import decoder
from edge.rules.derives import Derives
from edge.rules.engine import Engine
from edge.settings import Site
from sitekeeper.model.clock import SECOND
from sitekeeper.model.sample import Sample

# second: words 0, 1, 2 of the monitor
TRACE = {
    0: (0x0000, 0x0400, 0x0700),  # level at floor 7
    10: (0x0000, 0x0100, 0x0700),  # leaves upwards; the bit stays although the car is stuck from 14 s on
    16: (0x0000, 0x1100, 0x0700),  # a person moves
    17: (0x0000, 0x0100, 0x0700),
    20: (0x0000, 0x1100, 0x0700),
    21: (0x0000, 0x0100, 0x0700),
    24: (0x0000, 0x1100, 0x0700),
    25: (0x0000, 0x0100, 0x0700),
    26: (0x0022, 0x0100, 0x0700),  # b1 and b5
    41: (0x0020, 0x0100, 0x0700),  # b1 clears itself, nobody moved
    100: (0x0000, 0x0C00, 0x0700),  # back at the landing, door open; in S1 at 18:00, which nothing here waits for
}


def replay(site: Site) -> list[tuple[str, str, float]]:
    """Poll the trace once a second; return (rule, kind, second) of every verdict."""
    derives = Derives(site.derivations, state={}, as_of=None, now=0)
    engine = Engine(site.rules, state={}, as_of=None, now=0)
    device = site.devices["lift-a1"]
    online = next(point.handle for point in site.points if point.id == "lift-a1/online")
    points = [read for group in device.read.groups for read in group.points]
    verdicts, last, words = [], {}, TRACE[0]
    for second in range(130):
        words = TRACE.get(second, words)
        data = b"".join(word.to_bytes(2, "big") for word in (*words, *[0] * 16))
        at = second * SECOND
        samples = [Sample(online, at, True, 0)] if second == 0 else []
        for read in points:
            start = 2 * (read.address.address - 16)
            value = decoder(read.address, read.type)(data[start : start + 2 * read.address.size])
            if last.get(read.handle) != value:
                last[read.handle] = value
                samples.append(Sample(read.handle, at, *value))
        verdicts += engine.feed(derives.feed(samples)) + engine.feed(derives.advance(at)) + engine.advance(at)
    return [(verdict.rule, verdict.kind, verdict.at / SECOND) for verdict in verdicts]


LMON = "- {id: lift-a1, profile: lift-lmon, link: lifts"
OLD = "- {id: lift-a1, profile: sp-lift-1, link: lifts, unit: 1}"


@pytest.mark.parametrize(("allowance", "second"), [("", 41), (", rules: {L01: {express_allowance: 40s}}", 81)])
def test_l01_is_raised_15_seconds_after_b5_and_not_cleared_by_b1(site, allowance: str, second: int) -> None:
    """L01 comes at 41 s, with a 40 s express allowance at 81 s; b1 clearing itself changes nothing; there is no L04."""
    verdicts = replay(site(OLD, f"{LMON}{allowance}}}"))
    l01 = [(kind, at) for rule, kind, at in verdicts if rule == "L01"]
    assert l01[0][0] == "raise"
    assert second <= l01[0][1] < second + 3
    assert [kind for kind, _ in l01] == ["raise", "clear"]
    assert l01[1][1] >= 100
    assert not [rule for rule, _, _ in verdicts if rule == "L04"]
