"""An export has everything that a store knows of a site's record, run by run, in the order in which it happened."""

import base64
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from cloud_sync import wire
from cloud_sync.store import export
from cloud_sync.store.base import PutBlock, PutCatalogue, Transaction
from cloud_sync.store.history import HistoryReader
from cloud_sync.store.sqlite import SqliteStore
from sitekeeper.block import GapCause, decode
from sitekeeper.catalogue import Catalogue, CatalogueDevice, CatalogueGroup, CataloguePoint, catalogue_hash
from sitekeeper.catalogue import decode as decode_catalogue
from sitekeeper.catalogue import encode as encode_catalogue
from sitekeeper.model.clock import HOUR, SECOND
from sitekeeper.model.errors import NotFound
from sitekeeper.model.event import Event
from sitekeeper.model.sample import Sample
from tests.unit.cloud_sync.material import SITE, T0, gap, payload, transition

GROUP = "lift-a1@1s"
NAMES = ("count", "door", "height", "shut")
KNOWN = encode_catalogue(
    Catalogue(
        site=SITE,
        groups=(CatalogueGroup(GROUP, "lift-a1", SECOND),),
        devices=(CatalogueDevice("lift-a1", "lift", "sp-lift-1"),),
        points=tuple(
            CataloguePoint(f"lift-a1/{name}", "lift-a1", kind, GROUP)
            for name, kind in zip(NAMES, ("int", "enum", "float", "bool"), strict=True)
        ),
    )
)
HASH = catalogue_hash(KNOWN)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore.open(tmp_path / "office.db", inline=True)
    yield opened
    opened.close()


@pytest.fixture
def reader(store: SqliteStore) -> Iterator[HistoryReader]:
    found = store.history()
    yield found
    found.close()


def fill(store, *blocks: bytes) -> None:
    """Commit the catalogue and some blocks, in this order."""
    named = PutCatalogue(site=SITE, hash=HASH, payload=KNOWN, catalogue=decode_catalogue(KNOWN))
    puts = [PutBlock(block=decode(data), payload=data, digest=wire.digest(data)) for data in blocks]
    store.commit(Transaction(at=T0, entries=(named, *puts))).result(30)


def sealed(stream, number: int, boot: str, mono: int, wall: int = T0, **records) -> bytes:
    """Return a block sealed at second `mono` of a run of which the second 0 was at `wall`."""
    more = {"boot": boot, "catalogue": HASH, "t0": wall + mono * SECOND, "mono0": mono * SECOND, "vouch": []}
    return payload(stream, number, **(more | records))


def exported(reader: HistoryReader, since: int = 0, until: int = 9_000) -> list[list[object]]:
    """Return the lines of an export between two seconds."""
    return [msgspec.json.decode(line) for line in export.lines(reader, SITE, T0 + since * SECOND, T0 + until * SECOND)]


def sample(name: str, at: float, value: object, q: int = 0) -> Sample:
    return Sample(NAMES.index(name), round(at * SECOND), value, q)


def test_all_of_a_record_in_its_order(store, reader):
    """Whatever the order in which blocks came: values with their types, events, moves, where each run ended."""
    second = T0 + 1_000 * SECOND
    late = [sample("door", 3, "open"), sample("shut", 3, False), sample("count", 4, 7)]
    first = [sample("height", 1, 2.5), sample("shut", 1, True), sample("count", 2, None, 130)]
    told = Event("lift-a1/note", 2 * SECOND, {"n": 1, "by": "h1:ab", "ok": True}, late=True)
    fill(
        store,
        sealed("samples", 3, "b2", 9, second, samples=[sample("shut", 5, True)]),
        sealed("samples", 2, "b1", 5, samples=late),
        sealed("samples", 1, "b1", 2, samples=first),
        sealed("events", 1, "b1", 2, events=[told]),
        sealed("alarms", 1, "b1", 7, transitions=[transition(1)]),
    )
    head, *lines = exported(reader)
    assert base64.b64decode(head.pop("catalogue")) == KNOWN
    assert head == {"format": "sitekeeper.export/1", "site": SITE, "since": T0, "until": T0 + 9_000 * SECOND}
    assert msgspec.convert(lines[0][1], type(transition(1))) == transition(1)
    assert lines[1:] == [
        ["b", "b1", T0],
        ["s", SECOND, "lift-a1/height", 2.5, 0],
        ["s", SECOND, "lift-a1/shut", True, 0],
        ["s", 2 * SECOND, "lift-a1/count", None, 130],
        ["e", 2 * SECOND, "lift-a1/note", {"n": 1, "by": "h1:ab", "ok": True}, True],
        ["s", 3 * SECOND, "lift-a1/door", "open", 0],
        ["s", 3 * SECOND, "lift-a1/shut", False, 0],
        ["s", 4 * SECOND, "lift-a1/count", 7, 0],
        ["u", 7 * SECOND],
        ["b", "b2", second],
        ["s", 5 * SECOND, "lift-a1/shut", True, 0],
        ["u", 9 * SECOND],
    ]


