"""A fire panel: what is an alarm, what stays until the reset, and what comes back."""

from simulators.fire import BACK, Panel
from sitekeeper.model.clock import SECOND


def test_smoke_in_one_zone_is_a_prealarm() -> None:
    """Thin smoke is a pre-alarm and goes with its cause; dense smoke is the zone's alarm, alone still a pre-alarm."""
    panel = Panel()
    panel.smoke(3, "thin")
    assert (panel.prealarm, panel.zones, panel.alarm) == (True, set(), False)
    panel.smoke(3, "none")
    assert not panel.prealarm
    panel.smoke(3, "dense")
    assert (panel.prealarm, panel.zones, panel.alarm) == (True, {3}, False)


def test_two_zones_or_a_call_point_are_the_general_alarm() -> None:
    """The second zone makes the general alarm, and so does a call point alone."""
    panel = Panel()
    panel.smoke(3, "dense")
    panel.smoke(4, "dense")
    assert (panel.alarm, panel.prealarm, panel.zones) == (True, False, {3, 4})
    other = Panel()
    other.do("press")
    assert (other.alarm, other.callpoint, other.zones) == (True, True, set())


def test_alarms_stay_until_the_reset() -> None:
    """Smoke that goes and a call point that is restored leave the alarm in the panel; the reset ends it."""
    told: list[str] = []
    panel = Panel(tell=lambda _at, fact, _more: told.append(fact))
    panel.do("press")
    panel.smoke(1, "dense")
    panel.do("restore")
    panel.smoke(1, "none")
    panel.advance(60 * SECOND)
    assert (panel.alarm, panel.callpoint, panel.zones) == (True, True, {1})
    panel.do("reset")
    panel.advance(120 * SECOND)
    assert (panel.alarm, panel.callpoint, panel.zones, panel.prealarm) == (False, False, set(), False)
    assert told == [
        "call point pressed", "fire alarm", "dense smoke", "call point restored", "smoke gone", "panel reset",
    ]  # fmt: skip


def test_a_cause_that_stands_comes_back() -> None:
    """Reset with the call point still pressed, the panel is in alarm again two seconds later, and tells it again."""
    told: list[str] = []
    panel = Panel(tell=lambda _at, fact, _more: told.append(fact))
    panel.do("press")
    panel.do("reset")
    after = [panel.alarm]
    panel.advance(BACK)
    assert [*after, panel.alarm] == [False, True]
    assert told.count("fire alarm") == 2


def test_faults_of_the_panel() -> None:
    """A panel fault, a mains failure and a broken line each are a fault; the supply falls to the battery's."""
    panel = Panel()
    panel.do("fault")
    assert panel.fault
    panel.do("fault_gone")
    panel.set_mains(False)
    assert (panel.fault, panel.supply) == (True, 25.2)
    panel.set_mains(True)
    panel.line(4, broken=True)
    assert (panel.fault, panel.supply) == (True, 27.3)
    panel.line(4, broken=False)
    assert not panel.fault


def test_disablement_supervisory_and_pulses() -> None:
    """Disablement and supervisory signals come and go; counters count in 16 bits."""
    panel = Panel()
    for on, off, what in (("disable", "enable", "disabled"), ("supervisory", "supervisory_gone", "supervisory")):
        panel.do(on)  # type: ignore[arg-type]
        assert getattr(panel, what) is True
        panel.do(off)  # type: ignore[arg-type]
        assert getattr(panel, what) is False
    panel.pulse(2, 65_535)
    panel.pulse(2, 3)
    assert panel.pulses[2] == 2
