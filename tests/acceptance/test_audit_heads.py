"""S16 on the virtual site: an audit that is tampered with while the gateway is down is an alarm at the office."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests import virtual, virtual_site
from tests.virtual_site import VirtualSite

PLAN = {
    "title": "a barrier",
    "seed": 3,
    "links": [
        {"id": "parking", "devices": [{"id": "lane-in", "unit": 1, "face": "sp-barrier-1", "lane": {"auto_close": 0}}]}
    ],
}
BACK = 80.0
"""Seconds of the run at which the gateway is back."""

TAMPERING = {
    "edit": (
        "UPDATE audit SET record = CAST(replace(CAST(record AS TEXT), 'chan', 'mary') AS BLOB) WHERE n = 3",
        "broken",
        (3, 3),
    ),
    "truncate": ("DELETE FROM audit WHERE n > 4", "fewer", (5, 6)),
    "nothing": ("SELECT 1", "", None),
}


async def commanded(site: VirtualSite) -> None:
    """Let the technician open the barrier, hold it, and let it go: six rows."""
    for name, value in (("cmd.open", "true"), ("hold_open", "true"), ("cmd.stop", "true")):
        await site.technician("point.write", id=f"lane-in/{name}", value=value, reason="test", expires="60s")


@pytest.mark.parametrize(("sql", "what", "rows"), TAMPERING.values(), ids=list(TAMPERING))
def test_tampering_is_an_alarm_within_a_minute_of_contact(
    tmp_path: Path, sql: str, what: str, rows: tuple[int, int] | None
) -> None:
    """GW14 at the office; `sk audit verify --office` names the rows; of an honest restart nothing is said."""

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, PLAN) as site:
            await site.at(5)
            await commanded(site)
            await site.at(70)
            [word] = site.rows("SELECT n, hash FROM site_words")
            assert (word["n"], len(word["hash"])) == (6, 64)
            [status] = await site.ask("control", "status")
            assert (status["audit"]["held"], status["audit"]["stands"]) == (6, True)
            assert len(site.rows("SELECT n FROM audit_heads WHERE n > 0")) == 6, "the office has each row's hash"
            await site.kill_gateway()
            with closing(sqlite3.connect(tmp_path / "site/outbox.db", isolation_level=None)) as outbox:
                outbox.execute(sql)
            await site.at(BACK)
            await site.start_gateway()
            await site.at(BACK + 60)
            heads = await site.ask("office", "audit.heads", site="s1")
            told = {each["n"]: each["hash"] for each in reversed(heads)}
            [found] = await site.ask("control", "audit.verify", heads=[list(each) for each in told.items()])
            assert found["findings"] == ([] if rows is None else [{"what": what, "first": rows[0], "last": rows[1]}])
            [shown] = await site.ask("control", "audit.show", last=1)
            assert shown["user"] in {"chan", "sitekeeper"}
        return site

    site = virtual.run(main())
    raised = [at for rule, cause, _, _, at in site.moves() if (rule, cause) == ("GW14", "raise")]
    assert len(raised) == int(rows is not None)
    assert all(BACK < at < BACK + 60 for at in raised)
