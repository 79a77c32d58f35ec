"""A building controller that tells its changes (COV), from wire to alarm, on the virtual site; and one that stops to.

What is told comes at once, what is not is found by the readings that go on; neither is ever shown for more than it is.
"""

from pathlib import Path
from typing import Any

import pytest

from tests import virtual, virtual_site
from tests.acceptance.test_bacnet_virtual import alarms, truth
from tests.virtual_site import VirtualSite

AT_ONCE = 0.1
"""Seconds from a change to its sample: a look of the device's at itself, and two messages."""
PERIOD = 2.0
SLOW = {
    "lift-a1": {"points": {"passenger_alarm": {"scan": "2s"}}},
    "door-1": {"points": {"door.state": {"scan": "2s"}, "door.alarm": {"scan": "2s"}}},
}
"""What is told is read so seldom that a reading cannot be taken for it."""
TOLD = {
    "lift-a1/passenger_alarm": (0, 1),
    "door-1/door.state": ("closed", "open"),
    "door-1/door.alarm": ("normal", "forced_open"),
}
"""Points that are told, as they are before and after what happens, and while it does."""
RETURN = 3.0
"""Seconds after which a device that is back was asked again: the longest wait, a time-out, and half a second."""
CHANGED = (("lift-a1/passenger_alarm", 1, "alarm button"), ("door-1/door.alarm", "forced_open", "door forced"))
"""Point, its value, and the fact that made it so."""


@pytest.fixture(autouse=True)
def _looks_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the device look at itself every 47 ms, which is most of what these tests cost.

    Never at the time of a reading: without delays on the wire, one doubt later, two readings have the same time.
    """
    monkeypatch.setattr("simulators.bacnet_stack.LOOK", 0.047)


def step(at: float, **act: Any) -> dict[str, Any]:
    return {"at": f"{at:.3f}s", "do": act}


def scenario(*both: dict[str, Any], cov: bool, pressed: float, of_link: tuple[dict[str, Any], ...] = ()) -> Any:
    """Return a lift whose alarm button is pressed for 8 s, and a door forced half a second later; `both` do `both`."""
    lift = [*both, step(pressed, alarm_button="8s")]
    door = [*both, step(pressed + 0.5, door="force"), step(pressed + 7.5, door="shut")]
    devices = [
        {"id": "lift-a1", "object": 1, "face": "bacnet-lift", "lift": {"start_floor": 5}, "story": lift},
        {"id": "door-1", "object": 1, "face": "access-door", "story": door},
    ]
    link = {"id": "bms", "kind": "bacnet", "cov": cov, "devices": devices, "story": list(of_link)}
    return {"title": "told", "seed": 5, "links": [link]}


def running(folder: Path, plan: Any, places: Any = SLOW) -> Any:
    """Run it with a gateway that starts one second into the story: its readings of 2 s come at 1, 3, 5 s and so on."""
    return virtual_site.running(folder, plan, packs=("access",), places=places, phase=1)


async def cov(site: VirtualSite, device: str = "lift-a1") -> dict[str, Any]:
    """Return what `sk device show` tells of a device's subscriptions; both devices are objects of one."""
    (shown,) = await site.technician("device.show", id=device)
    (found,) = shown["messages"]["cov"]
    return dict(found)


def samples(site: VirtualSite, point: str) -> list[tuple[float, Any, int]]:
    """Return what the office has of a point: seconds of the run, value, quality."""
    found = site.rows("SELECT at, value, q FROM v_samples WHERE point = ? ORDER BY at", point)
    return [(virtual_site.seconds(row["at"]), row["value"], row["q"]) for row in found]


def delays(site: VirtualSite) -> dict[str, float]:
    """Return how long after each change its value had come."""
    return {
        point: next(at for at, seen, q in samples(site, point) if (seen, q) == (value, 0)) - truth(site, fact)
        for point, value, fact in CHANGED
    }


def gaps(site: VirtualSite, group: str) -> list[tuple[float, float]]:
    """Return when a scan group was silent, in seconds of the run."""
    found = site.rows(
        'SELECT start, "end" FROM gaps WHERE scan_group = ? AND cause = ? ORDER BY start', group, "silent"
    )
    return [(virtual_site.seconds(row["start"]), virtual_site.seconds(row["end"])) for row in found]


def raised(site: VirtualSite) -> dict[str, float]:
    """Return how long after its cause each alarm was raised."""
    at = {rule: at for rule, cause, _, _, at in site.moves() if cause == "raise"}
    return {"L03": at["L03"] - truth(site, "alarm button"), "A01": at["A01"] - truth(site, "door forced")}


def sound(site: VirtualSite) -> dict[str, Any]:
    """Return the oracle's figures of a run in which it found nothing wrong and no second without an account."""
    account = site.judged()
    assert account.wrong == []
    assert account.figures["unexplained_s"] == 0
    assert account.figures["served"] == account.figures["stored"] + account.figures["in_gaps"] > 12
    return account.figures


