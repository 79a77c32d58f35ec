"""What a scenario file may say of luminaires, circuits and light sensors: what happens to them."""

from typing import Final, Literal

from pydantic import Field

from simulators.parts import Faces, Part
from simulators.relays import Contactor, Hand


class LightActs(Part):
    """What can happen to a luminaire, a circuit or a light sensor."""

    level: float | None = Field(default=None, ge=0, le=100)
    lamp: Literal["none", "lamp", "gear"] | None = None
    supply: Literal["cycled"] | None = None
    hand: Hand | None = None
    contactor: Contactor | None = None
    lux: int | None = Field(default=None, ge=0, le=0xFFFF)


LIGHT_FACES: Final[Faces] = {
    "bacnet": {"lighting-output": frozenset({"level", "lamp"})},
    "modbus": {
        "sp-relay-8": frozenset({"hand", "contactor"}),
        "sp-lux-1": frozenset({"lux"}),
        "dali-gear": frozenset({"level", "lamp", "supply"}),
    },
}
