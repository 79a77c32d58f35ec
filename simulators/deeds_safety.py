"""From an act of a scenario to what is called when its time has come: fire panels, gas detectors, leak cables."""

from functools import partial

from simulators.acts_safety import GasPart, LinePart, PulsePart, SmokePart
from simulators.fire import Panel
from simulators.parts import Deed
from simulators.safety import GasDetector, LeakCable
from simulators.scenario import Act


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


def gas_deed(gas: GasDetector, act: Act) -> Deed:
    """Return what an act does to a gas detector."""
    _, part = act.given()
    if isinstance(part, LinePart):
        return partial(gas.line, part.input, broken=part.broken)
    if isinstance(part, GasPart):
        return partial(gas.leak, part.level)
    return partial(gas.break_down, bool(act.gas_fault))


def leak_deed(cable: LeakCable, act: Act) -> Deed:
    """Return what an act does to a leak cable."""
    _, part = act.given()
    if isinstance(part, LinePart):
        return partial(cable.line, part.input, broken=part.broken)
    return partial(cable.become, act.leak or "none")
