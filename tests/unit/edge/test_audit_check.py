"""S16: whatever is done to an audit is found, row by row, by the chain, by the heads at the office, or by both."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from cloud_sync.store.base import PutStatus, Transaction
from cloud_sync.store.sqlite import SqliteStore
from cloud_sync.wire import Status
from edge.commands.audit_check import BEGINNING, Examined, Finding, examine
from edge.commands.audit_watch import AuditWatch
from office.audit_heads import judge
from sitekeeper import chain
from sitekeeper.model.clock import SECOND, SystemClock

Rows = list[tuple[int, bytes, bytes]]


def chained(*records: bytes) -> Rows:
    """Return an audit of these records, as the outbox writes it."""
    rows, head = Rows(), chain.GENESIS
    for n, record in enumerate(records, 1):
        head = chain.link(head, record)
        rows.append((n, record, head))
    return rows


RECORDS = [b"row %d" % n for n in range(1, 101)]
WHOLE = chained(*RECORDS)
HEADS = {n: WHOLE[n - 1][2].hex() for n in (10, 25, 60, 100)}


def edited() -> Rows:
    return [(n, b"nothing happened" if n == 42 else record, hash_) for n, record, hash_ in WHOLE]


def edited_to_fit() -> Rows:
    return chained(*(b"nothing happened" if n == 42 else record for n, record in enumerate(RECORDS, 1)))


def deleted() -> Rows:
    return [row for row in WHOLE if row[0] != 42]


def deleted_to_fit() -> Rows:
    return chained(*(record for n, record in enumerate(RECORDS, 1) if n != 42))


def reordered() -> Rows:
    order = [*range(41), 42, 41, *range(43, 100)]
    return [(n, *WHOLE[index][1:]) for n, index in enumerate(order, 1)]


def put_in() -> Rows:
    return [*WHOLE[:41], (42, b"it was somebody else", WHOLE[41][2]), *((n + 1, r, h) for n, r, h in WHOLE[41:])]


@pytest.mark.parametrize(("tampered", "found"), [
    (edited(), [Finding("broken", 42, 42)]),
    (edited_to_fit(), [Finding("changed", 26, 60), Finding("changed", 61, 100)]),
    (deleted(), [Finding("missing", 42, 42), Finding("broken", 43, 43)]),
    (deleted_to_fit(), [Finding("changed", 26, 60), Finding("fewer", 100, 100)]),
    (reordered(), [Finding("broken", 42, 42), Finding("broken", 43, 43), Finding("broken", 44, 44)]),
    (WHOLE[:60], [Finding("fewer", 61, 100)]),
    (WHOLE[:95] + chained(*RECORDS[:95], *[b"new"] * 9)[95:], [Finding("changed", 61, 100)]),
    (chained(*[b"a clean record"] * 100), [
        Finding("changed", 1, 10), Finding("changed", 11, 25), Finding("changed", 26, 60), Finding("changed", 61, 100),
    ]),
    ([], [Finding("fewer", 1, 100)]),
], ids=["edit", "edit, made to fit", "delete", "delete, made to fit", "reorder", "truncate", "truncate and write on",
        "replace", "empty"])  # fmt: skip
def test_each_way_of_tampering_is_found(tampered: Rows, found: list[Finding]) -> None:
    """Without a new chain at the very rows; with one between the heads that the office was told around it."""
    assert examine(tampered, HEADS).findings == found


def test_a_row_that_was_put_in_is_found() -> None:
    """It does not stand on the one before, nor does the one after it stand on it; and the heads are one row off."""
    findings = examine(put_in(), HEADS).findings
    assert Finding("broken", 42, 42) in findings
    assert Finding("changed", 26, 60) in findings


def test_an_audit_that_nobody_touched_stands() -> None:
    """Nothing is found, with and without heads, and its own head is told."""
    for heads in ({}, HEADS):
        found = examine(WHOLE, heads)
        assert (found.findings, found.rows, found.head, found.fits) == ([], 100, WHOLE[-1][2].hex(), 100)
    assert examine([]) == Examined()


# --- what the office is told


class File:
    """An outbox, as far as its audit goes: read as a file is, and folded."""

    epoch = "e1"

    def __init__(self, rows: Rows, anchor: tuple[int, bytes] = BEGINNING) -> None:
        self.rows, self._anchor = rows, anchor
        self.moves: list[Rows] = []
        """What the file holds after each reading, and what it is folded to."""

    @property
    def audit_kept(self) -> tuple[int, int]:
        return self._anchor[0], self.rows[-1][0] if self.rows else self._anchor[0]

    def fold_audit(self, upto: int, record: Callable[[bytes], bytes]) -> "Future[None]":
        hash_ = next(row[2] for row in self.rows if row[0] == upto)
        said = record(hash_)
        n, _, head = self.rows[-1]
        self.rows = [*(row for row in self.rows if row[0] > upto), (n + 1, said, chain.link(head, said))]
        self._anchor = (upto, hash_)
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def anchor(self) -> tuple[int, bytes]:
        return self._anchor

    @contextlib.contextmanager
    def open(self) -> "Iterator[File]":
        yield self

    def audit(self) -> Rows:
        return self.rows


def watched(*contents: Rows) -> list[tuple[int, str] | None]:
    """Return the heads that the office is told while a file has these contents one after the other."""
    file = File([])
    watch, told = AuditWatch(file.open, file, SystemClock(), inline=True), []
    for file.rows in contents:
        watch.took(watch._examine())
        told.append(watch.head())
    return told


def test_the_head_is_told_only_of_a_chain_that_stands() -> None:
    """Where a row does not fit, the rows before it are told and no hash: that is a word of its own."""
    assert watched(WHOLE) == [(100, WHOLE[-1][2].hex())]
    assert watched(edited()) == [(41, "")]
    assert watched(deleted()) == [(41, "")]
    assert watched([]) == [(0, chain.GENESIS.hex())]


def test_a_running_gateway_notices_by_itself_what_is_cut_and_written_on() -> None:
    """Row 100 is another one than a minute ago; that rows are gone from the end is for the office to say."""
    longer = chained(*RECORDS[:95], *[b"new"] * 9)
    assert watched(WHOLE, longer) == [(100, WHOLE[-1][2].hex()), (0, "")]
    assert watched(WHOLE, WHOLE[:60]) == [(100, WHOLE[-1][2].hex()), (60, WHOLE[59][2].hex())]


# --- what the office makes of it

CASES = {
    "edit": (edited(), ("broken", 41)),
    "edit, made to fit": (edited_to_fit(), ("changed", 60)),
    "delete": (deleted(), ("broken", 41)),
    "delete, made to fit": (deleted_to_fit(), ("fewer", 99)),
    "reorder": (reordered(), ("broken", 41)),
    "truncate": (WHOLE[:60], ("fewer", 60)),
    "replace": (chained(*[b"a clean record"] * 100), ("changed", 60)),
    "empty": ([], ("fewer", 0)),
    "none": (WHOLE, ("", 100)),
    "none, and rows more": (chained(*RECORDS, b"more"), ("", 101)),
}


class Kept:
    """An office's store that was told the heads of an honest site."""

    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore.open(folder / "office.db", inline=True)
        self.at = 0
        for n, hash_ in HEADS.items():
            self.told((n, hash_))

    def told(self, head: tuple[int, str] | None, *, epoch: str = "e1", live: bool = True, online: bool = True) -> None:
        self.at += 10 * SECOND
        status = Status(online=online, site="s", epoch=epoch, boot="b", version="1", audit=head, nonce="n")
        self.store.commit(Transaction(at=self.at, entries=(PutStatus(status=status, live=live),))).result(5)

    def judged(self) -> tuple[str, int]:
        word = self.store.reader.word("s")
        assert word is not None
        return judge(word)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    office = Kept(tmp_path)
    yield office
    office.store.close()


