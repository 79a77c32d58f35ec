"""What the uplink sends, in which order, and what it does when nobody answers."""

from itertools import pairwise
from random import Random

from cloud_sync.pace import Pace
from cloud_sync.uplink_machine import Reconnect, Release, Send, UplinkLimits, UplinkMachine
from cloud_sync.wire import Committed, Receipt
from sitekeeper.block import Stream
from sitekeeper.model.clock import SECOND

LIMITS = UplinkLimits(window=8, events_window=2, receipt_timeout=10 * SECOND)


def machine(**offers: tuple[int, int]) -> UplinkMachine:
    made = UplinkMachine("e1", LIMITS, Random(1))
    made.tempo.window = 8
    made.connect(0)
    for stream, (oldest, newest) in offers.items():
        made.offer(stream, oldest, newest)  # type: ignore[arg-type]
    return made


def drain(made: UplinkMachine, now: int, *, answer: bool = True) -> list[tuple[Stream, int]]:
    """Let the machine send what it will; the broker answers everything."""
    sent = []
    while outputs := made.advance(now):
        for output in outputs:
            if isinstance(output, Send):
                sent.append((output.stream, output.sequence))
                if answer:
                    made.published(output.stream, output.sequence, 0, now)
            else:
                return [*sent, ("reconnect", 0)]  # type: ignore[list-item]
    return sent


def receipt(stream: Stream, start: int, end: int, epoch: str = "e1") -> Receipt:
    return Receipt(0, [Committed(epoch, stream, [(start, end)])])


def test_alarms_overtake_events_overtake_live_samples_overtake_backfill():
    """Alarms, two events blocks, then live samples before old ones."""
    made = machine(alarms=(1, 1), events=(1, 5), samples=(1, 10))
    made.offer("samples", 1, 12)  # 11 and 12 came after the connection: live
    assert drain(made, 0)[:5] == [("alarms", 1), ("events", 1), ("events", 2), ("samples", 11), ("samples", 12)]
    assert next(one for one in made.in_flight() if one[0] == "samples") == ("samples", 1)


def test_eight_alarms_blocks_are_in_flight_in_their_order():
    """The ninth goes out when, and only when, one of the first eight has its receipt."""
    made = machine(alarms=(1, 20))
    assert drain(made, 0) == [("alarms", sequence) for sequence in range(1, 9)]
    assert drain(made, SECOND) == []
    assert made.receipt(receipt("alarms", 1, 1), SECOND) == [Release("e1", [("alarms", 1, 1)])]
    assert drain(made, SECOND) == [("alarms", 9)]


def test_alarms_that_may_end_connections_go_one_at_a_time():
    """When a connection died over eight of them, the next one carries one, so that the guilty one stands alone."""
    made = machine(alarms=(1, 20))
    assert len(drain(made, 0, answer=False)) == 8
    made.disconnect(SECOND)
    made.connect(2 * SECOND)
    made.offer("alarms", 1, 20)
    assert drain(made, 2 * SECOND, answer=False) == [("alarms", 1)]


def test_the_window_is_never_larger_than_its_limit():
    """Not at the start either."""
    assert UplinkMachine("e1", UplinkLimits(window=2)).window == 2


def test_a_block_that_cannot_be_read_is_passed_by_for_a_while():
    """The disk may give it later; what is behind it goes on."""
    made = machine(events=(1, 2))
    assert made.advance(0) == [Send("events", 1)]
    made.aside("events", 1, 0)
    assert drain(made, 0) == [("events", 2)]
    assert made.refused == {}
    made.receipt(receipt("events", 2, 2), SECOND)
    assert drain(made, 61 * SECOND)[0] == ("events", 1)


def test_the_brokers_acknowledgement_releases_nothing():
    """However long ago the broker took a block, it stays in flight and is sent again."""
    made = machine(alarms=(1, 1))
    drain(made, 0)
    assert made.in_flight() == [("alarms", 1)]
    assert ("alarms", 1) in drain(made, 11 * SECOND)


def test_a_receipt_for_another_epoch_changes_nothing():
    """A receipt that speaks of a former outbox file releases nothing of this one."""
    made = machine(alarms=(1, 1))
    drain(made, 0)
    assert made.receipt(receipt("alarms", 1, 1, epoch="old"), SECOND) == []
    assert made.in_flight() == [("alarms", 1)]


