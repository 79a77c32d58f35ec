"""Circuits, light sensors and gear as served: tables against the domain brief, and what may be written."""

from simulators.dali import Gear
from simulators.daylight import Daylight
from simulators.emergency import FUNCTION, LASTS, RATED, Emergency
from simulators.light_face import EmergencyFace, GearFace, LuxFace, RelayFace
from simulators.lighting import FADE
from simulators.maps import DALI_EMERGENCY, DALI_GEAR, SP_LUX_1, SP_RELAY_8, decode
from simulators.modbus_face import Echo, Refusal, Registers
from simulators.relays import HOURS, STRIKES, Circuit
from sitekeeper.model.clock import DAY, HOUR, MINUTE, SECOND


def meaning(face, function, address, count, at=0):
    answer = face.read(function, address, count, at)
    assert isinstance(answer, Registers)
    return decode(face.map, answer.first, answer.words)


def test_a_circuit_follows_its_coil() -> None:
    """The contactor and the counters are those of its own channel; other channels are not its business."""
    face = RelayFace(Circuit(), 2)
    assert meaning(face, 1, 2, 1) == {"on_command": False, "command": 0}
    assert face.write(5, 2, (1,), 0) == Echo(0, (1,))
    assert meaning(face, 2, 2, 1, HOUR) == {"on_feedback": True, "level": 100}
    assert meaning(face, 2, 10, 1) == {"mode": "auto"}
    assert meaning(face, 4, 4, 2, 2 * HOUR) == {"run_hours": HOURS + 2}
    assert meaning(face, 4, 20, 2) == {"strikes": STRIKES + 1}
    assert isinstance(face.read(1, 3, 1, 0), Refusal)
    assert isinstance(face.write(5, 3, (1,), 0), Refusal)


def test_the_heartbeat_counts_its_replies() -> None:
    """Each reply that carries it has the next number, which is its serial in the journal."""
    face = RelayFace(Circuit(), 0)
    first, second = face.read(4, 32, 1, 0), face.read(4, 32, 1, 0)
    assert isinstance(first, Registers)
    assert isinstance(second, Registers)
    assert [(each.words, each.serial) for each in (first, second)] == [((1,), 1), ((2,), 2)]
    assert decode(SP_RELAY_8, second.first, second.words) == {"heartbeat": 2}


def test_a_hand_switch_goes_before_the_coil_and_a_stuck_contactor_before_both() -> None:
    """What was commanded meanwhile holds again with the switch on auto."""
    circuit = Circuit()
    circuit.switch("on")
    circuit.command(False)
    assert circuit.on
    circuit.switch("auto")
    assert not circuit.on
    circuit.contactor("stuck")
    circuit.command(True)
    assert not circuit.on
    circuit.contactor("works")
    assert circuit.on


def test_a_light_sensor_shows_the_light_of_the_story() -> None:
    """Two registers, beside the relays of the same panel."""
    sensor = Daylight()
    sensor.plan(10 * SECOND, "night", lambda: sensor.shine(3))
    face = LuxFace(sensor)
    assert meaning(face, 4, 32, 2) == {"heartbeat": 1, "lux": 100}
    assert meaning(face, 4, 33, 1, 10 * SECOND) == {"lux": 3}
    assert isinstance(face.read(4, 31, 1, 0), Refusal)
    assert SP_LUX_1 is face.map


def test_gear_fades_fails_and_tells_that_its_supply_was_interrupted() -> None:
    """All by the words of its own block; a command ends what the supply did."""
    gear = Gear()
    face = GearFace(gear, 5)
    assert face.write(6, 515, (80,), SECOND) == Echo(40_015, (80,))
    fading = meaning(face, 3, 505, 2, SECOND + FADE // 2)
    assert (fading["fading"], fading["level"], fading["lamp.on"]) == (True, 40, True)
    gear.fail("lamp")
    failed = meaning(face, 3, 505, 2, 5 * SECOND)
    assert (failed["lamp.fail"], failed["gear.fail"], failed["lamp.on"], failed["level"]) == (True, False, False, 80)
    gear.cycle()
    assert meaning(face, 3, 505, 1)["power_cycled"]
    assert meaning(face, 3, 515, 1) == {"command": 100}
    face.write(6, 515, (0,), 6 * SECOND)
    assert not meaning(face, 3, 505, 1)["power_cycled"]
    assert isinstance(face.write(6, 515, (101,), 0), Refusal)
    assert isinstance(face.write(6, 506, (1,), 0), Refusal)
    assert isinstance(face.read(3, 600, 1, 0), Refusal)
    assert DALI_GEAR is face.map


def said(face, at, first=900):
    return meaning(face, 3, first + 42, 16, at)


def test_a_function_test_begins_runs_and_ends_by_its_bits() -> None:
    """Written to +63; the mode has its bit while it runs, and then the state has it that it was done."""
    face = EmergencyFace(Emergency(), 9)
    assert DALI_EMERGENCY is face.map
    assert not said(face, 0)["function_done"]
    assert face.write(6, 963, (1,), 0) == Echo(40_063, (1,))
    assert said(face, FUNCTION - 1)["function_running"]
    ended = said(face, FUNCTION)
    assert (ended["testing"], ended["function_done"], ended["status_function_failed"]) == (False, True, False)
    assert isinstance(face.write(6, 906, (0,), FUNCTION), Refusal), "nothing else of it can be written"


def test_a_duration_test_empties_the_battery_and_tells_for_how_long_it_lasted() -> None:
    """A good one gives its rated time and is charged again; a weak one does not, and both bits tell."""
    good, weak = Emergency(), Emergency()
    weak.become("weak")
    for gear in (good, weak):
        gear.begin("duration")
        gear.advance(RATED * MINUTE)
    assert (good.minutes, good.failed, round(good.battery)) == (RATED, set(), round(100 - 100 * RATED / LASTS))
    assert (weak.minutes, weak.short, weak.failed) == (120, True, {"duration"})
    good.advance(RATED * MINUTE + DAY)
    assert good.charged
    words = said(EmergencyFace(weak, 9), RATED * MINUTE)
    assert (words["status_duration_short"], words["status_duration_failed"], words["result_minutes"]) == (
        True,
        True,
        120,
    )


def test_mains_that_fail_end_a_test_and_what_is_worn_is_never_charged() -> None:
    """Nothing is done then; a lamp that fails fails its tests; of an endless one no test ends but by hand."""
    gear = Emergency()
    gear.begin("function")
    gear.set_mains(False)
    gear.advance(HOUR)
    words = said(EmergencyFace(gear, 9), HOUR)
    assert (words["power"], words["testing"], words["function_done"], words["battery"]) == ("failed", False, False, 70)
    gear.advance(2 * HOUR)
    gear.set_mains(True)
    gear.become("worn")
    gear.advance(5 * DAY)
    assert gear.battery == 60
    gear.become("lamp")
    gear.begin("function")
    gear.advance(6 * DAY)
    assert gear.failed == {"function"}
    gear.become("endless")
    gear.begin("function")
    gear.advance(9 * DAY)
    assert gear.testing == "function"
    gear.stop()
    assert gear.testing is None
    assert "function" not in gear.done
