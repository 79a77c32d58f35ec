"""Hostile files: each is refused as it is, or moved aside and saved; a gateway never ends in a crash loop."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edge.outbox import Outbox, copies, quarantine, rows, schema, tables
from edge.outbox.reader import Reader
from sitekeeper import catalogue
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import StorageError
from tests.outbox_content import CATALOGUE, ENCODED, SITE, Content, write
from tests.unit.edge.outbox.conftest import sealed

Open = Callable[..., Outbox]


def change(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def quarantined(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.quarantine-*"))


def all_saved(outbox: Outbox, content: Content) -> bool:
    """Tell whether every block that the office does not have waits under its old name."""
    return all(
        outbox.read_salvaged(content.epoch, stream, n) == payload
        for stream, found in content.blocks.items()
        for n, payload in found.items()
    )


def test_a_file_that_is_no_database_is_moved_aside_and_never_deleted(open_outbox: Open, path: Path) -> None:
    """Bytes that are no database lie in the quarantine as they were, and the gateway works."""
    letter = b"a letter to the tenants\n" * 400
    path.write_bytes(letter)
    outbox = open_outbox()
    outbox.append([sealed("samples", 1)])
    assert outbox.unsent("samples").blocks == 1
    assert (quarantined(path)[0] / path.name).read_bytes() == letter
    note = outbox.untold()
    assert note is not None
    assert {each["alarms"] for each in note.salvage} == {"check_site"}


@pytest.mark.parametrize("left", ["zero bytes", "nothing"])
def test_an_outbox_that_became_empty_is_told(open_outbox: Open, path: Path, left: str) -> None:
    """A file of zero bytes, or none, where an outbox was, is a new epoch and a loss that is told."""
    first = open_outbox()
    first.append([sealed("samples", 1)])
    first.close()
    path.write_bytes(b"") if left == "zero bytes" else path.unlink()
    outbox = open_outbox()
    note = outbox.untold()
    assert outbox.epoch != first.epoch
    assert note is not None
    assert [each["old_epoch"] for each in note.salvage] == [first.epoch] * 3
    outbox.append([sealed("events", 1)], told=note)
    assert outbox.untold() is None


@pytest.mark.parametrize(
    "planted",
    [
        "CREATE TRIGGER t AFTER INSERT ON blocks_samples BEGIN DELETE FROM blocks_alarms; END",
        "CREATE VIEW v AS SELECT * FROM meta",
        "CREATE TABLE extra (x)",
        "PRAGMA application_id=7",
        "UPDATE meta SET value = 'yes' WHERE key = 'version'",
        "UPDATE meta SET value = 'no' WHERE key = 'min_reader'",
        "UPDATE alarms SET record = '{}'",
        "UPDATE blocks_samples SET t0 = t0 + 1 WHERE sequence = 3",
        "UPDATE released SET last = last + 1 WHERE stream = 'samples'",
    ],
)
def test_what_no_outbox_holds_is_not_believed_and_the_rest_is_saved(
    open_outbox: Open, path: Path, planted: str
) -> None:
    """Code, tables and values that somebody put into the file neither run nor count; the blocks are saved."""
    content = write(path, seconds=20, clean=True)
    change(path, planted)
    outbox = open_outbox(site=SITE)
    assert outbox.epoch != content.epoch
    assert len(quarantined(path)) == 1
    changed = {("samples", 3)} if "t0" in planted else set()
    for stream, found in content.blocks.items():
        for n, payload in found.items():
            saved = None if (stream, n) in changed else payload
            assert outbox.read_salvaged(content.epoch, stream, n) == saved
    kept = {record.key: record for record in outbox.state().alarms}
    assert kept == content.alarms  # from the table, or made anew of what the blocks tell
    outbox.close()
    assert open_outbox(site=SITE).epoch == outbox.epoch


@pytest.mark.parametrize("same", [True, False], ids=["same-settings", "other-settings"])
def test_a_file_that_lost_its_catalogue_still_says_up_to_when_it_accounts(
    open_outbox: Open, path: Path, *, same: bool
) -> None:
    """With schema, times of groups and catalogue gone, the site's own catalogue reads the blocks: no hole is left."""
    content = write(path, seconds=40, clean=True)
    data = bytearray(path.read_bytes())
    data[100 : schema.PAGE] = bytes(schema.PAGE - 100)
    at = data.index(ENCODED[:64])
    data[at : at + 64] = bytes(64)
    path.write_bytes(data)
    own = ENCODED if same else catalogue.encode(msgspec.structs.replace(CATALOGUE, points=()))
    outbox = open_outbox(site=SITE, own=own)
    assert outbox.epoch != content.epoch
    until = outbox.state().group_until
    assert until.keys() == content.until.keys()
    assert all(content.until[group] - SECOND <= until[group] <= content.until[group] + SECOND for group in until)


