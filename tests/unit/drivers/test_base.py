"""What a scan lists, by the memory that all drivers share."""

from hypothesis import given
from hypothesis import strategies as st

from drivers.base import Outcome, PointRead, ReadGroup, ScanMemory
from sitekeeper.model.clock import SECOND
from sitekeeper.model.quality import GOOD, Reason, bad

POINTS = tuple(PointRead(handle=at, name=f"p{at}", type="int", address=None) for at in range(3))
GROUP = ReadGroup(id="d@1s", device="d", period=SECOND, points=POINTS)
COMM = bad(Reason.COMM)


def scan(memory, said, *, at=10, answered=True):
    memory.begin(at)
    for index, (value, q) in said:
        memory.note(index, value, q, at + 1)
    return memory.finish(at + 1, answered=answered)


def everything(value, q=GOOD):
    return [(index, (value, q)) for index in range(3)]


def test_first_scan_is_complete_and_in_order():
    """The first scan lists every point by index, whatever the order in which they were read."""
    first = scan(ScanMemory(GROUP), list(reversed(everything(1))))
    assert first.outcomes == [Outcome(index, 11, 1, GOOD) for index in range(3)]
    assert (first.complete, first.asked, first.received) == (True, 10, 11)


def test_only_news_is_listed():
    """Later scans list only the points whose value or quality differs."""
    memory = ScanMemory(GROUP)
    scan(memory, everything(1))
    assert scan(memory, everything(1)).outcomes == []
    second = scan(memory, [(0, (1, GOOD)), (1, (2, GOOD)), (2, (None, bad(Reason.REFUSED)))])
    assert [outcome.index for outcome in second.outcomes] == [1, 2]
    assert not second.complete


def test_complete_after_a_failure():
    """After a scan that was not answered, the next lists every point again."""
    memory = ScanMemory(GROUP)
    scan(memory, everything(1))
    failed = scan(memory, everything(None, COMM), answered=False)
    assert [outcome.q for outcome in failed.outcomes] == [COMM] * 3
    after = scan(memory, everything(1))
    assert after.complete
    assert len(after.outcomes) == 3


def test_an_unfinished_scan_loses_nothing():
    """What was noted in a scan that never finished is listed by the next one."""
    memory = ScanMemory(GROUP)
    scan(memory, everything(1))
    memory.begin(20)
    memory.note(0, 2, GOOD, 20)
    memory.begin(30)
    assert memory.complete


STEP = st.tuples(st.sampled_from(["answered", "silent", "cancelled"]), st.tuples(*[st.integers(0, 2)] * 3))


@given(st.lists(STEP, max_size=12))
def test_the_scans_tell_the_whole_state(steps):
    """Whoever applies each scan to what he knew, knows the state of every point after every scan."""
    memory = ScanMemory(GROUP)
    known = {}
    for what, values in steps:
        state = [(value, GOOD) if what != "silent" else (None, COMM) for value in values]
        if what == "cancelled":
            memory.begin(0)
            memory.note(0, *state[0], 1)
            continue
        told = scan(memory, list(enumerate(state)), answered=what == "answered")
        known.update({outcome.index: (outcome.value, outcome.q) for outcome in told.outcomes})
        assert [known[index] for index in range(3)] == state


def test_what_is_told_is_a_scan_of_its_own_once():
    """What a device says unasked is listed by itself, is no news a second time, and neither when it is then read."""
    memory = ScanMemory(GROUP)
    scan(memory, everything(1))
    told = memory.tell([(1, 7, GOOD), (2, 1, GOOD)], 20)
    assert told is not None
    assert (told.outcomes, told.told, told.complete) == ([Outcome(1, 20, 7, GOOD)], True, False)
    assert memory.tell([(1, 7, GOOD)], 21) is None
    assert scan(memory, [(0, (1, GOOD)), (1, (7, GOOD)), (2, (1, GOOD))]).outcomes == []


def test_what_is_told_is_newer_than_what_a_reading_has_found_before():
    """A value told while a reading is under way is not undone by what that reading had found already."""
    memory = ScanMemory(GROUP)
    scan(memory, everything(1))
    memory.begin(30)
    memory.note(0, 5, GOOD, 31)
    memory.note(1, 5, GOOD, 31)
    assert memory.tell([(0, 6, GOOD)], 32) is not None
    assert [outcome.index for outcome in memory.finish(33, answered=True).outcomes] == [1]


def test_nothing_can_be_told_before_a_complete_scan():
    """Before the first scan, and after one without an answer, nothing told is passed on: the next scan says it all."""
    memory = ScanMemory(GROUP)
    assert memory.tell([(0, 1, GOOD)], 5) is None
    scan(memory, everything(1))
    scan(memory, everything(None, COMM), answered=False)
    assert memory.tell([(0, 1, GOOD)], 50) is None
