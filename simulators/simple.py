"""Devices that are built by their face alone: what lives in each, how it looks, and what an act does to it."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from simulators.behaviour import Behaviour
from simulators.daylight import Daylight
from simulators.deeds_lift import drive_deed, signal_deed
from simulators.deeds_light import daylight_deed, meter_deed
from simulators.lift_parts import Controller, Drive
from simulators.light_face import LuxFace
from simulators.meter import Meter
from simulators.modbus_face import Face
from simulators.parts import Deed
from simulators.plant_face import ArcodeFace, InvertekFace, Sdm630Face, km35b91, sen0644
from simulators.scenario import Act

SIMPLE: Final[Mapping[str, tuple[type[Behaviour], Callable[[Any], Face], Callable[[Any, Act], Deed]]]] = {
    "arkel-arcode": (Controller, ArcodeFace, signal_deed),
    "invertek-elevator-core": (Drive, InvertekFace, drive_deed),
    "eastron-sdm630": (Meter, Sdm630Face, meter_deed),
    "sp-lux-1": (Daylight, LuxFace, daylight_deed),
    "dfrobot-sen0644": (Daylight, sen0644, daylight_deed),
    "sonbest-km35b91": (Daylight, km35b91, daylight_deed),
}
