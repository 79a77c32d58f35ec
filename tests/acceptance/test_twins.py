"""GW12 with two live gateways: a box and the copy of its disk run at once, with one name, against one office.

What either records in the time when both speak lies under the same sequences with other bytes. The office keeps what
came first, lays the other aside with its bytes, and mixes neither into the other; both boxes say what is the matter.
"""

import asyncio
import contextlib
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from cloud_sync.wire import digest
from edge import health, operations
from edge.app import App, Wiring
from edge.doctor import office as office_checks
from edge.outbox import copies
from edge.settings import load as load_site
from sitekeeper.block import decode
from sitekeeper.model.clock import SECOND
from tests import virtual, virtual_site
from tests.virtual_site import SITE, TECHNICIAN, VirtualSite, lent

PLAN = {
    "title": "two boxes",
    "seed": 12,
    "links": [
        {
            "id": "tower",
            "devices": [
                {"id": "lift-a1", "unit": 1, "face": "lmon", "story": [{"at": "30s", "do": {"alarm_button": "4s"}}]}
            ],
        }
    ],
}
COPIED, TWIN, STOPPED, RESTORED, END = 12.0, 14.0, 80.0, 90.0, 130.0
PATIENCE = 35 * SECOND
"""How long a box complains after the other one took its connection last; ten minutes in earnest."""

Digests = dict[tuple[str, str, int], set[str]]
"""By epoch, stream and sequence."""


@asynccontextmanager
async def twin(site: VirtualSite, folder: Path) -> AsyncIterator[App]:
    """Run the copy: the same settings, outbox and name, in a process of its own by its boot."""
    app = App(
        load_site(folder),
        site.clock,
        Wiring(connect=site.broker.connector(f"site-{SITE}"), inline=True, brokers=lent(site.field_broker)),
    )
    await app.open()
    running = asyncio.create_task(app.run(), name="twin")
    try:
        yield app
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await app.close()


def copy_disk(site: VirtualSite, to: Path) -> None:
    """Copy the whole folder of the site while its gateway runs."""
    shutil.copytree(site.folder / "site", to, ignore=shutil.ignore_patterns("*-shm"))


async def told(app: App, op: str) -> dict[str, Any]:
    """Return what a gateway answers a technician."""
    [item] = [item async for item in operations.table(app._gateway())[op](TECHNICIAN, {})]
    return dict(item)


async def complaints(app: App) -> tuple[list[str], list[str]]:
    """Return the problems of `sk status` that are about the name, and what `sk doctor` says of it."""
    status, sync = await told(app, "status"), await told(app, "sync.status")
    said = [each.said for each in office_checks.check(status, sync) if each.id == "OFF03"]
    return [p.message for p in status["problems"] if p.code == "twin"], said


def receipted(outbox: Path) -> Digests:
    """Return the digests of the blocks of an outbox for which there is a receipt."""
    with closing(sqlite3.connect(f"file:{outbox}?mode=ro", uri=True)) as file:
        [epoch] = file.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
        own = file.execute("SELECT ?, stream, sequence, payload FROM blocks WHERE released", (epoch,)).fetchall()
        old = file.execute("SELECT epoch, stream, sequence, payload FROM salvaged WHERE released").fetchall()
    return {(epoch, stream, n): {digest(payload)} for epoch, stream, n, payload in [*own, *old]}


def at_the_office(site: VirtualSite, sql: str) -> Digests:
    """Return what the office has, by a query for epoch, stream, sequence and digest."""
    found: Digests = {}
    for epoch, stream, sequence, named in site.rows(sql):
        found.setdefault((epoch, stream, sequence), set()).add(named)
    return found


def kept(site: VirtualSite) -> Digests:
    return at_the_office(site, "SELECT epoch, stream, sequence, digest FROM blocks")


def laid_aside(site: VirtualSite) -> Digests:
    return at_the_office(site, "SELECT epoch, stream, sequence, other FROM conflicts")


