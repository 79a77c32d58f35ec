"""What is not written into `latest`."""

from cloud_sync.store import newest
from cloud_sync.store.newest import Newest


def test_what_is_older_in_order_and_time_is_not_written_again():
    """An older block of the epoch is left out; a newer one, or one that reaches further in time, is not."""
    known = Newest()
    assert known.take("e1", 7, (5, 0), 100)
    assert not known.take("e1", 7, (4, 9), 99)
    assert not known.take("e1", 7, (5, 0), 100)
    assert known.take("e1", 7, (4, 9), 101)
    assert known.take("e1", 7, (5, 1), 90)
    assert not known.take("e1", 7, (5, 1), 101)


def test_points_and_epochs_are_known_apart_and_forgotten_together():
    """What was written in one epoch says nothing of another; after a failure everything may be written again."""
    known = Newest()
    assert known.take("e1", 7, (5, 0), 100)
    assert known.take("e2", 7, (1, 0), 50)
    assert known.take("e1", 8, (1, 0), 50)
    known.forget()
    assert known.take("e1", 7, (1, 0), 50)


def test_it_is_bounded(monkeypatch):
    """With more points than it may hold it forgets, and writes once more than needed."""
    monkeypatch.setattr(newest, "MOST", 2)
    known = Newest()
    for point in (1, 2, 3):
        assert known.take("e1", point, (5, 0), 100)
    assert known.take("e1", 1, (4, 0), 90)
