"""Scenario S1, entrapment between floors, on the virtual site: real codec and frames, 21 minutes in seconds.

The site's half and the push; whom the office calls when nobody acknowledges is shown with its ladder. Work orders are
not here.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sitekeeper import control
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import Refused
from tests import virtual, virtual_site
from tests.virtual_site import VirtualSite

LMON, SP_LIFT = "s1-lmon.yaml", "s1-sp.yaml"
STEPS = "Call the car through the intercom"
RAISED, ACKED = ("L01", "raise", "A", "B"), ("L01", "ack", "B", "C")
RELEASED, ENDED = ("L01", "clear", "C", "LA"), ("L01", "reset", "LA", "A")


async def refused(asked: Any) -> str:
    """Return the word with which what is asked is refused."""
    with pytest.raises((control.ControlError, Refused)) as caught:
        await asked
    error = caught.value
    return error.reason if isinstance(error, Refused) else error.problems[0].code


async def watch(site: VirtualSite, until: float, check: Callable[[], None]) -> None:
    """Look twice a second until a time of the run."""
    while virtual.virtual_loop().time() < until:
        check()
        await site.at(min(until, virtual.virtual_loop().time() + 0.5))


def one_push_per_channel(site: VirtualSite) -> dict[str, Any]:
    """Assert that each channel got the entrapment once, by its own account and by the push log; return the push."""
    (duty,) = [line for line in site.phone.received if line["event"].split("/")[2].startswith("L01")]  # type: ignore[attr-defined]
    (chat,) = [message for message in site.chat.sent if message.rule == "L01"]
    (raised,) = site.rows("SELECT * FROM transitions WHERE rule = 'L01' AND cause = 'raise'")
    rows = site.rows("SELECT * FROM pushes WHERE occurrence = ? ORDER BY channel", raised["occurrence"])
    assert [(row["channel"], row["attempt"], row["state"]) for row in rows] == [
        ("chat", 1, "sent"),
        ("duty", 1, "sent"),
    ]
    assert (duty["event"], duty["status"], duty["signed"]) == (raised["occurrence"], 200, True)
    assert (chat.event_id, chat.at) == (raised["occurrence"], raised["at"])
    assert 0 <= duty["t"] - raised["at"] <= 2 * SECOND
    body: dict[str, Any] = duty["body"]
    return body


async def up_to_the_ack(site: VirtualSite, earliest: float, latest: float) -> None:
    """From 0 s to 6:00: nothing before `earliest`, one L01 by `latest`, one push a channel, and nothing more."""
    await watch(site, earliest - 0.001, lambda: assert_nothing(site))
    await site.at(latest)
    (raised,) = site.moves()
    assert raised[:4] == RAISED
    assert earliest <= raised[4] <= latest
    await site.at(latest + 2)
    push = one_push_per_channel(site)
    assert (push["rule"], push["priority"], push["values"]["floor"], push["possible_repeat"]) == ("L01", "P1", 7, False)
    assert "Floor: 7" in push["body"]
    assert STEPS in push["body"]
    assert "+852 5550 0100" in push["body"]
    await watch(site, 360, lambda: assert_stands(site))


def assert_nothing(site: VirtualSite) -> None:
    assert site.moves() == []
    assert site.phone.received == []


def assert_stands(site: VirtualSite) -> None:
    """No second raise, no clear, no other alarm, no second push."""
    assert [move[:4] for move in site.moves()] == [RAISED]
    one_push_per_channel(site)


async def from_the_ack_to_the_end(site: VirtualSite, freed: float) -> None:
    """From the site's answer to the ack to 21:00: active until 10 s after `freed`, latched, ended by people on site."""
    first = site.rows("SELECT occurrence FROM transitions WHERE id = 1")[0]["occurrence"]
    await site.at(1000)
    assert site.state("L01") == "C"
    assert await refused(site.technician("alarm.clear", id="L01", note="released")) == "condition-still-true"
    await site.at(freed + 9.9)
    assert site.state("L01") == "C"
    await site.at(freed + 13)
    assert site.moves()[2][:4] == RELEASED
    assert freed + 10 <= site.moves()[2][4] <= freed + 12
    await site.at(1200)
    assert await refused(site.ask("office", "alarm.clear", id="L01", note="released")) == "site-only"
    assert await refused(site.technician("alarm.clear", id="L01", note=" ")) == "entry-needed"
    assert site.state("L01") == "LA"
    await site.at(1260)
    (done,) = await site.technician("alarm.clear", id="L01", note="released, 1 person")
    assert (done["state"], done["by"]) == ("A", "chan")
    await site.at(1262)
    assert [move[:4] for move in site.moves()] == [RAISED, ACKED, RELEASED, ENDED]
    assert {row["occurrence"] for row in site.rows("SELECT occurrence FROM transitions")} == {first}
    last = site.rows("SELECT * FROM transitions ORDER BY id DESC LIMIT 1")[0]
    assert (last["actor"], last["role"], last["origin"]) == ("chan", "technician", "site")
    assert last["detail"] == "released, 1 person"
    assert site.state("L01") == "A"
    assert not await site.ask("office", "alarm.list")
    assert not await site.ask("control", "alarm.list")
    one_push_per_channel(site)
    (told,) = await site.ask("office", "alarm.show", id=first)
    assert len(told["transitions"]) == 4
    assert any("released, 1 person" in line for line in told["story"])


