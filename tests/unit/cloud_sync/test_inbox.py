"""Messages that wait to be taken are bounded in bytes."""

from types import SimpleNamespace

from cloud_sync.inbox import Inbox


def message(size: int, qos: int = 0) -> SimpleNamespace:
    return SimpleNamespace(payload=b"x" * size, qos=qos)


def test_what_waits_is_bounded_in_bytes_and_what_is_dropped_is_counted() -> None:
    """What the broker would wait for is not dropped, and what was taken makes room."""
    inbox = Inbox(100, waiting=1_000, largest=600)
    for size, qos in ((600, 0), (400, 0), (1, 0), (300, 1)):
        inbox.put_nowait(message(size, qos))
    assert (inbox.qsize(), inbox.dropped) == (3, 1)
    assert len(inbox.get_nowait().payload) == 600
    inbox.put_nowait(message(300))
    assert (inbox.qsize(), inbox.dropped) == (3, 1)


def test_of_one_that_is_too_long_only_the_beginning_is_kept() -> None:
    """It is still too long for anybody, and can be acknowledged."""
    inbox = Inbox(2, waiting=10_000, largest=600)
    for _ in range(3):
        inbox.put_nowait(message(100_000, 1))
    assert (len(inbox.get_nowait().payload), inbox.qsize(), inbox.dropped) == (600, 1, 1)
