"""What every central store must do: the same facts on SQLite and on PostgreSQL, seen by plain SQL."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import permutations
from pathlib import Path

import msgspec
import psycopg
import pytest
from msgspec.structs import replace

from cloud_sync import wire
from cloud_sync.store import bundles, evidence, quarantine, streams
from cloud_sync.store.base import (
    Chatter,
    Digest,
    Push,
    PutBlock,
    PutCatalogue,
    PutMissing,
    PutQuarantine,
    PutStatus,
    Transaction,
    Turn,
)
from cloud_sync.store.ledger import SiteLedger
from cloud_sync.store.postgres import PostgresStore
from cloud_sync.store.retention import Purged, Retention
from cloud_sync.store.sqlite import SqliteStore
from cloud_sync.store.store import Store
from office.api import metrics
from sitekeeper.block import Vouch, decode
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.catalogue import decode as decode_catalogue
from sitekeeper.model.alarm import AlarmState, Cause
from sitekeeper.model.clock import DAY, SECOND
from sitekeeper.model.command import Ack, Actor
from sitekeeper.model.errors import StorageError
from sitekeeper.model.event import Event
from sitekeeper.model.quality import Reason, bad
from sitekeeper.model.sample import Sample
from tests.fixtures.postgres import Cutter, Postgres
from tests.unit.cloud_sync.material import EPOCH, KEY, SITE, T0, catalogue, gap, payload, transition

Rows = Callable[[str], list[tuple[object, ...]]]


def put(data: bytes) -> PutBlock:
    return PutBlock(block=decode(data), payload=data, digest=wire.digest(data))


def commit(store: Store, *blocks: bytes):
    return store.commit(Transaction(at=T0, entries=tuple(put(data) for data in blocks))).result(30)


def name_points(store: Store, site: str = SITE) -> None:
    data = catalogue(site)
    entry = PutCatalogue(site=site, hash=catalogue_hash(data), payload=data, catalogue=decode_catalogue(data))
    store.commit(Transaction(at=T0, entries=(entry,))).result(30)


@pytest.fixture
def database(postgres: Postgres) -> str:
    return postgres.create()


@pytest.fixture
def pg(database: str) -> Iterator[PostgresStore]:
    opened = PostgresStore.open(database)
    name_points(opened)
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", "postgres"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Store, Rows]]:
    """A store that knows the points, and plain SQL on it; values in one form."""
    if request.param == "postgres":
        url = request.getfixturevalue("database")
        pg = request.getfixturevalue("pg")

        def plain(sql: str) -> list[tuple[object, ...]]:
            with psycopg.connect(url) as connection:
                return connection.execute(sql).fetchall()

        yield pg, plain
        return
    opened = SqliteStore.open(tmp_path / "office.db", inline=True)
    name_points(opened)

    def lite(sql: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(tmp_path / "office.db")) as connection:
            return connection.execute(sql).fetchall()

    yield opened, lite
    opened.close()


def test_a_block_becomes_rows_that_plain_sql_reads(both):
    """Samples, coverage, gaps and the latest value, by the same names on both."""
    store, rows = both
    commit(store, payload("samples", 3, gaps=[gap(0, SECOND)]))
    columns = "site, point, at, CAST(value AS TEXT), q, source, epoch, sequence, position"
    expected = [
        (SITE, "lift-a1/floor", T0 + 3 * SECOND, "6", 0, None, EPOCH, 3, 0),
        (SITE, "lift-a1/floor", T0 + 3 * SECOND + 500_000, "7", 0, None, EPOCH, 3, 1),
    ]
    assert rows(f"SELECT {columns} FROM v_samples ORDER BY at") == expected
    assert rows(f"SELECT {columns} FROM v_latest") == expected[1:]
    assert rows("SELECT * FROM coverage") == [(SITE, "lift-a1@1s", T0 + 3 * SECOND, T0 + 4 * SECOND)]
    assert rows('SELECT site, scan_group, start, "end", cause FROM gaps') == [
        (SITE, "lift-a1@1s", T0, T0 + SECOND, "silent")
    ]


def test_a_block_twice_is_a_block_once(both):
    """A repeat, in the same transaction or a later one, changes no row and announces no transition."""
    store, rows = both
    for data in (payload("samples", 1), payload("events", 1), payload("alarms", 1)):
        same = put(data)
        first = store.commit(Transaction(at=T0, entries=(same, same))).result(30)
        again = commit(store, data)
        assert (first.applied, again.applied) == (("new", "repeat"), ("repeat",))
        assert again.transitions == ()
    assert [rows(f"SELECT count(*) FROM {t}")[0][0] for t in ("samples", "events", "transitions")] == [2, 1, 1]


def test_what_no_table_holds_is_refused_and_not_for_the_stores_sake(both):
    """An ingest may try again what a store could not do; what it refuses it puts away."""
    store, _ = both
    wrong = store.commit(Transaction(at=2**63, entries=(put(payload("events", 1)),)))
    with pytest.raises(StorageError) as caught:
        wrong.result(30)
    assert caught.value.refused
    assert commit(store, payload("events", 1)).applied == ("new",)


def test_of_two_blocks_with_one_identity_the_first_stays(both):
    """Other bytes under the same id are an integrity conflict: recorded with their bytes, not applied."""
    store, rows = both
    other = payload("samples", 1, samples=[Sample(1, 0, 99, 0)])
    commit(store, payload("samples", 1))
    assert commit(store, other).applied == ("conflict",)
    assert rows("SELECT CAST(value AS TEXT) FROM v_samples ORDER BY at") == [("2",), ("3",)]
    assert [(row[0], bytes(row[1])) for row in rows("SELECT sequence, payload FROM conflicts")] == [(1, other)]


def test_values_come_back_exactly(both):
    """Integers of 63 bits and beyond, fractions, words, flags, nothing: as they were recorded."""
    store, rows = both
    values = [2**62 + 1, 2**64 - 1, 0.1, 1e300, True, "opened", "", "a\x00b", None, -7, '{"NULL\\\\,}', "NULL"]
    samples = [Sample(1, n * SECOND, value, 0) for n, value in enumerate(values)]
    commit(store, payload("samples", 1, mono0=0, samples=samples))
    found = []
    for n in range(len(values)):
        commit(store, payload("samples", 2 + n, mono0=0, samples=samples[: n + 1]))
        found.append(store.reader.latest_value(SITE, "lift-a1/floor").value)
    nul = "a\u2400b" if store.shared else "a\x00b"
    assert found == [2**62 + 1, str(2**64 - 1), 0.1, 1e300, 1, "opened", "", nul, None, -7, '{"NULL\\\\,}', "NULL"]
    assert [type(one) for one in found[:3]] == [int, str, float]
    assert rows("SELECT CAST(value AS TEXT) FROM v_samples WHERE sequence = 1 ORDER BY at LIMIT 2") == [
        (str(2**62 + 1),), (str(2**64 - 1),),
    ]  # fmt: skip


def test_the_latest_value_does_not_depend_on_the_order_of_blocks(both):
    """Late samples, a clock that went back, and two epochs at once: always the last of the epoch that got furthest."""
    store, rows = both
    for number, order in enumerate(permutations(range(4))):
        site = f"site-{number}"
        name_points(store, site)
        blocks = [
            payload("samples", 5, site=site),
            payload("samples", 6, site=site, t0=T0 - 7200 * SECOND),
            payload("samples", 2, site=site, epoch="e0"),
            payload("samples", 4, site=site),
        ]
        for place in order:
            commit(store, blocks[place])
        assert [row.value for row in store.reader.latest(site)] == [13]
    found = rows("SELECT DISTINCT epoch, sequence, position, CAST(value AS TEXT) FROM v_latest")
    assert found == [(EPOCH, 6, 1, "13")]


def test_coverage_grows_together_and_missing_blocks_show_as_holes(both):
    """Whatever comes first, time vouched for is one interval; what has not come is listed with both ends."""
    store, rows = both
    for sequence in (3, 1, 5):
        commit(store, payload("samples", sequence))
    commit(store, payload("samples", 2))
    assert rows("SELECT start, until FROM coverage ORDER BY start") == [
        (T0 + SECOND, T0 + 4 * SECOND), (T0 + 5 * SECOND, T0 + 6 * SECOND),
    ]  # fmt: skip
    assert rows('SELECT stream, start, "end" FROM v_holes') == [("samples", 4, 4)]
    [row] = store.reader.ledger(SITE)
    assert (row.known, row.unexplained) == (4 * SECOND, SECOND)


def test_what_is_told_together_is_kept_with_its_pushes(both):
    """A digest and its rows are one transaction that may be given again; the newest of a site says whether it lasts."""
    store, rows = both
    commit(store, payload("alarms", 1, transitions=[transition(1), transition(2)]))
    first, second = store.undecided()
    push = Push(occurrence="flood", event_id="flood#1", recipient="lee", channel="phone")
    begun = Digest(event_id="flood#1", site=SITE, kind="begun", at=T0, first_id=first.id, after_id=0, upto_id=second.id)
    ids = [store.tell(begun, [push]).result(30) for _ in range(2)]
    assert ids[0] == ids[1] == [one.id for one in store.unfinished_pushes()]
    assert bundles.lasting(store.reader.ask) == [begun]
    assert bundles.digest(store.reader.ask, "flood#1") == begun
    assert bundles.digest(store.reader.ask, "flood#2") is None
    [kind] = bundles.spoken_of(store.reader.ask, begun)
    assert (kind.rule, kind.priority, kind.cause, kind.source, kind.target, kind.count) == (
        KEY.split("/")[2], first.transition.priority, Cause.RAISE, AlarmState.NORMAL, AlarmState.UNACKED, 1,
    )  # fmt: skip
    for held in (0, first.id):
        store.decide(first.id, "chattering", [], Chatter(key=KEY, told=T0, held=held)).result(30)
    assert bundles.chatters(store.reader.ask, T0 + 1) == [Chatter(key=KEY, told=T0, held=first.id)]
    assert [one.decision for one in bundles.decided(store.reader.ask, 0)] == ["chattering"]
    assert bundles.decided(store.reader.ask, 2**62) == []
    store.tell(replace(begun, event_id="flood#2", kind="over"), []).result(30)
    assert bundles.lasting(store.reader.ask) == []
    assert rows("SELECT event_id, kind FROM digests ORDER BY event_id") == [("flood#1", "begun"), ("flood#2", "over")]


def test_of_old_digests_the_newest_of_each_site_stays(both):
    """A flood's words go after their time, at most so many at once; whether a flood lasts is known all the same."""
    store, rows = both
    one = Digest(event_id="a#1", site="a", kind="begun", at=T0, first_id=1, after_id=0, upto_id=11)
    going = replace(one, event_id="a#2", kind="going-on", upto_id=20)
    ended = replace(going, event_id="a#3", kind="over")
    lasts = replace(one, event_id="b#1", site="b")
    for each in (one, going, ended, lasts, replace(ended, event_id="a#4", first_id=30, upto_id=40)):
        store.tell(each, []).result(30)
    assert store.do(lambda sql: bundles.purge(sql, T0, 10)).result(30) == 0
    assert store.do(lambda sql: bundles.purge(sql, T0 + 1, 2)).result(30) == 2
    events = Retention({"events": DAY})
    steps = [store.do(lambda sql: events.step(sql, T0 + 3 * DAY)).result(30) for _ in range(2)]
    assert steps == [Purged("digests", 1), None]
    assert rows("SELECT event_id FROM digests ORDER BY event_id") == [("a#4",), ("b#1",)]
    assert bundles.lasting(store.reader.ask) == [lasts]


