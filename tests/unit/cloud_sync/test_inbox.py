"""Messages that wait to be taken are bounded in bytes."""

from types import SimpleNamespace

from cloud_sync.inbox import CROWD, Inbox


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
    inbox.put_nowait(message(100_000, 1))
    assert (len(inbox.get_nowait().payload), inbox.dropped) == (600, 0)


def test_where_many_wait_the_connection_is_not_read_until_half_of_them_were_taken() -> None:
    """Of QoS 1 nothing is dropped, whatever waits; reading stops once and goes on once."""
    inbox, said = Inbox(2, waiting=10_000, largest=600), list[str]()
    inbox.pause, inbox.go_on = lambda: said.append("pause"), lambda: said.append("go on")
    for _ in range(CROWD - 1):
        inbox.put_nowait(message(1, 1))
    assert said == ["pause"]  # beyond the place for QoS 0
    inbox.put_nowait(message(1, 0))
    inbox.put_nowait(message(1, 1))
    assert (inbox.qsize(), inbox.dropped, inbox.came) == (CROWD, 1, CROWD)
    while inbox.qsize() > CROWD // 2 + 1:
        inbox.get_nowait()
    assert said == ["pause"]
    inbox.get_nowait()
    assert said == ["pause", "go on"]


def test_bytes_stop_the_reading_too() -> None:
    """Few long messages are as much as many short ones."""
    inbox = Inbox(CROWD, waiting=1_000, largest=600)
    for _ in range(2):
        inbox.put_nowait(message(600, 1))
    assert inbox.paused
    inbox.get_nowait()
    assert inbox.paused  # 600 bytes are more than half of what may wait
    inbox.get_nowait()
    assert not inbox.paused
