"""An office comes back from an old backup: everything is there again, once, and nobody is called a second time."""

import asyncio
from pathlib import Path

from cloud_sync.store import streams
from sitekeeper.model.clock import SECOND
from tests import virtual, virtual_site
from tests.virtual_site import SITE, VirtualSite, sequences

BACKUP, LOSS, END = 30, 960, 1_100


async def lose_and_restore(site: VirtualSite) -> int:
    """Back up at 30 s, put the backup in its place at 960 s; return how many blocks were in between."""
    await site.at(BACKUP)
    site.back_up_office(site.folder / "backup.db")
    await site.at(LOSS)
    had = sum(map(len, sequences(site.folder / "office.db").values()))
    await site.stop_office()
    site.restore_office(site.folder / "backup.db")
    lost = had - sum(map(len, sequences(site.folder / "office.db").values()))
    await site.start_office()
    return lost


async def unexplained(site: VirtualSite) -> float:
    return sum(row["unexplained_s"] for row in await site.ask("office", "sync.ledger", site=SITE))


def test_everything_is_there_again_once_and_nobody_is_called_twice(tmp_path: Path) -> None:
    """930 s of samples and an alarm with its push are gone with the store; the site's history brings them back."""

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, "s1-lmon.yaml") as site:
            lost = await lose_and_restore(site)
            assert lost > 900, "nothing was at risk"
            pushed = [line["event"] for line in site.phone.received]  # type: ignore[attr-defined]
            assert len(pushed) == 1
            live = site.rows("SELECT coalesce(max(until), 0) AS until FROM coverage")[0]["until"]
            await site.at(LOSS + 3)
            now = site.rows("SELECT max(until) AS until FROM coverage")[0]["until"]
            assert now > live + 880 * SECOND, "live samples wait for history"
            await site.at(LOSS + 70)
            assert not streams.all_lacks(site.office.store.reader.ask, site.clock.wall())
            for stream, found in sequences(site.folder / "office.db").items():
                assert found == list(range(1, len(found) + 1)), stream
            assert await unexplained(site) == 0
            (raised,) = site.rows("SELECT decision, at FROM transitions WHERE cause = 'raise'")
            assert raised["decision"] == "history"
            assert [line["event"] for line in site.phone.received] == pushed  # type: ignore[attr-defined]
            assert site.state("L01") == "B"
            await site.at(END)
            assert site.state("L01") == "LU"  # what comes later goes on from there
            return site

    assert virtual.run(main()).judged().wrong == []


def test_what_the_site_does_not_have_any_more_is_stated(tmp_path: Path) -> None:
    """History that was purged meanwhile: the hole stays listed and stated as missing, GW13 stands, all is explained."""

    async def main() -> None:
        async with virtual_site.running(tmp_path, "s1-lmon.yaml") as site:
            await site.at(BACKUP)
            site.back_up_office(site.folder / "backup.db")
            await site.at(300)
            assert site.app is not None
            with site.app.outbox._store._connection as db:  # what retention does after 14 days
                db.execute("DELETE FROM blocks_samples WHERE sequence BETWEEN 50 AND 149")
            await site.stop_office()
            site.restore_office(site.folder / "backup.db")
            await site.start_office()
            await site.at(400)
            (hole,) = site.rows("SELECT * FROM v_holes")
            assert (hole["stream"], hole["start"], hole["end"]) == ("samples", 50, 149)
            (missing,) = site.rows("SELECT * FROM missing")
            assert (missing["start"], missing["end"]) == (50, 149)
            assert site.state("GW13") == "B"
            repeats = [
                push["possible_repeat"] for push in site.rows("SELECT * FROM pushes WHERE occurrence LIKE '%L01%'")
            ]
            assert repeats == [1, 1], "a young alarm may be a repeat, and says so"
            rows = await site.ask("office", "sync.ledger", site=SITE, day="today")
            assert {row["unexplained_s"] for row in rows} == {0}
            [lift] = [row for row in rows if row["scan_group"] == "lift-a1@1s"]
            assert 95 <= lift["causes"]["missing"] <= 102

    virtual.run(main())
    asyncio.set_event_loop(None)