def test_silence_shrinks_the_window_probes_and_then_reconnects():
    """Without any receipt one block at a time is sent again, ever more rarely, and then the connection is renewed."""
    made = machine(samples=(1, 8))
    assert len(drain(made, 0)) >= 1
    probes, reconnected, now = [], None, 10 * SECOND
    for _ in range(100):
        for output in made.advance(now):
            if isinstance(output, Reconnect):
                reconnected = reconnected or now
            elif isinstance(output, Send):
                probes.append(now)
        if reconnected:
            break
        now += SECOND
    assert made.window == 1
    assert len(probes) == 3
    assert reconnected is not None
    assert reconnected < 40 * SECOND
    assert probes[2] - probes[1] > probes[1] - probes[0]


def test_a_new_alarm_is_sent_at_once_even_while_nobody_answers():
    """An alarm does not wait for the answer to a sample."""
    made = machine(samples=(1, 8))
    drain(made, 0)
    made.advance(11 * SECOND)
    assert made.probing
    made.offer("alarms", 1, 1)
    assert Send("alarms", 1) in made.advance(11 * SECOND + 1)


def test_receipts_end_the_probing_and_open_the_window_again():
    """After the first receipt the rest follows; nothing has to wait for a reconnection."""
    made = machine(samples=(1, 8))
    drain(made, 0)
    made.advance(11 * SECOND)
    made.receipt(receipt("samples", 1, 1), 12 * SECOND)
    assert not made.probing
    sent = []
    for second in range(12, 30):
        for stream, sequence in drain(made, second * SECOND):
            sent.append(sequence)
            made.receipt(receipt(stream, sequence, sequence), second * SECOND)
    assert set(sent) >= {2, 3, 4, 5, 6, 7, 8}
    assert made.window > 2


def test_an_office_that_answers_for_an_earlier_file_is_not_silent():
    """A receipt, or a word of quarantine, for what was saved of an earlier outbox ends the probing too."""
    for answered in ("receipt", "quarantined", "nothing"):
        made = machine(samples=(1, 8))
        drain(made, 0)
        made.advance(11 * SECOND)
        assert made.probing
        if answered == "receipt":
            assert made.receipt(receipt("alarms", 1, 1, epoch="old"), 12 * SECOND) == []
        elif answered == "quarantined":
            assert made.quarantined("old", "alarms", 1, 12 * SECOND) == [Release("old", [("alarms", 1, 1)])]
        else:
            made.receipt(Receipt(0, []), 12 * SECOND)
        assert made.probing == (answered == "nothing")
        assert made.in_flight() == [("samples", 1)]


def test_a_refusing_broker_is_not_reconnected_to_for_ever():
    """Reason code 135 holds the stream for a minute, shows itself, and lets the other streams pass."""
    made = machine(samples=(1, 1), alarms=(1, 1))
    made.advance(0)
    made.published("samples", 1, 135, 0)
    made.published("alarms", 1, 0, 0)
    made.receipt(receipt("alarms", 1, 1), 1)
    assert made.refused == {"samples": 135}
    assert [made.advance(second * SECOND) for second in range(1, 59)] == [[]] * 58
    assert made.advance(61 * SECOND) == [Send("samples", 1)]


def test_a_block_that_kills_the_connection_three_times_is_left_aside():
    """A message that the broker drops the connection for stands alone after the first time, and then is held back."""
    made = machine(samples=(1, 3))
    sent = []
    for attempt in range(6):
        now = attempt * SECOND
        if attempt:
            made.connect(now)
            made.offer("samples", 1, 3)
        while outputs := made.advance(now):
            for output in outputs:
                assert isinstance(output, Send)
                sent.append((attempt, output.sequence))
                if output.sequence == 2:  # the poisonous one: no answer, and then the connection is gone
                    continue
                made.published("samples", output.sequence, 0, now)
                made.receipt(receipt("samples", output.sequence, output.sequence), now)
        made.disconnect(now)
    assert [attempt for attempt, sequence in sent if sequence == 2] == [0, 1, 2]
    assert {sequence for _, sequence in sent} == {1, 2, 3}
    made.connect(70 * SECOND)
    made.offer("samples", 2, 2)
    assert drain(made, 70 * SECOND) == [("samples", 2)]


