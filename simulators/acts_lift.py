"""What a scenario file may say of lifts and escalators: how one is built, and what happens to it."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from simulators.escalator import EscalatorDeed
from simulators.lift import LiftFault
from simulators.lift_parts import Run, Signal
from simulators.lift_settings import LiftSettings
from simulators.parts import Duration, Faces, Part

Word = Annotated[int, Field(ge=0, le=0xFFFF)]
Floor = Annotated[int, Field(ge=-31, le=200)]


class LiftPart(Part):
    """How the lift is built; see `LiftSettings`."""

    floors: int = Field(default=12, ge=1, le=200)
    basements: int = Field(default=0, ge=0, le=30)
    start_floor: Floor = 1
    rated_speed: float = Field(default=1.6, gt=0, le=20)
    acceleration: float = Field(default=0.8, gt=0, le=3)
    floor_height: float = Field(default=3.0, ge=1, le=500)
    rated_load: int = Field(default=1000, ge=100)
    traffic: Duration | None = None

    def settings(self) -> LiftSettings:
        return LiftSettings(**self.model_dump())

    @model_validator(mode="after")
    def _floor_exists(self) -> Self:
        if not (-self.basements <= self.start_floor <= self.floors and self.start_floor):
            msg = f"start_floor {self.start_floor}: this lift has floors {-self.basements or 1} to {self.floors}, no 0"
            raise ValueError(msg)
        return self


class Stick(Part):
    """Get stuck between two floors; `people` inside, or whoever happens to be."""

    people: int | None = Field(default=None, ge=0, le=30)


class Travel(Part):
    """Run to a floor."""

    to: Floor


class Arrive(Part):
    """People come to a landing and want to go to another."""

    origin: Floor = Field(alias="from")
    to: Floor
    people: int = Field(default=1, ge=1, le=30)


class FaultFlag(Part):
    """A fault that the lift reports, or with `on: false` reports no more."""

    name: LiftFault
    on: bool = True


class SignalFlag(Part):
    """A signal of a lift controller comes, or with `on: false` goes."""

    name: Signal
    on: bool = True


class LiftActs(Part):
    """What can happen to a lift."""

    stuck_outside_zone: Stick | None = None
    release: bool | None = None
    travel: Travel | None = None
    people: Arrive | None = None
    inspection: bool | None = None
    alarm_button: Duration | None = None
    hold_door: Duration | None = None
    force_door: Literal["open", "closed"] | None = None
    lift_fault: FaultFlag | None = None
    fire_mode: bool | None = None
    temperature: float | None = Field(default=None, ge=-20, le=90)
    fact: str | None = None
    words: dict[int, Word] | None = None
    escalator: EscalatorDeed | None = None
    drive: Run | None = None
    signal: SignalFlag | None = None


LIFT_ACTS: Final = frozenset(
    {
        "stuck_outside_zone", "release", "travel", "people", "mains", "inspection", "alarm_button", "hold_door",
        "force_door", "fact", "lift_fault", "fire_mode", "temperature",
    }
)  # fmt: skip
LIFT_FACES: Final[Faces] = {
    "modbus": {"sp-lift-1": LIFT_ACTS, "lmon": LIFT_ACTS, "words": frozenset({"words", "fact"})}
    | {
        "sp-io-16-lift": LIFT_ACTS | {"line"},
        "arkel-arcode": frozenset({"signal"}),
        "invertek-elevator-core": frozenset({"drive"}),
    },
    "bacnet": {"bacnet-lift": LIFT_ACTS, "bacnet-escalator": frozenset({"escalator", "mains"})},
}
