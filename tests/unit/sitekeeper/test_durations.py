"""Durations and sizes as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitekeeper.durations import LONGEST, duration_text, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("500ms", 500_000),
        ("15s", 15_000_000),
        ("3min", 180_000_000),
        ("2h", 7_200_000_000),
        ("7d", 604_800_000_000),
        ("0.5 s", 500_000),
        ("0s", 0),
        ("1.5ms", 1_500),
    ],
)
def test_durations(text: str, micros: int) -> None:
    """Each unit means what it says, in microseconds."""
    assert parse_duration(text) == micros


@pytest.mark.parametrize(("text", "meant"), [("5m", "5min"), ("14days", "14d"), ("10 sec", "10s"), ("2H", "2h")])
def test_a_likely_unit_is_suggested(text: str, meant: str) -> None:
    """A unit that is not ours but has an obvious meaning is refused with the right spelling."""
    with pytest.raises(ValueError, match=f"did you mean {meant}"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "15", "s", "-1s", "1h30min", "9999999d", "1e3s"])
def test_anything_else_is_no_duration(text: str) -> None:
    """A bare number, a negative or a compound one is refused."""
    with pytest.raises(ValueError):
        parse_duration(text)


@given(st.integers(0, LONGEST // 1000).map(lambda ms: ms * 1000))
def test_a_duration_is_read_back_as_it_is_printed(micros: int) -> None:
    """Printing and reading agree for every whole number of milliseconds."""
    assert parse_duration(duration_text(micros)) == micros


def test_sizes() -> None:
    """Sizes are powers of ten; binary units are refused rather than taken for something else."""
    assert (parse_size("64MB"), parse_size("4 GB")) == (64_000_000, 4_000_000_000)
    for text in ("64MiB", "64", "0.5GB"):
        with pytest.raises(ValueError):
            parse_size(text)
