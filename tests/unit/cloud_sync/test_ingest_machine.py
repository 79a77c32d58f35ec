"""What the office does with each kind of message."""

import msgspec
import pytest
from msgspec.structs import replace

from cloud_sync import wire
from cloud_sync.fit import AHEAD, LAST
from cloud_sync.ingest_machine import IngestMachine
from cloud_sync.ingest_parking import WORD_LASTS
from cloud_sync.ingest_records import Acknowledge, Answer, Arrival, Ask, Heard, IngestLimits
from cloud_sync.session import Delivery
from cloud_sync.store.base import Known, Outcome, PutBlock, PutMissing, PutQuarantine, PutStatus, Shape
from cloud_sync.wire import Request, Status
from sitekeeper.block import Vouch
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.frame import seal
from sitekeeper.model.clock import SECOND
from sitekeeper.model.sample import Sample
from tests.unit.cloud_sync.material import EPOCH, SITE, catalogue, payload, transition

HASH = catalogue_hash(catalogue())
KNOWN = Known(catalogues={HASH: Shape(SITE, 2, 1)})
BOTH = {"alarms": 1}


def arrival(kind: str, data: bytes, *, mid: int = 1, retained: bool = False, site: str = SITE) -> Arrival:
    topic = f"sitekeeper/1/{site}/up/{kind}"
    return Arrival("urgent", 1, Delivery(topic=topic, payload=data, retained=retained, mid=mid, qos=1))


def status(first: int, *, online: bool = True, following: int | None = None, epoch: str = EPOCH) -> bytes:
    says = Status(online=online, site=SITE, epoch=epoch, boot="b", version="0", first={"alarms": first})
    return wire.encode_status(says if following is None else replace(says, next={"samples": following}))


def take(machine: IngestMachine) -> list[object]:
    """Commit everything that is ready; return its entries."""
    entries: list[object] = []
    while (batch := machine.batch(0)) is not None:
        entries += batch.transaction.entries
        machine.committed(batch, Outcome(applied=tuple("new" for _ in batch.transaction.entries)))
    return entries


def sequences(entries: list[object]) -> list[int]:
    return [entry.block.sequence for entry in entries if isinstance(entry, PutBlock)]


def test_the_receipt_comes_with_the_commit_and_not_before():
    """Accepting a block answers nothing; committing it answers the receipt first and the broker last."""
    machine = IngestMachine(KNOWN)
    came = arrival("samples", payload("samples", 7))
    assert machine.accept(came, 0) == [Heard(SITE, None)]
    batch = machine.batch(5)
    assert batch is not None
    receipt = wire.receipt_for(5, [(EPOCH, "samples", 7)])
    assert machine.committed(batch, Outcome(applied=("new",))) == [Answer(SITE, receipt), Acknowledge(came)]


@pytest.mark.parametrize("applied", ["repeat", "conflict"])
def test_repeats_and_conflicts_get_their_receipt_all_the_same(applied):
    """Without it the site would send the block for ever."""
    machine = IngestMachine(KNOWN)
    machine.accept(arrival("samples", payload("samples", 7)), 0)
    batch = machine.batch(5)
    assert batch is not None
    outputs = machine.committed(batch, Outcome(applied=(applied,)))
    assert isinstance(outputs[0], Answer)
    assert machine.counts[applied] == 1


def test_alarms_that_come_too_early_wait_for_the_missing_ones():
    """Alarm 3 is parked and 2 is asked for; when 2 comes, both are applied in order."""
    machine = IngestMachine(KNOWN)
    machine.accept(arrival("alarms", payload("alarms", 1)), 0)
    came = arrival("alarms", payload("alarms", 3))
    asked = Ask(SITE, Request(resend=wire.Resend(EPOCH, "alarms", 2, 2)))
    assert machine.accept(came, 0) == [Heard(SITE, None), Acknowledge(came), asked]
    assert sequences(take(machine)) == [1]
    machine.accept(arrival("alarms", payload("alarms", 2)), 0)
    assert sequences(take(machine)) == [2, 3]


