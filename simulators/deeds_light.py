"""From an act of a scenario to what is called when its time has come: luminaires, circuits, light sensors."""

from functools import partial

from simulators.dali import Gear
from simulators.daylight import Daylight
from simulators.emergency import Emergency
from simulators.lighting import Lamp
from simulators.meter import Meter
from simulators.parts import Deed
from simulators.relays import Circuit
from simulators.scenario import Act


def lamp_deed(lamp: Lamp, act: Act) -> Deed:
    """Return what an act does to a luminaire."""
    if act.supply is not None and isinstance(lamp, Gear):
        return lamp.cycle
    if act.power_share is not None:
        return partial(lamp.drift, act.power_share)
    if act.lamp is not None:
        return partial(lamp.fail, act.lamp)
    return partial(lamp.command, act.level or 0.0)


def circuit_deed(circuit: Circuit, act: Act) -> Deed:
    """Return what an act does to a circuit of a relay panel."""
    if act.hand is not None:
        return partial(circuit.switch, act.hand)
    return partial(circuit.contactor, act.contactor or "works")


def daylight_deed(sensor: Daylight, act: Act) -> Deed:
    """Return what an act does to the light at a sensor."""
    return partial(sensor.shine, act.lux or 0)


def emergency_deed(gear: Emergency, act: Act) -> Deed:
    """Return what an act does to an emergency luminaire."""
    if act.emergency is not None:
        return partial(gear.become, act.emergency)
    return partial(gear.set_mains, act.mains == "restored")


def meter_deed(meter: Meter, act: Act) -> Deed:
    """Return what an act does to a meter."""
    if act.load is not None:
        return partial(meter.draw, act.load)
    return partial(meter.supply, act.voltage or 0.0)
