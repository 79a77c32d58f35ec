"""From an act of a scenario to what is called when its time has come: parking lanes."""

from functools import partial

from simulators.acts_lane import SensorPart
from simulators.barrier import Barrier
from simulators.carpark import CarPark
from simulators.lane_camera import LaneCamera
from simulators.parts import Deed
from simulators.scenario import Act


def camera_deed(camera: LaneCamera, act: Act) -> Deed:
    """Return what an act does to a plate camera."""
    if act.plate is not None:
        return partial(camera.expect, act.plate.listed, act.plate.confidence)
    return partial(camera.cover, act.camera == "covered")


def carpark_deed(park: CarPark, act: Act) -> Deed:
    """Return what an act does to a car park."""
    return park.recount if act.drift is None else partial(park.drift, act.drift)


def lane_deed(barrier: Barrier, act: Act) -> Deed:
    """Return what an act does to a parking lane."""
    _, part = act.given()
    if isinstance(part, SensorPart):
        return partial(barrier.disturb, part.name, part.state)
    if act.cars is not None:
        return partial(barrier.arrive, act.cars)
    if act.tailgate is not None:
        return barrier.tailgate
    if act.wrong_way is not None:
        return barrier.wrong_way
    if act.boom is not None:
        return partial(barrier.do, act.boom)
    return partial(barrier.set_mains, act.mains == "restored")