def test_who_is_still_to_be_called_is_told_by_the_store(both):
    """What stands unanswered, what was acknowledged since it came, and what another occurrence has replaced."""
    store, _ = both
    commit(store, payload("alarms", 1))
    [first] = store.undecided()
    ask = store.reader.ask
    assert [one.id for one in bundles.unanswered(ask, ("P1", "P2"), T0 - 1)] == [first.id]
    assert bundles.unanswered(ask, ("P2",), T0 - 1) == bundles.unanswered(ask, ("P1",), T0) == []
    for number, made in enumerate((T0 - 1, T0)):
        assert not bundles.is_acknowledged(ask, first)
        store.add_ack(SITE, Ack(f"a{number}", first.transition.occurrence, "lee", "", made)).result(30)
    assert bundles.is_acknowledged(ask, first)
    assert not bundles.is_superseded(ask, first.id)
    commit(store, payload("alarms", 2, transitions=[transition(3)]))
    second = store.undecided()[-1]
    for decision, replaced in (("flood", False), ("send: desk", True)):
        store.decide(second.id, decision, []).result(30)
        assert [bundles.is_superseded(ask, one.id) for one in (first, second)] == [replaced, False]
    assert [one.id for one in bundles.unanswered(ask, ("P1",), T0 - 1)] == [second.id]


