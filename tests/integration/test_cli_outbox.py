"""`sk outbox`: what it says of a live outbox, that it finds damage, and that copies of it can be put back."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from simulators.stage import free_port
from tests.fixtures.sk_site import SkSite
from tests.outbox_content import write
from tests.sk import Said, sk, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    """An outbox with 20 seconds of content, of a gateway that was stopped well."""
    write(tmp_path / "outbox.db", seconds=20, clean=True)
    return tmp_path / "outbox.db"


@pytest.fixture
def live(tmp_path: Path) -> Iterator[SkSite]:
    """A gateway whose one device nobody answers for: it records that, and has no office to send it to."""
    with SkSite(tmp_path) as site:
        site.serve(
            links={"lifts": {"driver": "modbus-tcp", "host": "127.0.0.1", "port": free_port(), "timeout": "300ms"}},
            devices=[{"id": "lift-a", "profile": "sp-lift-1", "link": "lifts", "unit": 1}],
        )
        yield site


def meta(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
        return dict(file.execute("SELECT key, value FROM meta"))


def failed(said: Said, *words: str) -> None:
    problem = said.envelope()["problems"][0]
    assert said.code != 0
    assert all(word in problem["message"] for word in words), problem


def test_a_live_outbox_is_measured_checked_and_backed_up(live: SkSite) -> None:
    """Beside a gateway that writes: hours, bytes and blocks; the copy is sound, and marked as one."""
    wait_for(lambda: sum(live.data("outbox", "stats")["unsent"].values()) > 0)
    stats = live.data("outbox", "stats")
    assert stats["path"].endswith("outbox.db")
    assert stats["in_use"] > 0 < stats["disk_free"]
    assert stats["hours"] is None or stats["hours"] > 0
    assert live.data("status")["outbox"]["hours"] == pytest.approx(stats["hours"], rel=0.5)
    source, copy = str(live.folder / "site/outbox.db"), live.folder / "copy.db"
    assert live.data("outbox", "check", source)["sound"] is True
    assert live.data("outbox", "backup", str(copy), "--file", source)["bytes"] == copy.stat().st_size
    assert live.data("outbox", "check", str(copy))["copy"] == "1"
    failed(live("outbox", "backup", str(copy), "--file", source, "--json"), "already")
    failed(live("outbox", "restore", str(copy), "--file", source, "--json"), source)


def test_a_backup_is_put_back_and_what_was_there_is_kept(outbox: Path) -> None:
    """Restored with the gateway stopped: the file of before lies beside it, whole; the one in place is the copy."""
    copy, before = outbox.with_name("copy.db"), outbox.read_bytes()
    assert sk("outbox", "backup", str(copy), "--file", str(outbox)).code == 0
    done = sk("outbox", "restore", str(copy), "--file", str(outbox), "--json").envelope()["data"]
    assert (Path(done["moved"]) / "outbox.db").read_bytes() == before
    assert meta(outbox)["copy"] == "1"
    assert meta(outbox)["epoch"] == meta(Path(done["moved"]) / "outbox.db")["epoch"]


def test_a_flipped_byte_is_found_and_such_a_backup_is_not_put_back(outbox: Path) -> None:
    """Both commands name the file and end with an error; what is in place is left as it is."""
    copy, before = outbox.with_name("copy.db"), outbox.read_bytes()
    sk("outbox", "backup", str(copy), "--file", str(outbox))
    with closing(sqlite3.connect(outbox)) as file:
        payload = file.execute("SELECT payload FROM blocks WHERE stream = 'samples' LIMIT 1").fetchone()[0]
    data = bytearray(copy.read_bytes())
    data[data.index(payload) + len(payload) // 2] ^= 1
    copy.write_bytes(data)
    failed(sk("outbox", "check", str(copy), "--json"), "copy.db", "damaged")
    failed(sk("outbox", "restore", str(copy), "--file", str(outbox), "--json"), "copy.db", "damaged")
    assert outbox.read_bytes() == before


def test_what_is_no_outbox_is_no_outbox(tmp_path: Path) -> None:
    """A file of something else, and none at all."""
    (tmp_path / "notes.txt").write_text("not a database\n" * 200)
    failed(sk("outbox", "check", str(tmp_path / "notes.txt"), "--json"), "notes.txt")
    failed(sk("outbox", "check", str(tmp_path / "nowhere.db"), "--json"), "nowhere.db")