def test_an_office_that_is_too_old_stops_one_stream_for_a_while():
    """A `version` answer keeps the block, and asks again after a minute."""
    made = machine(alarms=(1, 1))
    drain(made, 0)
    made.too_new("alarms", SECOND)
    assert drain(made, 30 * SECOND) == []
    assert drain(made, 62 * SECOND) == [("alarms", 1)]


def test_resend_goes_back_in_order():
    """An office that lacks alarms 2 and 3 gets them before the one that was in flight."""
    made = machine(alarms=(4, 5))
    drain(made, 0)
    made.resend("alarms", 2, SECOND)
    order = []
    for _ in range(4):
        for stream, sequence in drain(made, SECOND):
            order.append(sequence)
            made.receipt(receipt(stream, sequence, sequence), SECOND)
    assert order == [2, 3, 4, 5]


def test_backfill_keeps_to_its_rate():
    """Blocks of 1,000 samples at 20,000 a second: about twenty in a second, not all at once."""
    made = UplinkMachine("e1", UplinkLimits(window=500), Random(1))
    made.tempo.window = 500
    made.connect(0)
    made.offer("samples", 1, 400)
    sent = 0
    for milli in range(1_000):
        while outputs := made.advance(milli * 1_000):
            for output in outputs:
                assert isinstance(output, Send)
                sent += 1
                made.spent(output.stream, output.sequence, 5_000)
                made.receipt(receipt("samples", output.sequence, output.sequence), milli * 1_000)
    assert 18 <= sent <= 24


def test_the_window_bounds_what_is_in_flight():
    """Never more sample blocks are under way than the window allows, whatever is offered."""
    made = machine(samples=(1, 1))
    made.offer("samples", 1, 1_000)
    drain(made, 0)
    assert len(made.in_flight()) == LIMITS.window


def test_what_waits_for_the_brokers_answer_is_bounded_in_bytes_and_alarms_pass():
    """On a line of 6 kB/s at most a second's worth of samples is given to TCP before an alarm, whatever the backlog."""
    made = UplinkMachine("e1", UplinkLimits(), Random(1))
    made.tempo.window = 32
    made.connect(0)
    made.offer("samples", 1, 10_000)
    now, line_free, under_way, worst = 0, 0, [], 0
    for step in range(3_000):
        now = step * 10_000
        while under_way and under_way[0][0] <= now:
            stream, sequence = under_way.pop(0)[1]
            made.published(stream, sequence, 0, now)
            made.receipt(receipt(stream, sequence, sequence), now)
        if step > 1_000:
            worst = max(worst, line_free - now)
        while outputs := made.advance(now):
            for output in outputs:
                assert isinstance(output, Send)
                made.spent(output.stream, output.sequence, 3_000)
                line_free = max(now, line_free) + 3_000 * SECOND // 6_000
                under_way.append((line_free, (output.stream, output.sequence)))
    assert 0 < worst <= 1_600_000
    made.offer("alarms", 1, 1)
    assert made.advance(now) == [Send("alarms", 1)]


