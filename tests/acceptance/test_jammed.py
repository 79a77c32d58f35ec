"""A unit that jams its connection when it is asked what it is, beside one that answers, on the virtual site."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from drivers.modbus.link import Link
from drivers.modbus.request import Question
from sitekeeper.model.clock import SECOND
from tests import virtual, virtual_site
from tests.site_facts import journal, later, only
from tests.virtual_site import VirtualSite

STUCK = 14.0
"""When the car of the scenario stands between floors; both questions are asked shortly before and after."""
STUCK_OUTSIDE = "s1-sp.yaml"
WELL = {"id": "lift-a2", "unit": 2, "face": "sp-lift-1"}
IDENTIFYING = {17, 43}


class Wire:
    """What the driver does on its links: connections opened, and what was asked of which unit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened, self.asked = 0, list[tuple[int, int]]()
        opened, ask = Link.open, Link.ask

        async def opening(link: Link) -> None:
            self.opened += 1
            await opened(link)

        async def asking(link: Link, question: Question, pause: int = 0) -> bytes:
            self.asked.append((question.expected.unit, question.expected.function))
            return await ask(link, question, pause)

        monkeypatch.setattr(Link, "open", opening)
        monkeypatch.setattr(Link, "ask", asking)

    def asked_who(self) -> list[tuple[int, int]]:
        """Return the questions for an identification, in order of their units."""
        return sorted(each for each in self.asked if each[1] in IDENTIFYING)


async def shown(site: VirtualSite, device: str) -> dict[str, str]:
    """Return the identity that `sk device show` tells."""
    (answer,) = await site.technician("device.show", id=device)
    found: dict[str, str] = answer["asked"]["identity"]
    return found


def test_a_question_costs_one_reopening_and_no_alarm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each unwelcome function costs one reopening and is never asked again; the entrapment is told in time.

    The neighbour on the same connection is asked too and tells what it is, and nobody is ever taken for offline. No
    reading is held back by a question: each is at the office with the time at which it was answered.
    """
    plan: dict[str, Any] = later(STUCK_OUTSIDE, 0)
    (link,) = plan["links"]
    link["devices"][0]["story"].insert(0, {"at": "0s", "do": {"fault": {"kind": "jammed"}}})
    link["devices"].append(WELL)
    wire = Wire(monkeypatch)

    async def main() -> None:
        async with virtual_site.running(tmp_path, plan) as site:
            await site.at(STUCK + 40)
            only(site, ("L01", "lift-a1", "raise", STUCK + 30, STUCK + 33))
            assert wire.asked_who() == [(1, 17), (1, 43), (2, 17), (2, 43)]
            assert wire.opened == 3, "the first time, and once for each of the two functions"
            assert await shown(site, "lift-a1") == {}
            named = {"vendor": "Sitekeeper neutral map", "product": "sp-lift-1", "version": "1.0"}
            assert await shown(site, "lift-a2") == {**named, "report": "1 Sitekeeper neutral map sp-lift-1 1.0"}
            await site.kill_gateway()
            await site.start_gateway()
            await site.at(STUCK + 80)
            assert wire.asked_who() == [(1, 17), (1, 43), (2, 17), (2, 17), (2, 43), (2, 43)]
            assert wire.opened == 4
            only(site, ("L01", "lift-a1", "raise", STUCK + 30, STUCK + 33))
            await asyncio.sleep(5)  # what was read last is on its way to the office
            served = {line["n"]: line["t"] for line in journal(site) if line.get("device") == "lift-a1" and "n" in line}
            sql = "SELECT value, at FROM v_samples WHERE point = 'lift-a1/heartbeat' AND q = 0"
            stored = {row["value"]: row["at"] for row in site.rows(sql)}
            late = [n for n in served if abs(stored.get(n, 0) - served[n]) > SECOND // 10]
            ends = (STUCK + 40, STUCK + 85)  # what was read last before the gateway died, and is read now
            assert [n for n in late if all(abs(virtual_site.seconds(served[n]) - at) > 1.5 for at in ends)] == []

    virtual.run(main())