def test_an_unknown_epoch_begins_where_the_site_says():
    """The first alarms block of an epoch unknown here is the one that the status names, whatever comes first."""
    machine = IngestMachine(KNOWN)
    machine.accept(arrival("alarms", payload("alarms", 6)), 0)
    machine.accept(arrival("alarms", payload("alarms", 5)), 0)
    assert sequences(take(machine)) == []
    machine.accept(arrival("status", status(5), retained=True), 0)
    assert sequences(take(machine)) == [5, 6]


def test_an_epoch_goes_on_after_a_restart_of_the_office():
    """Positions come from the store: 4 is next after 3, and 3 again is taken as a repeat."""
    machine = IngestMachine(Known(catalogues=KNOWN.catalogues, alarms={(SITE, EPOCH): 3}))
    for sequence in (3, 4):
        machine.accept(arrival("alarms", payload("alarms", sequence)), 0)
    assert sequences(take(machine)) == [3, 4]


def test_alarms_that_the_site_cannot_send_any_more_are_recorded_as_missing():
    """A restored office asks for what it lacks, gives up after a while, and says in the record what is missing."""
    machine = IngestMachine(Known(catalogues=KNOWN.catalogues, alarms={(SITE, EPOCH): 3}))
    assert Ask(SITE, Request(resend=wire.Resend(EPOCH, "alarms", 4, 8))) in machine.accept(
        arrival("status", status(9)), 0
    )
    machine.accept(arrival("alarms", payload("alarms", 9)), SECOND)
    take(machine)
    machine.accept(arrival("status", status(9)), 31 * SECOND)
    entries = take(machine)
    assert PutMissing(site=SITE, epoch=EPOCH, stream="alarms", start=4, end=8) in entries
    assert sequences(entries) == [9]


@pytest.mark.parametrize("known", [{(SITE, "e0"): 4}, {}])
def test_saved_alarms_of_an_earlier_epoch_do_not_wait_for_what_was_lost(known):
    """What is lacking before them is asked for; if the site does not have it, they are applied, the hole stated."""
    machine = IngestMachine(Known(catalogues=KNOWN.catalogues, alarms=known))
    first = known.get((SITE, "e0"), 0) + 1
    machine.accept(arrival("status", status(1)), 0)
    asked = machine.accept(arrival("alarms", payload("alarms", 7, epoch="e0")), 0)
    lost = wire.Resend("e0", "alarms", first, 6)
    assert Ask(SITE, Request(resend=lost)) in asked
    assert sequences(take(machine)) == []
    says = Status(online=True, site=SITE, epoch=EPOCH, boot="b", version="0", first={"alarms": 1}, absent=(lost,))
    machine.accept(arrival("status", wire.encode_status(says)), SECOND)
    entries = take(machine)
    assert PutMissing(site=SITE, epoch="e0", stream="alarms", start=first, end=6) in entries
    assert sequences(entries) == [7]


def test_alarms_of_an_earlier_epoch_wait_for_no_word_that_cannot_come():
    """A gateway that never says what it has not is waited for half a minute, once it speaks under another epoch."""
    machine = IngestMachine(Known(catalogues=KNOWN.catalogues, alarms={(SITE, "e0"): 2}))

    def came(sequence: int, second: int) -> list[object]:
        machine.accept(arrival("alarms", payload("alarms", sequence, epoch="e0")), second * SECOND)
        return take(machine)

    machine.accept(arrival("status", status(3, epoch="e0")), 0)
    take(machine)
    assert came(6, 1) == came(5, 2) == came(6, 40) == []  # its own epoch: its next status may tell
    machine.accept(arrival("status", status(1)), 50 * SECOND)
    take(machine)
    entries = came(6, 51)
    assert entries[0] == PutMissing(site=SITE, epoch="e0", stream="alarms", start=3, end=4)
    assert sequences(entries) == [5, 6]
    assert came(9, 52) == came(9, 83) == []  # what it said before the hole says nothing about it
    machine.accept(arrival("status", status(1)), 84 * SECOND)
    take(machine)
    assert sequences(came(9, 85)) == [9]


def test_a_block_of_an_unknown_catalogue_waits_for_it():
    """The catalogue is asked for once in a while, and the block applied when it came."""
    machine = IngestMachine(Known())
    first = machine.accept(arrival("samples", payload("samples", 1)), 0)
    assert Ask(SITE, Request(catalogue=HASH)) in first
    came = arrival("samples", payload("samples", 2))
    assert machine.accept(came, SECOND) == [Heard(SITE, None), Acknowledge(came)]
    assert take(machine) == []
    machine.accept(arrival("catalogue", catalogue()), SECOND)
    assert sequences(take(machine)) == [1, 2]


