"""Hostile inputs of the sync protocol against machine and store: kept or ignored, never applied, never unbounded."""

import msgspec
import pytest

from cloud_sync import wire
from cloud_sync.downlink import parse
from cloud_sync.fit import LAST
from cloud_sync.ingest_machine import MOST_KEYS, IngestMachine
from cloud_sync.ingest_records import Acknowledge, Answer, Arrival, IngestLimits
from cloud_sync.session import Delivery
from cloud_sync.store import evidence, quarantine
from cloud_sync.store.base import PutBlock, Transaction
from cloud_sync.store.sqlite import SqliteStore
from cloud_sync.uplink_machine import Release, UplinkMachine
from cloud_sync.wire import Committed, Receipt
from sitekeeper.block import decode
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.frame import seal
from sitekeeper.model.alarm import Transition
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import FormatError, StorageError
from sitekeeper.model.event import Event
from sitekeeper.model.sample import Sample
from tests.unit.cloud_sync.material import EPOCH, KEY, SITE, T0, catalogue, payload, transition

FAR = 2**62 - 1
LONG = f"{SITE}/{'x' * 4_000}/L01"
NOW = {"t0": T0, "mono0": 0, "samples": [Sample(1, 0, 1, 0)], "events": [], "vouch": []}
BOMB = b'{"online":true,"site":"tower","epoch":"e1","boot":"b","version":"0","first":' + b"[" * 30_000
TABLES = ("blocks", "conflicts", "quarantine", "events", "transitions", "samples", "missing", "catalogues", "streams")


