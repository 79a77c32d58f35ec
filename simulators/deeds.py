"""From an act of a scenario to what is called when its time has come."""

from collections.abc import Callable
from functools import partial

from simulators.barrier import Barrier
from simulators.fire import Panel
from simulators.lift import Lift
from simulators.lighting import Lamp
from simulators.scenario import Act, Arrive, LinePart, PulsePart, SensorPart, SmokePart, Stick, Travel

Deed = Callable[[], None]


def lamp_deed(lamp: Lamp, act: Act) -> Deed:
    """Return what an act does to a luminaire."""
    if act.lamp is not None:
        return partial(lamp.fail, act.lamp)
    return partial(lamp.command, act.level or 0.0)


def lift_deed(lift: Lift, act: Act) -> Deed:
    """Return what an act does to a lift."""
    name, part = act.given()
    match part:
        case Stick():
            return lambda: lift.stick(part.people)
        case Travel():
            return lambda: lift.travel(part.to)
        case Arrive():
            return lambda: lift.arrive(part.origin, part.to, part.people)
        case _:
            pass
    deeds: dict[str, Deed] = {
        "release": lift.release,
        "mains": lambda: lift.set_mains(act.mains == "restored"),
        "inspection": lambda: lift.set_inspection(bool(act.inspection)),
        "alarm_button": lambda: lift.press_alarm(act.alarm_button or 0),
        "hold_door": lambda: lift.hold_door(act.hold_door or 0),
        "force_door": lambda: lift.force_door(act.force_door or "closed"),
        "fact": lambda: lift.note(act.fact or ""),
    }
    return deeds[name]


def lane_deed(barrier: Barrier, act: Act) -> Deed:
    """Return what an act does to a parking lane."""
    _, part = act.given()
    if isinstance(part, SensorPart):
        return partial(barrier.disturb, part.name, part.state)
    if act.cars is not None:
        return partial(barrier.arrive, act.cars)
    if act.boom is not None:
        return partial(barrier.do, act.boom)
    return partial(barrier.set_mains, act.mains == "restored")


def panel_deed(panel: Panel, act: Act) -> Deed:
    """Return what an act does to a fire panel."""
    _, part = act.given()
    match part:
        case SmokePart():
            return partial(panel.smoke, part.zone, part.density)
        case LinePart():
            return partial(panel.line, part.input, broken=part.broken)
        case PulsePart():
            return partial(panel.pulse, part.input, part.count)
        case _:
            pass
    if act.panel is not None:
        return partial(panel.do, act.panel)
    return partial(panel.set_mains, act.mains == "restored")
