"""While the office is away people on site are told of an entrapment: horn and phone on a whole virtual site."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from simulators.phone import Mode, Phone
from tests import virtual, virtual_site
from tests.site_facts import journal
from tests.virtual_site import SECRET, VirtualSite, seconds

STUCK = 14.0
"""The lift stands between floors, with one person; L01 is raised 30 s later."""
LIFT = {"floors": 12, "basements": 2, "start_floor": 7, "rated_speed": 1.0, "acceleration": 0.5, "floor_height": 4.5}
SCENE: dict[str, Any] = {
    "title": "a lift is stuck, and a relay beside it sounds a horn",
    "seed": 1,
    "links": [
        {
            "id": "lifts",
            "devices": [
                {
                    "id": "lift-a1", "unit": 1, "face": "sp-lift-1", "lift": LIFT,
                    "story": [{"at": "0.7s", "do": {"people": {"from": 7, "to": 12}}},
                              {"at": "14s", "do": {"stuck_outside_zone": {}}}],
                },
                {"id": "horn", "unit": 2, "slot": 0, "face": "sp-relay-8"},
            ],
        }
    ],
}  # fmt: skip


SOON = {"after": "20s", "repeat": "20s"}


@asynccontextmanager
async def scene(folder: Path, guard: Phone) -> AsyncIterator[VirtualSite]:
    port = await guard.start()
    targets = [
        {"id": "guard-horn", "write": {"point": "horn/on_command", "value": True, "then": False}, "on": "10s"},
        {"id": "guard-phone", "webhook": {"url": f"http://127.0.0.1:{port}/", "secret": SECRET}},
    ]
    try:
        async with virtual_site.running(folder, SCENE, sections={"local": {**SOON, "targets": targets}}) as site:
            await site.at(2)
            yield site
    finally:
        await guard.close()


def phone(site_folder: Path) -> Phone:
    return Phone(clock=virtual.VirtualClock(), journal=site_folder / "guard.jsonl", secret=SECRET.encode())


def rung(guard: Phone) -> list[float]:
    """Return when the guard's phone was told of L01, in seconds of the run."""
    said: list[Any] = [line["body"] for line in guard.received]
    assert all([alarm["rule"] for alarm in each["alarms"]] == ["L01"] for each in said)
    return [round(seconds(line["t"]), 1) for line in guard.received]  # type: ignore[arg-type]


def sounded(site: VirtualSite) -> list[tuple[str, float]]:
    """Return when the horn truly went on and off."""
    facts = ((line.get("fact"), seconds(line["t"])) for line in journal(site) if line.get("device") == "horn")
    return [(str(fact), round(at, 1)) for fact, at in facts if fact in ("circuit on", "circuit off")]


def told(site: VirtualSite) -> list[tuple[str, int, str]]:
    """Return what the office learnt of it: target, attempt, outcome."""
    rows = site.rows("SELECT fields FROM events WHERE source_id = 'gateway/told' ORDER BY id")
    said = [msgspec.json.decode(row["fields"]) for row in rows]
    return [(each["target"], each["attempt"], each["outcome"]) for each in said]


async def raised(site: VirtualSite) -> float:
    """Return when L01 was raised at the site, in seconds of the run."""
    [item] = await site.ask("control", "alarm.show", id="L01")
    return seconds(item["transitions"][0]["at"])


def test_horn_and_phone_are_told_again_and_again_until_somebody_on_site_acknowledges(tmp_path: Path) -> None:
    """Away long enough: told at the raise, every 20 s, also over a kill -9; the acknowledgement ends it."""

    async def main() -> None:
        guard = phone(tmp_path)
        async with scene(tmp_path, guard) as site:
            site.cut()
            await site.at(57)
            at = await raised(site)
            assert rung(guard) == pytest.approx([at], abs=1.1)
            [(on, began), (off, ended)] = sounded(site)
            assert (on, off) == ("circuit on", "circuit off")
            assert began == pytest.approx(at, abs=2)
            assert ended - began == pytest.approx(10, abs=1)
            await site.at(at + 24)
            assert rung(guard)[1] - rung(guard)[0] == pytest.approx(20, abs=1.1)
            await site.kill_gateway()
            await site.at(at + 34)
            await site.start_gateway()
            await site.at(at + 45)
            assert rung(guard)[2] - rung(guard)[1] == pytest.approx(20, abs=1.1)  # as if nothing had been
            [shown] = await site.ask("control", "alarm.show", id="L01")
            assert [each["attempt"] for each in shown["told"] if each["target"] == "guard-phone"] == [1, 2, 3]
            await site.technician("alarm.ack", id="L01", note="on my way")
            await site.at(at + 90)
            assert len(rung(guard)) == 3
            assert sounded(site)[-1][0] == "circuit off"
            site.mend()
            await site.at(at + 140)
            assert {(target, attempt, "told") for target in ("guard-horn", "guard-phone") for attempt in (1, 2, 3)} == {
                *told(site)
            }

    virtual.run(main())


def test_a_phone_that_hangs_is_tried_again_and_the_office_that_is_back_ends_it(tmp_path: Path) -> None:
    """The attempt is recorded for what it was, the horn sounds all the same; what the office has is not repeated."""

    async def main() -> None:
        guard = phone(tmp_path)
        async with scene(tmp_path, guard) as site:
            guard.mode = Mode.HANG
            site.cut()
            await site.at(55)
            guard.mode = Mode.OK
            at = await raised(site)
            assert sounded(site)[0][1] == pytest.approx(at, abs=2)
            await site.at(at + 25)
            [shown] = await site.ask("control", "alarm.show", id="L01")
            calls = [(each["attempt"], each["outcome"]) for each in shown["told"] if each["target"] == "guard-phone"]
            assert calls == [(1, "timed_out"), (2, "told")]
            before = len(rung(guard))
            site.mend()
            await site.at(at + 130)
            after = len(rung(guard))
            assert after <= before + 1  # the uplink has its own wait before it connects again
            assert site.state("L01") == "B"
            site.cut()  # what the office has is its business, also when it is away once more
            await site.at(at + 190)
            assert len(rung(guard)) == after

    virtual.run(main())