class Office:
    """Machine and store, one message at a time."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.machine = IngestMachine(store.known(), IngestLimits(parked=8))
        self.receipts: list[Receipt] = []

    def take(self, topic: str, data: bytes, *, retained: bool = False) -> None:
        delivery = Delivery(topic=f"sitekeeper/1/{topic}", payload=data, retained=retained, mid=1, qos=1)
        self.answered(self.machine.accept(Arrival("urgent", 1, delivery), 0))
        while (batch := self.machine.batch(T0)) is not None:
            self.answered(self.machine.committed(batch, self.store.commit(batch.transaction).result()))

    def answered(self, outputs: list[object]) -> None:
        self.receipts += [one.receipt for one in outputs if isinstance(one, Answer)]

    def count(self, table: str) -> int:
        return int(self.store.reader.ask(f"SELECT count(*) FROM {table}")[0][0])

    def counts(self) -> dict[str, int]:
        return {table: self.count(table) for table in TABLES}


@pytest.fixture
def office(tmp_path):
    """An office that has the catalogue and block 5 of each stream."""
    store = SqliteStore.open(tmp_path / "office.db", inline=True)
    made = Office(store)
    made.take(f"{SITE}/up/status", status(first={"alarms": 5}))
    made.take(f"{SITE}/up/catalogue", catalogue())
    for stream in ("alarms", "events", "samples"):
        made.take(f"{SITE}/up/{stream}", payload(stream, 5))
    yield made
    store.close()


def status(**more: object) -> bytes:
    said = {"online": True, "site": SITE, "epoch": EPOCH, "boot": "b", "version": "0"} | more
    return msgspec.json.encode(said)


def odd(**more: object) -> Event:
    return Event(**({"source_id": "lift-a1/note", "at": 6 * SECOND, "fields": {}} | more))


def late(key: str = KEY, **more: object) -> Transition:
    return transition(7, key=key, occurrence=f"{key}@{EPOCH}-7", **more)


IGNORED = [
    ("status: no object", f"{SITE}/up/status", b"[]"),
    ("status: bomb", f"{SITE}/up/status", BOMB),
    ("status: of another site", f"{SITE}/up/status", status(site="elsewhere")),
    ("status: huge", f"{SITE}/up/status", b" " * 2**20),
    ("status: sequence beyond all", f"{SITE}/up/status", status(first={"alarms": 2**63})),
    ("status: negative", f"{SITE}/up/status", status(first={"alarms": -1})),
    ("status: a window beyond all", f"{SITE}/up/status", status(window=2**63)),
    ("status: more unsent than there is", f"{SITE}/up/status", status(unsent={"alarms": 2**63})),
    ("status: a boot of 2 KB", f"{SITE}/up/status", status(boot="b" * 2_000)),
    ("status: unknown stream", f"{SITE}/up/status", status(first={"secrets": 1})),
    ("status: too many gone", f"{SITE}/up/status", status(absent=[[EPOCH, "samples", 1, 2]] * 33)),
    ("status: slash in epoch", f"{SITE}/up/status", status(epoch="../../x")),
    ("unknown kind", f"{SITE}/up/secrets", b"x"),
    ("the way down", f"{SITE}/down/receipt", b"x"),
    ("short topic", SITE, b"x"),
    ("told from memory: garbage", f"{SITE}/up/alarms-volatile", b"\x01x"),
]
KEPT = [
    ("1 MiB of garbage", f"{SITE}/up/samples", b"\x01" + b"\xa5" * 2**20, "undecodable"),
    ("retained garbage", f"{SITE}/up/events", b"\x01retained", "undecodable"),
    ("half a block", f"{SITE}/up/samples", payload("samples", 6)[:40], "undecodable"),
    ("one bit", f"{SITE}/up/events", payload("events", 6)[:-3] + b"\x00\x00\x00", "undecodable"),
    ("unknown version", f"{SITE}/up/samples", b"\x07" + payload("samples", 6)[1:], "too-new"),
    ("another site's block", f"{SITE}/up/samples", payload("samples", 6, site="elsewhere"), "wrong-topic"),
    ("a block of another stream", f"{SITE}/up/alarms", payload("events", 6), "wrong-topic"),
    ("a transition of no time", f"{SITE}/up/alarms", payload("alarms", 6, transitions=[late(at=2**63)]), "constraint"),
    ("one of no clock", f"{SITE}/up/alarms", payload("alarms", 6, transitions=[late(mono=2**64 - 1)]), "constraint"),
    ("a key of 4 KB", f"{SITE}/up/alarms", payload("alarms", 6, transitions=[late(key=LONG)]), "constraint"),
    ("an event of no time", f"{SITE}/up/events", payload("events", 6, events=[odd(at=2**63)]), "constraint"),
    ("one of no source time", f"{SITE}/up/events", payload("events", 6, events=[odd(source=2**63)]), "constraint"),
    ("one of no number", f"{SITE}/up/events", payload("events", 6, events=[odd(device_sequence=2**63)]), "constraint"),
    ("one of 4 KB of name", f"{SITE}/up/events", payload("events", 6, events=[odd(source_id=LONG)]), "constraint"),
    ("a point that is not there", f"{SITE}/up/samples", payload("samples", 6, vouch=[], samples=[]), ""),
    ("a catalogue of another site", f"{SITE}/up/catalogue", catalogue("elsewhere"), "wrong-topic"),
    ("a catalogue of garbage", f"{SITE}/up/catalogue", b"\x01{}", "catalogue"),
]


@pytest.mark.parametrize(("topic", "data"), [row[1:] for row in IGNORED], ids=[row[0] for row in IGNORED])
def test_what_is_no_message_of_ours_changes_nothing(office: Office, topic: str, data: bytes) -> None:
    """It is acknowledged to the broker, so that it does not come for ever, and counted."""
    before = office.counts()
    office.take(topic, data)
    assert office.counts() == before
    assert office.machine.counts["ignored"] == 1


@pytest.mark.parametrize(("topic", "data", "reason"), [row[1:] for row in KEPT], ids=[row[0] for row in KEPT])
def test_what_cannot_be_used_is_kept_once_and_stops_nothing(
    office: Office, topic: str, data: bytes, reason: str
) -> None:
    """Bytes and reason lie in quarantine however often it comes; the next sound block is applied and receipted."""
    before, receipts = office.counts(), len(office.receipts)
    for _ in range(3):
        office.take(topic, data, retained=True)
    after = office.counts()
    changed = {table for table in TABLES if after[table] != before[table]}
    if reason:
        [row] = office.store.reader.ask("SELECT reason, payload, times FROM quarantine")
        assert (row[0], bytes(row[1]), row[2]) == (reason, data, 3)
        assert changed <= {"quarantine", "blocks", "streams"}
        assert not [one for one in office.receipts[receipts:] if reason == "too-new"]
    office.take(f"{SITE}/up/events", payload("events", 7))
    assert office.receipts[-1].blocks[0].ranges == [(7, 7)]
    assert office.count("events") == before["events"] + 1


@pytest.mark.parametrize("stream", ["alarms", "events", "samples"])
def test_the_first_content_of_a_block_stays(office: Office, stream: str, monkeypatch) -> None:
    """Same sequence, other bytes: conflicts, kept up to a bound and receipted; the stored row does not change."""
    first = [tuple(row) for row in office.store.reader.ask("SELECT digest, boot FROM blocks ORDER BY id")]
    before = office.counts()
    for boot in range(10):
        office.take(f"{SITE}/up/{stream}", payload(stream, 5, boot=f"evil-{boot}"))
    assert [tuple(row) for row in office.store.reader.ask("SELECT digest, boot FROM blocks ORDER BY id")] == first
    assert office.count("conflicts") == 10
    assert {**office.counts(), "conflicts": 0} == before
    monkeypatch.setattr(quarantine, "MOST", 12)
    for boot in range(10, 30):
        office.take(f"{SITE}/up/{stream}", payload(stream, 5, boot=f"evil-{boot}"))
    assert office.count("conflicts") == 12
    assert office.receipts[-1].blocks[0].ranges == [(5, 5)]


@pytest.mark.parametrize("stream", ["alarms", "events", "samples"])
def test_a_block_takes_the_place_of_what_could_not_be_read(office: Office, stream: str) -> None:
    """Spoilt bytes under a block's name keep nobody from storing the block: a receipt is for records."""
    sound = payload(stream, 6)
    header = msgspec.msgpack.encode([SITE, EPOCH, stream, 6, "nothing else"])
    office.take(f"{SITE}/up/{stream}", seal(header))
    [kept] = office.store.reader.ask("SELECT quarantined FROM blocks WHERE sequence = 6")
    assert kept[0] == 1
    office.take(f"{SITE}/up/{stream}", sound)
    [stored] = office.store.reader.ask("SELECT quarantined, digest, records FROM blocks WHERE sequence = 6")
    assert (stored[0], stored[1], stored[2] > 0) == (0, wire.digest(sound), True)
    assert office.count("conflicts") == 0
    assert office.count("quarantine") == 1