def test_alarms_do_not_wait_for_a_catalogue():
    """An alarms block tells its story by itself and is applied at once; the catalogue is asked for."""
    machine = IngestMachine(Known())
    outputs = machine.accept(arrival("alarms", payload("alarms", 1)), 0)
    assert Ask(SITE, Request(catalogue=HASH)) in outputs
    assert sequences(take(machine)) == [1]


def test_parking_is_bounded_and_what_overflows_is_left_to_the_site():
    """Beyond the bound a block is acknowledged to the broker and forgotten: without a receipt the site keeps it."""
    machine = IngestMachine(Known(), IngestLimits(parked=2))
    for sequence in (1, 2):
        machine.accept(arrival("samples", payload("samples", sequence)), 0)
    came = arrival("samples", payload("samples", 3))
    assert Acknowledge(came) in machine.accept(came, 0)
    assert machine.parked() == 2


def test_what_is_parked_takes_no_place_of_what_it_waits_for():
    """The broker is answered when a block is parked, or it would not send the rest; the receipt waits for a commit."""
    machine = IngestMachine(KNOWN)
    machine.accept(arrival("alarms", payload("alarms", 1)), 0)
    take(machine)
    early = [arrival("alarms", payload("alarms", number), mid=number) for number in range(3, 70)]
    for came in early:
        assert Acknowledge(came) in machine.accept(came, 0)
    assert machine.batch(0) is None
    last = arrival("alarms", payload("alarms", 2), mid=2)
    machine.accept(last, 0)
    batch = machine.batch(0)
    assert batch is not None
    answer, *acks = machine.committed(batch, Outcome(applied=("new",) * len(batch.arrivals)))
    assert isinstance(answer, Answer)
    assert acks == [Acknowledge(last)]


def test_bytes_that_are_no_block_go_into_quarantine_and_are_answered_by_their_digest():
    """They are kept with the reason, acknowledged, and stop nothing behind them."""
    machine = IngestMachine(KNOWN)
    came = arrival("alarms", b"\x01garbage")
    machine.accept(came, 0)
    batch = machine.batch(0)
    assert batch is not None
    [entry] = batch.transaction.entries
    assert isinstance(entry, PutQuarantine)
    assert (entry.reason, entry.payload) == ("undecodable", b"\x01garbage")
    outputs = machine.committed(batch, Outcome(applied=("quarantined",)))
    assert outputs == [Ask(SITE, Request(quarantined=entry.digest)), Acknowledge(came)]


def test_a_newer_format_is_kept_and_answered_but_never_receipted():
    """The bytes go into quarantine without an answer that would let the site forget them."""
    machine = IngestMachine(KNOWN)
    machine.accept(arrival("samples", b"\x02" + payload("samples", 1)[1:]), 0)
    batch = machine.batch(0)
    assert batch is not None
    outputs = machine.committed(batch, Outcome(applied=("quarantined",)))
    assert not [output for output in outputs if isinstance(output, Ask | Answer)]


@pytest.mark.parametrize(
    "data",
    [
        payload("samples", 1, samples=[Sample(2, 0, 1, 0)]),
        payload("samples", 1, vouch=[Vouch(1, 0, 0)]),
        payload("samples", 1, site="other"),
        payload("events", 1),
    ],
)
def test_a_block_that_does_not_fit_goes_into_quarantine(data):
    """A handle or group beyond the catalogue, another site's name, another stream: kept, not applied."""
    machine = IngestMachine(
        Known(catalogues={**KNOWN.catalogues, catalogue_hash(catalogue("other")): Shape(SITE, 2, 1)})
    )
    machine.accept(arrival("samples", data), 0)
    [entry] = take(machine)
    assert isinstance(entry, PutQuarantine)
    assert entry.reason in {"constraint", "wrong-topic"}


def test_a_poisonous_alarm_takes_its_place_and_the_next_ones_go_on():
    """An alarms block with a foreign key is quarantined under its sequence; the one behind it is next."""
    machine = IngestMachine(KNOWN)
    bad = payload("alarms", 2, transitions=[transition(2, key="elsewhere/x/L01")])
    for data in (payload("alarms", 1), bad, payload("alarms", 3)):
        machine.accept(arrival("alarms", data), 0)
    assert sequences(take(machine)) == [1, 3]


