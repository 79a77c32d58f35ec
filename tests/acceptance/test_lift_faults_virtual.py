"""What lifts, escalators, gas and leak detectors report, on a whole virtual site: those alarms and no others."""

from pathlib import Path
from typing import Any

from tests import virtual, virtual_site
from tests.site_facts import at, only

ENDS = 140.0
POLLED = 3.0
"""Two polls of a second and one more; a BACnet object is read within two as well."""


def flag(seconds: float, name: str, on: bool = True) -> dict[str, Any]:
    return at(seconds, lift_fault={"name": name, "on": on})


LIFT = (
    flag(10, "unintended"), flag(12, "unintended", on=False), flag(30, "ebike"), flag(60, "ebike", on=False),
    flag(70, "position_lost"), flag(100, "position_lost", on=False), flag(110, "vibration"),
    flag(114, "vibration", on=False),
)  # fmt: skip
MONITOR = (flag(20, "pit"), flag(50, "pit", on=False))
CAR = (flag(20, "door_close"), flag(50, "door_close", on=False), at(60, inspection=True), flag(70, "safety_circuit"))
ESCALATOR = (
    at(20, escalator="reverse"), at(40, escalator="stop"), at(60, escalator="comb"), at(90, escalator="clear"),
)  # fmt: skip
GAS = (at(10, gas={"level": 30}), at(60, gas={"level": 60}), at(100, gas={"level": 0}))
WATER = (at(10, leak="wet"), at(40, leak="none"), at(60, leak="cable_break"), at(100, leak="none"))


def scenario() -> dict[str, Any]:
    modbus = (("lift-a1", "sp-lift-1", LIFT), ("lift-a2", "lmon", MONITOR))
    safety = (("gas-1", "sp-io-16-gas", GAS), ("leak-1", "sp-io-16-water", WATER))
    bacnet = (("lift-b1", "bacnet-lift", CAR), ("esc-1", "bacnet-escalator", ESCALATOR))
    units = [
        {"id": name, "unit": unit, "face": face, "story": list(story)}
        for unit, (name, face, story) in enumerate((*modbus, *safety), 1)
    ]
    objects = [{"id": name, "object": 1, "face": face, "story": list(story)} for name, face, story in bacnet]
    links = [{"id": "field", "devices": units}, {"id": "bms", "kind": "bacnet", "devices": objects}]
    return {"title": "faults", "seed": 7, "links": links}


def test_each_fault_raises_its_alarm_in_its_time_and_no_other(tmp_path: Path) -> None:
    """By the delay plus two polls and a second, never before it; what is too short or under inspection is none."""

    async def story() -> None:
        async with virtual_site.running(tmp_path, scenario()) as site:
            await site.at(25)
            site.cut()
            await site.at(45)
            site.mend()
            await site.at(ENDS)
            off = 10 + POLLED
            only(
                site,
                ("L09", "lift-a1", "raise", 10, 10 + POLLED), ("L09", "lift-a1", "clear", 22, 12 + off),
                ("L23", "lift-a1", "raise", 32, 32 + POLLED), ("L23", "lift-a1", "clear", 70, 60 + off),
                ("L17", "lift-a1", "raise", 75, 75 + POLLED), ("L17", "lift-a1", "clear", 110, 100 + off),
                ("L06", "lift-a2", "raise", 20, 20 + POLLED), ("L06", "lift-a2", "clear", 60, 50 + off),
                ("L12", "lift-b1", "raise", 20, 20 + POLLED), ("L12", "lift-b1", "clear", 60, 50 + off),
                ("E02", "esc-1", "raise", 20, 20 + POLLED), ("E02", "esc-1", "clear", 50, 40 + off),
                ("E05", "esc-1", "raise", 65, 65 + POLLED), ("E05", "esc-1", "clear", 100, 90 + off),
                ("H01", "gas-1", "raise", 19, 19 + POLLED), ("H01", "gas-1", "clear", 118, 108 + off),
                ("H02", "gas-1", "raise", 62, 62 + POLLED), ("H02", "gas-1", "clear", 114, 104 + off),
                ("W01", "leak-1", "raise", 20, 20 + POLLED), ("W01", "leak-1", "clear", 50, 40 + off),
            )  # fmt: skip
            assert site.state("L09") == site.state("H02") == "LU"

        assert site.judged().wrong == []  # whoever knows only what truly happened finds the same

    virtual.run(story())