def test_transitions_fold_into_the_alarm_and_wait_for_notify(both):
    """What was sent comes back; the record is the state after the last move; a push survives until it is finished."""
    store, _ = both
    moves = [transition(1), transition(2)]
    outcome = commit(store, payload("alarms", 1, transitions=moves))
    assert [one.transition for one in outcome.transitions] == moves
    assert [one.transition for one in store.reader.story(moves[0].occurrence)] == moves
    assert store.reader.alarm(KEY).state == AlarmState.RETURNED
    first, second = store.undecided()
    push = Push(occurrence=moves[0].occurrence, event_id="x", recipient="lee", channel="phone")
    [number] = store.decide(first.id, "send", [push]).result(30)
    assert [one.id for one in store.undecided()] == [second.id]
    assert [one.id for one in store.unfinished_pushes()] == [number]
    done = Push(
        id=number, occurrence=push.occurrence, event_id="x", recipient="lee", channel="phone", state="sent",
        started=T0, latency_ms=1.5, possible_repeat=True,
    )  # fmt: skip
    assert store.save_push(done).result(30) == number
    assert store.unfinished_pushes() == []
    assert store.reader.pushes(push.occurrence) == [done]


def test_an_acknowledgement_is_pending_until_the_sites_transition_returns(both):
    """Repeats change nothing; the site's own move settles it."""
    store, _ = both
    ack = Ack("a1", f"{KEY}@{EPOCH}-1", "lee", "", T0)
    assert store.add_ack(SITE, Ack("a0", ack.occurrence, "lee", "", T0)).result(30) == "moot"
    commit(store, payload("alarms", 1))
    assert [store.add_ack(SITE, ack).result(30) for _ in range(2)] == ["pending", "pending"]
    assert [one.ack for one in store.pending_acks()] == [ack]
    answer = transition(2, cause=Cause.ACK, target=AlarmState.ACKED, actor=Actor("wong", "technician", "site"))
    commit(store, payload("alarms", 2, transitions=[answer]))
    assert store.pending_acks() == []
    assert store.reader.alarm(KEY).acked_by == "wong"