def test_urgent_entries_never_share_a_transaction_with_samples():
    """However many samples came first, the alarm is in the next transaction, alone."""
    machine = IngestMachine(KNOWN)
    for sequence in range(1, 60):
        machine.accept(arrival("samples", payload("samples", sequence)), 0)
    machine.accept(arrival("alarms", payload("alarms", 1)), 0)
    batch = machine.batch(0)
    assert batch is not None
    assert [entry.block.stream for entry in batch.transaction.entries if isinstance(entry, PutBlock)] == ["alarms"]


def test_a_transaction_is_bounded():
    """No more blocks and bytes go into one transaction than the limits allow, and at least one does."""
    machine = IngestMachine(KNOWN, IngestLimits(blocks=3, size=10))
    for sequence in range(1, 3):
        machine.accept(arrival("samples", payload("samples", sequence)), 0)
    batch = machine.batch(0)
    assert batch is not None
    assert len(batch.arrivals) == 1


def test_only_what_is_live_is_a_sign_of_life():
    """A retained status is stored but not heard; a last will is heard as not online."""
    machine = IngestMachine(KNOWN)
    assert machine.accept(arrival("status", status(1), retained=True), 0) == []
    assert machine.accept(arrival("status", status(1, online=False)), 0) == [Heard(SITE, online=False)]
    assert [entry.live for entry in take(machine) if isinstance(entry, PutStatus)] == [False, True]


def refused(machine: IngestMachine, sequence: int, now: int) -> bool:
    """Take a samples block; tell whether it went into quarantine for its sequence, and was answered like that."""
    machine.accept(arrival("samples", payload("samples", sequence)), now)
    batch = machine.batch(0)
    assert batch is not None
    [entry] = batch.transaction.entries
    outputs = machine.committed(batch, Outcome(applied=("new",)))
    if not isinstance(entry, PutQuarantine):
        assert isinstance(outputs[0], Answer)
        return False
    assert (entry.reason, entry.sequence) == ("sequence", sequence)
    assert outputs[0] == Ask(SITE, Request(quarantined=entry.digest))
    return True


def test_a_sequence_far_beyond_the_site_s_own_word_goes_into_quarantine():
    """The site is at 50 by its live status: what it may seal in a minute is taken, one more is not."""
    machine = IngestMachine(KNOWN)
    machine.accept(arrival("status", status(1, following=50)), 0)
    take(machine)
    assert not refused(machine, 50 + AHEAD, WORD_LASTS)
    assert refused(machine, 51 + AHEAD, WORD_LASTS)


@pytest.mark.parametrize(("retained", "later"), [(True, 0), (False, WORD_LASTS + 1)])
def test_an_old_word_refuses_nothing(retained, later):
    """What a broker kept, and what a site said more than a minute ago, is behind by nobody knows how much."""
    machine = IngestMachine(KNOWN)
    machine.accept(arrival("status", status(1, following=50), retained=retained), 0)
    take(machine)
    assert not refused(machine, 51 + AHEAD, later)
    assert refused(machine, LAST + 1, later)


def test_spoilt_bytes_of_a_far_sequence_take_no_place():
    """Their header can be read, but a place so far ahead would make a hole that is waited for."""
    machine = IngestMachine(KNOWN)
    spoilt = seal(msgspec.msgpack.encode([SITE, EPOCH, "samples", LAST + 1, "nothing else"]))
    machine.accept(arrival("samples", spoilt), 0)
    [entry] = take(machine)
    assert isinstance(entry, PutQuarantine)
    assert (entry.reason, entry.sequence) == ("undecodable", None)


SPOILT = b"\x01not even a header"


def spoilt_key(sequence: int) -> bytes:
    """Return an alarms block of a number that can be told, and of an alarm that is not its site's."""
    return payload("alarms", sequence, transitions=[replace(transition(sequence), key="elsewhere/lift/L01")])


def test_the_first_block_of_an_epoch_takes_its_place_in_quarantine_too():
    """The office knows its number, so the alarm behind it waits for nobody's word."""
    machine = IngestMachine(KNOWN)
    machine.accept(arrival("alarms", spoilt_key(1)), 0)
    machine.accept(arrival("alarms", payload("alarms", 2)), 0)
    assert sequences(take(machine)) == [2]


