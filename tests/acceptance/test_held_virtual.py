"""Shelf and permit on the virtual site: what a person asks with `sk`, through the record, to the office and back."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sitekeeper import control
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import Refused
from tests import virtual, virtual_site

DARK: dict[str, Any] = {
    "title": "the mains fail and stay away",
    "seed": 1,
    "links": [
        {
            "id": "one",
            "devices": [
                {
                    "id": "lift-a1", "unit": 1, "face": "sp-lift-1", "lift": {"floors": 12, "start_floor": 3},
                    "story": [{"at": "60s", "do": {"mains": "failed"}}],
                }
            ],
        }
    ],
}  # fmt: skip


async def refused(asked: Any) -> str:
    """Return the word with which what is asked is refused."""
    with pytest.raises((control.ControlError, Refused)) as caught:
        await asked
    error = caught.value
    return error.reason if isinstance(error, Refused) else error.problems[0].code


def test_a_shelved_alarm_is_silent_and_comes_back_by_itself(tmp_path: Path) -> None:
    """It rises unseen and unpushed, rings three minutes after the act, and the story says all of it."""

    async def main() -> None:
        async with virtual_site.running(tmp_path, DARK) as site:
            await site.at(2)
            await site.technician("alarm.shelve", id="lift-a1/L22", note="painting", **{"for": "3min"})
            [held] = await site.ask("control", "alarm.list", held=True)
            by = virtual_site.TECHNICIAN.name
            assert (held["rule"], held["state"], held["base"], held["held_by"], held["why"]) == (
                "L22", "E", "A", by, "painting",
            )  # fmt: skip
            await site.at(150)
            assert site.state("L22") == "E"
            await site.at(190)
            assert site.state("L22") == "B"
            moves = [move for move in site.moves() if move[0] == "L22"]
            assert [move[1:4] for move in moves] == [
                ("shelve", "A", "E"), ("raise", "E", "E"), ("shelf_over", "E", "B"),
            ]  # fmt: skip
            assert moves[2][4] - moves[0][4] == pytest.approx(180, abs=0.001)
            [said] = site.rows("SELECT decision FROM transitions WHERE rule = 'L22' AND cause = 'raise'")
            assert said["decision"] == "held-back"
            [shown] = await site.ask("office", "alarm.show", id="L22")
            assert any("the shelf's time is over; the condition is true: announced" in line for line in shown["story"])

    virtual.run(main())


def test_what_holds_an_alarm_back_is_guarded(tmp_path: Path) -> None:
    """Life safety, limits, roles and times are refused by name; a permit takes it out of service, until its end."""

    async def main() -> None:
        async with virtual_site.running(tmp_path, DARK) as site:
            await site.at(2)
            shelf: dict[str, Any] = {"note": "noisy", "for": "5min"}
            permit = {"permit": "PTW-17", "owner": "Otis"}
            for op, args, word in (
                ("shelve", {"id": "lift-a1/L01"} | shelf, "protects-life"),
                ("out", {"id": "lift-a1/L01", "until": "2099-01-01"} | permit, "protects-life"),
                ("shelve", {"id": "lift-a1/L22"} | shelf | {"for": "9h"}, "too-long"),
                ("shelve", {"id": "lift-a1/L22"} | shelf | {"for": "a while"}, "usage"),
                ("out", {"id": "lift-a1/L22", "until": "2099-01-01"} | permit, "too-long"),
                ("out", {"id": "lift-a1/L22", "until": "soon"} | permit, "usage"),
                ("out", {"id": "lift-a1/L22", "until": "2099-01-01"}, "permit-needed"),
                ("unshelve", {"id": "lift-a1/L22"}, "not-active"),
                ("note", {"id": "lift-a1/L22"}, "empty"),
            ):
                assert await refused(site.technician(f"alarm.{op}", **args)) == word, (op, args)
            end = datetime.fromtimestamp(site.clock.wall() / SECOND, UTC) + timedelta(minutes=2)
            await site.technician("alarm.out", id="lift-a1/L22", until=end.isoformat(), note="ropes", **permit)
            await site.at(110)
            assert site.state("L22") == "G"
            assert await refused(site.technician("alarm.shelve", id="L22", **shelf)) == "not-shown"
            await site.technician("alarm.return", id="L22", note="done")
            await site.technician("alarm.note", id="L22", note="rope of car 1 changed")
            await site.at(115)
            moves = [move[1:4] for move in site.moves() if move[0] == "L22"]
            assert moves == [("out", "A", "G"), ("raise", "G", "G"), ("return", "G", "B"), ("comment", "B", "B")]

    virtual.run(main())
