"""What `fuzz_targets` promises, on bytes made by a seed; `tests/faults/test_fuzz.py` searches longer."""

import random

import pytest

from tests.fixtures.fuzz_targets import TARGETS

TIMES = 3_000


def varied(seed: bytes, rng: random.Random) -> bytes:
    """Return a sound input with some of it cut, repeated, swapped or replaced."""
    data = bytearray(seed)
    for _ in range(rng.randint(0, 4)):
        at, size = rng.randrange(len(data) + 1), rng.randint(1, 6)
        data[at : at + rng.choice((0, size))] = rng.choice(
            (
                b"",
                rng.randbytes(size),
                bytes(data[:size]),
                rng.choice((b"[", b'"', b".", b"/", b"+", b"\n", b"{x}", b"0")),
            )
        )
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_unforeseen_comes_of_any_bytes(name: str) -> None:
    """Sound inputs as they are, and thousands that are nearly sound."""
    target, seeds = TARGETS[name]
    rng = random.Random(name)
    for seed in seeds:
        target(seed)
    for _ in range(TIMES):
        target(varied(rng.choice(seeds), rng))