def test_a_block_under_another_sites_catalogue_touches_none_of_its_points(office: Office) -> None:
    """The handles would be points of that site: the block lies in quarantine, and nothing of it is stored."""
    before = office.count("samples")
    stolen = payload("samples", 1, site="annex", catalogue=catalogue_hash(catalogue()), **NOW)
    office.take("annex/up/samples", stolen)
    assert office.count("samples") == before
    assert [row[0] for row in office.store.reader.ask("SELECT reason FROM quarantine")] == ["constraint"]


def test_a_block_of_a_catalogue_that_the_store_lost_is_refused(office: Office) -> None:
    """It is no fault that ends the ingest: whoever commits puts such a block into quarantine."""
    data = payload("samples", 6, catalogue="f" * 32)
    entry = PutBlock(block=decode(data), payload=data, digest=wire.digest(data))
    failed = office.store.commit(Transaction(at=T0, entries=(entry,))).exception()
    assert isinstance(failed, StorageError)
    assert failed.refused


def test_garbage_from_afar_moves_no_order_of_alarms(office: Office) -> None:
    """Spoilt bytes with a huge sequence: after a restart of the office the next alarm is still the next one."""
    office.take(f"{SITE}/up/alarms", seal(msgspec.msgpack.encode([SITE, EPOCH, "alarms", FAR, "nothing else"])))
    office.machine = IngestMachine(office.store.known(), IngestLimits(parked=8))
    office.take(f"{SITE}/up/alarms", payload("alarms", 7))
    assert office.machine.parked() == 1
    office.take(f"{SITE}/up/alarms", payload("alarms", 6))
    assert office.machine.parked() == 0


def test_a_number_that_no_site_reaches_makes_no_hole(office: Office) -> None:
    """Blocks of 2^62: kept in quarantine, evidence for GW11, none in the record, nothing waits for what is before."""
    for stream in ("alarms", "events", "samples"):
        office.take(f"{SITE}/up/{stream}", payload(stream, FAR, **NOW, transitions=[transition(7)]))
    assert office.count("streams") == 3
    assert office.machine.parked() == 0
    rows = office.store.reader.ask("SELECT kind, sequence, reason FROM quarantine ORDER BY kind")
    assert [tuple(row) for row in rows] == [(stream, FAR, "sequence") for stream in ("alarms", "events", "samples")]
    assert [(one.kind, one.count) for one in evidence.found(office.store.reader.ask, 0)] == [("conflict", 3)]


@pytest.mark.parametrize("field", ["first", "next"])
def test_a_word_that_no_site_can_say_is_none(office: Office, field: str) -> None:
    """A status that names a sequence beyond all asks nothing of us and moves no order of alarms."""
    before = office.counts()
    office.take(f"{SITE}/up/status", status(**{field: {"alarms": LAST + 1}}))
    assert office.machine.counts["ignored"] == 1
    assert office.counts() == before


