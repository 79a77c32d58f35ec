"""What leaves history, in which order, and what never does."""

from collections.abc import Callable

from edge.outbox import Limits, Outbox, retention
from sitekeeper.model.clock import DAY, MINUTE, ManualClock
from tests.unit.edge.outbox.conftest import NOW, sealed

Open = Callable[..., Outbox]


def left(outbox: Outbox, stream: str, count: int) -> list[int]:
    return [n for n in range(1, count + 1) if outbox.read(stream, n, history=True) is not None]


def later(outbox: Outbox, clock: ManualClock) -> None:
    """Let the next purge happen."""
    clock.advance(2 * MINUTE)
    outbox.flush()


def test_released_blocks_go_after_fourteen_days_and_others_stay(open_outbox: Open, clock: ManualClock) -> None:
    """Age counts from a block's end, for released blocks only."""
    outbox = open_outbox()
    ages = [20, 15, 13, 1]
    outbox.append([sealed("samples", n, t=NOW - age * DAY) for n, age in enumerate(ages, start=1)])
    later(outbox, clock)
    assert left(outbox, "samples", 4) == [1, 2, 3, 4]
    outbox.release(outbox.epoch, [("samples", 2, 4)])
    later(outbox, clock)
    assert left(outbox, "samples", 4) == [1, 3, 4]
    assert outbox.unsent("samples") == (1, 1, 1)


def test_nothing_goes_for_its_age_while_the_clock_is_not_trusted(open_outbox: Open) -> None:
    """A clock that is years ahead at boot must not empty the history."""
    clock = ManualClock(wall=NOW + 4_000 * DAY, trusted=False)
    outbox = open_outbox(clock=clock)
    outbox.append([sealed("samples", 1, t=NOW)])
    outbox.release(outbox.epoch, [("samples", 1, 1)])
    later(outbox, clock)
    assert left(outbox, "samples", 1) == [1]


def test_beyond_the_size_history_goes_first_samples_before_alarms(open_outbox: Open, clock: ManualClock) -> None:
    """Samples before events before alarms; what is not released stays as long as there is history."""
    outbox = open_outbox(limits=Limits(max_size=400_000))
    body = bytes(10_000)
    outbox.append([])  # the first purge is over, the next one comes in a minute
    for n in range(1, 41):
        outbox.append([sealed("samples", n, body, t=NOW), sealed("alarms", n, body, t=NOW)])
    outbox.release(outbox.epoch, [("samples", 3, 30), ("alarms", 1, 40)])
    later(outbox, clock)
    samples, alarms = left(outbox, "samples", 40), left(outbox, "alarms", 40)
    assert samples == [1, 2, *range(31, 41)]
    assert alarms[-1] == 40
    assert 0 < len(alarms) < 40
    assert alarms == list(range(alarms[0], 41))
    assert outbox.untold() is None


def test_one_purge_is_bounded_and_the_next_one_follows_at_once(
    open_outbox: Open, clock: ManualClock, monkeypatch
) -> None:
    """An alarm never waits for a long purge; what is left goes with the next commits."""
    monkeypatch.setattr(retention, "AT_ONCE", 3)
    outbox = open_outbox()
    outbox.append([sealed("samples", n, t=1) for n in range(1, 9)])
    outbox.release(outbox.epoch, [("samples", 1, 8)])
    clock.advance(2 * MINUTE)
    for expected in (5, 2, 0):
        outbox.flush()
        assert len(left(outbox, "samples", 8)) == expected
