"""Scenario S4, doors of one controller over the MQTT canon, on the virtual site: 8 minutes in seconds.

That nobody at the door or the desk can tell that an entry was made under duress is `test_duress`.
"""

from pathlib import Path
from typing import Any

import pytest

from sitekeeper import control
from sitekeeper.audience import SECURITY_FLAG
from sitekeeper.model.errors import SitekeeperError
from tests import virtual, virtual_site
from tests.site_facts import alarms, as_recorded, events, in_the_clear, journal, later, recorded, value
from tests.virtual_site import VirtualSite

BEGINS = 10.0
"""The gateway listens before the story begins."""
PLACES = {"door-lobby": {"tags": ["perimeter"]}}


def assert_told_once(site: VirtualSite) -> None:
    """The office has each event of each door once, as it was recorded, in the order of their numbers."""
    made = sorted(recorded(site), key=lambda event: event["seq"])
    found = events(site)
    assert [as_recorded(event) for event in found] == [as_recorded(event) for event in made]
    assert not any(event["late"] for event in found)
    assert all(abs(event["at"] - event["source"]) < 1_000_000 for event in found)


def assert_pseudonyms(site: VirtualSite, said: str) -> None:
    """Each card has one pseudonym, and no store, block, push or log has its number."""
    made = {event["seq"]: event.get("cred") for event in recorded(site)}
    pairs = {(made[event["device_sequence"]], event["fields"]["cred"]) for event in events(site, "read.event")}
    assert len(pairs) == len({card for card, _ in pairs}) == len({hidden for _, hidden in pairs}) > 1
    assert all(hidden.startswith("h1:") for _, hidden in pairs)
    assert in_the_clear(site, said) == []


