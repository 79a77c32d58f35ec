"""The way to the office is down for long at a site of 500 points: 20 minutes, with SITEKEEPER_FULL=1 24 h.

In virtual time, with the whole gateway, its outbox, the uplink and the office; 500 points take a new value each minute.
Commits do not wait for the disk here: nothing loses its power, and 24 h are 90,000 of them. The sync of 24 h at this
size by itself, in seconds, is in `tests/simulation` (`test_a_long_cut`).
"""

import os
import resource
import sqlite3
from pathlib import Path
from typing import Any, Final

import pytest

from edge.outbox import schema
from sitekeeper.block import STREAMS
from sitekeeper.model.clock import SECOND
from tests import virtual, virtual_site
from tests.acceptance.test_s5_short import Line, line
from tests.flowing import Flowing, flowing
from tests.site_facts import alarms, as_recorded, events, recorded
from tests.virtual_site import VirtualSite

__all__ = ["line"]

FULL = os.environ.get("SITEKEEPER_FULL") == "1"
MINUTES: Final = 24 * 60 if FULL else 20
CUT: Final = 130.0
BACK: Final = CUT + MINUTES * 60
END: Final = BACK + 90 + MINUTES
"""By when the backlog is drained: a day of it takes about 400 s on a line of 6,000 bytes a second."""
FORCED: Final = (CUT + 300, BACK - 300, BACK + 3)
"""When each of three doors is forced: early and late in the outage, and while the backlog drains."""
LIVE: Final = FORCED[-1]


def scenario() -> dict[str, Any]:
    stories = [
        [{"at": f"{at}s", "do": {"door": "force"}}, {"at": f"{at + 2}s", "do": {"door": "shut"}}] for at in FORCED
    ]
    stories += [[{"at": f"{CUT + 100}s", "do": {"crowd": {"people": MINUTES // 2, "every": "97s"}}}]]
    doors = [
        {"id": f"door-{number}", "face": "mqtt-door", "controller": "405419896", "door": number, "story": story}
        for number, story in enumerate(stories, 1)
    ]
    return {
        "title": "a day without the office",
        "seed": 24,
        "links": [{"id": "doors", "kind": "mqtt", "devices": doors}],
    }


def memory_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


async def drained(site: VirtualSite) -> None:
    """Wait until the office has everything."""
    assert site.app is not None
    outbox = site.app.outbox
    within = int(END * SECOND) - virtual.virtual_loop().now
    await virtual.until(lambda: not any(outbox.unsent(s).blocks for s in STREAMS), within=within, every=SECOND)


@pytest.fixture
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = schema.connect_writer

    def quick(path: Path, *, create: bool = True) -> sqlite3.Connection:
        connection = connect(path, create=create)
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    monkeypatch.setattr(schema, "connect_writer", quick)


@pytest.mark.usefixtures("_no_waiting_for_the_disk")
@pytest.mark.timeout(3_600 if FULL else 120)
def test_a_long_outage_loses_nothing(tmp_path: Path, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alarms within 5 s of the return, a live one within 2 s, every sample and event once; memory stays as it was."""
    memory: list[float] = []

    async def main() -> tuple[VirtualSite, Flowing]:
        async with flowing(monkeypatch, 5, 100, "60s") as flow, virtual_site.running(tmp_path, scenario()) as site:
            await site.at(CUT)
            line.cut(site)
            for sixth in range(1, 7):
                await site.at(CUT + (BACK - CUT) * sixth / 6)
                memory.append(memory_mib())
            assert events(site) == []
            line.mend(site)
            await site.at(BACK + 60)
            await drained(site)
            await flow.stop()  # not before: devices that stay silent for long are an alarm
            await drained(site)
        return site, flow

    site, flow = virtual.run(main())
    sql = "SELECT at, committed FROM transitions WHERE rule = 'A01' AND cause = 'raise' ORDER BY id"
    raised = [(virtual_site.seconds(row["at"]), virtual_site.seconds(row["committed"])) for row in site.rows(sql)]
    sql = "SELECT MAX(committed) last, COUNT(*) blocks FROM blocks WHERE stream = 'samples' AND t0 < ?"
    [backlog] = site.rows(sql, virtual.START + int(BACK * SECOND))
    account = site.judged()
    print({
        "minutes": MINUTES, "samples": flow.rows, "events": len(recorded(site)), "blocks": backlog["blocks"],
        "alarms_after_s": [round(committed - BACK, 2) for at, committed in raised if at < BACK],
        "live_alarm_s": round(raised[-1][1] - raised[-1][0], 2),
        "drained_after_s": round(virtual_site.seconds(backlog["last"]) - BACK, 1),
        "memory_mib": [round(each, 1) for each in memory],
    })  # fmt: skip
    assert [at for at, _ in raised] == pytest.approx(FORCED, abs=1.0)
    assert max(committed for _, committed in raised[:-1]) <= BACK + 5
    assert raised[-1][1] - raised[-1][0] < 2
    assert flow.wrong(site) == []
    assert flow.rows >= MINUTES * 500
    made = sorted(recorded(site), key=lambda event: event["seq"])
    assert sorted(map(as_recorded, events(site))) == sorted(map(as_recorded, made))
    assert {move[0] for move in alarms(site)} == {"GW01", "A01"}
    assert account.wrong == []
    assert account.risk["blocks that waited"] > MINUTES
    assert memory[-1] - memory[2] < 8.0
