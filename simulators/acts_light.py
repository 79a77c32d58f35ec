"""What a scenario file may say of luminaires, circuits, light sensors and meters: what happens to them."""

from typing import Final, Literal

from pydantic import Field

from simulators.emergency import Condition
from simulators.parts import Faces, Part
from simulators.relays import Contactor, Hand


class LightActs(Part):
    """What can happen to a luminaire, a circuit, a light sensor, an emergency luminaire or a meter."""

    level: float | None = Field(default=None, ge=0, le=100)
    lamp: Literal["none", "lamp", "gear"] | None = None
    power_share: float | None = Field(default=None, ge=0, le=2)
    supply: Literal["cycled"] | None = None
    hand: Hand | None = None
    contactor: Contactor | None = None
    lux: int | None = Field(default=None, ge=0, le=200_000)
    emergency: Condition | None = None
    load: float | None = Field(default=None, ge=-1e6, le=1e6)
    voltage: float | None = Field(default=None, ge=0, le=500)


LIGHT_FACES: Final[Faces] = {
    "bacnet": {
        "lighting-output": frozenset({"level", "lamp", "power_share"}),
        "binary-lighting-output": frozenset({"hand", "contactor"}),
    },
    "modbus": {
        "sp-relay-8": frozenset({"hand", "contactor"}),
        "sp-lux-1": frozenset({"lux"}),
        "dali-gear": frozenset({"level", "lamp", "supply"}),
        "dali-emergency": frozenset({"emergency", "mains"}),
        "dali-group": frozenset({"level"}),
        "dfrobot-sen0644": frozenset({"lux"}),
        "sonbest-km35b91": frozenset({"lux"}),
        "eastron-sdm630": frozenset({"load", "voltage"}),
    },
}
