"""Parts of lifts, a meter, light sensors and a DALI group as served: the documents' tables, and what is refused."""

import pytest

from simulators.dali import Gear
from simulators.daylight import Daylight
from simulators.lift import Lift
from simulators.lift_parts import Controller, Drive, Wired
from simulators.lift_settings import LiftSettings
from simulators.maps import decode
from simulators.meter import USED, Meter
from simulators.modbus_face import Registers
from simulators.plant_face import ArcodeFace, GroupFace, InvertekFace, LiftContactsFace, Sdm630Face, km35b91, sen0644
from sitekeeper.model.clock import HOUR, SECOND


def meaning(face, function, address, count, at=0):
    answer = face.read(function, address, count, at)
    assert isinstance(answer, Registers), answer
    return decode(face.map, answer.first, answer.words)


def test_a_drive_runs_only_if_nothing_forbids() -> None:
    """Status and error code share a register; both signs; a trip and an open safety circuit stop it."""
    drive = Drive()
    face = InvertekFace(drive)
    drive.do("down")
    assert face.read(3, 255, 4, 0).words == (1, 0xFE0C, 125, 0xFE3E)
    drive.do("trip")
    drive.do("up")
    assert meaning(face, 3, 255, 4)["running"] is False
    assert meaning(face, 3, 255, 1)["error_code"] == 3
    drive.do("reset")
    drive.do("inhibit")
    drive.do("up")
    assert (drive.way, meaning(face, 3, 255, 1)["inhibited"]) == (0, True)
    assert not isinstance(face.read(3, 254, 1, 0), Registers)


def test_signals_of_a_controller_are_coils() -> None:
    """Each by its own address; the one before the first is not there."""
    controller = Controller()
    face = ArcodeFace(controller)
    controller.signal("ucm_test", True)
    assert face.read(1, 655, 5, 0).words == (0, 0, 0, 1, 0)
    controller.signal("ucm_test", False)
    assert meaning(face, 1, 658, 1) == {"ucm_test": False}
    assert not isinstance(face.read(1, 654, 2, 0), Registers)


def test_a_meter_counts_what_is_used() -> None:
    """Energy grows with the load, over changes of it; more than eighty registers at once are refused."""
    meter = Meter()
    face = Sdm630Face(meter)
    meter.plan(HOUR, "more", lambda: meter.draw(3000.0))
    told = meaning(face, 4, 0, 74, 3 * HOUR)
    assert told["energy"] == pytest.approx(USED + 0.9 + 6.0, abs=0.001)
    assert (told["power"], told["power_l2"]) == (3000.0, 1000.0)
    assert not isinstance(face.read(4, 0, 81, 3 * HOUR), Registers)


def test_a_lift_on_contacts_tells_its_landing() -> None:
    """The lowest landing is 0 in binary, whatever the floors are called; a broken line leaves its contact as it was."""
    lift = Lift(LiftSettings(basements=2, start_floor=-2), seed=1)
    face = LiftContactsFace(Wired(lift))
    assert meaning(face, 2, 8, 21)["floor"] == 1
    assert meaning(face, 2, 0, 3) == {"contact.running": False, "contact.zone": True, "contact.closed": True}
    said = meaning(face, 2, 0, 29)
    assert [said[name] for name in ("car_status", "door_zone", "service_mode")] == ["stopped", True, "normal"]
    top = LiftContactsFace(Wired(Lift(LiftSettings(basements=2, start_floor=1), seed=1)))
    assert meaning(top, 2, 8, 21)["floor"] == 3
    assert meaning(top, 4, 16, 1, SECOND) == {"heartbeat": 1}
    assert meaning(top, 4, 16, 1, SECOND) == {"heartbeat": 2}


def test_light_by_two_scales_and_a_group() -> None:
    """Thousandths in two registers, tens in one; a group shows what was commanded last."""
    sensor = Daylight()
    sensor.shine(40_000)
    assert sen0644(sensor).read(3, 2, 2, 0).words == (0x0262, 0x5A00)
    assert km35b91(sensor).read(3, 0, 1, 0).words == (4000,)
    gear = Gear()
    gear.command(75)
    face = GroupFace(gear, 15)
    assert meaning(face, 3, 6700, 1) == {"command": 75, "level": 75}
    assert not isinstance(face.read(3, 6701, 1, 0), Registers)