def test_a_database_of_somebody_else_and_a_newer_one_are_not_moved(open_outbox: Open, path: Path) -> None:
    """What works for another program, or for a newer version, stays where it is; the message has the remedy."""
    change(path, "CREATE TABLE tenants (name)")
    with pytest.raises(StorageError, match=r"not an outbox.*outbox: path"):
        open_outbox()
    path.unlink()
    open_outbox(site="hill").close()
    with pytest.raises(StorageError, match=r"site hill.*left as it is"):
        open_outbox(site="harbour")
    assert quarantined(path) == []


@pytest.mark.parametrize("wal", ["truncated", "of another database", "flipped", "gone"])
def test_a_log_that_lost_commits_is_noticed(open_outbox: Open, path: Path, tmp_path: Path, wal: str) -> None:
    """SQLite passes over the end of a bad log in silence; the blocks behind it are found all the same, or told."""
    content = write(path, seconds=40, clean=False)
    log = path.with_name(path.name + "-wal")
    whole = log.read_bytes()
    if wal == "truncated":
        log.write_bytes(whole[:40_000])
    elif wal == "flipped":
        log.write_bytes(whole[:60_000] + bytes([whole[60_000] ^ 1]) + whole[60_001:])
    elif wal == "gone":
        log.unlink()
    else:
        (tmp_path / "other").mkdir()
        write(tmp_path / "other" / path.name, seconds=20, clean=False)
        shutil.copyfile(tmp_path / "other" / log.name, log)
    outbox = open_outbox(site=SITE)
    assert outbox.epoch != content.epoch
    assert outbox.untold() is not None
    if wal == "flipped":
        assert all_saved(outbox, content)
    for stream, found in content.blocks.items():
        for n, payload in found.items():
            assert outbox.read_salvaged(content.epoch, stream, n) in {payload, None}


def test_a_missing_index_is_made_anew(open_outbox: Open, path: Path) -> None:
    """The index beside the log is not needed: nothing is lost and the epoch stays."""
    content = write(path, seconds=20, clean=False)
    path.with_name(path.name + "-shm").unlink()
    outbox = open_outbox(site=SITE)
    assert outbox.epoch == content.epoch
    assert outbox.state().sequences["samples"] == 20


def test_a_file_with_a_second_name_is_refused(open_outbox: Open, path: Path) -> None:
    """SQLite cannot protect a file that is open under two names."""
    open_outbox().close()
    path.with_name("second").hardlink_to(path)
    with pytest.raises(StorageError, match="second name"):
        open_outbox()