def test_quarantine_status_and_the_offices_own(both):
    """Poison is kept once and counted; a retained status is no sign of life; the office numbers its own moves."""
    store, rows = both
    entry = PutQuarantine(
        site=SITE, kind="alarms", payload=b"\x00x", digest="d", reason="constraint", detail="", epoch=EPOCH,
        stream="alarms", sequence=1,
    )  # fmt: skip
    status = wire.Status(online=True, site=SITE, epoch=EPOCH, boot="b2", version="1", window=7, unsent={"samples": 4})
    for live in (False, True):
        store.commit(Transaction(at=T0 + SECOND, entries=(entry, PutStatus(status=status, live=live)))).result(30)
        [site] = store.reader.sites()
        assert (site.boot, site.window, site.unsent, site.online) == ("b2", 7, {"samples": 4}, True)
        assert site.last_seen == T0 + live * SECOND
    assert [(bytes(row[0]), row[1]) for row in rows("SELECT payload, times FROM quarantine")] == [(b"\x00x", 2)]
    move = transition(1, key=f"{SITE}/gateway/GW01", occurrence=f"{SITE}/gateway/GW01@office-1-1", rule="GW01")
    [stored] = store.add_transitions("office-1", T0, [move]).result(30)
    assert (stored.sequence, store.reader.next_sequence(SITE, "office-1")) == (1, 2)
    assert store.known().alarms == {(SITE, EPOCH): 1}
    assert list(store.known().catalogues) == [catalogue_hash(catalogue())]
    assert store.shape(catalogue_hash(catalogue())).points == 2
    assert store.shape("0" * 32) is None


