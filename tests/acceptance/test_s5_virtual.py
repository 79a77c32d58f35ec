"""Scenario S5 in full: the way to the office is down for 130 minutes, from 02:00 to 04:10, in virtual time.

1,200 access events at two doors and three alarms of P2 come meanwhile, and 40 points that change each second are
buffered: 312,000 samples. Nothing is scaled but two things. The 40 points are 80 which are read every 2 s, so that half
as many requests have to be made for the same samples; and the line is narrow (96 kbit a second), so that the backlog
takes minutes and not a second: what is urgent has something to overtake. What "late" says of an event is that
its own controller told it late; the office's own delay stands in the block's time of commit.

`test_s5_short.py` tells the same story in short.
"""

from pathlib import Path
from typing import Any, Final

import pytest

from edge.outbox.reader import Reader
from sitekeeper.model.clock import SECOND
from tests import virtual, virtual_site
from tests.acceptance import test_s5_short
from tests.acceptance.test_s5_short import Line, line
from tests.flowing import Flowing, flowing
from tests.site_facts import alarms, as_recorded, events, journal, recorded
from tests.virtual_site import VirtualSite

__all__ = ["line"]

BYTES_PER_SECOND: Final = 12_000
CUT: Final = 120.0
"""02:00. The times below are seconds of the run."""
BACK: Final = CUT + 130 * 60
"""04:10."""
LIVE: Final = BACK + 6
"""The fifth refusal of a burst, while the backlog is on its way."""
END: Final = BACK + 420
FORCED, SKIPPED, REFUSED, OFFLINE = 1_810.0, 3_000.0, 6_010.0, 5_000.0
"""When doors are forced, a number is skipped, cards are refused, and the controller is off its own broker for 60 s."""
P2 = {("A01", "door-workshop"), ("A01", "door-archive"), ("A03", "door-archive")}
PEOPLE, EVERY = 200, 38
"""At each of two doors; each one is a read, an opening and a closing."""


def door(number: int, name: str, *story: tuple[float, dict[str, Any]]) -> dict[str, Any]:
    crowd = (CUT + 5 + 19 * number, {"crowd": {"people": PEOPLE, "every": f"{EVERY}s", "stay": "1.5s"}})
    steps = [{"at": f"{at}s", "do": deed} for at, deed in sorted((crowd, *story), key=lambda step: step[0])]
    return {"id": name, "face": "mqtt-door", "controller": "405419896", "door": number, "story": steps}


def scenario() -> dict[str, Any]:
    burst = {"deny": {"times": 5, "every": "1s"}}
    doors = [
        door(
            1, "door-workshop", (FORCED, {"door": "force"}), (FORCED + 2, {"door": "shut"}),
            (SKIPPED, {"controller": {"skip": 1}}), (OFFLINE, {"fault": {"kind": "offline", "for": "60s"}}),
            (LIVE - 4, burst),
        ),
        door(
            2, "door-archive", (FORCED + 1_000, {"door": "force"}), (FORCED + 1_002, {"door": "shut"}),
            (REFUSED, {"deny": {"times": 5, "every": "4s"}}),
        ),
    ]  # fmt: skip
    return {"title": "S5", "seed": 5, "links": [{"id": "doors", "kind": "mqtt", "site": "s5", "devices": doors}]}


async def shown_on_site(site: VirtualSite) -> None:
    """At 04:09 everything is there on site, its alarms marked as not delivered; the office has nothing of it."""
    assert events(site) == []
    assert {move[0] for move in alarms(site)} == {"GW01"}
    listed = [alarm for alarm in await site.ask("control", "alarm.list") if alarm["priority"] == "P2"]
    assert {(alarm["rule"], alarm["key"].split("/")[1]) for alarm in listed} == P2
    assert [alarm["delivered"] for alarm in listed] == [False] * 3
    [status] = await site.ask("control", "status")
    assert status["office"]["state"] == "connecting"
    assert status["outbox"]["unsent"]["events"] >= 1_200
    with Reader(site.folder / "site/outbox.db") as reader:
        assert all(reader.transitions(alarm["occurrence"]) for alarm in listed)


def committed(site: VirtualSite, stream: str) -> list[tuple[float, float]]:
    """Return (made, committed) of the blocks of a stream that were made in the outage, in order of sequence."""
    sql = "SELECT t0, committed FROM blocks WHERE stream = ? AND t0 BETWEEN ? AND ? ORDER BY sequence"
    ends = (virtual.START + int((CUT + 2) * SECOND), virtual.START + int(BACK * SECOND))
    return [
        (virtual_site.seconds(row["t0"]), virtual_site.seconds(row["committed"]))
        for row in site.rows(sql, stream, *ends)
    ]


