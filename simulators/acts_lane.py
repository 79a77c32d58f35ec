"""What a scenario file may say of parking lanes: how one is built, and what happens to it."""

from typing import Final, Literal

from pydantic import Field

from simulators.barrier import Deed as BoomDeed
from simulators.lane_camera import Listed
from simulators.parts import Faces, Part


class LanePart(Part):
    """How a parking lane is built.

    Attributes:
        way: cars go. auto_close: seconds until the boom closes by itself, 0: never. operations: of the boom so far.
    """

    way: Literal["in", "out"] = "in"
    auto_close: int = Field(default=5, ge=0, le=600)
    operations: int = Field(default=48_310, ge=0, lt=2**32)


class SensorPart(Part):
    """A loop or the photocell of a lane: stands as if occupied, is faulty, or works again."""

    name: Literal["arrival", "safety", "exit", "photocell"]
    state: Literal["works", "occupied", "fault"]


class PlatePart(Part):
    """The plate of the next car: on which list it is, and how sure the camera is of it."""

    listed: Listed = "white"
    confidence: int = Field(default=97, ge=0, le=100)


class CarParkPart(Part):
    """How a car park is built: its places, and the cars that are there at the beginning."""

    capacity: int = Field(default=120, ge=1, le=100_000)
    inside: int = Field(default=40, ge=0, le=100_000)


class LaneActs(Part):
    """What can happen to a parking lane, its camera, or a car park."""

    cars: int | None = Field(default=None, ge=1, le=50)
    boom: BoomDeed | None = None
    sensor: SensorPart | None = None
    tailgate: bool | None = None
    wrong_way: bool | None = None
    plate: PlatePart | None = None
    camera: Literal["covered", "sees"] | None = None
    drift: int | None = Field(default=None, ge=-100_000, le=100_000)
    recount: bool | None = None


LANE_FACES: Final[Faces] = {
    "modbus": {
        "sp-barrier-1": frozenset({"cars", "boom", "sensor", "mains", "tailgate", "wrong_way"}),
        "came-gard-ptx": frozenset({"cars", "boom", "mains"}),
    },
    "mqtt": {"mqtt-lpr": frozenset({"plate", "camera"}), "mqtt-carpark": frozenset({"drift", "recount"})},
}