def test_a_block_in_quarantine_of_an_unknown_epoch_takes_its_place_once_it_is_known():
    """It came before the word where the epoch begins, which names the block itself."""
    machine = IngestMachine(KNOWN)
    machine.accept(arrival("alarms", spoilt_key(6)), 0)
    machine.accept(arrival("status", status(6)), 0)
    machine.accept(arrival("alarms", payload("alarms", 7)), 0)
    assert sequences(take(machine)) == [7]


def test_a_block_in_quarantine_behind_a_missing_one_takes_its_place_when_that_has_come():
    """Its number is remembered: the alarm behind both goes on with the missing one."""
    machine = IngestMachine(KNOWN)
    for data in (payload("alarms", 1), spoilt_key(3), payload("alarms", 4)):
        machine.accept(arrival("alarms", data), 0)
    assert sequences(take(machine)) == [1]
    machine.accept(arrival("alarms", payload("alarms", 2)), 0)
    assert sequences(take(machine)) == [2, 4]


def test_a_word_that_a_block_is_gone_holds_when_its_turn_comes():
    """Said while another is still missing before it, and not said anew: it is passed by all the same."""
    machine = IngestMachine(KNOWN)
    lost = (wire.Resend(EPOCH, "alarms", 3, 3),)
    says = Status(online=True, site=SITE, epoch=EPOCH, boot="b", version="0", first={"alarms": 2}, absent=lost)
    machine.accept(arrival("alarms", payload("alarms", 1)), 0)
    machine.accept(arrival("alarms", payload("alarms", 4)), 0)
    machine.accept(arrival("status", wire.encode_status(says)), 0)
    assert sequences(take(machine)) == [1]
    machine.accept(arrival("alarms", payload("alarms", 2)), SECOND)
    assert sequences(take(machine)) == [2, 4]


def test_what_a_restarted_office_has_in_quarantine_is_waited_for_by_nobody():
    """Its store says which numbers behind the last alarm are settled."""
    known = Known(catalogues=KNOWN.catalogues, alarms={(SITE, EPOCH): 1}, settled=(((SITE, EPOCH), 3, 4),))
    machine = IngestMachine(known)
    machine.accept(arrival("alarms", payload("alarms", 2)), 0)
    machine.accept(arrival("alarms", payload("alarms", 5)), 0)
    assert sequences(take(machine)) == [2, 5]


def test_an_old_gateway_s_next_status_explains_a_block_without_a_number():
    """It never says what is gone; one gap and one unreadable message are the same thing, a second gap is another."""
    machine = IngestMachine(Known(catalogues=KNOWN.catalogues, alarms={(SITE, EPOCH): 3}))
    machine.accept(arrival("alarms", SPOILT), 0)
    machine.accept(arrival("alarms", payload("alarms", 5)), 0)
    assert sequences(take(machine)) == []
    machine.accept(arrival("status", status(5)), SECOND)
    entries = take(machine)
    assert PutMissing(site=SITE, epoch=EPOCH, stream="alarms", start=4, end=4) in entries
    assert sequences(entries) == [5]
    machine.accept(arrival("alarms", SPOILT), 2 * SECOND)  # the same bytes again
    machine.accept(arrival("alarms", payload("alarms", 7)), 2 * SECOND)
    machine.accept(arrival("status", status(7)), 3 * SECOND)
    assert sequences(take(machine)) == []


def test_alarms_that_found_no_room_are_asked_for_when_their_turn_has_come():
    """One is parked, two are forgotten; with the missing one those two are asked for at once, and only once."""
    machine = IngestMachine(KNOWN, IngestLimits(parked=1))
    for sequence in (1, 3, 4, 5):
        machine.accept(arrival("alarms", payload("alarms", sequence)), 0)
    asked = Ask(SITE, Request(resend=wire.Resend(EPOCH, "alarms", 4, 5)))
    assert asked in machine.accept(arrival("alarms", payload("alarms", 2)), SECOND)
    assert sequences(take(machine)) == [1, 2, 3]
    assert asked not in machine.accept(arrival("alarms", payload("alarms", 3)), SECOND)
