"""Alarms while the disk fails: told past it after a second, until they are durable; and GW02, once for each failure."""

from collections.abc import Mapping
from concurrent.futures import Future

from edge.announce import Announcer
from edge.recorder import SealedBlock
from sitekeeper.block import Stream
from sitekeeper.model.clock import MS, SECOND, Micros, Moment


class Disk:
    """A disk that takes nothing until it is `mended`, and who is told what past it."""

    def __init__(self, **more: bool) -> None:
        self.now: Micros = 1_000 * SECOND
        self.problem: str | None = None
        self.told: list[dict[int, bytes]] = []
        self.pending: list[Future[None]] = []
        self.announcer = Announcer(self._tell, lambda: self.problem, **more)

    def _tell(self, blocks: Mapping[int, bytes]) -> None:
        self.told.append(dict(blocks))

    def append(self, sequence: int, stream: Stream = "alarms") -> None:
        future: Future[None] = Future()
        self.pending.append(future)
        block = SealedBlock(stream=stream, sequence=sequence, payload=b"%d" % sequence, count=1, t0=0, t1=0)
        self.announcer.given([block], future, self.now)

    def mended(self) -> None:
        self.problem = None
        for future in self.pending:
            future.set_result(None)
        self.pending.clear()

    def passes(self, seconds: float) -> list[tuple[str, float]]:
        """Look when the announcer wants to; return its verdicts with the seconds after which they came."""
        began, until, found = self.now, self.now + round(seconds * SECOND), []
        while (due := self.announcer.next_deadline()) is not None and max(due, self.now) <= until:
            self.now = max(due, self.now)
            said = self.announcer.advance(Moment(self.now, self.now))
            found += [(verdict.kind, (self.now - began) / SECOND) for verdict in said.verdicts]
            if self.announcer.next_deadline() == due:
                self.now += MS
        self.now = until
        return found


def test_a_disk_that_works_is_not_watched():
    """An append that is durable at once asks for no look and tells nobody anything."""
    disk = Disk()
    done: Future[None] = Future()
    done.set_result(None)
    disk.announcer.given([], done, disk.now)
    assert disk.announcer.next_deadline() is None
    assert disk.told == []


def test_an_alarm_that_becomes_durable_within_a_second_is_not_told_twice():
    """The ordinary way is quick enough: nothing goes past the disk."""
    disk = Disk()
    disk.append(1)
    assert disk.passes(0.9) == []
    disk.mended()
    assert disk.passes(5) == []
    assert disk.told == []


def test_after_a_second_an_alarm_is_told_and_what_follows_at_once():
    """The first waits a second, those behind it do not; all are told until the disk has them."""
    disk = Disk()
    disk.append(7)
    disk.passes(0.99)
    assert disk.told == []
    disk.passes(0.02)
    assert disk.told == [{7: b"7"}]
    disk.append(8)
    disk.passes(0.01)
    assert disk.told[-1] == {7: b"7", 8: b"8"}
    disk.mended()
    disk.passes(1.1)
    assert disk.told[-1] == {}
    assert disk.announcer.volatile == 0


def test_samples_are_never_told_past_the_disk():
    """Only blocks of alarms go the direct way."""
    disk = Disk()
    disk.append(1, "samples")
    disk.append(1, "events")
    disk.problem = "full"
    disk.passes(3)
    assert disk.told == []


def test_an_error_that_lasts_a_second_is_an_alarm_once():
    """One raise for a failure of a minute, with the disk's own words; cleared ten calm seconds after it."""
    disk = Disk()
    disk.problem = "disk full"
    disk.append(1, "samples")
    assert disk.passes(60) == [("raise", 1.0)]
    assert disk.announcer.failing
    disk.mended()
    [(kind, after)] = disk.passes(30)
    assert kind == "clear"
    assert 10 <= after <= 12
    assert not disk.announcer.failing


def test_a_disk_that_comes_and_goes_is_one_failure():
    """Writes that succeed for five seconds between errors do not end it."""
    disk = Disk()
    verdicts: list[str] = []
    for n in range(6):
        disk.problem = "disk full"
        disk.append(n + 1)
        verdicts += [kind for kind, _ in disk.passes(5)]
        disk.mended()
        verdicts += [kind for kind, _ in disk.passes(5)]
    assert verdicts == ["raise"]
    assert [kind for kind, _ in disk.passes(20)] == ["clear"]


def test_a_slow_disk_is_no_failure_and_its_alarms_are_told_all_the_same():
    """Five seconds for one sync: the alarm is told after one, and GW02 stays away."""
    disk = Disk()
    disk.append(1)
    assert disk.passes(5) == []
    assert disk.told == [{1: b"1"}]
    disk.mended()
    assert disk.passes(20) == []


def test_a_disk_that_hangs_without_a_word_is_an_alarm_after_ten_seconds():
    """No error, and nothing durable: that is a failure too."""
    disk = Disk()
    disk.append(1, "samples")
    [(kind, after)] = disk.passes(30)
    assert kind == "raise"
    assert 10 <= after <= 11


def test_what_stands_from_before_a_restart_is_cleared_when_the_disk_is_well():
    """GW02 of an earlier process is not raised again, and ends."""
    disk = Disk(standing=True)
    [(kind, after)] = disk.passes(30)
    assert kind == "clear"
    assert 10 <= after <= 12