def test_a_point_over_time(both):
    """Steps, the mean, words as places, bad stretches, coverage and gaps, as the console asks for them."""
    store, _ = both
    stale = bad(Reason.STALE)
    values = [(9, 0), (3, 0), (1, 0), (2, 0), (None, stale), (None, stale)]
    samples = [Sample(1, n * SECOND, value, q) for n, (value, q) in enumerate(values)]
    words = [Sample(0, n * SECOND, word, 0) for n, word in enumerate(("closed", "open", "ajar"))]
    mixed = sorted([*samples, *words], key=lambda sample: sample.at)
    vouch = [Vouch(0, T0 + 6 * SECOND, 6 * SECOND)]
    commit(store, payload("samples", 1, t0=T0, mono0=0, samples=mixed, vouch=vouch, gaps=[gap(7, 9)]))
    with closing(store.history()) as reader:
        found = reader.steps(SITE, "lift-a1/floor", T0 + SECOND, T0 + 7 * SECOND, 3 * SECOND)
        assert [(s.at - T0, s.low, s.high, s.last, s.samples) for s in found] == [
            (0, 9, 9, 9, 0), (SECOND, 1, 3, 2, 3), (4 * SECOND, None, None, None, 2),
        ]  # fmt: skip
        doors = reader.steps(SITE, "lift-a1/door", T0, T0 + 3 * SECOND, SECOND, '["closed","open"]')
        assert [s.last for s in doors] == [0, 1, None]
        assert reader.mean(SITE, "lift-a1/floor", [(T0, T0 + 4 * SECOND)]) == pytest.approx((9 + 3 + 1 + 2) / 4)
        [mark] = reader.bad(SITE, "lift-a1/floor", T0, T0 + 10 * SECOND)
        assert (mark.start - T0, mark.what) == (4 * SECOND, str(stale))
        assert reader.coverage(SITE, "lift-a1@1s", T0, T0 + 10 * SECOND) == [(T0, T0 + 6 * SECOND)]
        assert [(one.start - T0, one.what) for one in reader.gaps(SITE, "lift-a1@1s", T0, T0 + SECOND)] == [
            (7, "silent")
        ]


def test_the_consoles_questions(both):
    """Pages of alarms, causes, events of a device, counters: the same answers from both."""
    store, _ = both
    commit(store, payload("alarms", 1), payload("events", 1), payload("events", 2))
    with closing(store.history()) as reader:
        assert [one.key for one in reader.alarm_page(limit=5, states=("B",), site=SITE)] == [KEY]
        assert reader.alarm_counts(SITE) == reader.alarm_counts() == {(SITE, "P1", "B"): 1}
        occurrence = f"{KEY}@{EPOCH}-1"
        assert reader.causes([occurrence])[occurrence].transition == transition(1)
        assert [one.fields for one in reader.events(SITE, device="lift-a1", limit=5)] == [{"n": 1}, {"n": 2}]
        assert [one.fields for one in reader.events(SITE, after=1, limit=5)] == [{"n": 2}]
        assert [one.transition for one in reader.transitions_after(0, 5)] == [transition(1)]
        assert reader.last_transition() == 1
        for hidden, left in (([f"{SITE}/L01"], 0), ([f"{SITE}/L0", "other/L01"], 1)):
            assert len(reader.alarm_page(limit=5, hidden=hidden)) == len(reader.alarm_counts(hidden=hidden)) == left
            assert (reader.last_alarm_at(hidden=hidden) is not None) == left
            assert (metrics._moves(reader, hidden), metrics._kept_back(reader, hidden)) == (left, {})
        assert reader.awaiting(0) == {}
        assert reader.covered_until(SITE, ["lift-a1@1s"]) == {}
        assert [span.end for span in reader.alarm_spans(SITE, "lift-a1", T0, T0 + DAY)] == [None]
        assert (reader.last_alarm_at(), reader.quarantined(), reader.push_counts()) == (T0 + SECOND, 0, {})


def test_completeness_identities_and_quarantine_answer_the_same(tmp_path, pg):
    """Ledger, lacks, evidence, drops, heads and quarantine: PostgreSQL answers all questions as SQLite does."""
    lite = SqliteStore.open(tmp_path / "office.db", inline=True)
    name_points(lite)
    assert _told(lite) == _told(pg)
    lite.close()