def test_sequences_that_jump_are_bounded(office: Office) -> None:
    """As far as a site may come, and back: events and samples are stored, alarms are parked, up to the bound."""
    for sequence in (LAST, 6, LAST - 1, 1):
        for stream in ("events", "samples"):
            office.take(f"{SITE}/up/{stream}", payload(stream, sequence, **NOW))
    for sequence in range(LAST - 50, LAST):
        office.take(f"{SITE}/up/alarms", payload("alarms", sequence, **NOW, transitions=[transition(7)]))
    assert office.machine.parked() == 8
    assert office.count("transitions") == 1
    office.take(f"{SITE}/up/alarms", payload("alarms", 6))
    assert office.count("transitions") == 2
    assert office.count("streams") == 2 * 3 + 1


def test_a_word_that_everything_is_gone_states_only_what_is_lacking(office: Office) -> None:
    """From 1 to 2^62, in every stream: a few ranges; what is here stays here."""
    gone = [[EPOCH, stream, 1, 2**62] for stream in ("alarms", "events", "samples")]
    before = office.counts()
    for _ in range(5):
        office.take(f"{SITE}/up/status", status(absent=gone))
    assert {**office.counts(), "missing": 0} == before
    assert office.count("missing") == 6
    office.take(f"{SITE}/up/events", payload("events", 6))
    assert office.count("events") == 2


def test_a_site_of_many_epochs_takes_no_more_memory(office: Office) -> None:
    """A status of a new epoch each time, ten thousand times over the bound of what the machine remembers."""
    for number in range(MOST_KEYS + 100):
        said = status(epoch=f"e{number}", first={"alarms": 3})
        delivery = Delivery(topic=f"sitekeeper/1/{SITE}/up/status", payload=said, retained=False, mid=1, qos=1)
        office.machine.accept(Arrival("urgent", 1, delivery), 0)
    assert len(office.machine._first) == MOST_KEYS


def test_an_epoch_that_is_used_again_is_a_conflict_and_not_a_new_record(office: Office) -> None:
    """A copied or restored outbox goes on with numbers that were given before."""
    for sequence in (6, 7):
        office.take(f"{SITE}/up/samples", payload("samples", sequence))
    before = office.counts()
    for sequence in (6, 7):
        office.take(f"{SITE}/up/samples", payload("samples", sequence, boot="b2", samples=[]))
    assert {**office.counts(), "conflicts": 0} == before
    assert office.count("conflicts") == 2


DOWN = [
    ("receipt", b"\x93\x01"),
    ("receipt", msgspec.msgpack.encode([1, [["e1", "samples", [[1, 2]] * 5_000]]])),
    ("receipt", b"\xdc\xff\xff" * 20_000),
    ("request", BOMB),
    ("request", b'{"resend":["e1","samples",0,5]}'),
    ("request", b'{"resend":["e1","samples",1,4611686018427387905]}'),
    ("ack", b"[" * 60_000),
    ("ack", b'{"id":"' + b"x" * 70_000 + b'"}'),
]


@pytest.mark.parametrize(("kind", "data"), DOWN)
def test_what_a_false_office_says_is_refused(kind: str, data: bytes) -> None:
    """Half, huge, deep or beyond bounds: FormatError, before anything is allocated for it."""
    with pytest.raises(FormatError):
        parse(wire.down_topic(SITE, kind), data, site=SITE)  # type: ignore[arg-type]


def test_receipts_for_what_was_never_sent_or_of_another_epoch_release_nothing_of_ours() -> None:
    """An old office's receipt names another epoch; one for a future sequence names blocks that the outbox has not."""
    machine = UplinkMachine(EPOCH)
    machine.connect(0)
    machine.offer("samples", 1, 3)
    old = Receipt(T0, [Committed("e0", "samples", [(1, 3)])])
    assert machine.receipt(old, 1) == []
    future = Receipt(T0, [Committed(EPOCH, "samples", [(2**61, 2**62)])])
    assert machine.receipt(future, 1) == [Release(EPOCH, [("samples", 2**61, 2**62)])]  # the outbox passes it over


def test_a_thousand_blocks_at_once_are_taken_in_pieces(office: Office) -> None:
    """No transaction holds more than its bound, whatever arrives between two commits."""
    for sequence in range(10, 1_010):
        delivery = Delivery(
            topic=f"sitekeeper/1/{SITE}/up/events",
            payload=payload("events", sequence),
            retained=False,
            mid=sequence,
            qos=1,
        )
        office.machine.accept(Arrival("urgent", 1, delivery), 0)
    sizes = []
    while (batch := office.machine.batch(T0)) is not None:
        assert isinstance(batch.transaction, Transaction)
        sizes.append(len(batch.transaction.entries))
        outputs = office.machine.committed(batch, office.store.commit(batch.transaction).result())
        assert sum(isinstance(one, Acknowledge) for one in outputs) == sizes[-1]
    assert max(sizes) <= 64
    assert office.count("events") == 1_001
