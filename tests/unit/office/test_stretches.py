"""A day as stretches says what the account says of it, and its state never looks better than it is."""

from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.ledger import DROPPED, Windows, account
from cloud_sync.store.ledger import Evidence
from office.stretches import AWAITED, KNOWN, UNEXPLAINED, Stretch, stretches
from sitekeeper.model.clock import SECOND

SPAN = st.tuples(st.integers(-10, 60), st.integers(1, 30)).map(lambda p: (p[0] * SECOND, (p[0] + p[1]) * SECOND))
SPANS = st.lists(SPAN, max_size=5)
GAPS = st.dictionaries(st.sampled_from([DROPPED, "silent", "gateway_off", "clock", "tomorrow"]), SPANS)
WINDOWS = st.builds(lambda m, q, a: Windows(missing=m, quarantined=q, awaited=a), SPANS, SPANS, SPANS)


@given(known=SPANS, gaps=GAPS, windows=WINDOWS, tail=st.integers(0, 9))
def test_the_sums_are_those_of_the_account(known: list, gaps: dict, windows: Windows, tail: int) -> None:  # type: ignore[type-arg]
    """Whatever overlaps: by cause the same lengths, in order, without a break."""
    told, until = (0, 50 * SECOND), (50 + tail) * SECOND
    found = stretches(Evidence(exists=(0, until), told=told, known=known, gaps=gaps, windows=windows))
    lengths: dict[str, int] = {}
    for each in found:
        lengths[each.what] = lengths.get(each.what, 0) + each.end - each.start
    assert [a.end for a in found[:-1]] == [b.start for b in found[1:]]
    assert (found[0].start, found[-1].end) == (0, until)
    whole = account(told, known, gaps, windows)
    expected = {KNOWN: whole.known, AWAITED: whole.awaited + tail * SECOND, UNEXPLAINED: whole.unexplained}
    assert lengths == {what: length for what, length in (expected | whole.causes).items() if length}


def test_what_nobody_explains_is_a_stretch_of_its_own() -> None:
    """Between two known stretches, and beside a gap with its cause; a hole of a millisecond is rounding."""
    evidence = Evidence(
        exists=(0, 9 * SECOND),
        told=(0, 8 * SECOND),
        known=[(0, SECOND), (SECOND + 900, 2 * SECOND), (6 * SECOND, 8 * SECOND)],
        gaps={"silent": [(3 * SECOND, 6 * SECOND)]},
        windows=Windows(),
    )
    assert stretches(evidence) == [
        Stretch(0, 2 * SECOND, KNOWN),
        Stretch(2 * SECOND, 3 * SECOND, UNEXPLAINED),
        Stretch(3 * SECOND, 6 * SECOND, "silent"),
        Stretch(6 * SECOND, 8 * SECOND, KNOWN),
        Stretch(8 * SECOND, 9 * SECOND, AWAITED),
    ]