def test_a_file_that_another_process_locks_is_no_damage(
    open_outbox: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A foreign program that holds the file makes the start fail with the reason; nothing is moved."""
    open_outbox().close()
    monkeypatch.setattr(schema, "BUSY_S", 0.01)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StorageError, match="locked"):
        open_outbox()
    other.close()
    assert quarantined(path) == []
    open_outbox()


def test_a_huge_sparse_file_is_moved_aside_in_no_time(open_outbox: Open, path: Path) -> None:
    """100 GiB of nothing are not read."""
    with path.open("wb") as file:
        file.truncate(100 << 30)
    outbox = open_outbox()
    outbox.append([sealed("samples", 1)])
    assert (quarantined(path)[0] / path.name).stat().st_size == 100 << 30
    os.truncate(quarantined(path)[0] / path.name, 0)


def test_a_copy_put_in_place_by_hand_begins_a_new_epoch(open_outbox: Open, path: Path) -> None:
    """What was written after the copy was taken may be at the office: its sequences must not come twice."""
    open_outbox().append([sealed("samples", 1)])
    path.with_name("copy").write_bytes(b"")
    first = open_outbox_again(open_outbox, path)
    shutil.copyfile(path, path.with_name("copy"))
    second = open_outbox()
    second.append([sealed("samples", 2)])
    second.close()
    shutil.copyfile(path.with_name("copy"), path)
    outbox = open_outbox()
    assert outbox.epoch != first
    assert outbox.salvaged() == {(first, "samples"): ((1, 1),)}


def open_outbox_again(open_outbox: Open, path: Path) -> str:
    """Close what is open at `path`, so that it lies there whole; return its epoch."""
    epoch = ""
    for each in open_outbox.__closure__ or ():
        for one in each.cell_contents if isinstance(each.cell_contents, list) else ():
            one.close()
            epoch = one.epoch
    return epoch


def test_a_backup_is_sound_and_a_restored_one_begins_a_new_epoch(open_outbox: Open, path: Path) -> None:
    """A backup made while the gateway writes passes the check; put back, its blocks are sent under their old names."""
    outbox = open_outbox()
    outbox.append([sealed("samples", 1), sealed("alarms", 1)])
    copy = path.with_name("backup.db")
    assert copies.backup(path, copy) > 0
    assert copies.check(copy)["epoch"] == outbox.epoch
    with pytest.raises(StorageError, match="already"):
        copies.backup(path, copy)
    with pytest.raises(StorageError, match="has this outbox open"):
        copies.restore(copy, path, 5)
    outbox.close()
    moved = copies.restore(copy, path, 5)
    assert moved is not None
    restored = open_outbox()
    assert restored.epoch != outbox.epoch
    assert restored.read_salvaged(outbox.epoch, "samples", 1) == b"samples 1"
    assert restored.release(outbox.epoch, [("samples", 1, 1), ("alarms", 1, 1)])
    assert restored.salvaged() == {}


def test_a_check_finds_a_changed_value(open_outbox: Open, path: Path) -> None:
    """`sk outbox check` compares each row with its digest."""
    open_outbox().close()
    copies.check(path)
    change(path, "UPDATE meta SET value = 'hill' WHERE key = 'site'")
    with pytest.raises(StorageError, match="not what was written"):
        copies.check(path)


def test_a_kill_in_the_middle_of_a_salvage_is_finished_by_the_next_start(
    open_outbox: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The damaged file is in the quarantine, the new one is not in its place yet: the next start goes on from there."""
    from edge.outbox import salvage

    content = write(path, seconds=20, clean=True)
    change(path, "CREATE TABLE extra (x)")
    with monkeypatch.context() as patch:
        patch.setattr(salvage, "rebuild", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            open_outbox(site=SITE)
    assert not path.exists()
    outbox = open_outbox(site=SITE)
    assert all_saved(outbox, content)
    assert len(quarantined(path)) == 1
    assert not (quarantined(path)[0] / quarantine.UNFINISHED).exists()


def test_a_file_of_version_1_is_brought_up_and_says_who_may_use_it(open_outbox: Open, path: Path) -> None:
    """The file that the first version wrote keeps its content, gets digests, and is refused to older readers."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA page_size={schema.PAGE}")
    connection.execute("PRAGMA journal_mode=WAL")
    tables.STEPS[0](connection)
    connection.execute("INSERT INTO meta VALUES ('epoch', 'e1'), ('site', 'harbour'), ('clean', '1')")
    connection.execute("INSERT INTO blocks_samples VALUES (1, 1, 5, 5, x'00')")
    connection.execute("INSERT INTO released VALUES ('samples', 1, 1)")
    connection.execute("INSERT INTO group_until VALUES ('lift-a1@1s', 6)")
    connection.execute("CREATE TABLE _sqlite_migrations (id INTEGER PRIMARY KEY, migration_set, name, applied_at)")
    connection.execute("INSERT INTO _sqlite_migrations VALUES (1, 'outbox', '0001 first', '')")
    connection.close()
    outbox = open_outbox()
    assert (outbox.epoch, outbox.next_sequence("samples")) == ("e1", 2)
    assert outbox.state().group_until == {"lift-a1@1s": 6}
    connection = outbox._store._connection
    assert list(rows.sound("released", connection.execute(rows.select("released")))) == [("samples", 1, 1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "VERSION", 1)
        with pytest.raises(StorageError, match=r"newer version \(format 2, this one reads 1\)"):
            Reader(path)