def assert_urgent_first(site: VirtualSite) -> None:
    """Alarms within 5 s of the return and before the events, those in order and before the bulk of the samples."""
    urgent, told, bulk = ([at for _, at in committed(site, stream)] for stream in ("alarms", "events", "samples"))
    assert len(urgent) >= 4
    assert min(urgent) >= BACK
    assert max(urgent) <= BACK + 5
    assert len(told) > 1_000
    assert told == sorted(told)
    assert min(urgent) < min(told)
    last = [round(max(at) - BACK, 1) for at in (urgent, told, bulk)]
    print("seconds from the return to the last of alarms, events, samples:", last)
    assert max(bulk) > LIVE + 30, "else nothing had to be overtaken"


def assert_live_not_delayed(site: VirtualSite) -> float:
    """Return how long the alarm raised meanwhile took to the office: below 2 s."""
    sql = "SELECT at, committed FROM transitions WHERE key LIKE '%door-workshop/A03' AND cause = 'raise'"
    [row] = site.rows(sql)
    assert virtual_site.seconds(row["at"]) == pytest.approx(LIVE, abs=0.5)
    delay = (row["committed"] - row["at"]) / SECOND
    assert delay < 2
    return float(delay)


def assert_each_event_once(site: VirtualSite) -> None:
    """Each event is at the office once, as its door recorded it, with its own time; late is what its door told late."""
    made = sorted(recorded(site), key=lambda event: event["seq"])
    assert sum(CUT < event["at"] < BACK for event in made) >= 1_200
    found = sorted(events(site), key=lambda event: event["device_sequence"])
    assert [as_recorded(event) for event in found] == [as_recorded(event) for event in made]
    for event, truth in zip(found, made, strict=True):
        assert virtual_site.seconds(event["source"]) == pytest.approx(truth["at"], abs=0.001)
        assert bool(event["late"]) == (OFFLINE <= truth["at"] < OFFLINE + 60), event
    assert sum(event["late"] for event in found) >= 6
    by_commit = [event["device_sequence"] for event in sorted(events(site), key=lambda event: event["id"])]
    assert by_commit == sorted(by_commit)


def assert_one_gap(site: VirtualSite) -> None:
    """The number that was skipped is one A12, one gap that was told, and asked for once."""
    [skipped] = [line for line in journal(site) if line.get("fact") == "sequence skipped"]
    [gap] = events(site, "audit_gap")
    assert gap["fields"]["from"] == gap["fields"]["to"] == skipped["from"] == skipped["to"]
    [(_, _, _, priority, at)] = [move for move in alarms(site, "A12") if move[2] == "raise"]
    assert priority == "P3"
    assert at == pytest.approx(virtual_site.seconds(gap["at"]), abs=1.0)
    asked = [(line["from"], line["to"]) for line in journal(site) if line.get("fact") == "range asked"]
    assert asked == [(skipped["from"], skipped["to"])]


async def run(folder: Path, line: Line, flow: Flowing) -> VirtualSite:
    async with virtual_site.running(folder, scenario()) as site:
        await site.at(CUT)
        line.cut(site)
        await site.at(BACK - 60)
        await shown_on_site(site)
        await site.at(BACK)
        line.mend(site)
        await site.at(END)
        [after] = [alarm for alarm in await site.ask("control", "alarm.list") if alarm["rule"] == "A03"][:1]
        assert after["delivered"]
        await flow.stop()
    return site


@pytest.mark.timeout(600)
def test_s5(tmp_path: Path, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """P2 first, then 1,200 events in order, 312,000 samples: none lost or doubled; a live P2 within 2 s; one A12."""

    monkeypatch.setattr(test_s5_short, "BYTES_PER_SECOND", BYTES_PER_SECOND)

    async def main() -> tuple[VirtualSite, Flowing]:
        async with flowing(monkeypatch, 1, 80, "2s") as flow:
            return await run(tmp_path, line, flow), flow

    site, flow = virtual.run(main())
    assert_urgent_first(site)
    delay = assert_live_not_delayed(site)
    assert_each_event_once(site)
    assert_one_gap(site)
    assert flow.wrong(site) == []
    in_outage = sum(CUT < virtual_site.seconds(at) < BACK for at, _ in flow.devices[0].served) * 80
    assert in_outage >= 311_000
    raised = [move for move in alarms(site, "A01", "A03") if move[2] == "raise"]
    assert {move[:2] for move in raised[:3]} == P2
    assert {move[3] for move in raised} == {"P2"}
    assert [move[4] for move in raised] == pytest.approx([FORCED, FORCED + 1_000, REFUSED + 16, LIVE], abs=1.0)
    account = site.judged()
    assert account.wrong == []
    assert (account.figures["events_lost"], account.figures["events_doubled"]) == (0, 0)
    assert account.risk["alarms raised while the office was away"] >= 4
    assert account.risk["blocks that waited"] > 1_000
    print({"live_alarm_s": round(delay, 2), "samples_in_outage": in_outage, "served": flow.rows, **account.figures})
