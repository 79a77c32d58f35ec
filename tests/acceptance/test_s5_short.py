"""Scenario S5, short: the way to the office is down for three minutes, in which 209 events and three P2 alarms come.

That way is narrow, so that the backlog takes its time once it is back: what is urgent must overtake it.
"""

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cloud_sync.memory import MemoryBroker, MemorySession
from cloud_sync.session import Connect, Session, Will
from edge.outbox.reader import Reader
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import PeerUnreachable
from tests import virtual, virtual_site
from tests.site_facts import alarms, as_recorded, events, later, recorded, value
from tests.virtual_site import SITE, VirtualSite

BEGINS, CUT, BACK, LIVE = 10.0, 11.0, 190.0, 196.0
"""The story, the outage, its end, and a burst of refusals whose fifth comes while the backlog is on its way."""
BYTES_PER_SECOND = 5_000
P2 = {("A01", "door-workshop"), ("A01", "door-archive"), ("A03", "door-archive")}


class Line:
    """The site's own line to the broker of the office: up or not, and what goes up shares its bytes a second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.up = True
        self._session: Session | None = None
        self._free_at = 0.0
        connector, publish = MemoryBroker.connector, MemorySession.publish

        def through_here(broker: MemoryBroker, client_id: str, *, persistent: bool = False) -> Connect:
            inner = connector(broker, client_id, persistent=persistent)

            async def connect(will: Will | None = None) -> Session:
                if not self.up:
                    raise PeerUnreachable("line", "down")
                self._session = await inner(will)
                return self._session

            return connect if client_id == f"site-{SITE}" else inner

        async def slowly(session: MemorySession, topic: str, payload: bytes, *, retain: bool = False) -> int:
            if "/up/" in topic:
                now = asyncio.get_running_loop().time()
                self._free_at = max(now, self._free_at) + len(payload) / BYTES_PER_SECOND
                await asyncio.sleep(self._free_at - now)
            return await publish(session, topic, payload, retain=retain)

        monkeypatch.setattr(MemoryBroker, "connector", through_here)
        monkeypatch.setattr(MemorySession, "publish", slowly)

    def cut(self, site: VirtualSite) -> None:
        site._done("cut")
        self.up = False
        assert isinstance(self._session, MemorySession)
        self._session.lose()

    def mend(self, site: VirtualSite) -> None:
        site._done("back")
        self.up = True


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    return Line(monkeypatch)


def scenario() -> dict[str, Any]:
    plan = later("s5-short.yaml", BEGINS)
    burst = {"at": f"{LIVE - 4}s", "do": {"deny": {"times": 5, "every": "1s"}}}
    plan["links"][0]["devices"][0]["story"].append(burst)
    return plan


def committed(site: VirtualSite, stream: str) -> list[float]:
    """Return when the office has committed the blocks of a stream that were made in the outage, in their order."""
    sql = "SELECT committed FROM blocks WHERE stream = ? AND t0 BETWEEN ? AND ? ORDER BY sequence"
    ends = (virtual.START + int(CUT * SECOND), virtual.START + int(BACK * SECOND))
    return [virtual_site.seconds(row["committed"]) for row in site.rows(sql, stream, *ends)]


async def shown_on_site(site: VirtualSite) -> None:
    """In the outage everything is there on site, and marked as not sent; the office has nothing of it."""
    assert events(site) == []
    assert {move[0] for move in alarms(site)} == {"GW01"}
    listed = await site.ask("control", "alarm.list")
    assert {(alarm["rule"], alarm["key"].split("/")[1], alarm["priority"]) for alarm in listed} == {
        (*alarm, "P2") for alarm in P2
    }
    [status] = await site.ask("control", "status")
    assert status["alarms"] == {"active": 1, "unacked": 3}
    assert status["office"]["state"] == "connecting"
    assert status["outbox"]["unsent"]["alarms"] >= 3, "the alarms are marked as not delivered"
    assert value(site, "door-workshop/door.state") == "closed"
    with Reader(site.folder / "site/outbox.db") as reader:
        for alarm in listed:
            assert reader.transitions(alarm["occurrence"])


def assert_order(site: VirtualSite) -> None:
    """The office has every event once, as it was recorded, with its own time, in order, and none of them is late."""
    made = sorted(recorded(site), key=lambda event: event["seq"])
    assert len([event for event in made if event["at"] < BACK - 1]) > 205
    by_commit = sorted(events(site), key=lambda event: event["id"])
    assert [as_recorded(event) for event in by_commit] == [as_recorded(event) for event in made]
    assert not any(event["late"] for event in by_commit), "it was not late at the site"
    for event, truth in zip(by_commit, made, strict=True):
        assert virtual_site.seconds(event["source"]) == pytest.approx(truth["at"], abs=0.001)
        assert virtual_site.seconds(event["at"]) == pytest.approx(truth["at"], abs=0.5)


def test_s5_short(tmp_path: Path, line: Line) -> None:
    """Back: the P2 within 5 s and before the events, those in order, none lost or doubled; a live P2 within 2 s."""

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, scenario()) as site:
            await site.at(CUT)
            line.cut(site)
            await site.at(BACK - 4.5)
            await shown_on_site(site)
            await site.at(BACK)
            line.mend(site)
            await site.at(BACK + 60)
        return site

    site = virtual.run(main())
    urgent, backlog = committed(site, "alarms"), committed(site, "events")
    assert len(urgent) >= 3
    assert max(urgent) <= BACK + 5
    assert max(backlog) > LIVE + 1, "else nothing had to be overtaken"
    assert sorted(backlog) == backlog
    assert min(urgent) < min(backlog)
    assert sum(at < max(urgent) for at in backlog) < len(backlog) / 4, "alarms overtake; each waits for its receipt"
    raised = [move for move in alarms(site, "A01", "A03") if move[2] == "raise"]
    assert {move[:2] for move in raised[:3]} == P2
    assert {move[3] for move in raised} == {"P2"}
    assert [move[4] for move in raised[:3]] == pytest.approx([BEGINS + 64, BEGINS + 66, BEGINS + 106], abs=1.0)
    [(_, device, _, _, at)] = raised[3:]
    assert device == "door-workshop"
    assert at == pytest.approx(LIVE, abs=0.5)
    [row] = site.rows("SELECT at, committed FROM transitions WHERE key LIKE '%door-workshop/A03' AND cause = 'raise'")
    assert row["committed"] - row["at"] < 2 * SECOND
    assert_order(site)
    received = [str(line["event"]) for line in site.phone.received]
    pushed = [event.split("@")[0] for event in received if "/A0" in event]
    assert sorted(pushed) == sorted(f"s1/{device}/{rule}" for rule, device, *_ in raised)
    account = site.judged()
    assert account.wrong == []
    assert account.figures["events_stored"] == len(recorded(site)) > 209
    assert (account.figures["events_lost"], account.figures["events_doubled"]) == (0, 0)
    assert account.risk["alarms raised while the office was away"] >= 3
    assert account.risk["blocks that waited"] > 200


def away_from_its_broker() -> dict[str, Any]:
    """Return a controller that loses its broker for a minute while people come and go, and others do not."""
    crowd = {"at": "5s", "do": {"crowd": {"people": 25, "every": "4s"}}}
    offline = {"at": "20s", "do": {"fault": {"kind": "offline", "for": "60s"}}}
    doors = [
        {"id": f"door-{n}", "face": "mqtt-door", "controller": str(n), "door": 1, "story": [crowd, *more]}
        for n, more in ((1, [offline]), (2, []))
    ]
    return {"title": "away", "seed": 5, "links": [{"id": "doors", "kind": "mqtt", "devices": doors}]}


def test_a_controller_that_was_away_tells_its_events_late(tmp_path: Path) -> None:
    """What it could not tell for a minute comes late, with its own time, once; the only alarm is that it was away."""

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, away_from_its_broker()) as site:
            await site.at(60)
            assert value(site, "door-1/online") is False
            assert value(site, "door-2/online") is True
            site.cut()
            await site.at(70)
            site.mend()
            await site.at(150)
        return site

    site = virtual.run(main())
    made = sorted(recorded(site), key=lambda event: event["seq"])
    for door in ("door-1", "door-2"):
        mine = [event for event in events(site) if event["device"] == door]
        truth = [event for event in made if event["device"] == door]
        assert [as_recorded(event) for event in mine] == [as_recorded(event) for event in truth]
        late = [20 <= each["at"] < 80 and door == "door-1" for each in truth]
        assert [bool(event["late"]) for event in mine] == late
        assert [virtual_site.seconds(event["source"]) for event in mine] == pytest.approx(
            [each["at"] for each in truth], abs=0.001
        )
        assert all(one["at"] < other["at"] for one, other in pairwise(mine))
    assert sum(bool(event["late"]) for event in events(site)) > 40
    assert [move[:3] for move in alarms(site)] == [("A11", "door-1", "raise"), ("A11", "door-1", "clear")]
    assert events(site, "audit_gap") == []
    account = site.judged()
    assert account.wrong == []
    assert account.figures["events_late"] > 40
    assert account.risk["blocks that waited"] > 0
