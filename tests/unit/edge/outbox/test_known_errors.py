"""Files that are not ours, disks that fail, and stops that were not clean."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.outbox import Outbox, rows, schema
from edge.outbox.reader import Reader
from sitekeeper.model.errors import StorageError
from tests.unit.edge.outbox.conftest import Disk, kill, sealed

Open = Callable[..., Outbox]


def change(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize("landed", [True, False])
def test_a_commit_with_unknown_outcome_is_neither_lost_nor_doubled(open_outbox: Open, disk: Disk, landed: bool) -> None:
    """After an error at COMMIT the file is asked; what is there is acknowledged, what is not is written again."""
    outbox = open_outbox()
    disk.faults = ["landed" if landed else "lost"]
    first = outbox.append([sealed("samples", 1)], audit=[b"row"])
    assert outbox.problem is not None
    assert "disk I/O error" in str(outbox.problem)
    second = outbox.append([sealed("samples", 2)])
    assert first.done()
    assert second.done()
    assert outbox.problem is None
    assert outbox.unsent("samples") == (1, 2, 2)
    assert outbox.audit_tail() == [b"row"]


@pytest.mark.parametrize("landed", [True, False])
def test_an_audit_row_alone_survives_an_unknown_outcome_once(open_outbox: Open, disk: Disk, landed: bool) -> None:
    """Rows without a block are not written twice either."""
    outbox = open_outbox()
    outbox.append([], audit=[b"before"])
    disk.faults = ["landed" if landed else "lost"]
    outbox.append([], audit=[b"row"])
    outbox.flush()
    assert outbox.audit_tail() == [b"before", b"row"]


def test_a_landed_commit_is_told_from_a_later_append(open_outbox: Open, disk: Disk) -> None:
    """What came after the doubtful commit is not mistaken for a part of it."""
    outbox = open_outbox()
    disk.faults = ["landed"]
    disk.refuse_open = 2
    futures = [outbox.append([sealed("alarms", n)]) for n in (1, 2, 3)]
    assert not any(future.done() for future in futures)
    outbox.flush()
    assert all(future.done() for future in futures)
    assert outbox.unsent("alarms") == (1, 3, 3)
    assert [outbox.read("alarms", n) for n in (1, 2, 3)] == [b"alarms 1", b"alarms 2", b"alarms 3"]


def test_close_with_a_failing_disk_says_what_is_not_durable(open_outbox: Open, disk: Disk) -> None:
    """Futures fail at close only, and say whether the outcome is unknown."""
    outbox = open_outbox()
    disk.faults = ["lost"] * 3
    future = outbox.append([sealed("samples", 1)])
    with pytest.raises(StorageError):
        outbox.flush()
    with pytest.raises(StorageError):
        outbox.close()
    error = future.exception(0)
    assert isinstance(error, StorageError)
    assert error.unknown
    with pytest.raises(StorageError):
        outbox.append([sealed("samples", 2)])


def test_a_commit_that_was_killed_before_its_future_resolved_is_there_afterwards(open_outbox: Open, disk: Disk) -> None:
    """After COMMIT the block is durable, even if nobody lived to hear of it: its sequence is taken."""
    outbox = open_outbox()
    disk.faults = ["landed"]
    assert not outbox.append([sealed("alarms", 1)]).done()
    kill(outbox)
    again = open_outbox()
    assert again.next_sequence("alarms") == 2
    assert again.read("alarms", 1) == b"alarms 1"


def test_another_file_in_its_place_is_noticed_when_the_file_is_opened_anew(
    open_outbox: Open, disk: Disk, path: Path
) -> None:
    """A restored or swapped file has another epoch: nothing of the old one is written into it."""
    outbox = open_outbox()
    disk.faults = ["lost"]
    outbox.append([sealed("samples", 1)])
    change(path, "UPDATE meta SET value = 'other' WHERE key = 'epoch'")
    future = outbox.append([sealed("samples", 2)])
    assert not future.done()
    assert "another file" in str(outbox.problem)


def test_another_database_is_refused_and_left_alone(open_outbox: Open, path: Path) -> None:
    """O8: a database of somebody else gets no table, no journal mode and no id of ours."""
    change(path, "CREATE TABLE tenants (name)")
    before = path.read_bytes()
    for attempt in (open_outbox, lambda: Reader(path)):
        with pytest.raises(StorageError, match="not an outbox"):
            attempt()
    assert path.read_bytes() == before


def test_an_outbox_of_another_site_is_refused(open_outbox: Open) -> None:
    """O8: a box that gets the wrong folder does not send another site's record under its own name."""
    open_outbox().close()
    with pytest.raises(StorageError, match="outbox of site harbour, not of hill"):
        open_outbox(site="hill")


def test_a_file_that_needs_a_newer_reader_is_refused(open_outbox: Open, path: Path) -> None:
    """O8: `min_reader` keeps older programs out, for writing and for reading."""
    open_outbox().close()
    change(path, "UPDATE meta SET value = '3' WHERE key = 'min_reader'")
    for attempt in (open_outbox, lambda: Reader(path)):
        with pytest.raises(StorageError, match="newer version"):
            attempt()


def test_a_newer_file_that_still_admits_us_is_used(open_outbox: Open, path: Path) -> None:
    """Migrations only add, so a file of version 3 with min_reader 2 works, and is not migrated back."""
    open_outbox().close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executemany(rows.insert("meta"), rows.signed("meta", [("version", "3")]))
    connection.execute("CREATE TABLE extra (x)")
    connection.close()
    outbox = open_outbox()
    outbox.append([sealed("samples", 1)])
    assert schema.meta(outbox._store._connection)["version"] == "3"


@pytest.mark.parametrize("left", ["nothing", "migrations", "tables"])
def test_a_creation_that_was_cut_short_is_finished(open_outbox: Open, path: Path, left: str) -> None:
    """Whatever a kill leaves of a new file, the next start makes an outbox of it."""
    if left == "nothing":
        path.touch()
    else:
        open_outbox().close()
        change(path, "DELETE FROM meta WHERE key IN ('epoch', 'site', 'clean')")
    if left == "migrations":
        path.unlink()
        change(path, "CREATE TABLE _sqlite_migrations (id INTEGER PRIMARY KEY, migration_set, name, applied_at)")
    outbox = open_outbox()
    outbox.append([sealed("samples", 1)])
    assert outbox.epoch
    assert outbox.unsent("samples").blocks == 1


def test_a_folder_that_is_not_there_is_a_storage_error(open_outbox: Open, path: Path) -> None:
    """The message names the path; the lock is not left behind."""
    with pytest.raises(StorageError, match="No such file"):
        Outbox.open(path.parent / "missing" / "outbox.db", site="harbour", clock=None)  # type: ignore[arg-type]


def test_there_is_nothing_to_read_where_no_gateway_was(path: Path) -> None:
    """A reader never creates a file."""
    with pytest.raises(StorageError, match="no outbox"):
        Reader(path)
    path.touch()
    with pytest.raises(StorageError, match="empty"):
        Reader(path)


def test_a_reader_cannot_write(open_outbox: Open, path: Path) -> None:
    """Readers are read-only twice: by mode and by query_only."""
    open_outbox()
    with Reader(path) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._connection.execute("DELETE FROM meta")


def test_errors_while_reading_are_storage_errors(open_outbox: Open, path: Path) -> None:
    """SQLite's own exceptions do not leave the room."""
    outbox = open_outbox()
    outbox._reader.close()
    for attempt in (lambda: outbox.read("samples", 1), lambda: outbox.catalogue("x"), outbox.audit_tail):
        with pytest.raises(StorageError, match="cannot read"):
            attempt()