@pytest.mark.parametrize(("tampered", "expected"), CASES.values(), ids=list(CASES))
def test_the_office_judges_by_the_heads_alone(kept: Kept, tampered: Rows, expected: tuple[str, int]) -> None:
    """Within two statuses of the tampering, which is 20 s of contact; an honest chain raises nothing."""
    [head] = watched(tampered)
    for _ in range(2):
        kept.told(head)
    assert kept.judged() == expected


def test_a_clone_is_seen_by_its_heads(kept: Kept) -> None:
    """Two boxes with the same file go on differently: the same number of rows, and two hashes. It stays seen."""
    for row in (
        chained(*RECORDS, b"here")[100],
        chained(*RECORDS, b"there")[100],
        chained(*RECORDS, b"here", b"x")[101],
    ):
        kept.told((row[0], row[2].hex()))
    assert kept.judged() == ("changed", 100)


def test_what_is_no_tampering_raises_nothing(kept: Kept) -> None:
    """An older status that comes again, one that a broker kept, a last will, a new file, an older gateway."""
    kept.told((60, HEADS[60]))
    kept.told((100, HEADS[100]))
    kept.told((60, HEADS[60]))
    assert kept.judged() == ("", 60)
    kept.told((10, HEADS[10]), live=False)
    kept.told((10, HEADS[10]), online=False)
    assert kept.judged() == ("", 60)
    for head, epoch in (((0, chain.GENESIS.hex()), "e2"), (None, "e2")):
        for _ in range(3):
            kept.told(head, epoch=epoch)
        assert kept.judged() == ("", 0)


def test_a_last_will_takes_the_sites_word_away(kept: Kept) -> None:
    """What it said last is not quoted by a command any more."""
    word = kept.store.reader.word("s")
    assert word is not None
    assert (word.nonce, word.heard) == ("n", kept.at)
    kept.told(None, online=False)
    word = kept.store.reader.word("s")
    assert word is not None
    assert word.heard == 0
