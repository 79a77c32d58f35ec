"""From an act of a scenario to what is called when its time has come: lifts, escalators."""

from functools import partial

from simulators.acts_lift import Arrive, FaultFlag, Stick, Travel
from simulators.acts_safety import LinePart
from simulators.escalator import Escalator
from simulators.lift import Lift
from simulators.lift_parts import Controller, Drive, Wired
from simulators.parts import Deed
from simulators.scenario import Act


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
        case FaultFlag():
            return lambda: lift.set_fault(part.name, part.on)
        case _:
            pass
    deeds: dict[str, Deed] = {
        "release": lift.release,
        "mains": lambda: lift.set_mains(act.mains == "restored"),
        "inspection": lambda: lift.set_inspection(bool(act.inspection)),
        "alarm_button": lambda: lift.press_alarm(act.alarm_button or 0),
        "hold_door": lambda: lift.hold_door(act.hold_door or 0),
        "force_door": lambda: lift.force_door(act.force_door or "closed"),
        "fire_mode": lambda: lift.set_fire_mode(bool(act.fire_mode)),
        "temperature": lambda: lift.heat(act.temperature or 0.0),
        "fact": lambda: lift.note(act.fact or ""),
    }
    return deeds[name]


def wired_deed(wired: Wired, act: Act) -> Deed:
    """Return what an act does to a lift on dry contacts, or to a line of these."""
    _, part = act.given()
    if isinstance(part, LinePart):
        return partial(wired.line, part.input, broken=part.broken)
    return lift_deed(wired.lift, act)


def escalator_deed(escalator: Escalator, act: Act) -> Deed:
    """Return what an act does to an escalator."""
    deed = act.escalator
    if deed is not None:
        return lambda: escalator.do(deed)
    return lambda: escalator.set_mains(act.mains == "restored")


def drive_deed(drive: Drive, act: Act) -> Deed:
    """Return what an act does to the drive of a lift."""
    return partial(drive.do, act.drive or "stop")


def signal_deed(controller: Controller, act: Act) -> Deed:
    """Return what an act does to the signals of a lift controller."""
    flag = act.signal
    assert flag is not None, "its face has no other act"
    return partial(controller.signal, flag.name, flag.on)
