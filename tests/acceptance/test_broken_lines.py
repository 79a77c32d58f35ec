"""Broken lines of dry contacts on the virtual site: what nobody can see is not known, and what can be seen rings."""

from pathlib import Path
from typing import Any

from tests import virtual, virtual_site
from tests.site_facts import at, field, only, value


def cut(seconds: float, *inputs: int, broken: bool = True) -> list[dict[str, Any]]:
    """Return the acts by which the lines of inputs break, or are whole again."""
    return [at(seconds, line={"input": number, "broken": broken}) for number in inputs]


def test_gas_and_water_behind_a_broken_line(tmp_path: Path) -> None:
    """No gas and no leak are not known while the line is broken; what is seen rings, and what rings goes on."""
    plan = field(
        (
            "first",
            "sp-io-16-gas",
            [*cut(10, 0), at(40, gas={"level": 60}), at(60, gas={"level": 0}), *cut(90, 0, broken=False)],
        ),
        (
            "second",
            "sp-io-16-gas",
            [at(10, gas={"level": 60}), *cut(25, 1), at(30, gas={"level": 0}), *cut(60, 1, broken=False)],
        ),
        ("leak", "sp-io-16-water", [*cut(10, 3), at(20, leak="wet"), *cut(90, 3, broken=False), at(120, leak="none")]),
    )

    async def story() -> None:
        async with virtual_site.running(tmp_path, plan) as site:
            await site.at(9)
            assert [value(site, name) for name in ("first/gas.al1", "leak/leak.present")] == [False, False]
            await site.at(30)
            told = [value(site, f"first/{name}") for name in ("gas.al1", "gas.al2", "gas.fault")]
            assert told == [None, False, True]
            assert (value(site, "leak/leak.present"), value(site, "leak/leak.cable_break")) == (None, True)
            await site.at(55)
            assert (value(site, "second/gas.al1"), value(site, "second/gas.al2")) == (False, True)
            await site.at(140)
            only(
                site,
                ("H03", "first", "raise", 15, 18), ("H02", "first", "raise", 48, 51),
                ("H02", "first", "clear", 74, 77), ("H03", "first", "clear", 100, 103),
                ("H02", "second", "raise", 18, 21), ("H03", "second", "raise", 30, 33),
                ("H02", "second", "clear", 70, 73), ("H03", "second", "clear", 70, 73),
                ("W02", "leak", "raise", 70, 73), ("W02", "leak", "clear", 100, 103),
                ("W01", "leak", "raise", 100, 103), ("W01", "leak", "clear", 130, 133),
            )  # fmt: skip

    virtual.run(story())


def test_a_fire_behind_broken_lines(tmp_path: Path) -> None:
    """General alarm, call point, pre-alarm and one zone are cut off: other zones ring, and nothing ends unseen."""
    lines = (0, 1, 6, 9)
    smoke = [at(30, smoke={"zone": 3}), at(50, smoke={"zone": 1})]
    over = [at(70, smoke={"zone": zone, "density": "none"}) for zone in (1, 3)] + [at(71, panel="reset")]
    plan = field(("panel", "sp-io-16", [*cut(10, *lines), *smoke, *over, *cut(120, *lines, broken=False)]))

    async def story() -> None:
        async with virtual_site.running(tmp_path, plan) as site:
            await site.at(25)
            unknown = ("fire.alarm", "callpoint", "fire.prealarm", "zone2", "zones_active")
            assert [value(site, f"panel/{name}") for name in unknown] == [None] * 5
            told = [value(site, f"panel/{name}") for name in ("zone3", "line_fault", "fire.disabled", "power")]
            assert told == [False, True, False, "mains"]
            await site.at(65)
            assert [value(site, f"panel/{name}") for name in ("fire.alarm", "zones_active")] == [None, 2]
            await site.at(150)
            only(
                site,
                ("F03", "panel", "raise", 15, 18), ("F03", "panel", "clear", 130, 133),
                ("F02", "panel", "raise", 30, 33), ("F02", "panel", "clear", 130, 133),
                ("F01", "panel", "raise", 50, 53), ("F01", "panel", "clear", 130, 133),
            )  # fmt: skip

    virtual.run(story())


def test_a_lift_behind_broken_lines(tmp_path: Path) -> None:
    """Its mode hidden is P3 after a minute, its calls for help hidden P2 after seconds; the alarm names the lines."""
    plan = field(("lift-1", "sp-io-16-lift", [*cut(2, 3), *cut(66, 4), at(67, alarm_button="60s")]))

    async def story() -> None:
        async with virtual_site.running(tmp_path, plan) as site:
            await site.at(75)
            told = [value(site, f"lift-1/{name}") for name in ("line.alarm", "passenger_alarm", "service_mode")]
            assert told == [True, None, "unknown"]
            only(site, ("L29", "lift-1", "raise", 62, 65), ("L29", "lift-1", "reannunciate", 71, 74))
            moves = site.rows("SELECT priority, detail FROM transitions WHERE rule = 'L29' ORDER BY id")
            assert [tuple(row) for row in moves] == [("P3", "inspection"), ("P2", "button, rescue, inspection")]

    virtual.run(story())
