"""S17: the audit is bounded: folded from its oldest end, the chain stands on the anchor, and nothing ever stops."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cloud_sync.ingest_records import words_after
from cloud_sync.store.base import PutStatus
from cloud_sync.wire import Held, Links, Status, decode_request, encode_request
from edge.commands import audit_watch
from edge.commands.audit import FOLD, decode, fold
from edge.commands.audit_check import Finding, examine, examine_file
from edge.commands.audit_watch import AuditWatch
from edge.outbox import Outbox
from edge.outbox.reader import Reader
from edge.outbox.records import Damaged
from sitekeeper import chain
from sitekeeper.model.clock import MINUTE, ManualClock, Moment
from sitekeeper.model.errors import StorageError
from tests.unit.edge.outbox.conftest import Disk, disk, kill, open_outbox, path, sealed
from tests.unit.edge.test_audit_check import File, Rows, chained

__all__ = ["disk", "open_outbox", "path"]

Open = Callable[..., Outbox]
NOW = Moment(wall=1, mono=1, trusted=True)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """An audit that is full at 20 rows, folded above 15, five at once."""
    for name, value in (("MOST", 20), ("FOLD_AT", 15), ("WARN", 16), ("LOT", 5)):
        monkeypatch.setattr(audit_watch, name, value)


def rows(count: int) -> Rows:
    return chained(*(b"row %d" % n for n in range(1, count + 1)))


def watch_over(file: File, clock: ManualClock) -> AuditWatch:
    watch = AuditWatch(file.open, file, clock, inline=True)
    watch.took(watch._examine())
    return watch


def confirm(watch: AuditWatch, clock: ManualClock) -> int:
    """Let the office confirm all links that it is told, one status after the other; return how many statuses."""
    statuses = 0
    while (told := watch.links()) is not None:
        watch.held("e1", told[0] + len(told[1]) - 1, told[1][-1])
        statuses += 1
    return statuses


def folds(rows: Rows) -> list[tuple[str, str]]:
    """Return what the rows about folding say: up to which row, and why if the office had not confirmed it."""
    found = [decode(record) for _, record, _ in rows if FOLD.encode() in record]
    return [(row.target, row.reason) for row in found]


# --- when is folded


@pytest.mark.usefixtures("small")
def test_only_what_the_office_has_is_folded_until_there_is_no_room(clock: ManualClock) -> None:
    """Below the limit nothing goes; above it confirmed rows do; unconfirmed ones wait for 100 %, and are called so."""
    file = File(rows(14))
    watch = watch_over(file, clock)
    confirm(watch, clock)
    assert watch.foldable() == 0
    file.rows = rows(17)
    assert watch.foldable() == 5
    stranger = watch_over(File(rows(17)), clock)
    assert (stranger.foldable(), stranger._fold()) == (0, False)
    stranger = watch_over(full := File(rows(20)), clock)
    assert stranger._fold()
    assert folds(full.rows) == [("5", "unheld")]
    assert watch._fold()
    assert folds(file.rows) == [("5", "")]
    assert [row[0] for row in file.rows] == [*range(6, 19)]


@pytest.mark.usefixtures("small")
def test_an_audit_never_grows_beyond_its_bound_and_always_stands(clock: ManualClock) -> None:
    """1,000 rows come, some while the office is there and some while it is not: never more than 20 and the next lot."""
    file, most = File([]), 0
    for turn in range(500):
        head = file.rows[-1][2] if file.rows else chain.GENESIS
        for n in (1, 2):
            record = b"turn %d %d" % (turn, n)
            head = chain.link(head, record)
            file.rows = [*file.rows, (file.audit_kept[1] + 1, record, head)]
        watch = watch_over(file, clock)
        if turn % 50 < 25:
            confirm(watch, clock)
        watch._fold()
        folded, last = file.audit_kept
        most = max(most, last - folded)
        assert examine_file(file).findings == []
    assert 15 < most <= 22
    assert {why for _, why in folds(file.rows)} <= {"", "unheld"}


@pytest.mark.usefixtures("small")
def test_a_tampered_audit_is_left_as_it_is_while_there_is_room(clock: ManualClock) -> None:
    """What is wrong with it is evidence; only at 100 % does the bound come first."""
    wrong = rows(17)
    wrong[3] = (4, b"nothing happened", wrong[3][2])
    watch = watch_over(File(wrong), clock)
    watch._held = 17
    assert watch.foldable() == 0
    assert watch.links() is None


async def test_an_audit_that_cannot_be_read_for_damage_is_not_told_as_sound(clock: ManualClock) -> None:
    """A disk that is merely busy changes nothing; a file whose anchor is none does, and the office hears of it."""

    class Ill(File):
        error: Exception = StorageError("busy")

        def anchor(self) -> tuple[int, bytes]:
            raise self.error

    file = File(rows(3))
    watch = watch_over(file, clock)
    ill = Ill(file.rows)
    watch._open = ill.open
    await watch._look()
    assert watch.head() == (3, file.rows[-1][2].hex())
    ill.error = Damaged("not an anchor")
    await watch._look()
    assert watch.head() == (0, "")
    watch._open = file.open
    await watch._look()
    assert watch.head() == (3, file.rows[-1][2].hex())


# --- does it stand


def test_a_folded_audit_stands_on_its_anchor_and_under_the_heads(clock: ManualClock) -> None:
    """Older heads cannot be compared any more, the one of the anchor can; each later row is known as before."""
    whole = rows(30)
    file = File(whole)
    file.fold_audit(10, lambda hash_: fold(NOW, 10, hash_, held=True))
    heads = {n: whole[n - 1][2].hex() for n in (3, 10, 25, 30)}
    found = examine_file(file, heads)
    assert (found.findings, found.folded, found.rows) == ([], 10, 31)
    assert examine_file(file, heads | {10: "ab" * 32}).findings == [Finding("changed", 1, 10)]
    assert examine_file(file, heads | {25: "ab" * 32}).findings == [Finding("changed", 11, 25)]


@pytest.mark.parametrize("claimed", [b"row 31", b"audit.fold", fold(NOW, 9, rows(10)[8][2], held=True)])
def test_rows_that_are_gone_without_a_word_are_tampering(claimed: bytes) -> None:
    """Whoever deletes rows and moves the anchor leaves no row in the chain that says so, or the office sees one."""
    whole = rows(30)
    made = chained(*(row[1] for row in whole), claimed)
    assert examine(made[10:], anchor=(10, whole[9][2])).findings == [Finding("unfolded", 1, 10)]
    assert examine([], anchor=(10, whole[9][2])).findings == [Finding("unfolded", 1, 10)]
    assert examine(made[10:], anchor=(10, b"x" * 32)).findings[0] == Finding("broken", 11, 11)


def test_what_is_folded_while_it_is_read_is_not_missing() -> None:
    """The anchor moves between two pages; the second reading sees one state."""
    whole = File(rows(30))

    class Moving(File):
        def audit(self) -> Rows:
            found = super().audit()
            if not self.audit_kept[0]:
                self.fold_audit(10, lambda hash_: fold(NOW, 10, hash_, held=True))
                return [row for row in found if not 5 < row[0] <= 10]
            return found

    found = examine_file(Moving(whole.rows))
    assert (found.findings, found.folded) == ([], 10)


# --- in the file


def audited(outbox: Outbox, count: int) -> None:
    outbox.append([], audit=[b"row %d" % n for n in range(1, count + 1)])


def fold_to(outbox: Outbox, upto: int) -> None:
    outbox.fold_audit(upto, lambda hash_: fold(NOW, upto, hash_, held=True))


def examined(path: Path) -> tuple[int, int, list[Finding]]:
    with Reader(path) as reader:
        found = examine_file(reader)
        return found.folded, found.rows, found.findings


def test_the_outbox_folds_in_one_transaction_and_remembers(open_outbox: Open, path: Path) -> None:
    """The rows are gone, the chain stands, also over a restart and with rows after it; an alarm is written after it."""
    outbox = open_outbox()
    audited(outbox, 30)
    fold_to(outbox, 10)
    outbox.append([sealed("alarms", 1)])
    assert (outbox.audit_kept, examined(path)) == ((10, 31), (10, 31, []))
    assert outbox.fold_audit(10, lambda _: b"") is None, "there is no such row any more"
    outbox.close()
    again = open_outbox()
    again.append([], audit=[b"later"])
    fold_to(again, 31)
    assert (again.audit_kept, examined(path)) == ((31, 33), (31, 33, []))
    assert again.unsent("alarms").blocks == 1


@pytest.mark.parametrize("fault", ["lost", "landed"])
def test_a_fold_whose_outcome_is_unknown_is_done_once(open_outbox: Open, path: Path, disk: Disk, fault: str) -> None:
    """Whatever became of the commit that reported an error: ten rows are gone, and the chain stands."""
    outbox = open_outbox()
    audited(outbox, 30)
    disk.faults.append(fault)
    fold_to(outbox, 10)
    outbox.flush()
    assert (outbox.audit_kept, examined(path)) == ((10, 31), (10, 31, []))


def test_a_salvage_carries_a_folded_audit_over(open_outbox: Open, path: Path) -> None:
    """The new file's chain begins anew with every row that was left, the first one after the anchor included."""
    outbox = open_outbox()
    audited(outbox, 30)
    fold_to(outbox, 10)
    kill(outbox)
    path.with_name(path.name + ".damaged").write_text("said so")
    again = open_outbox()
    assert again.audit_tail()[0] == b"row 11"
    assert (again.audit_kept, examined(path)) == ((0, 21), (0, 21, []))