def test_a_brisk_line_is_given_more_and_a_slow_one_less():
    """Answers in no time let the bound grow by what they answered; one that took two seconds halves it."""
    pace = Pace(UplinkLimits())
    pace.connect(0, 65_535)
    first = pace.bound
    pace.sent(("samples", 1), 4_000)
    pace.answered(("samples", 1), SECOND // 10)
    assert pace.bound == first + 4_000
    pace.refill(SECOND)
    pace.sent(("samples", 2), 4_000)
    pace.answered(("samples", 2), 3 * SECOND)
    assert pace.bound == (first + 4_000) // 2


def test_backfill_leaves_room_for_live_samples():
    """However much is behind, a quarter of the window is kept for what happens now."""
    made = machine(samples=(1, 100))
    drain(made, 0)
    before = len(made.in_flight())
    made.offer("samples", 1, 101)
    assert before == 6
    assert drain(made, 0) == [("samples", 101)]


def test_a_broker_that_says_that_nobody_listens_is_believed_at_once():
    """Reason code 16: one block in flight, asked again within seconds and not by reconnecting; receipts end it."""
    made = machine(alarms=(1, 1), samples=(1, 8))
    for output in made.advance(0):
        made.published(output.stream, output.sequence, 16, 0)  # type: ignore[union-attr]
    assert made.probing
    sent, now = [], 0
    for _ in range(300):
        now += SECOND // 10
        for output in made.advance(now):
            assert isinstance(output, Send)
            sent.append(now)
            made.published(output.stream, output.sequence, 16, now)
    assert 10 <= len(sent) <= 45
    assert max(later - sooner for sooner, later in pairwise(sent)) <= 2.6 * SECOND
    made.receipt(receipt("alarms", 1, 1), now)
    assert not made.nobody
    assert ("samples", 1) in drain(made, now)


def test_an_unanswered_block_is_not_sent_again_on_the_same_connection():
    """What the broker has not acknowledged is still with TCP: repeating it would only make the queue longer."""
    made = machine(alarms=(1, 1))
    assert drain(made, 0, answer=False) == [("alarms", 1)]
    assert drain(made, 9 * SECOND) == []
    made.published("alarms", 1, 0, 9 * SECOND)
    assert drain(made, 12 * SECOND) == [("alarms", 1)]


def test_silence_makes_no_suspects_and_a_suspect_stops_no_alarm():
    """A half-open line is nobody's fault; and an alarm goes out beside a suspect."""
    made = machine(samples=(1, 2))
    drain(made, 0, answer=False)
    made.disconnect(SECOND, silent=True)
    assert made.holds.suspects == {}
    made.connect(2 * SECOND)
    made.offer("samples", 1, 2)
    drain(made, 2 * SECOND, answer=False)
    made.disconnect(3 * SECOND)
    assert made.holds.suspects
    made.connect(4 * SECOND)
    made.offer("samples", 1, 2)
    assert drain(made, 4 * SECOND, answer=False) == [("samples", 1)]
    made.offer("alarms", 1, 1)
    assert drain(made, 4 * SECOND, answer=False) == [("alarms", 1)]


def test_each_refusal_has_its_reaction():
    """Too large leaves the block aside, a quota pauses the stream for seconds, the receive maximum is kept."""
    made = machine(samples=(1, 3))
    assert made.advance(0) == [Send("samples", 1)]
    made.published("samples", 1, 149, 0)
    assert made.advance(0) == [Send("samples", 2)]
    made.published("samples", 2, 151, 0)
    assert made.refused == {"samples": 151}
    assert drain(made, 4 * SECOND) == []
    assert ("samples", 2) in drain(made, 6 * SECOND)
    made.disconnect(7 * SECOND)
    made.connect(7 * SECOND, most_unanswered=3)
    made.tempo.window = 8
    made.offer("samples", 4, 4)
    made.offer("samples", 4, 50)
    sent = []
    while outputs := made.advance(7 * SECOND):
        for output in outputs:
            assert isinstance(output, Send)
            made.spent(output.stream, output.sequence, 100)
            sent.append(output.sequence)
    assert len(sent) == 2  # one is kept for an alarm


def test_retry_holds_nothing_back_any_longer():
    """After something was mended, what was refused goes out at once."""
    made = machine(samples=(1, 1))
    drain(made, 0)
    made.published("samples", 1, 135, 0)
    assert drain(made, SECOND) == []
    made.retry(2 * SECOND)
    assert drain(made, 2 * SECOND) == [("samples", 1)]


def test_a_connection_that_says_nothing_any_more_is_made_anew_even_if_nobody_listened():
    """Reason code 16 came while the link was alive; then nothing comes, not even that, and a new connection is due."""
    made = machine(samples=(1, 4))
    for output in made.advance(0):
        made.published(output.stream, output.sequence, 16, 0)  # type: ignore[union-attr]
    found = [(now, output) for now in range(0, 60 * SECOND, SECOND) for output in made.advance(now)]
    reconnects = [now for now, output in found if isinstance(output, Reconnect)]
    assert reconnects
    assert LIMITS.receipt_timeout <= reconnects[0] <= 3 * LIMITS.receipt_timeout
