"""How long a site waits for receipts, and how much it sends meanwhile."""

from collections import Counter
from random import Random

from cloud_sync.tempo import BRISK, REMEMBERED, SLOW, Tempo
from cloud_sync.uplink_machine import Send, UplinkMachine
from cloud_sync.uplink_records import BlockId, UplinkLimits
from cloud_sync.wire import Committed, Receipt
from sitekeeper.model.clock import MINUTE, SECOND

LIMITS = UplinkLimits()


def sample(number: int) -> BlockId:
    return "samples", number


def test_patience_is_that_of_rfc_6298() -> None:
    """The first receipt sets it to three times what it took; then smoothed time and four times its variation."""
    tempo = Tempo(LIMITS)
    assert tempo.patience == LIMITS.receipt_timeout
    tempo.receipted(sample(1), 0, 8 * SECOND)
    assert tempo.patience == 24 * SECOND
    tempo.receipted(sample(2), 0, 16 * SECOND)
    assert tempo.patience == (8 + 1) * SECOND + 4 * (4 + 1) * SECOND


def test_patience_stays_within_its_bounds() -> None:
    """Never less than ten seconds nor more than five minutes, whatever is measured and however long silence lasts."""
    tempo = Tempo(LIMITS)
    for number in range(100):
        tempo.receipted(sample(number), 0, 1_000)
    assert tempo.patience == 10 * SECOND
    for number in range(20):
        tempo.receipted(sample(number), 0, 40 * MINUTE)
    assert tempo.patience == 5 * MINUTE
    tempo = Tempo(LIMITS)
    waits = []
    for _ in range(10):
        tempo.silence()
        waits.append(tempo.patience // SECOND)
    assert waits[:5] == [20, 40, 80, 160, 300]
    assert set(waits[5:]) == {300}


def test_what_was_sent_twice_is_not_measured() -> None:
    """Karn's rule: of a block that was sent again nobody knows which copy the receipt answers."""
    tempo = Tempo(LIMITS)
    tempo.receipted(sample(1), 0, 8 * SECOND)
    tempo.again(sample(2))
    for _ in range(50):
        tempo.receipted(sample(2), 0, 1_000)
    assert tempo.patience == 24 * SECOND
    tempo.done("samples", 2, 2)
    tempo.receipted(sample(2), 0, 1_000)
    assert tempo.patience != 24 * SECOND


def test_what_was_sent_twice_is_remembered_within_bounds() -> None:
    """However many blocks go again and get no receipt."""
    tempo = Tempo(LIMITS)
    for number in range(3 * REMEMBERED):
        tempo.again(sample(number))
    assert len(tempo._twice) == REMEMBERED


def test_the_window_shrinks_when_receipts_slow_down_and_grows_when_they_are_brisk() -> None:
    """One slow time halves it once, however many receipts come of it; it is never less than one."""
    tempo = Tempo(LIMITS, window=16)
    for number in range(10):
        tempo.receipted(sample(number), 0, SLOW + 1 + number)
    assert tempo.window == 8
    for number in range(10):
        since = (number + 1) * MINUTE
        tempo.receipted(sample(number), since, since + SLOW + 1)
    assert tempo.window == 1
    tempo.receipted(sample(1), 0, (BRISK + SLOW) // 2)
    assert tempo.window == 1
    for number in range(100):
        tempo.receipted(sample(number), 0, BRISK - 1)
    assert tempo.window == LIMITS.window


def test_receipts_of_alarms_say_nothing_about_samples() -> None:
    """They have a lane of their own at the office, and are brisk while samples wait."""
    tempo = Tempo(LIMITS, window=1)
    tempo.receipted(sample(1), 0, 20 * SECOND)
    patience = tempo.patience
    for number in range(10):
        tempo.receipted(("alarms", number), 0, 1_000)
    assert (tempo.window, tempo.patience) == (1, patience)


def test_an_office_that_is_slow_gets_each_block_once() -> None:
    """It serves this site every eight seconds, so four blocks under way take half a minute: none is sent twice."""
    made = UplinkMachine("e1", LIMITS, Random(1))
    made.connect(0)
    made.offer("samples", 1, 60)
    sent, queue, receipts = Counter[BlockId](), list[int](), 0
    for second in range(600):
        now = second * SECOND
        if second % 8 == 7 and queue:
            number = queue.pop(0)
            receipts += 1
            made.receipt(Receipt(0, [Committed("e1", "samples", [(number, number)])]), now)
        while outputs := made.advance(now):
            for output in outputs:
                assert isinstance(output, Send), "a slow office is not gone"
                block = (output.stream, output.sequence)
                sent[block] += 1
                queue.append(output.sequence)
                made.published(*block, 0, now)
        assert not made.probing
    assert receipts == 60
    assert sum(sent.values()) == 60
    assert made.window <= 2