def assert_sound(site: VirtualSite) -> None:
    """The oracle's account of the run is clean: this one entrapment, and no other alarm."""
    account = site.judged()
    assert account.wrong == []
    assert account.figures["alarms_raised"]["L01"] == 1


def test_lmon(tmp_path: Path) -> None:
    """LMON words: L01 at 41 to 44 s, acknowledged at 6:00 within a second, LA at 18:10, ended on site at 21:00."""

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, LMON) as site:
            await up_to_the_ack(site, 41, 44)
            occurrence = site.rows("SELECT occurrence FROM transitions")[0]["occurrence"]
            (answer,) = await site.ask("office", "alarm.ack", id="L01", note="called the car")
            assert (answer["state"], answer["ack"], answer["occurrence"]) == ("B", "pending", occurrence)
            await site.at(361)
            raised, acked = site.moves()
            assert acked[:4] == ACKED
            assert 316 <= acked[4] - raised[4] <= 319
            (ack,) = site.rows("SELECT * FROM acks")
            move = site.rows("SELECT * FROM transitions WHERE cause = 'ack'")[0]
            assert (move["ack_id"], move["note"], move["origin"]) == (ack["id"], "called the car", "office")
            assert ack["state"] != "pending"
            site.cut()  # for half a minute, so that the account has something to lose
            await site.at(390)
            site.mend()
            await from_the_ack_to_the_end(site, 1080)
        return site

    began, cost = time.perf_counter(), time.process_time()
    site = virtual.run(main())
    assert_sound(site)
    assert time.process_time() - cost < 30, "21 minutes must take seconds"
    assert time.perf_counter() - began < 120, "and must not sleep"


def test_sp_lift(tmp_path: Path) -> None:
    """The neutral map: L01 30 to 32 s after the stop; an ack given while the broker is away waits and arrives."""

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, SP_LIFT) as site:
            await up_to_the_ack(site, 44, 46)
            site.cut()
            (answer,) = await site.ask("office", "alarm.ack", id="L01")
            assert (answer["state"], answer["ack"]) == ("B", "pending")
            await site.at(385)
            (listed,) = await site.ask("office", "alarm.list")
            assert (listed["state"], listed["ack"]) == ("B", "pending")
            assert listed["acked_by"].endswith("(pending)")
            (listed,) = await site.ask("control", "alarm.list")
            assert (listed["state"], listed["acked_by"]) == ("B", "")
            site.mend()
            await site.at(400)
            assert site.moves()[1][:4] == ACKED
            assert 385 <= site.moves()[1][4] <= 400
            (listed,) = await site.ask("office", "alarm.list")
            assert (listed["state"], listed["ack"]) == ("C", "")
            await from_the_ack_to_the_end(site, 1075.4)  # it moves again; level and open at 18:00
        return site

    assert_sound(virtual.run(main()))