def test_a_part_begins_with_the_states_of_then(store, reader):
    """The last sample of each point before it, if it is of the run that was at work; nothing of another run."""
    fill(
        store,
        sealed("samples", 1, "b0", 5, T0 - HOUR, samples=[sample("height", 1, 1.5)]),
        sealed("samples", 2, "b1", 5, samples=[sample("shut", 1, True), sample("count", 2, 3), sample("count", 4, 5)]),
        sealed("samples", 3, "b1", 90, samples=[sample("count", 80, 6)]),
    )
    lines = [line for line in exported(reader, 50) if isinstance(line, list)]
    assert lines == [
        ["b", "b1", T0],
        ["s", SECOND, "lift-a1/shut", True, 0],
        ["s", 4 * SECOND, "lift-a1/count", 5, 0],
        ["s", 80 * SECOND, "lift-a1/count", 6, 0],
        ["u", 90 * SECOND],
    ]
    assert exported(reader, 100, 200)[1:] == []


def test_holes_are_told_where_they_begin_and_silences_are_not(store, reader):
    """What a device did not say is in the samples; what was lost is not."""
    holes = [gap(3 * SECOND, 6 * SECOND, GapCause.DROPPED), gap(10 * SECOND, 20 * SECOND)]
    fill(store, sealed("samples", 1, "b1", 30, samples=[sample("count", 2, 3), sample("count", 8, 4)], gaps=holes))
    kinds = [line[:2] for line in exported(reader)[1:]]
    assert kinds == [["b", "b1"], ["s", 2 * SECOND], ["g", 3 * SECOND], ["s", 8 * SECOND], ["u", 30 * SECOND]]


def test_it_is_read_in_slices_that_fit_what_was_recorded(store, reader, monkeypatch):
    """Longer where little was recorded, shorter where much was; the same lines either way."""
    blocks = [sealed("samples", n, "b1", n * 60, samples=[sample("count", n * 60, n)]) for n in range(1, 150)]
    fill(store, *blocks)
    whole = exported(reader)
    asked: list[int] = []
    read = export._samples
    monkeypatch.setattr(export, "_samples", lambda *given: asked.append(given[4] - given[3]) or read(*given))
    for few, many in ((20, 99), (1, 5)):
        monkeypatch.setattr(export, "FEW", few)
        monkeypatch.setattr(export, "MANY", many)
        assert exported(reader) == whole
    assert len(whole) == 1 + 1 + 149 + 1
    assert max(asked) > export.FIRST
    assert export.SHORTEST <= min(asked) < export.FIRST


def test_of_a_site_that_is_not_there_nothing_is_exported(store, reader):
    """It is said, before a file is made."""
    with pytest.raises(NotFound, match="no site 'elsewhere'"):
        list(export.lines(reader, "elsewhere", 0, T0))


def test_only_the_moves_of_its_time_are_read_page_by_page(store, reader, monkeypatch):
    """In the order of their times, also those of one moment, and whatever lies before and behind is left alone."""
    moves = [
        transition(n, at=T0 + second * SECOND) for n, second in enumerate((9, 50, 10, 11, 11, 11, 19, 20), start=1)
    ]
    fill(store, sealed("alarms", 1, "b1", 60, transitions=moves))
    read: list[int] = []
    stored = export.stored
    monkeypatch.setattr(export, "stored", lambda rows: read.append(len(rows)) or stored(rows))
    monkeypatch.setattr(export, "_PAGE", 2)
    told = [msgspec.convert(line[1], type(moves[0])) for line in exported(reader, 10, 20)[1:] if line[0] == "t"]
    assert told == [moves[n] for n in (2, 3, 4, 5, 6)]
    assert read == [2, 2, 1, 0]
