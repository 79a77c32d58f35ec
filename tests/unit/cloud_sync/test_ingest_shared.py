"""What a worker does beside others on one store: the store's word counts, and nothing early is ever receipted."""

from cloud_sync import wire
from cloud_sync.ingest_records import Acknowledge, Answer, Arrival, Ask, Heard, IngestLimits, Look
from cloud_sync.ingest_shared import SharedIngestMachine
from cloud_sync.store.base import Known, Outcome, PutMissing, Shape, Turn
from cloud_sync.wire import Request, Status
from sitekeeper.model.clock import SECOND
from tests.unit.cloud_sync.material import EPOCH, SITE, payload
from tests.unit.cloud_sync.test_ingest_machine import HASH, KNOWN, arrival, sequences

KEY = (SITE, EPOCH)


def commit(machine: SharedIngestMachine, turn: Turn) -> tuple[list[int], list[object]]:
    """Commit what is ready as a store does at which it is this turn; return what went there and what came of it."""
    batch = machine.batch(0)
    assert batch is not None
    following, applied = turn.next, []
    for sequence in sequences(list(batch.transaction.entries)):
        applied.append("early" if sequence > following else "new")
        following += sequence == following
    outcome = Outcome(applied=tuple(applied), turns={KEY: turn} if "early" in applied else {})
    return sequences(list(batch.transaction.entries)), machine.committed(batch, outcome)


def alarm(machine: SharedIngestMachine, sequence: int, now: int = 0) -> Arrival:
    came = arrival("alarms", payload("alarms", sequence), mid=sequence)
    assert machine.accept(came, now) == [Heard(SITE, None)]
    return came


def test_what_is_early_gets_no_receipt_and_is_tried_again():
    """Another worker may have the missing one: after a moment the store is asked again, and then it is receipted."""
    machine = SharedIngestMachine(KNOWN)
    came = alarm(machine, 2)
    assert commit(machine, Turn(1, None)) == ([2], [Acknowledge(came)])
    assert machine.parked() == 1
    assert machine.batch(0) is None
    machine.advance(SECOND)
    sent, outputs = commit(machine, Turn(2, None))
    assert (sent, machine.parked()) == ([2], 0)
    assert outputs == [Answer(SITE, wire.receipt_for(0, [(EPOCH, "alarms", 2)]))]


def test_what_is_missing_is_asked_for_when_no_other_worker_brings_it():
    """A second is enough for another's transaction; then the site is asked, and what is parked stays parked."""
    machine = SharedIngestMachine(KNOWN)
    came = alarm(machine, 4)
    assert commit(machine, Turn(2, 1))[1] == [Acknowledge(came)]
    machine.advance(2 * SECOND)
    asked = Ask(SITE, Request(resend=wire.Resend(EPOCH, "alarms", 2, 3)))
    assert commit(machine, Turn(2, 1)) == ([4], [asked])
    alarm(machine, 2, 2 * SECOND)
    alarm(machine, 3, 2 * SECOND)
    commit(machine, Turn(2, 1))
    assert commit(machine, Turn(4, 1))[0] == [4]


def test_what_the_site_cannot_send_any_more_is_given_up_after_a_time():
    """The status in the store says that it begins later: the hole is written down with its bounds, then it goes on."""
    machine = SharedIngestMachine(KNOWN)
    alarm(machine, 7)
    commit(machine, Turn(3, 7))
    machine.advance(machine.limits.give_up + SECOND)
    commit(machine, Turn(3, 7))
    batch = machine.batch(0)
    assert batch is not None
    [missing] = batch.transaction.entries
    assert missing == PutMissing(site=SITE, epoch=EPOCH, stream="alarms", start=3, end=6)


def test_alarms_of_an_earlier_file_are_waited_for_no_longer():
    """Its site speaks under another epoch, and no status will say where this one begins: up to the first that waits."""
    machine = SharedIngestMachine(KNOWN)
    says = Status(online=True, site=SITE, epoch="e9", boot="b", version="0", first={"alarms": 1})
    for sequence in (6, 7):
        alarm(machine, sequence)
    commit(machine, Turn(3, None))
    machine.accept(arrival("status", wire.encode_status(says)), SECOND)
    assert machine.batch(0) is not None
    machine.advance(machine.limits.give_up + SECOND)
    commit(machine, Turn(3, None))
    batch = machine.batch(0)
    assert batch is not None
    missing = PutMissing(site=SITE, epoch=EPOCH, stream="alarms", start=3, end=5)
    assert set(batch.transaction.entries) == {missing}


def test_an_unknown_epoch_waits_for_the_sites_status():
    """Where it begins is not known, so nothing is asked for that never was."""
    machine = SharedIngestMachine(KNOWN)
    alarm(machine, 40)
    commit(machine, Turn(1, None))
    machine.advance(10 * SECOND)
    assert commit(machine, Turn(1, None)) == ([40], [])


def test_an_unknown_catalogue_is_looked_for_in_the_store_first():
    """Another worker may have got it: only if the store lacks it the site is asked, and then both again."""
    machine = SharedIngestMachine(Known())
    look = Look(SITE, HASH)
    came = arrival("samples", payload("samples", 1))
    assert machine.accept(came, 0) == [Heard(SITE, None), look, Acknowledge(came)]
    assert machine.looked(look, None) == [Ask(SITE, Request(catalogue=HASH))]
    assert machine.advance(SECOND) == [look]
    assert machine.looked(look, Shape(SITE, 2, 1)) == []
    batch = machine.batch(0)
    assert batch is not None
    assert sequences(list(batch.transaction.entries)) == [1]
    assert machine.advance(2 * SECOND) == []


def test_an_unreadable_block_explains_a_gap_without_waiting():
    """The store has as many messages without a number as are missing, and the site has passed them by."""
    machine = SharedIngestMachine(KNOWN)
    alarm(machine, 5)
    commit(machine, Turn(4, 5, unread=1))
    machine.advance(2 * SECOND)
    commit(machine, Turn(4, 5, unread=1))
    batch = machine.batch(0)
    assert batch is not None
    assert batch.transaction.entries == (PutMissing(site=SITE, epoch=EPOCH, stream="alarms", start=4, end=4),)


def test_alarms_that_a_worker_forgot_are_asked_for_when_their_turn_has_come():
    """There was no room for them; the commit of the one before them says that there is one now."""
    machine = SharedIngestMachine(KNOWN, IngestLimits(parked=1))
    for sequence in (3, 4):
        alarm(machine, sequence)
    commit(machine, Turn(2, 1))
    alarm(machine, 2)
    asked = Ask(SITE, Request(resend=wire.Resend(EPOCH, "alarms", 3, 4)))
    assert asked not in commit(machine, Turn(2, 1))[1]
    machine.advance(SECOND)
    assert Ask(SITE, Request(resend=wire.Resend(EPOCH, "alarms", 4, 4))) in commit(machine, Turn(3, 1))[1]