@pytest.mark.parametrize("phase", [0.25, 0.5, 0.99])
@pytest.mark.parametrize(("scenario", "earliest", "latest"), [(LMON, 41, 44), (SP_LIFT, 44, 46)])
def test_whenever_the_poll_falls(tmp_path: Path, scenario: str, earliest: int, latest: int, phase: float) -> None:
    """The time of the alarm does not depend on where the polls fall between the edges of the story."""

    async def main() -> None:
        async with virtual_site.running(tmp_path, scenario, phase=phase) as site:
            await watch(site, earliest - 0.001, lambda: assert_nothing(site))
            await site.at(latest + 2)
            assert [move[:4] for move in site.moves()] == [RAISED]
            assert earliest <= site.moves()[0][4] <= latest
            one_push_per_channel(site)
            await site.at(90)
            assert_stands(site)

    virtual.run(main())


def test_express_allowance(tmp_path: Path) -> None:
    """Control run: with an express allowance of 40 s the same words raise L01 at 81 to 84 s and nothing else."""
    rules = {"lift-a1": {"L01": {"express_allowance": "40s"}}}

    async def main() -> None:
        async with virtual_site.running(tmp_path, LMON, rules=rules) as site:
            await watch(site, 80.999, lambda: assert_nothing(site))
            await site.at(84)
            (raised,) = site.moves()
            assert raised[:4] == RAISED
            assert 81 <= raised[4] <= 84
            await site.at(300)
            assert_stands(site)
            limits = site.rows("SELECT limits FROM transitions")[0]["limits"]
            assert '"express_allowance":"40s"' in limits.replace(" ", "")

    virtual.run(main())


SILENT = {
    "title": "The lift falls silent with a person inside, on the way from floor 7 to 12",
    "links": [
        {
            "id": "lifts",
            "devices": [
                {
                    "id": "lift-a1",
                    "unit": 1,
                    "face": "sp-lift-1",
                    "lift": {"floors": 12, "start_floor": 7, "rated_speed": 1.0, "floor_height": 4.5},
                    "story": [
                        {"at": "0.7s", "do": {"people": {"from": 7, "to": 12}}},
                        {"at": "20s", "do": {"fault": {"kind": "silence", "for": "60s"}}},
                    ],
                }
            ],
        }
    ],
}


def test_silent_with_a_person_on_the_way(tmp_path: Path) -> None:
    """The device falls silent under way: L25 P2 at once and nothing else, values bad; then all comes back."""

    def latest(site: VirtualSite) -> dict[str, tuple[Any, int]]:
        return {
            row["point"].split("/")[1]: (row["value"], row["q"])
            for row in site.rows("SELECT * FROM v_latest WHERE point LIKE 'lift-%' AND point NOT LIKE '%/online'")
        }

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, SILENT) as site:
            await site.at(19)
            before = latest(site)
            assert before["passenger"] == (1, 0)
            assert before["car_status"] == ("running", 0)
            assert site.moves() == []
            await site.at(24)  # one poll, its time-out of 1 s, and its way to the office
            (raised,) = site.moves()
            assert raised[:4] == ("L25", "raise", "A", "B")
            assert 20 <= raised[4] <= 22
            assert site.rows("SELECT priority FROM transitions")[0]["priority"] == "P2"
            await site.at(70)
            during = latest(site)
            assert during.keys() == before.keys()
            assert {value for value, _ in during.values()} == {None}
            assert all(q >= 128 for _, q in during.values())
            assert len(site.moves()) == 1
            await site.at(100)
            after = latest(site)
            assert {q for _, q in after.values()} == {0}
            assert (after["floor"], after["passenger"], after["car_status"]) == ((12, 0), (0, 0), ("stopped", 0))
            *others, cleared = site.moves()[1:]
            assert cleared[:4] == ("L25", "clear", "B", "D")
            assert 90 <= cleared[4] <= 95  # the second good poll after 80 s and the off-delay of 10 s
            assert {other[:2] for other in others} <= {("L25", "level")}  # empty again before it counts as back
            assert [line["event"].split("/")[2][:3] for line in site.phone.received] == ["L25"]  # type: ignore[attr-defined]
            await asyncio.sleep(60)
            gaps = site.rows("SELECT * FROM gaps WHERE cause IN ('silent', 'link_down') ORDER BY start")
            assert gaps
            spans = [(virtual_site.seconds(gap["start"]), virtual_site.seconds(gap["end"])) for gap in gaps]
            assert 19 <= spans[0][0] <= 21
            assert 80 <= spans[-1][1] <= 83
        return site

    site = virtual.run(main())
    assert [line for line in site.judged().wrong if not line.startswith("proved nothing")] == []
