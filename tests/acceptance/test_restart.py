"""The gateway dies in the middle of L01's delay: evidence and known time survive, the dead time does not count."""

from pathlib import Path
from typing import Any

import pytest

from edge.outbox.reader import Reader
from sitekeeper.model.clock import SECOND
from tests import virtual, virtual_site
from tests.virtual_site import RebootedClock, VirtualSite, seconds, sequences

STUCK_AT = 26.0
"""The poll at which the monitor's words first say that the car stands outside the zone; the delay of 15 s begins."""
DELAY = 15.0


async def die_and_come_back(site: VirtualSite, dies: float, away: float, *, rebooted: bool) -> tuple[float, float]:
    """Kill the gateway and start it again; return up to when its saved state was true, and when it polled again."""
    await site.at(dies)
    await site.kill_gateway()
    await site.at(dies + away)
    app = await site.start_gateway(RebootedClock(site.clock) if rebooted else None)
    as_of = app.outbox.state().as_of
    assert as_of is not None
    assert dies - 2.1 <= seconds(as_of.wall) <= dies
    await site.at(dies + away + 0.5)
    sql = "SELECT MIN(at) AS at FROM v_samples WHERE point = 'lift-a1/car_status' AND q = 0 AND at > ?"
    await virtual.until(lambda: site.rows(sql, virtual.START + int(dies * SECOND))[0]["at"], within=5 * SECOND)
    return seconds(as_of.wall), seconds(site.rows(sql, virtual.START + int(dies * SECOND))[0]["at"])


def assert_whole(site: VirtualSite, dies: float, back: float) -> None:
    """No hole in any sequence, one gap for the time without a gateway, nothing lost, nothing doubled."""
    for stream, found in sequences(site.folder / "office.db").items():
        assert found == list(range(1, len(found) + 1)), stream
    sql = "SELECT * FROM gaps WHERE cause = 'gateway_off' AND \"end\" > ? AND scan_group = 'lift-a1@1s'"
    off = site.rows(sql, virtual.START + 10 * SECOND)
    assert len(off) == 1
    start, end = seconds(off[0]["start"]), seconds(off[0]["end"])
    assert dies - 2.1 <= start <= dies
    assert back <= end <= back + 0.2
    account = site.judged()
    assert account.wrong == []
    assert account.risk["deaths with work in hand"] == 1


@pytest.mark.parametrize("rebooted", [False, True], ids=["process", "machine"])
@pytest.mark.parametrize("dies", [27.6, 33.4, 38.9])
def test_in_the_middle_of_the_delay(tmp_path: Path, dies: float, *, rebooted: bool) -> None:
    """L01 comes after the rest of its delay, neither from zero nor early, from evidence seen before the death."""

    async def main() -> tuple[VirtualSite, float]:
        async with virtual_site.running(tmp_path, "s1-lmon.yaml") as site:
            as_of, back = await die_and_come_back(site, dies, 20, rebooted=rebooted)
            expected = back + DELAY - (as_of - STUCK_AT)
            assert back < expected < back + DELAY
            await site.at(expected - 0.001)
            assert site.moves() == []
            await site.at(back + DELAY + 60)
            assert [move[:4] for move in site.moves()] == [("L01", "raise", "A", "B")]
            assert site.moves()[0][4] == pytest.approx(expected, abs=0.000_01)
            assert [message.rule for message in site.chat.sent] == ["L01"]
        return site, back

    site, back = virtual.run(main())
    assert_whole(site, dies, back)


def test_before_the_stop(tmp_path: Path) -> None:
    """Killed between the movements and the stop: the evidence is remembered, the delay begins with the restart."""

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, "s1-lmon.yaml") as site:
            _, back = await die_and_come_back(site, 25.8, 10, rebooted=True)
            await site.at(back + 60)
            ((*move, at),) = site.moves()
            assert move == ["L01", "raise", "A", "B"]
            assert at == pytest.approx(back + DELAY, abs=1.01)
        return site

    assert_whole(virtual.run(main()), 25.8, 35.8)


def test_while_the_alarm_stands(tmp_path: Path) -> None:
    """Killed twice after the raise, once before the acknowledgement and once after it: one occurrence, one push."""

    async def main() -> tuple[VirtualSite, Any]:
        async with virtual_site.running(tmp_path, "s1-lmon.yaml") as site:
            await die_and_come_back(site, 50.3, 15, rebooted=False)
            await site.at(100)
            assert site.state("L01") == "B"
            await site.ask("office", "alarm.ack", id="L01")
            await site.at(101)
            assert site.state("L01") == "C"
            await site.kill_gateway()
            await site.at(120)
            await site.start_gateway(RebootedClock(site.clock))
            await site.at(200)
            (listed,) = await site.ask("control", "alarm.list")
            assert (listed["state"], listed["acked_by"][:4]) == ("C", "root")
            await site.at(1100)
            (listed,) = await site.ask("control", "alarm.list")
        return site, listed

    site, listed = virtual.run(main())
    assert listed["state"] == "LA"
    moves = [move[:4] for move in site.moves() if move[0] == "L01"]
    assert moves == [("L01", "raise", "A", "B"), ("L01", "ack", "B", "C"), ("L01", "clear", "C", "LA")]
    assert [message.rule for message in site.chat.sent if message.rule == "L01"] == ["L01"]
    for stream, found in sequences(site.folder / "office.db").items():
        assert found == list(range(1, len(found) + 1)), stream
    with Reader(site.folder / "site/outbox.db") as reader:
        assert len(reader.transitions(listed["occurrence"])) == 3
