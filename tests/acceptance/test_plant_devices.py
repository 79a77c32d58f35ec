"""Lifts on dry contacts and parts of lifts, light sensors, a DALI group and a meter on the virtual site.

Real frames, our own profiles, faces that were typed from the documents once more.
"""

from pathlib import Path

from tests import virtual, virtual_site
from tests.site_facts import at, field, only, value


def test_a_lift_on_dry_contacts(tmp_path: Path) -> None:
    """Somebody shut in between floors is found by contacts alone, by their own rules."""
    lift = [
        at(5, people={"from": 1, "to": 6}),
        at(13, stuck_outside_zone={}),
        at(30, alarm_button="10s"),
        at(90, release=True),
    ]
    plan = field(("lift", "sp-io-16-lift", lift))
    plan["links"][0]["devices"][0]["lift"] = {"floors": 20, "basements": 2}

    async def story() -> None:
        async with virtual_site.running(tmp_path, plan) as site:
            await site.at(4)
            told = [value(site, f"lift/{name}") for name in ("floor", "car_status", "service_mode", "power", "supply")]
            assert told == [3, "stopped", "normal", "mains", 27.3]  # the third landing, with two basements
            await site.at(28)
            told = [value(site, f"lift/{name}") for name in ("door_zone", "door_closed", "passenger", "line_fault")]
            assert told == [False, True, True, False]
            await site.at(85)
            await site.at(140)
            assert value(site, "lift/door_zone") is True
            only(
                site,
                ("L01", "lift", "raise", 33, 36), ("L01", "lift", "clear", 90, 110),
                ("L03", "lift", "raise", 33, 36), ("L03", "lift", "clear", 50, 53),
            )  # fmt: skip

    virtual.run(story())


def test_parts_of_lifts_and_a_meter(tmp_path: Path) -> None:
    """What a drive, a controller and a meter tell comes to be known; no rule reads it, and none raises."""
    drive = [at(5, drive="up"), at(15, drive="down"), at(25, drive="trip"), at(35, drive="reset")]
    signals = [at(5, signal={"name": "bypass"}), at(15, signal={"name": "bypass", "on": False})]
    plan = field(
        ("drive", "invertek-elevator-core", drive),
        ("arcode", "arkel-arcode", signals),
        ("meter", "eastron-sdm630", [at(5, load=3000), at(15, voltage=200)]),
    )

    async def story() -> None:
        async with virtual_site.running(tmp_path, plan) as site:
            await site.at(13)
            told = [value(site, f"drive/{name}") for name in ("running", "frequency", "current", "torque")]
            assert told == [True, 50.0, 12.5, 45.0]
            assert (value(site, "arcode/bypass_alarm"), value(site, "arcode/ucm_test")) == (True, False)
            assert (value(site, "meter/power"), value(site, "meter/voltage_l3")) == (3000.0, 230.0)
            await site.at(23)
            assert (value(site, "drive/frequency"), value(site, "drive/torque")) == (-50.0, -45.0)
            assert (value(site, "arcode/bypass_alarm"), value(site, "meter/voltage_l1")) == (False, 200.0)
            await site.at(33)
            assert [value(site, f"drive/{name}") for name in ("running", "tripped", "error_code")] == [False, True, 3]
            await site.at(43)
            assert [value(site, f"drive/{name}") for name in ("tripped", "error_code")] == [False, 0]
            only(site)

    virtual.run(story())


def test_light_sensors_and_a_group(tmp_path: Path) -> None:
    """Both sensors tell lux by their own scale; light beyond what there can be raises G12, and clears."""
    plan = field(
        ("roof", "dfrobot-sen0644", [at(5, lux=40_000), at(20, lux=200_000), at(60, lux=30_000)]),
        ("yard", "sonbest-km35b91", [at(5, lux=8390)]),
        ("group", "dali-group", [at(5, level=75)]),
    )

    async def story() -> None:
        async with virtual_site.running(tmp_path, plan) as site:
            await site.at(15)
            told = [value(site, point) for point in ("roof/lux", "yard/lux", "group/command", "group/level")]
            assert told == [40_000.0, 8390.0, 75.0, None]
            await site.at(55)
            assert value(site, "roof/lux") == 200_000.0
            await site.at(120)
            only(site, ("G12", "roof", "raise", 20, 50), ("G12", "roof", "clear", 60, 90))

    virtual.run(story())
