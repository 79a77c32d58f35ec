"""`sk` about the office: the ledger, and what only a site may do. A real office on a store that was written before."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cloud_sync import wire
from cloud_sync.store.base import PutBlock, PutCatalogue, PutQuarantine, Transaction
from cloud_sync.store.sqlite import SqliteStore
from simulators.stage import free_port
from sitekeeper.block import GapCause, decode
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.catalogue import decode as decode_catalogue
from sitekeeper.model.clock import SECOND
from tests.sk import SK, sk, wait_for
from tests.unit.cloud_sync.material import EPOCH, SITE, T0, catalogue, gap, payload

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An office whose store holds half a minute of a site, with two gaps and a hole; its broker is away."""
    folder = tmp_path_factory.mktemp("office")
    store = SqliteStore.open(folder / "office.db", inline=True)
    data = catalogue()
    blocks = [
        payload("samples", 1, gaps=[gap(2 * SECOND, 4 * SECOND, GapCause.SILENT)]),
        payload("samples", 4),
        payload("samples", 7, gaps=[gap(8 * SECOND, 10 * SECOND, GapCause.GATEWAY_OFF)]),
        payload("alarms", 1),
    ]
    put = PutCatalogue(site=SITE, hash=catalogue_hash(data), payload=data, catalogue=decode_catalogue(data))
    puts = tuple(PutBlock(block=decode(each), payload=each, digest=wire.digest(each)) for each in blocks)
    lost = payload("events", 9)
    away = PutQuarantine(
        site=SITE,
        kind="events",
        payload=lost,
        digest=wire.digest(lost),
        reason="undecodable",
        detail="as an older office saw it",
        epoch=EPOCH,
        stream="events",
        sequence=9,
    )
    store.commit(Transaction(at=T0, entries=(put, *puts, away))).result()
    store.close()
    settings = {
        "store": {"path": str(folder / "office.db")},
        "broker": {"host": "127.0.0.1", "port": free_port()},
        "socket": {"path": str(folder / "office.sock")},
    }
    (folder / "office.yaml").write_text(yaml.safe_dump(settings))
    with (folder / "office.log").open("wb") as log:
        process = subprocess.Popen(
            [*SK, "office", "run", "--config", str(folder / "office.yaml")], stdout=log, stderr=log
        )
    try:
        wait_for((folder / "office.sock").exists)
        yield folder / "office.sock"
    finally:
        process.terminate()
        process.wait(20)


def test_the_ledger_adds_up_and_names_what_nobody_explained(office: Path) -> None:
    """Known, in gaps by cause, and unexplained seconds of each scan group; together they are its span."""
    command = ("sync", "ledger", "--office", str(office), "--site", SITE)
    [row] = sk(*command, "--json").envelope()["data"]
    assert row == {
        "scan_group": "lift-a1@1s",
        "from": "2026-01-01T00:00:01.000Z",
        "to": "2026-01-01T00:00:10.000Z",
        "known_s": 3.0,
        "gap_s": 4.0,
        "causes": {"gateway_off": 2.0, "silent": 2.0},
        "unexplained_s": 2.0,
    }
    [line] = sk(*command).table()
    assert (line["causes"], line["unexplained_s"]) == ("gateway_off 2, silent 2", "2")


def test_a_day_of_the_ledger_by_site_group_and_point(office: Path) -> None:
    """Blocks 2, 3, 5 and 6 never came: their time is awaited; the figures of each row add up."""
    base = ("sync", "ledger", "--office", str(office), "--day", "2026-01-01")
    [site] = sk(*base, "--json").envelope()["data"]
    [group] = sk(*base, "--site", SITE, "--json").envelope()["data"]
    [point] = sk(*base, "--site", SITE, "--point", "lift-a1/floor", "--json").envelope()["data"]
    for row in (site, group, point):
        assert row["known_s"] + row["gap_s"] + row["awaited_s"] + row["unexplained_s"] == row["span_s"]
        assert (row["known_s"], row["unexplained_s"]) == (3, 0)
        assert row["causes"] == {"gateway_off": 2, "silent": 2}
        assert row["state"] == "telling"
    assert (site["site"], group["scan_group"], point["records"]) == (SITE, "lift-a1@1s", 6)
    assert "lift-a1/door" in sk(*base, "--site", SITE, "--points").out
    assert "usage" in sk(*base[:-1], "yesterday", "--site", SITE).err
    assert "not-found" in sk(*base, "--site", SITE, "--point", "lift-a1/flor").err


def test_quarantine_is_listed_shown_and_replayed(office: Path) -> None:
    """What can be read now is applied, once; who asks for a number that is not there is told so."""
    where = ("--office", str(office))
    [row] = sk("sync", "quarantine", "list", *where, "--json").envelope()["data"]
    assert (row["site"], row["kind"], row["sequence"], row["reason"]) == (SITE, "events", 9, "undecodable")
    shown = sk("sync", "quarantine", "show", str(row["id"]), *where).out
    assert "01 " in shown
    assert "events" in shown
    done = sk("sync", "quarantine", "replay", str(row["id"]), *where, "--json").envelope()["data"]
    assert done == {"id": row["id"], "applied": "new"}
    again = sk("sync", "quarantine", "replay", str(row["id"]), *where)
    assert again.code != 0
    assert "already-replayed" in again.out + again.err
    assert "no message 99" in sk("sync", "quarantine", "show", "99", *where).err


def test_the_ledger_of_a_site_nobody_knows_is_not_empty_but_an_error(office: Path) -> None:
    """With the name that is spelt alike."""
    said = sk("sync", "ledger", "--office", str(office), "--site", SITE + "s")
    assert said.code == 1
    assert f"did you mean {SITE}?" in said.err


def test_the_office_may_not_clear_and_says_who_can(office: Path) -> None:
    """`site-only`, with what to do instead, in the language asked for."""
    said = sk("alarm", "clear", "L01", "--entered", "x", "--office", str(office), "--lang", "zh-Hans")
    assert said.code == 1
    assert said.err.startswith("site-only: 此操作只能由现场人员进行")
    assert sk("alarm", "list", "--office", str(office)).table()[0]["rule"] == "L01"