def _told(store: Store) -> list[object]:
    """Have a store go through losses, conflicts and two boots; return what it says of them."""
    dropped = {"stream": "samples", "epoch": EPOCH, "first": 6, "last": 8, "blocks": 3, "records": 30, "from": T0}
    event = Event("gateway/dropped", SECOND, {**dropped, "to": T0 + 9 * SECOND})
    commit(store, payload("samples", 1), payload("samples", 2, gaps=[gap(0, SECOND)]), payload("samples", 5))
    commit(store, payload("samples", 1, samples=[Sample(1, 0, 99, 0)]), payload("events", 1, events=[event]))
    poison = PutQuarantine(site=SITE, kind="samples", payload=b"x", digest="d", reason="undecodable", detail="")
    status = wire.Status(
        online=True, site=SITE, epoch=EPOCH, boot="b1", version="1", at=T0, first={"samples": 9}, audit=(3, "ab" * 32)
    )
    for boot in ("b1", "b2", "b1"):
        word = PutStatus(status=replace(status, boot=boot), live=True)
        store.commit(Transaction(at=T0 + SECOND, entries=(word, poison))).result(30)
    gone = PutMissing(site=SITE, epoch=EPOCH, stream="samples", start=3, end=3)
    store.commit(Transaction(at=T0 + SECOND, entries=(gone,))).result(30)
    ask = store.reader.ask
    ledger = SiteLedger(ask, SITE, T0, T0 + DAY, ["lift-a1@1s"], T0 + 2 * DAY)
    found: list[object] = [
        ledger.groups(), ledger.points(), ledger.dropped(), streams.lacking(ask, SITE, EPOCH, "samples", 9),
        streams.all_lacks(ask, T0 + DAY), sorted(evidence.found(ask, 0), key=str), store.reader.word(SITE),
        store.reader.audit_heads(SITE), store.reader.orders(5), store.reader.office_audit(), quarantine.listed(ask),
        quarantine.one(ask, 1), store.reader.words(),
    ]  # fmt: skip
    with closing(store.history()) as reader:
        found.append(reader.corrections(commit(store, payload("alarms", 1, trusted=False)).transitions))
    return msgspec.to_builtins(found, str_keys=True)


# PostgreSQL alone


def test_both_engines_have_the_same_tables_and_columns(pg, database, tmp_path):
    """Whoever adds a table adds it to both; only values lie in other columns, and the days in partitions."""
    lite = SqliteStore.open(tmp_path / "office.db", inline=True)
    with closing(sqlite3.connect(tmp_path / "office.db")) as sql:
        names = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite%'"
        own = {
            name: {row[1] for row in sql.execute(f"PRAGMA table_info({name})")}
            for (name,) in sql.execute(f"{names} AND name NOT LIKE '\\_%' ESCAPE '\\'")
        }
    lite.close()
    with psycopg.connect(database) as connection:
        found: dict[str, set[str]] = {}
        for table, column in connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        ):
            found.setdefault(table, set()).add(column)
    found = {name: columns for name, columns in found.items() if not re.match(r"samples_|sitekeeper_store", name)}
    for name in ("samples", "latest"):
        assert found[name] - own[name] == {"number", "whole", "word"}
        found[name] = own[name]
    for name in ("v_samples", "v_latest"):
        found[name].discard("number")
    assert found == own


def test_alarms_are_applied_strictly_in_order(pg):
    """One that comes too early writes nothing and says whose turn it is; what is given up or in quarantine counts."""
    early = commit(pg, payload("alarms", 2))
    assert (early.applied, early.turns) == (("early",), {(SITE, EPOCH): Turn(1, None)})
    assert commit(pg, payload("alarms", 1), payload("alarms", 2), payload("alarms", 4)).applied == (
        "new", "new", "early",
    )  # fmt: skip
    poison = PutQuarantine(
        site=SITE, kind="alarms", payload=b"x", digest="d", reason="constraint", detail="", epoch=EPOCH,
        stream="alarms", sequence=3,
    )  # fmt: skip
    pg.commit(Transaction(at=T0, entries=(poison,))).result(30)
    assert commit(pg, payload("alarms", 4), payload("alarms", 7)).applied == ("new", "early")
    later = PutMissing(site=SITE, epoch=EPOCH, stream="alarms", start=6, end=6)
    pg.commit(Transaction(at=T0, entries=(later,))).result(30)
    assert commit(pg, payload("alarms", 7)).turns[SITE, EPOCH].next == 5  # 5 may still come
    gone = PutMissing(site=SITE, epoch=EPOCH, stream="alarms", start=5, end=6)
    last = pg.commit(Transaction(at=T0, entries=(gone, put(payload("alarms", 7))))).result(30)
    assert last.applied == ("new", "new")
    status = wire.Status(online=True, site=SITE, epoch="e2", boot="b", version="1", first={"alarms": 40})
    word = PutStatus(status=status, live=True)
    assert commit(pg, payload("alarms", 40, epoch="e2")).applied == ("early",)
    pg.commit(Transaction(at=T0, entries=(word,))).result(30)
    assert commit(pg, payload("alarms", 41, epoch="e2")).turns == {(SITE, "e2"): Turn(40, 40)}
    assert commit(pg, payload("alarms", 40, epoch="e2")).applied == ("new",)