def test_an_anchor_that_is_none_is_damage(open_outbox: Open, path: Path) -> None:
    """It is not believed: the next start saves the rows into a chain of their own."""
    outbox = open_outbox()
    audited(outbox, 3)
    outbox.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("INSERT INTO meta SELECT 'audit_anchor', 'ten', digest FROM meta LIMIT 1")
    assert open_outbox().audit_tail() == [b"row 1", b"row 2", b"row 3"]
    assert list(path.parent.glob("*.quarantine-*"))


# --- row by row at the office


def test_links_are_told_until_the_office_confirms_them(clock: ManualClock) -> None:
    """The newest hundred after a start, then what is new, a hundred at a time; without an answer once a minute."""
    file = File(rows(250))
    watch = watch_over(file, clock)
    told = watch.links()
    assert told is not None
    assert (told[0], len(told[1]), told[1][-1]) == (151, 100, file.rows[-1][2].hex())
    assert watch.links() is None
    clock.advance(MINUTE)
    assert watch.links() == told
    watch.held("another", 250, told[1][-1])
    watch.held("e1", 250, "ab" * 32)
    clock.advance(MINUTE)
    assert watch.links() == told, "an answer about another audit, or another row, is none"
    watch.held("e1", 250, told[1][-1])
    assert watch.links() is None
    file.rows = rows(480)
    watch.took(watch._examine())
    assert confirm(watch, clock) == 3
    assert watch.facts() == {"rows": 480, "kept": 480, "most": audit_watch.MOST, "held": 480, "stands": True}


def test_the_office_answers_for_links_that_it_has_committed() -> None:
    """It names the last one; a status without links, a kept one and a last will are not answered."""
    status = Status(online=True, site="s", epoch="e1", boot="b", version="1", links=Links(7, ("ab" * 32, "cd" * 32)))
    [ask] = words_after(PutStatus(status=status, live=True), "new")
    assert decode_request(encode_request(ask.request)).audit == Held("e1", 8, "cd" * 32)
    silent = Status(online=True, site="s", epoch="e1", boot="b", version="1")
    for put in (PutStatus(status=status, live=False), PutStatus(status=silent, live=True)):
        assert words_after(put, "new") == []


def test_a_rewritten_row_is_named_by_its_link() -> None:
    """Of a chain that was made to fit, with a link for each row, every row from the first changed one on is named."""
    whole = rows(100)
    links = {n: hash_.hex() for n, _, hash_ in whole}
    rewritten = chained(*(b"nothing happened" if n == 42 else record for n, record, _ in whole))
    assert [(f.what, f.first, f.last) for f in examine(rewritten, links).findings[:2]] == [
        ("changed", 42, 42),
        ("changed", 43, 43),
    ]