@pytest.mark.parametrize("how", ["told", "polled", "refused"])
def test_a_change_is_an_alarm_at_once_where_it_is_told(tmp_path: Path, how: str) -> None:
    """Told, a change is in its rule within 100 ms; of a device that cannot tell or refuses to, within the period."""

    async def story() -> None:
        refuses = [step(0.5, fault={"kind": "no_cov"})] if how == "refused" else []
        async with running(tmp_path, scenario(*refuses, cov=how != "polled", pressed=7.107)) as site:
            await site.at(7)
            site.cut()
            await site.at(13.5)
            site.mend()
            await site.at(18)
            seen, found = await cov(site), raised(site)
            assert sorted(alarms(site, "")) == [("A01", "raise"), ("L03", "raise")]
            if how == "told":
                assert (seen["alive"], seen["told"] > 4, seen["untold"]) == (4, True, 0)
                assert max(delays(site).values()) <= AT_ONCE
                assert found["A01"] <= AT_ONCE
                assert 3 <= found["L03"] <= 3 + AT_ONCE, "3 s is how long the rule has it pressed"
            else:
                why = "reject 9" if how == "polled" else "error 45"
                assert (seen["alive"], seen["told"], why in seen["refused"]) == (0, 0, True)
                assert min(delays(site).values()) > 1, "or the first case would prove nothing"
                assert max(delays(site).values()) <= PERIOD + AT_ONCE
                assert found["A01"] <= PERIOD + AT_ONCE
                assert 3 <= found["L03"] <= 3 + PERIOD + AT_ONCE
        sound(site)

    virtual.run(story())


@pytest.mark.parametrize("how", ["forgets", "restarts", "one by one"])
def test_a_device_that_forgot_is_found_by_reading(tmp_path: Path, how: str) -> None:
    """What nobody told comes with the next reading of it; nothing told before vouches for longer; then it is told."""
    forgets = step(6.3, fault={"kind": "forget"})
    restarts = step(6.3, fault={"kind": "refuse", "for": "400ms"})  # between two readings: nobody notices
    singles = step(0.5, fault={"kind": "no_rpm"})  # so that each scan of 1 s reads one of the told properties in turn
    both = {"forgets": [forgets], "restarts": [], "one by one": [singles, forgets]}[how]

    async def story() -> None:
        plan = scenario(*both, cov=True, pressed=7.107, of_link=(restarts,) if how == "restarts" else ())
        async with running(tmp_path, plan, {} if how == "one by one" else SLOW) as site:
            await site.at(6.2)
            assert (await cov(site))["alive"] == 4
            await site.at(8)
            site.cut()
            await site.at(14)
            site.mend()
            seen = await cov(site)
            assert (seen["untold"] > 0, seen["alive"]) == (True, 4)
            assert seen["untold"] + seen["renewed"] >= 4, "what did not change is subscribed anew too"
            await site.at(18)
            assert sorted(alarms(site, "")) == [("A01", "raise"), ("L03", "raise")]
            late = delays(site)
            assert min(late.values()) > 0.5, "it was not told"
            turns = 1 if how == "one by one" else 0  # flags and reliability have turns too
            assert max(late.values()) <= PERIOD + turns + AT_ONCE
            for point, (good, wrong) in TOLD.items():
                assert [each[1:] for each in samples(site, point)] == [(good, 0), (wrong, 0), (good, 0)], point
            assert 0 <= samples(site, "lift-a1/passenger_alarm")[-1][0] - 15.107 <= AT_ONCE, "the end of it is told"
            assert 0 <= samples(site, "door-1/door.alarm")[-1][0] - 14.607 <= AT_ONCE
        sound(site)

    virtual.run(story())


def test_a_silent_link_is_bad_as_soon_as_without(tmp_path: Path) -> None:
    """Where nobody listens, told points are bad when read ones are, are as long unknown, come back and are told."""

    async def story(told: bool) -> dict[str, float]:
        plan = scenario(cov=told, pressed=11.107, of_link=(step(6.3, fault={"kind": "refuse", "for": "7s"}),))
        folder = tmp_path / str(told)
        folder.mkdir()
        async with running(folder, plan, {}) as site:
            await site.at(6)
            assert (await cov(site))["alive"] == 4 * told
            site.cut()
            await site.at(12)
            assert (await cov(site))["alive"] == 0
            site.mend()
            await site.at(23)
            seen = await cov(site)
            assert (seen["alive"], seen["lost"]) == (4 * told, 4 * told)
            assert sorted(alarms(site, "")) == [("A01", "raise"), ("L03", "raise")], "pressed while nobody could know"
            turned = {point: samples(site, point)[1:3] for point in TOLD}
            bad_at = {point: bad[0] for point, (bad, _) in turned.items()}
            for point, (bad, back) in turned.items():
                assert (bad[1], bad[2] != 0, back[1:]) == (None, True, (TOLD[point][1], 0)), point
                assert 13.3 <= back[0] <= 13.3 + RETURN, point
                group = f"{point.partition('/')[0]}@1s"
                ((start, end),) = gaps(site, group)
                assert 0 <= 6.1 - start <= 0.2, "since it was last read"
                assert 0 <= end - back[0] <= 0.1
        sound(site)
        return bad_at

    told, polled = virtual.run(story(True)), virtual.run(story(False))
    assert all(abs(told[point] - polled[point]) <= AT_ONCE for point in TOLD)
    assert max(told.values()) <= 6.3 + 2 * 1 + AT_ONCE, "the period, and the time-out"
