"""What the words of the Modbus maps mean, for the journal: typed from the published tables, not from our profiles.

words      how the words of a map are told apart, and the usual ways in which they mean something
lifts      sp-lift-1, LMON, dry contacts, parts of a lift
lighting   relay panel, light sensors, gear behind a DALI gateway
meters     electricity meters
parking    barriers
safety     the dry-contact module in its roles; fire panels, gas and leak detectors of makers
"""

from simulators.maps.lifts import ARKEL_ARCODE, DOORS, INVERTEK_ELEVATOR_CORE, LMON, MODES, SP_IO_16_LIFT, SP_LIFT_1
from simulators.maps.lighting import (
    DALI_EMERGENCY,
    DALI_GEAR,
    DALI_GROUP,
    DFROBOT_SEN0644,
    SONBEST_KM35B91,
    SP_LUX_1,
    SP_RELAY_8,
)
from simulators.maps.meters import EASTRON_SDM630
from simulators.maps.parking import CAME_GARD_PTX, LOOPS, SP_BARRIER_1, STATES
from simulators.maps.safety import (
    AQUALEAK_10K,
    HONEYWELL_MIDAS,
    IGD_TOC_635,
    NOTIFIER_MODBUS_GW,
    PEMTECH_PT495,
    SP_IO_16,
    SP_IO_16_GAS,
    SP_IO_16_WATER,
)
from simulators.maps.words import DISCRETE, HOLDING, INPUT, Entry, Map, decode

__all__ = [
    "AQUALEAK_10K",
    "ARKEL_ARCODE",
    "CAME_GARD_PTX",
    "DALI_EMERGENCY",
    "DALI_GEAR",
    "DALI_GROUP",
    "DFROBOT_SEN0644",
    "DISCRETE",
    "DOORS",
    "EASTRON_SDM630",
    "HOLDING",
    "HONEYWELL_MIDAS",
    "IGD_TOC_635",
    "INPUT",
    "INVERTEK_ELEVATOR_CORE",
    "LMON",
    "LOOPS",
    "MODES",
    "NOTIFIER_MODBUS_GW",
    "PEMTECH_PT495",
    "SONBEST_KM35B91",
    "SP_BARRIER_1",
    "SP_IO_16",
    "SP_IO_16_GAS",
    "SP_IO_16_LIFT",
    "SP_IO_16_WATER",
    "SP_LIFT_1",
    "SP_LUX_1",
    "SP_RELAY_8",
    "STATES",
    "Entry",
    "Map",
    "decode",
]
