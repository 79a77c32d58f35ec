"""What a scenario file may say of fire panels, gas detectors and leak cables: what happens to them."""

from typing import Final, Literal

from pydantic import Field

from simulators.fire import Deed as PanelDeed
from simulators.parts import Faces, Part
from simulators.safety import Leak


class SmokePart(Part):
    """Smoke at a detector: thin smoke is a pre-alarm, dense smoke an alarm of its zone."""

    zone: int = Field(ge=1, le=8)
    density: Literal["none", "thin", "dense"] = "dense"


class LinePart(Part):
    """The supervised line of an input of the panel's module: broken, or whole again."""

    input: int = Field(ge=0, le=15)
    broken: bool = True


class PulsePart(Part):
    """Pulses at an input of the panel's module."""

    input: int = Field(ge=0, le=15)
    count: int = Field(default=1, ge=1, le=65535)


class GasPart(Part):
    """Gas at the detector, per cent of the lower explosive limit."""

    level: float = Field(ge=0, le=100)


class SafetyActs(Part):
    """What can happen to a fire panel, a gas detector or a leak cable."""

    smoke: SmokePart | None = None
    panel: PanelDeed | None = None
    line: LinePart | None = None
    pulses: PulsePart | None = None
    gas: GasPart | None = None
    gas_fault: bool | None = None
    leak: Leak | None = None


SAFETY_FACES: Final[Faces] = {
    "modbus": {
        "sp-io-16": frozenset({"smoke", "panel", "line", "pulses", "mains"}),
        "sp-io-16-gas": frozenset({"gas", "gas_fault", "line"}),
        "sp-io-16-water": frozenset({"leak", "line"}),
        "notifier-modbus-gw": frozenset({"smoke", "panel", "mains"}),
        "aqualeak-10k": frozenset({"leak"}),
        "igd-toc-635": frozenset({"gas", "gas_fault"}),
        "pemtech-pt495": frozenset({"gas", "gas_fault"}),
        "honeywell-midas": frozenset({"gas", "gas_fault"}),
    }
}
