"""Devices of makers on the virtual site, as their documents describe them: the rules of their classes raise and clear.

Real frames, our own profiles, faces that were typed from the documents once more.
"""

from pathlib import Path

from tests import virtual, virtual_site
from tests.site_facts import at, field, only, value, wrote


def test_safety_inputs_of_makers(tmp_path: Path) -> None:
    """Each raises by its own limits and clears; its fault is an alarm, and in a fault nobody says that all is quiet."""
    gas = [at(10, gas={"level": 60}), at(20, gas={"level": 0}), at(50, gas_fault=True), at(75, gas_fault=False)]
    low = [at(10, gas={"level": 30}), at(20, gas={"level": 0}), at(50, gas_fault=True), at(75, gas_fault=False)]
    leak = [at(10, leak="wet"), at(25, leak="none")]
    smoke = [
        at(10, smoke={"zone": 1, "density": "thin"}),
        at(20, smoke={"zone": 1, "density": "dense"}),
        at(30, smoke={"zone": 1, "density": "none"}),
        at(31, panel="reset"),
        at(50, panel="fault"),
        at(75, panel="fault_gone"),
    ]
    plan = field(
        ("igd", "igd-toc-635", low),
        ("pemtech", "pemtech-pt495", gas),
        ("midas", "honeywell-midas", gas),
        ("aqualeak", "aqualeak-10k", leak),
        ("zone-1", "notifier-modbus-gw", smoke),
    )

    async def story() -> None:
        async with virtual_site.running(tmp_path, plan) as site:
            await site.at(2.5)
            assert (value(site, "midas/gas.fault"), value(site, "midas/gas.al2")) == (True, None)  # it warms up
            await site.at(9)
            assert (value(site, "igd/gas.al1"), value(site, "midas/gas.level")) == (False, 0.0)
            await site.at(19.5)
            assert (value(site, "igd/gas.level"), value(site, "aqualeak/leak.distance")) == (30.0, 12.3)
            await site.at(60)
            unknown = ("igd/gas.al1", "igd/gas.level", "pemtech/gas.al1", "pemtech/gas.al2", "midas/gas.al2")
            assert [value(site, point) for point in unknown] == [None] * 5
            await site.at(90)
            only(
                site,
                ("H01", "igd", "raise", 19, 22), ("H01", "igd", "clear", 32, 36),
                ("H03", "igd", "raise", 55, 58), ("H03", "igd", "clear", 85, 88),
                ("H02", "pemtech", "raise", 17, 20), ("H02", "pemtech", "clear", 31, 35),
                ("H03", "pemtech", "raise", 55, 58), ("H03", "pemtech", "clear", 85, 88),
                ("H02", "midas", "raise", 17, 20), ("H02", "midas", "clear", 31, 35),
                ("H03", "midas", "raise", 55, 58), ("H03", "midas", "clear", 85, 88),
                ("W01", "aqualeak", "raise", 20, 23), ("W01", "aqualeak", "clear", 35, 38),
                ("F02", "zone-1", "raise", 10, 12), ("F01", "zone-1", "raise", 20, 22),
                ("F02", "zone-1", "clear", 30, 33), ("F01", "zone-1", "clear", 41, 44),
                ("F03", "zone-1", "raise", 55, 58), ("F03", "zone-1", "clear", 85, 88),
            )  # fmt: skip

    virtual.run(story())


def test_a_came_barrier(tmp_path: Path) -> None:
    """A technician opens it; jammed, it is late after 8 s, and it is not any more when it is free."""
    plan = field(("lane", "came-gard-ptx", [at(20, boom="close"), at(25, boom="jam"), at(50, boom="free")]))

    async def main() -> None:
        async with virtual_site.running(tmp_path, plan) as site:
            await site.at(5)
            [*_, told] = await site.technician("point.write", id="lane/cmd.open", value="true", reason="a test")
            assert (told["outcome"], told["reason"]) == ("confirmed", "")
            await site.at(30)
            await site.technician("point.write", id="lane/cmd.open", value="true", reason="a test")
            await site.at(65)
            assert [written for _, written in wrote(site, "lane")] == [{"cmd.open": True}, {"cmd.open": True}]
            only(site, ("B01", "lane", "raise", 38, 41), ("B01", "lane", "clear", 50, 65))

    virtual.run(main())
