"""The machine's two clocks are two."""

import time

import pytest

from sitekeeper.model.clock import HOUR, SECOND, SystemClock


def test_a_step_of_the_wall_clock_moves_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """When somebody sets the wall clock on by an hour, the monotonic time goes on as it did."""
    clock, true = SystemClock(), time.time_ns
    wall, mono = clock.wall(), clock.monotonic()
    monkeypatch.setattr(time, "time_ns", lambda: true() + HOUR * 1_000)
    assert clock.wall() - wall >= HOUR
    assert 0 <= clock.monotonic() - mono < 60 * SECOND