def test_days_lie_in_partitions_and_crazy_dates_in_one(pg, database):
    """Late data gets the partitions that it needs, a wrong clock none; when its day comes, the day has its samples."""
    rows = partial(psycopg_rows, database)
    dates = [T0, T0 - 3 * DAY, T0 + 300 * DAY, T0 + 36_500 * DAY, T0 - 9_000 * DAY, T0 + 5 * DAY]
    for sequence, at in enumerate(dates, 1):
        commit(pg, payload("samples", sequence, t0=at, mono0=0, samples=[Sample(1, 0, sequence, 0)], vouch=[]))
    parts = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'samples'::regclass ORDER BY 1"
    assert [row[0] for row in rows(parts)] == [
        "samples_20251229", "samples_20260101", "samples_20260102", "samples_other",
    ]  # fmt: skip
    assert rows("SELECT count(*) FROM samples_other") == [(4,)]
    later = Transaction(at=T0 + 5 * DAY, entries=(put(payload("samples", 9, t0=T0 + 5 * DAY)),))
    assert pg.commit(later).result(30).applied == ("new",)
    assert rows("SELECT count(*) FROM samples_other") == [(3,)]
    assert rows("SELECT count(*) FROM samples_20260106") == [(3,)]


def psycopg_rows(url: str, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.parametrize(("cut", "applied"), [("before", "new"), ("answer", "repeat")])
def test_a_commit_whose_outcome_is_unknown_can_be_repeated(postgres, pg, database, cut, applied):
    """The connection dies with the COMMIT on it, or with its answer: said so, and repeating gives the block once."""
    way = Cutter(postgres.port)
    store = PostgresStore.open(database.replace(str(postgres.port), str(way.port)))
    try:
        way.cut = cut
        with pytest.raises(StorageError) as failed:
            commit(store, payload("alarms", 1), payload("events", 1))
        assert failed.value.unknown
        assert way.cuts == 1
        assert commit(store, payload("alarms", 1), payload("events", 1)).applied == (applied, applied)
        assert psycopg_rows(database, "SELECT count(*) FROM transitions") == [(1,)]
    finally:
        store.close()
        way.close()


def test_a_terminated_backend_and_a_full_disk_lose_nothing(pg, database):
    """An idle connection that died is made again unnoticed; a database without room says so, and goes on afterwards."""
    with psycopg.connect(database, autocommit=True) as admin:
        assert pg.reader.latest(SITE) == []
        killed = admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
        assert len(killed) >= 2
        assert commit(pg, payload("samples", 1)).applied == ("new",)
        assert [row.value for row in pg.reader.latest(SITE)] == [3]
        admin.execute(
            "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full'; END $$"
        )
        admin.execute("CREATE TRIGGER full_disk BEFORE INSERT ON gaps EXECUTE FUNCTION no_room()")
        with pytest.raises(StorageError, match=r"no room.*53100"):
            commit(pg, payload("samples", 2, gaps=[gap(0, SECOND)]))
        assert admin.execute("SELECT count(*) FROM blocks").fetchone() == (1,)
        admin.execute("DROP TRIGGER full_disk ON gaps")
    assert commit(pg, payload("samples", 2, gaps=[gap(0, SECOND)])).applied == ("new",)


def test_a_database_that_is_not_there_or_too_new_is_said_so(pg, database):
    """The reason reaches whoever asked; nothing hangs."""
    with pytest.raises(StorageError, match=r"central store: .*refused"):
        PostgresStore.open("postgresql://postgres@127.0.0.1:1/none")
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("INSERT INTO sitekeeper_store VALUES ('from the future', 99)")
    with pytest.raises(StorageError, match="newer version"):
        PostgresStore.open(database)
