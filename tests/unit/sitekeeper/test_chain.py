"""A chain names the first record that was touched."""

from itertools import accumulate

from hypothesis import given, settings
from hypothesis import strategies as st

from sitekeeper.chain import GENESIS, link, verify

RECORDS = st.lists(st.binary(max_size=8), min_size=1, max_size=6)


def chained(records: list[bytes], start: bytes = GENESIS) -> list[tuple[bytes, bytes]]:
    """Return the records with their hashes."""
    return list(zip(records, list(accumulate(records, link, initial=start))[1:], strict=True))


@settings(max_examples=50, deadline=None)
@given(RECORDS, st.data())
def test_the_first_changed_record_is_named(records: list[bytes], data: st.DataObject) -> None:
    """An untouched chain verifies, and a changed record is found at its place."""
    links = chained(records)
    assert verify(links) is None
    place = data.draw(st.integers(0, len(links) - 1))
    links[place] = (links[place][0] + b"!", links[place][1])
    assert verify(links) == place


@settings(max_examples=50, deadline=None)
@given(RECORDS, st.data())
def test_a_removed_record_breaks_the_one_behind_it(records: list[bytes], data: st.DataObject) -> None:
    """Taking a record out shows at the place where the next one now stands."""
    links = chained([*records, b"last"])
    place = data.draw(st.integers(0, len(records) - 1))
    del links[place]
    assert verify(links) == place


def test_moved_records_and_forged_hashes_show() -> None:
    """Order is part of the chain, and a rewritten hash breaks at its own place or the next."""
    links = chained([b"a", b"b", b"c"])
    assert verify([links[1], links[0], links[2]]) == 0
    assert verify([links[0], (b"x", link(GENESIS, b"x")), links[2]]) == 1


def test_a_part_of_a_chain_verifies_from_the_hash_before_it() -> None:
    """A chain can be checked from any known hash on."""
    links = chained([b"a", b"b", b"c"])
    assert verify(links[1:], links[0][1]) is None
    assert verify(links[1:]) == 0