def test_s4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A01 within 1 s, A02 P3 at 30 s and P2 at 5 min, A03 once at the fifth refusal, A06; no other alarm at all."""

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, later("s4-doors.yaml", BEGINS), places=PLACES) as site:
            await site.at(BEGINS + 59.9)
            assert alarms(site) == [], "a grant, the door opened and shut"
            await site.at(BEGINS + 61)
            [(rule, device, cause, priority, at)] = alarms(site)
            assert (rule, device, cause, priority) == ("A01", "door-lobby", "raise", "P1")
            assert BEGINS + 60 <= at <= BEGINS + 61
            site.cut()  # for half a minute, so that the account has something to lose
            await site.at(BEGINS + 100)
            site.mend()
            await site.at(BEGINS + 105)
            assert site.state("A01") == "LU", "latched, though the door is shut"
            await site.ask("office", "alarm.ack", id="A01", note="guard sent")
            await site.at(BEGINS + 107)
            [done] = await site.technician("alarm.clear", id="A01", note="lock checked, nobody found")
            assert done["state"] == "A"
            await site.at(BEGINS + 290)
            assert value(site, "door-lobby/lock.state") == "locked"
            await site.at(BEGINS + 302)
            assert value(site, "door-lobby/lock.state") == "unlocked", "under duress the door opens as always"
            for secret in ({}, {SECURITY_FLAG: True}):
                with pytest.raises(SitekeeperError) as refused:
                    await site.technician("alarm.shelve", id="door-lobby/A06", note="quiet", **{"for": "1h"}, **secret)
                assert control.problem_of(refused.value).code == ("protects-life" if secret else "not-found")
            await site.at(BEGINS + 540)
        return site

    site = virtual.run(main())
    moves = alarms(site)
    opened = BEGINS + 123
    expected: dict[tuple[str, str], list[tuple[str, str, float]]] = {
        ("A01", "door-lobby"): [
            ("raise", "P1", BEGINS + 60), ("clear", "P1", BEGINS + 85), ("ack", "P1", BEGINS + 105),
            ("reset", "P1", BEGINS + 107),
        ],
        ("A02", "door-stairs"): [("raise", "P3", opened + 30), ("clear", "P3", opened + 41)],
        ("A02", "door-store"): [
            ("raise", "P3", opened + 30), ("reannunciate", "P2", opened + 300), ("clear", "P2", opened + 355),
        ],
        ("A06", "door-lobby"): [("raise", "P1", BEGINS + 300), ("clear", "P1", BEGINS + 301)],
        ("A03", "door-office"): [("raise", "P2", BEGINS + 180 + 4 * 8), ("clear", "P2", BEGINS + 180 + 5 * 8 + 300)],
    }  # fmt: skip
    assert {move[:2] for move in moves} == expected.keys()
    for alarm, wanted in expected.items():
        mine = [move[2:] for move in moves if move[:2] == alarm]
        assert [move[:2] for move in mine] == [move[:2] for move in wanted], alarm
        assert [move[2] for move in mine] == pytest.approx([move[2] for move in wanted], abs=1.0), alarm
    assert_told_once(site)
    assert {message.rule for message in site.guard.sent} == {"A06"}
    assert "A06" not in {message.rule for message in site.chat.sent}
    assert b"A06" not in (tmp_path / "phone.jsonl").read_bytes()
    said = capsys.readouterr()
    assert_pseudonyms(site, said.out + said.err)
    assert events(site, "audit_gap") == []
    account = site.judged()
    assert account.wrong == []
    assert account.risk["blocks that waited"] > 0
    assert account.figures["alarms_raised"] == {"A01": 1, "A02": 2, "A03": 1, "A06": 1}


@pytest.mark.parametrize("kind", ["clock_behind", "clock_ahead"])
def test_s4_with_a_clock_that_is_wrong(tmp_path: Path, kind: str) -> None:
    """A controller whose clock is 20 s off: no event is late, A03 comes once and in time, and times stay as given."""
    begins = 30.0
    plan = later("s4-doors.yaml", begins)
    plan["links"][0]["devices"][0]["story"].insert(0, {"at": "0s", "do": {"fault": {"kind": kind, "delay": "20s"}}})

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, plan, places=PLACES) as site:
            await site.at(begins + 61)
            site.cut()
            await site.at(begins + 100)
            site.mend()
            await site.at(begins + 540)
            [door] = await site.technician("device.show", id="door-office")
            assert door["messages"]["clock_behind_s"] == {"clock_behind": 20.0, "clock_ahead": -20.0}[kind]
        return site

    site = virtual.run(main())
    [raised, _] = [move[2:] for move in alarms(site, "A03")]
    assert raised == ("raise", "P2", pytest.approx(begins + 180 + 4 * 8, abs=1.0))
    off = {"clock_behind": -20.0, "clock_ahead": 20.0}[kind]
    for event in events(site):
        assert not event["late"]
        assert (event["source"] - event["at"]) / 1_000_000 == pytest.approx(off, abs=1.0)
    account = site.judged()
    assert account.wrong == []
    assert account.figures["alarms_raised"] == {"A01": 1, "A02": 2, "A03": 1, "A06": 1}


def two_doors(*story: dict[str, Any], **of_link: Any) -> dict[str, Any]:
    """Return one controller with a door to which `story` happens, and one at which people come and go."""
    doors = [
        {"id": "door-1", "face": "mqtt-door", "controller": "405419896", "door": 1, "story": list(story)},
        {
            "id": "door-2",
            "face": "mqtt-door",
            "controller": "405419896",
            "door": 2,
            "story": [{"at": "5s", "do": {"crowd": {"people": 12, "every": "5s"}}}],
        },
    ]
    return {"title": "doors", "seed": 7, "links": [{"id": "doors", "kind": "mqtt", "devices": doors, **of_link}]}


def asked(site: VirtualSite) -> list[tuple[int, int]]:
    """Return the ranges that the controller was asked for, in order."""
    return [(line["from"], line["to"]) for line in journal(site) if line.get("fact") == "range asked"]


def test_a_number_that_was_never_given_is_one_gap_and_one_a12(tmp_path: Path) -> None:
    """Three numbers are skipped: one audit gap, one A12, the range asked for once; no A01 for doors meanwhile."""
    story = {"at": "31s", "do": {"controller": {"skip": 3}}}

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, two_doors(story)) as site:
            await site.at(40)
            site.cut()
            await site.at(60)
            site.mend()
            await site.at(120)
        return site

    site = virtual.run(main())
    [skipped] = [line for line in journal(site) if line.get("fact") == "sequence skipped"]
    [gap] = events(site, "audit_gap")
    assert (gap["fields"]["from"], gap["fields"]["to"]) == (skipped["from"], skipped["to"])
    assert gap["device"] == "door-2", "the event that showed it"
    [(rule, device, cause, priority, at)] = alarms(site)
    assert (rule, device, cause, priority) == ("A12", "door-2", "raise", "P3")
    assert 0 <= at - virtual_site.seconds(skipped["t"]) <= 6
    assert asked(site) == [(skipped["from"], skipped["to"])]
    assert_told_once(site)
    assert site.judged().wrong == []


def test_an_event_that_was_lost_on_the_way_is_asked_for_and_comes(tmp_path: Path) -> None:
    """The controller takes two events for sent that never were: a gap is told, then both are there, once and late."""
    story = {"at": "22s", "do": {"fault": {"kind": "lose", "times": 2}}}

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, two_doors(story)) as site:
            await site.at(20)
            site.cut()
            await site.at(45)
            site.mend()
            await site.at(100)
        return site

    site = virtual.run(main())
    [gap] = events(site, "audit_gap")
    late = [event["device_sequence"] for event in events(site) if event["late"]]
    assert late == [gap["fields"]["from"], gap["fields"]["to"]]
    assert late[1] == late[0] + 1
    made = {as_recorded(event) for event in recorded(site)}
    found = [as_recorded(event) for event in events(site)]
    assert len(found) == len(made)
    assert set(found) == made
    assert {move[0] for move in alarms(site)} == {"A12"}
    assert asked(site) == [(late[0], late[1])]
    assert site.judged().wrong == []


def test_numbers_lost_while_the_gateway_is_dead_are_a_gap_and_nothing_is_told_twice(tmp_path: Path) -> None:
    """What a controller has told is known after a restart: a jump over the death is seen, and what the broker kept.

    The numbers are asked for once; these were never given, so nothing comes.
    """
    story = {"at": "34.5s", "do": {"controller": {"skip": 2}}}

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, two_doors(story)) as site:
            await site.at(34.2)
            await site.kill_gateway()
            await site.at(50)
            await site.start_gateway()
            await site.at(90)
        return site

    site = virtual.run(main())
    [skipped] = [line for line in journal(site) if line.get("fact") == "sequence skipped"]
    [gap] = events(site, "audit_gap")
    assert (gap["fields"]["from"], gap["fields"]["to"]) == (skipped["from"], skipped["to"])
    assert asked(site) == [(skipped["from"], skipped["to"])]
    made = sorted(recorded(site), key=lambda event: event["seq"])
    found = events(site)
    assert [as_recorded(event) for event in found] == [as_recorded(event) for event in made]
    assert [event["device_sequence"] for event in found if event["late"]] == [
        event["seq"] for event in made if 34.5 < event["at"] < 45
    ], "those that the broker kept for more than 5 s"
    assert {move[0] for move in alarms(site)} == {"A12"}
    account = site.judged()
    assert account.wrong == []
    assert account.risk["events while the gateway was dead"] >= 9


@pytest.mark.parametrize("at", [34.0, 36.0])
def test_events_lost_while_the_gateway_is_dead_are_asked_for_after_it_and_come(tmp_path: Path, at: float) -> None:
    """The ledger knows over the death what is missing, wherever it lies in what the broker kept; it comes, once."""
    story = {"at": f"{at}s", "do": {"fault": {"kind": "lose", "times": 2}}}

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, two_doors(story)) as site:
            await site.at(33.5)
            await site.kill_gateway()
            await site.at(50)
            await site.start_gateway()
            await site.at(90)
            [door] = await site.technician("device.show", id="door-1")
            assert door["messages"]["open_ranges"] == []
        return site

    site = virtual.run(main())
    [gap] = events(site, "audit_gap")
    assert asked(site) == [(gap["fields"]["from"], gap["fields"]["to"])]
    assert sorted(map(as_recorded, events(site))) == sorted(map(as_recorded, recorded(site)))
    assert {move[0] for move in alarms(site)} == {"A12"}
    assert site.judged().wrong == []


@pytest.mark.parametrize("dead", [False, True])
def test_the_last_event_is_lost_and_nothing_comes_after_it(tmp_path: Path, dead: bool) -> None:
    """The controller says that it has told more than was heard: it is asked once, and the event comes, without gap."""
    lose = {"at": "100s", "do": {"fault": {"kind": "lose", "times": 1}}}
    story = [lose, {"at": "101s", "do": {"deny": {"times": 1, "every": "1s"}}}]

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, two_doors(*story)) as site:
            await site.at(95)
            if dead:
                await site.kill_gateway()
            site.cut()
            await site.at(105)
            if dead:
                await site.start_gateway()
            await site.at(135)
            site.mend()
            await site.at(160)
        return site

    site = virtual.run(main())
    [lost] = [event for event in recorded(site) if event["at"] > 100]
    assert asked(site) == [(lost["seq"], lost["seq"])]
    assert [event["device_sequence"] for event in events(site) if event["late"]] == [lost["seq"]]
    assert sorted(map(as_recorded, events(site))) == sorted(map(as_recorded, recorded(site)))
    assert events(site, "audit_gap") == []
    assert site.judged().wrong == []


@pytest.mark.parametrize("kind", ["clock_behind", "clock_ahead"])
def test_what_waited_while_the_gateway_was_dead_is_late_whatever_the_clock_says(tmp_path: Path, kind: str) -> None:
    """With a clock 20 s off: what the broker kept is late, and so is nothing once the clock is known again."""
    wrong = {"at": "0s", "do": {"fault": {"kind": kind, "delay": "20s"}}}
    story = [wrong, {"at": "80s", "do": {"deny": {"times": 1}}}]

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, two_doors(*story)) as site:
            await site.at(34.2)
            await site.kill_gateway()
            await site.at(46)
            await site.start_gateway()
            await site.at(100)
        return site

    site = virtual.run(main())
    happened = {event["seq"]: event["at"] for event in recorded(site)}
    late = {event["device_sequence"]: bool(event["late"]) for event in events(site)}
    assert late.keys() == happened.keys()
    assert all(late[seq] for seq, at in happened.items() if 34.5 < at < 40.9)
    assert not any(late[seq] for seq, at in happened.items() if 21 < at < 34 or at > 67)
    assert any(at > 67 for at in happened.values())
    assert site.judged().wrong == []
