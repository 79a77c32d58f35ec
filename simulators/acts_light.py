"""What a scenario file may say of luminaires, circuits and light sensors: what happens to them."""

from typing import Final, Literal

from pydantic import Field

from simulators.emergency import Condition
from simulators.parts import Faces, Part
from simulators.relays import Contactor, Hand


class LightActs(Part):
    """What can happen to a luminaire, a circuit, a light sensor or an emergency luminaire."""

    level: float | None = Field(default=None, ge=0, le=100)
    lamp: Literal["none", "lamp", "gear"] | None = None
    power_share: float | None = Field(default=None, ge=0, le=2)
    supply: Literal["cycled"] | None = None
    hand: Hand | None = None
    contactor: Contactor | None = None
    lux: int | None = Field(default=None, ge=0, le=0xFFFF)
    emergency: Condition | None = None


LIGHT_FACES: Final[Faces] = {
    "bacnet": {"lighting-output": frozenset({"level", "lamp", "power_share"})},
    "modbus": {
        "sp-relay-8": frozenset({"hand", "contactor"}),
        "sp-lux-1": frozenset({"lux"}),
        "dali-gear": frozenset({"level", "lamp", "supply"}),
        "dali-emergency": frozenset({"emergency", "mains"}),
    },
}