def moves(site: VirtualSite) -> list[tuple[str, str]]:
    """Return the moves of GW12 at the office with their detail."""
    found = site.rows("SELECT cause, detail FROM transitions WHERE rule = 'GW12' ORDER BY id")
    return [(row["cause"], row["detail"]) for row in found]


async def begin_a_new_epoch(site: VirtualSite) -> None:
    """Do what the playbook of GW12 says for the box that stays: stop, backup, restore, start."""
    await site.kill_gateway()
    outbox, copy = site.folder / "site/outbox.db", site.folder / "copy.db"
    copies.backup(outbox, copy)
    copies.restore(copy, outbox, site.clock.wall())
    await asyncio.sleep(1)
    await site.start_gateway()


def assert_nothing_was_mixed(site: VirtualSite) -> None:
    """Each block that the office keeps has the samples of one box alone: as many as that box put into it."""
    boxes = {}
    for path in (
        site.folder / "site/outbox.db",
        site.folder / "copy/outbox.db",
        *site.folder.glob("site/*-*/outbox.db"),
    ):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
            for (payload,) in file.execute("SELECT payload FROM blocks_samples"):
                boxes[digest(payload)] = decode(payload)
    stored = site.rows(
        "SELECT b.digest, b.boot, count(s.position) AS samples FROM blocks b LEFT JOIN samples s ON s.block = b.id"
        " WHERE b.stream = 'samples' GROUP BY b.id"
    )
    assert len(stored) > 20
    for row in stored:
        block = boxes[row["digest"]]
        assert (row["boot"], row["samples"]) == (block.boot, len(block.samples))


def test_two_live_gateways_with_one_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GW12 comes once, naming both boots; both boxes say it; nothing is overwritten or mixed; then it ends for good."""
    monkeypatch.setattr(health, "TWIN", PATIENCE)
    seen: dict[str, Any] = {}

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, PLAN) as site:
            await site.at(COPIED)
            copy_disk(site, tmp_path / "copy")
            await site.at(TWIN)
            seen["before"] = kept(site)
            async with twin(site, tmp_path / "copy") as other:
                await site.at(STOPPED)
                assert site.app is not None
                seen["boots"] = {site.app.wiring.boot, other.wiring.boot}
                seen["complaints"] = [await complaints(app) for app in (site.app, other)]
                seen["moves"] = moves(site)
            await site.at(RESTORED)
            seen["first"] = kept(site)
            await begin_a_new_epoch(site)
            await site.at(RESTORED + 15)
            [alarm] = [each for each in await site.ask("office", "alarm.list") if each["rule"] == "GW12"]
            seen["conflicts"] = laid_aside(site)
            await site.ask("office", "alarm.ack", id=alarm["occurrence"], note="the copy is off")
            await site.at(END)
            seen["after"] = await complaints(site.app)
        return site

    site = virtual.run(main())
    [(cause, detail)] = seen["moves"]
    assert cause == "raise"
    assert all(boot in detail for boot in seen["boots"])
    assert len(seen["boots"]) == 2
    for problems, doctor in seen["complaints"]:
        assert len(problems) == 1
        assert doctor == ["office-twin"]
    assert seen["after"] == ([], ["office-alone"])
    assert [cause for cause, _ in moves(site)] == ["raise", "ack", "clear"]
    have, aside = kept(site), laid_aside(site)
    for earlier in (seen["before"], seen["first"]):
        assert {key: have[key] for key in earlier} == earlier, "what the office once kept is never overwritten"
    assert len(aside) > 10, "else nothing was at risk"
    assert aside == seen["conflicts"], "after a new epoch there is nothing to lay aside"
    for outbox in (tmp_path / "site/outbox.db", tmp_path / "copy/outbox.db"):
        lost = [
            key for key, one in receipted(outbox).items() if not one <= have.get(key, set()) | aside.get(key, set())
        ]
        assert lost == []
    assert_nothing_was_mixed(site)
