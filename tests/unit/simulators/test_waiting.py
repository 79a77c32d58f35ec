"""An estate that waits lives, but nothing of its stories happens before they are begun."""

import json
from typing import Any

import pytest

from simulators.estate import Estate
from simulators.journal import Journal
from simulators.scenario import Scenario
from sitekeeper.model.clock import MS, SECOND, ManualClock


def plan() -> Scenario:
    """Return a door with people coming and going, whose exit button is pressed at 5 s, and a call point at 1 s."""
    door = {"id": "door", "face": "mqtt-door", "controller": "405419896", "door": 1, "traffic": "5s"}
    panel = {"id": "panel", "unit": 1, "face": "sp-io-16", "story": [{"at": "1s", "do": {"panel": "press"}}]}
    door["story"] = [{"at": "5s", "do": {"rex": {}}}]
    links = [{"id": "doors", "kind": "mqtt", "port": 1883, "devices": [door]}, {"id": "fire", "devices": [panel]}]
    return Scenario.model_validate({"title": "waiting", "seed": 1, "links": links})


@pytest.mark.parametrize("waits", [True, False])
def test_stories_begin_when_they_are_begun(waits: bool) -> None:
    """People come from the start; each deed comes so long after the beginning as it says, whenever that is."""
    lines: list[dict[str, Any]] = []
    clock = ManualClock()
    journal = Journal(lambda line: lines.append(json.loads(line)))
    estate = Estate(plan(), clock=clock, journal=journal, free_ports=True, waits=waits)
    panel, door = estate.panels["panel"], estate.doors["door"]

    def live(seconds: float) -> bool:
        clock.advance(round(seconds * SECOND))
        for thing in (panel, door):
            thing.advance(estate.story_time())
        return panel.callpoint

    if waits:
        assert not live(60)
        assert {"read", "door"} <= {line["event"]["kind"] for line in lines if "event" in line}, "traffic goes on"
        estate.begin()
    assert not live(0.999)
    began = clock.wall() - 999 * MS
    assert live(0.001)
    live(10)
    assert any(line.get("fact") == "exit button" and line["t"] == began + 5 * SECOND for line in lines)
