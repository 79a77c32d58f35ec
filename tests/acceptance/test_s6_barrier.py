"""Scenario S6, a barrier through the command door, on the virtual site: real frames, what is under the boom decides.

The story is that of its file, but what opens the boom is a technician's command. Who closes it says that he sees it.
"""

from pathlib import Path
from typing import Any

import pytest
from pymodbus import FramerType
from pymodbus.client import AsyncModbusTcpClient

from edge.commands import audit
from edge.outbox.reader import Reader
from sitekeeper import chain
from tests import virtual, virtual_site
from tests.site_facts import WIRES, alarms, journal, later, only, outcomes, over, value, wrote
from tests.virtual_site import VirtualSite

BEGINS = 9.9
"""Each thing happens shortly before a poll, which comes at every whole second."""


def scenario(*more: dict[str, Any]) -> dict[str, Any]:
    """Return the scenario without its own opening, and with `more`."""
    plan = later("s6-barrier.yaml", BEGINS)
    [lane] = plan["links"][0]["devices"]
    lane["story"] = [step for step in lane["story"] if step["at"] != f"{int((BEGINS + 1) * 1000)}ms"] + list(more)
    return plan


async def command(site: VirtualSite, name: str, *, in_view: bool = True) -> tuple[str, str]:
    """Let the technician give a command; return the last of what becomes of it, and why."""
    told = await site.technician("point.write", id=f"lane-in/{name}", value="true", reason="S6", in_view=in_view)
    return told[-1]["outcome"], told[-1]["reason"]


async def words(site: VirtualSite, first: int, count: int) -> list[int]:
    """Read input registers of the lane as anybody on the line can."""
    framing = {"mbap": FramerType.SOCKET, "rtu": FramerType.RTU}[site.plan.links[0].framing]
    client = AsyncModbusTcpClient("127.0.0.1", port=site.ports["parking"], framer=framing)
    assert await client.connect()
    try:
        return (await client.read_input_registers(first, count=count, device_id=1)).registers
    finally:
        client.close()


@pytest.mark.parametrize("wire", WIRES)
def test_s6(tmp_path: Path, wire: str) -> None:
    """B01 8 s after the command, B03 a second after the break; the boom closes only 2 s after the loop is clear."""

    async def main() -> tuple[VirtualSite, float]:
        async with virtual_site.running(tmp_path, over(wire, scenario())) as site:
            await site.at(BEGINS + 1)
            commanded = virtual.virtual_loop().time()
            assert await command(site, "cmd.open") == ("confirmed", "")
            await site.at(commanded + 7.99)
            assert alarms(site) == []
            await site.at(commanded + 9)
            [(rule, _, cause, priority, at)] = alarms(site)
            assert (rule, cause, priority) == ("B01", "raise", "P2")
            assert commanded + 8 <= at <= commanded + 9
            site.cut()
            await site.at(BEGINS + 49)
            site.mend()
            assert value(site, "lane-in/lane.state") == "closed"
            await site.at(BEGINS + 53)
            (rule, _, cause, priority, at) = alarms(site)[-1]
            assert (rule, cause, priority) == ("B03", "raise", "P2")
            assert BEGINS + 51 <= at <= BEGINS + 52.2
            await site.at(BEGINS + 69)
            assert value(site, "lane-in/lane.state") == "open"
            assert value(site, "lane-in/op.count") == 131_073
            assert await words(site, 3, 2) == [0x0002, 0x0001], "the neutral map has the high word first"
            await site.at(BEGINS + 75)
            assert value(site, "lane-in/loop.safety") == "present"
            assert await command(site, "cmd.close") == ("refused", "interlock")
            await site.at(BEGINS + 81)
            assert value(site, "lane-in/loop.safety") == "absent"
            assert await command(site, "cmd.close") == ("refused", "interlock"), "clear for a second"
            await site.at(BEGINS + 82.5)
            assert await command(site, "cmd.close", in_view=False) == ("refused", "not-in-view")
            assert await command(site, "cmd.close") == ("confirmed", "")
            assert value(site, "lane-in/lane.state") in {"closing", "closed"}
            await site.at(BEGINS + 95)
            assert value(site, "lane-in/lane.state") == "closed"
            assert value(site, "lane-in/loop.safety") == "fault"
            assert await command(site, "cmd.close") == ("refused", "interlock")
            await site.at(BEGINS + 120)
        return site, commanded

    site, opened = virtual.run(main())
    assert [told for _, told in wrote(site, "lane-in")] == [{"cmd.open": True}, {"cmd.close": True}]
    assert not [line for line in journal(site) if "refused" in line], "the device was never asked what it must refuse"
    assert outcomes(site, "lane-in/cmd.close") == [*["refused"] * 3, "accepted", "confirmed", "refused"]
    [fault] = [line for line in journal(site) if line.get("fact") == "safety fault"]
    faulty = virtual_site.seconds(fault["t"]) + 5
    closed = BEGINS + 82.5  # the test cycle after the boom was mended
    only(
        site,
        ("B01", "lane-in", "raise", opened + 8, opened + 9), ("B01", "lane-in", "clear", BEGINS + 40, BEGINS + 49),
        ("B03", "lane-in", "raise", BEGINS + 51, BEGINS + 52.2),
        ("B03", "lane-in", "clear", closed + 10, closed + 10 + 8 + 2),
        ("B05", "lane-in", "raise", faulty, faulty + 2 + 1),
        ("B05", "lane-in", "clear", BEGINS + 110, BEGINS + 112),
    )  # fmt: skip
    with Reader(site.folder / "site/outbox.db") as reader:
        rows = list(reader.audit())
    assert chain.verify((record, hash_) for _, record, hash_ in rows) is None
    attempts = [audit.decode(record) for _, record, _ in rows]
    assert {(row.user, row.role, row.origin, row.note) for row in attempts} == {("chan", "technician", "site", "S6")}
    assert sum(row.outcome in {"accepted", "refused"} for row in attempts) == 6
    account = site.judged()
    assert account.wrong == []
    assert account.risk["blocks that waited"] > 0


@pytest.mark.parametrize(("kind", "after"), [("silence", 2.5), ("silence", 8.0), ("freeze", 8.0), ("freeze", 20.0)])
def test_a_loop_that_is_not_known_is_not_clear(tmp_path: Path, kind: str, after: float) -> None:
    """Silent, or with a heartbeat that stands still: what was clear before is not clear now, and no coil is written."""
    lost = {"at": "20s", "do": {"fault": {"kind": kind, "for": "30s"}}}
    lane = {"id": "lane-in", "unit": 1, "face": "sp-barrier-1", "lane": {"auto_close": 0}}
    lane["story"] = [{"at": "5s", "do": {"boom": "open"}}, lost]
    plan = {"title": "lost", "seed": 6, "links": [{"id": "parking", "devices": [lane]}]}

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, plan) as site:
            await site.at(18)
            assert value(site, "lane-in/close_clear") is True
            await site.at(20 + after)
            outcome, why = await command(site, "cmd.close")
            assert outcome == "refused"
            assert why in {"interlock", "device-offline"}
            site.cut()
            await site.at(51.5)
            site.mend()
            assert value(site, "lane-in/close_clear") is not True, "it is read again, but not yet for 2 s"
            await site.at(60)
            assert await command(site, "cmd.close") == ("confirmed", "")
            await site.at(70)
        return site

    site = virtual.run(main())
    assert [told for _, told in wrote(site, "lane-in")] == [{"cmd.close": True}]
    assert site.judged().wrong == []
