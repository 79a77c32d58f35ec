"""The two lift maps as served: words against the published tables, and the monitor's quirks."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from simulators.lift import Lift
from simulators.lift_settings import LiftSettings
from simulators.lmon import TICK, Firmware, Sensors
from simulators.maps import (
    DISCRETE,
    HOLDING,
    INPUT,
    LMON,
    SP_BARRIER_1,
    SP_IO_16,
    SP_IO_16_GAS,
    SP_IO_16_WATER,
    SP_LIFT_1,
    Map,
    decode,
)
from simulators.modbus_face import Echo, LmonFace, Monitor, Refusal, Registers, SpLiftFace, Trace
from sitekeeper.model.clock import SECOND, Micros

MAPS = Path(__file__).parents[2] / "fixtures/maps"
PROFILES = Path(__file__).parents[3] / "config/profiles"


def registers(answer: object) -> Registers:
    assert isinstance(answer, Registers)
    return answer


def sp_lift(**given: float) -> tuple[Lift, SpLiftFace]:
    lift = Lift(LiftSettings(**given), seed=1)  # type: ignore[arg-type]
    return lift, SpLiftFace(lift)


class Bench:
    """A firmware with sensors that a test moves by hand."""

    def __init__(self) -> None:
        self.firmware = Firmware(floors=12, basements=2)
        self.now: Micros = 0
        self.inputs = dict[str, bool | int](
            level=True, door_open=False, person=False, inspection=False, alarm=False, mains=True, heading=1, floor=7
        )

    def run(self, seconds: float, **changed: bool | int) -> list[int]:
        self.inputs |= changed
        end = self.now + round(seconds * SECOND)
        while self.now < end:
            self.now += TICK
            self.firmware.tick(self.now, Sensors(**self.inputs))  # type: ignore[arg-type]
        return self.firmware.words(0)


def test_sp_lift_at_rest() -> None:
    """An idle lift on floor 7 reads as the table of sp-lift-1 says."""
    _, face = sp_lift(start_floor=7)
    words = registers(face.read(4, 0, 32, 0)).words
    assert words[:12] == (0x5350, 1, 1, 0, 0, 7, 0, 1, 1, 2, 0, 0)
    assert words[12:15] == (0, 0, 0)
    assert words[15:21] == (184_220 >> 16, 184_220 & 0xFFFF, 0, 2911, 201_447 >> 16, 201_447 & 0xFFFF)
    assert words[21] == 275
    assert words[22] == 1
    assert words[29:] == (1, 0, 0)


def test_sp_lift_stuck_below_ground() -> None:
    """A car stuck on its way down from floor 1: outside the zone, door closed, passenger, fault 04, floor 1."""
    lift, face = sp_lift(basements=2)
    lift.arrive(1, -2)
    lift.plan(11 * SECOND, "stick", lift.stick)
    words = registers(face.read(4, 0, 32, 9 * SECOND)).words
    assert words[3:5] == (1, 2)
    assert words[10] > 0x8000
    words = registers(face.read(4, 0, 32, 20 * SECOND)).words
    assert words[3:10] == (0, 0, 1, 0, 2, 1, 1)
    assert words[12] == 1 << 3


def test_sp_lift_in_the_basement() -> None:
    """A basement reads as a negative number in two's complement."""
    _, face = sp_lift(basements=2, start_floor=-2)
    assert registers(face.read(4, 5, 1, 0)).words == (0xFFFE,)
    assert decode(SP_LIFT_1, 5, (0xFFFE,)) == {"floor": -2}


@pytest.mark.parametrize(
    ("function", "address", "count", "code"),
    [(4, 0, 33, 2), (4, 32, 1, 2), (4, 0, 0, 3), (4, 0, 126, 3), (3, 0, 1, 2), (1, 0, 1, 2), (2, 0, 1, 2)],
)
def test_sp_lift_refuses(function: int, address: int, count: int, code: int) -> None:
    """Reads outside the map get exception 2, impossible counts exception 3."""
    assert sp_lift()[1].read(function, address, count, 0) == Refusal(code)


def test_sp_lift_is_read_only() -> None:
    """No write is known to the neutral map."""
    assert sp_lift()[1].writes == frozenset()


def test_serial_counts_replies_that_carry_it() -> None:
    """The serial number moves with each reply that carries the heartbeat, is in it, and wraps in 16 bits."""
    _, face = sp_lift()
    first, second = registers(face.read(4, 0, 32, 0)), registers(face.read(4, 20, 4, 0))
    assert (first.serial, second.serial, second.words[2]) == (1, 2, 2)
    assert registers(face.read(4, 0, 10, 0)).serial is None
    face._serial.last = 0xFFFF
    assert registers(face.read(4, 22, 1, 0)).serial == 0


def test_partial_read_decodes_only_what_it_carries() -> None:
    """A point is in the journal only if all its words were in the reply."""
    assert set(decode(SP_LIFT_1, 14, (0, 1))) == {"error_code"}
    assert decode(SP_LIFT_1, 15, (1, 2)) == {"run_count": 65538}


def test_lmon_is_silent_beyond_its_map() -> None:
    """Quirk a: a read or write outside 0x0010 to 0x0022 gets no answer at all."""
    face = LmonFace(Trace([]))
    assert len(registers(face.read(3, 0x10, 19, 0)).words) == 19
    for address, count in ((0x0F, 1), (0x10, 20), (0x22, 2), (0x23, 1), (0x10, 0)):
        assert face.read(3, address, count, 0) is None
    assert face.write(6, 0x23, (1,), 0) is None
    assert face.read(4, 0x10, 1, 0) == Refusal(1)


def test_lmon_does_not_check_the_crc() -> None:
    """Quirk b: the face asks for requests to be answered whatever their checksum."""
    assert LmonFace(Trace([])).checks_crc is False


def test_lmon_mixes_up_its_counters() -> None:
    """Quirk c: what is written to the door counter lands in the other one, and the other way round."""
    monitor = Monitor(Lift(LiftSettings(), seed=1))
    face = LmonFace(monitor)
    assert face.write(6, 0x13, (1,), 0) == Echo(3, (1,))
    assert face.write(6, 0x14, (2,), 0) == Echo(4, (2,))
    assert face.write(6, 0x16, (9,), 0) == Echo(6, (9,))
    words = registers(face.read(3, 0x10, 19, 0)).words
    assert words[5:7] == (1, 2)
    assert words[4] == 9


def test_lmon_direction_stays() -> None:
    """Quirk d: direction is set on leaving a level, stays while stuck, and goes 2 s after level."""
    bench = Bench()
    assert bench.run(5)[1] == 0x0400
    assert bench.run(60, level=False)[1] == 0x0100
    assert bench.run(1.9, level=True)[1] == 0x0500
    assert bench.run(0.3)[1] == 0x0400
    assert bench.run(1, level=False, heading=-1)[1] == 0x0200


def test_lmon_express_zone_is_a_false_stop() -> None:
    """Quirk e: b5 counts whenever the car is off level, so a run of more than 15 s without a landing sets it."""
    bench = Bench()
    bench.run(5)
    assert bench.run(14.9, level=False)[0] == 0
    assert bench.run(0.2)[0] == 1 << 5
    assert bench.run(0.1, level=True)[0] == 0


def test_lmon_entrapment_clears_itself() -> None:
    """Quirk f: b1 is decided anew every 15 s and goes when nobody moved, though the person is still there."""
    bench = Bench()
    bench.run(5)
    bench.run(5, level=False)
    bench.run(1, person=True)
    assert bench.run(9.2, person=False)[0] == 0x22
    assert bench.run(14.5)[0] == 0x22
    assert bench.run(0.5)[0] == 0x20


def test_lmon_level_entrapment_window() -> None:
    """Quirk f at a landing: b0 rises after 90 s with movement behind a closed door and goes after 90 s without."""
    bench = Bench()
    bench.run(10)
    bench.run(1, person=True)
    assert bench.run(80, person=False)[0] == 1
    assert bench.run(90)[0] == 0


def test_lmon_run_with_door_open() -> None:
    """Quirk g: b6 outlives the run and the door, and goes only when the car leaves a level with the door closed."""
    bench = Bench()
    bench.run(3, door_open=True)
    assert bench.run(3, level=False)[0] == 1 << 6 | 1 << 2
    assert bench.run(3, level=True)[0] == 1 << 6
    assert bench.run(3, door_open=False)[0] == 1 << 6
    assert bench.run(1, level=False)[0] == 0


def test_lmon_slow_faults() -> None:
    """Run time over 1 min sets b8, a door open over 1 min b10, twenty openings at one stop b9, no mains b11."""
    bench = Bench()
    assert bench.run(61, level=False)[0] == 1 << 8 | 1 << 5
    assert bench.run(61, level=True, door_open=True)[0] == 1 << 10
    for _ in range(19):
        bench.run(0.2, door_open=False)
        bench.run(0.2, door_open=True)
    assert bench.run(0.2, door_open=False)[0] == 1 << 9
    assert bench.run(0.2, mains=False)[0] == 1 << 9 | 1 << 11


def test_lmon_counts_minutes_between_floors() -> None:
    """Words 5 and 6 count minutes off level, not floors."""
    bench = Bench()
    assert bench.run(150, level=False)[5:7] == [0, 2]


def test_lmon_basement_code() -> None:
    """A basement n reads as 0xE0 + n."""
    bench = Bench()
    assert bench.run(1, floor=-2)[2] == 0xE200


def test_lmon_limits_can_be_written() -> None:
    """The stop-outside limit in word 17 decides when b5 rises."""
    bench = Bench()
    bench.firmware.write(17, 5 << 8 | 1)
    assert bench.run(6, level=False)[0] & 1 << 5


def test_lmon_calm_traffic_raises_nothing() -> None:
    """Ordinary traffic past landings 3 m apart sets no fault bit in five minutes."""
    lift = Lift(LiftSettings(traffic=12 * SECOND), seed=5)
    monitor = Monitor(lift)
    for second in range(300):
        assert monitor.words(second * SECOND, 0)[0] == 0
    assert lift.run_count > LiftSettings().run_count + 5


def test_lmon_person_behind_a_living_lift() -> None:
    """A person stuck between floors makes b5 and b1 rise, and edges of the person bit that a 1 s poll can see."""
    lift = Lift(LiftSettings(), seed=3)
    lift.stick(1)
    monitor = Monitor(lift)
    seen = [monitor.words(second * SECOND, 0) for second in range(40)]
    assert any(words[0] & 0x22 == 0x22 for words in seen)
    person = [bool(words[1] & 0x1000) for words in seen]
    assert sum(b and not a for a, b in pairwise(person)) >= 2


def test_trace_serves_exact_words() -> None:
    """A trace serves its words from their times on, with the serial number in word 12."""
    trace = Trace([(0, {1: 0x0400}), (10 * SECOND, {1: 0x0100, 0: 0x22})])
    assert trace.words(10 * SECOND - 1, 5)[:2] == [0, 0x0400]
    assert trace.words(10 * SECOND, 6)[:2] == [0x22, 0x0100]
    assert trace.words(99 * SECOND, 0xBEEF)[12] == 0xBEEF


def test_lmon_words_mean_what_the_table_says() -> None:
    """The journal's meaning of a word trace, bit by bit."""
    words = [0x0822, 0x7D00 | 0x03, 0xE200, 1, 2, 0, 60, 0, 0, 0, 0, 0x0201, 0x1234, 0, 0, 0, 0x5A0F, 0x0F01, 0x0114]
    points = decode(LMON, 0, words)
    told = {name for name, value in points.items() if value is True}
    state = {"going_up", "door_zone", "door_open", "passenger", "inspection", "passenger_alarm"}
    assert told == state | {"fault_entrapment", "stop_outside_zone", "power_fail"}
    assert (points["floor"], points["direction"]) == (-2, "up")
    assert points["door_closed"] is False
    assert (points["power"], points["service_mode"], points["sensor_faults"]) == ("failed", "inspection", 3)
    assert (points["floor_code"], points["door_cycles"], points["travel_time"]) == (0xE2, 65538, 60)
    assert (points["vibration"], points["noise"], points["vibration_z"], points["vibration_y"]) == (0x12, 0x34, 2, 1)
    assert (points["limit_entrapment_level"], points["limit_entrapment"]) == (90, 15)


EVERY = [
    ("sp-lift-1", SP_LIFT_1), ("lift-lmon", LMON), ("sp-barrier-1", SP_BARRIER_1), ("sp-io-16-fire", SP_IO_16),
    ("sp-io-16-gas", SP_IO_16_GAS), ("sp-io-16-water", SP_IO_16_WATER),
]  # fmt: skip
UNSAID = {"car_status", "close_clear"}
"""What follows from no single reply."""


@pytest.mark.parametrize(("profile", "entries"), EVERY)
def test_journal_uses_the_profiles_names(profile: str, entries: Map) -> None:
    """The journal has every point of the profile that one reply says, so that an oracle can join them by name."""
    text = PROFILES.joinpath(f"{profile}.yaml").read_text(encoding="utf-8")
    points = yaml.safe_load(text)["points"]
    derived = {name for name, point in points.items() if "derive" in point}
    assert set(entries) - derived == set(points) - derived
    assert set(entries) & derived == derived - UNSAID


@pytest.mark.parametrize(("profile", "entries"), EVERY)
def test_journal_and_profile_mean_the_same_words(profile: str, entries: Map) -> None:
    """For every point the address and the bit in the profile's data are those of the table typed here."""
    bases = {
        "sp-lift-1": {"input": 0},
        "lift-lmon": {"holding": -0x10},
    }.get(profile, {"coil": 0, "discrete": DISCRETE, "input": INPUT, "holding": HOLDING})
    points = yaml.safe_load(PROFILES.joinpath(f"{profile}.yaml").read_text(encoding="utf-8"))["points"]
    for name, entry in entries.items():
        if "derive" in points[name]:
            continue
        (table,) = bases.keys() & points[name].keys()
        assert bases[table] + points[name][table] == entry.first, name
        assert (points[name].get("type") == "uint32") == (entry.count == 2), name
        if "bit" in points[name]:
            values = {entry.meaning([1 << bit]) for bit in range(16) if bit != points[name]["bit"]}
            assert values == {entry.meaning([0])} != {entry.meaning([1 << points[name]["bit"]])}, name
        for raw, value in points[name].get("enum", {}).items():
            assert entry.meaning([raw]) == value, name


@pytest.mark.parametrize(("profile", "entries"), [("sp-lift-1", SP_LIFT_1), ("lift-lmon", LMON)])
def test_golden_words(profile: str, entries: Map) -> None:
    """The journal's values of the golden words are the golden values, the derived ones included."""
    golden = json.loads(MAPS.joinpath(f"{profile}.json").read_text(encoding="utf-8"))
    assert golden["vectors"]
    for vector in golden["vectors"]:
        points = decode(entries, 0, [int(word, 16) for word in vector["words"]])
        wanted = vector["values"] | {k: v for k, v in vector.get("derived", {}).items() if k != "car_status"}
        assert points == wanted, vector["name"]


@pytest.mark.parametrize(("profile", "entries"), EVERY[2:])
def test_golden_tables(profile: str, entries: Map) -> None:
    """The same for maps of several tables, whose golden bits stand in order of address."""
    golden = json.loads(MAPS.joinpath(f"{profile}.json").read_text(encoding="utf-8"))
    assert golden["vectors"]
    for vector in golden["vectors"]:
        points: dict[str, object] = {}
        for table, base in {"coil": 0, "discrete": DISCRETE, "input": INPUT, "holding": HOLDING}.items():
            told = vector.get(table, [])
            words = [int(bit) for bit in told.replace(" ", "")] if isinstance(told, str) else [int(w, 16) for w in told]
            points |= decode(entries, base, words)
        wanted = {name: value for name, value in vector["values"].items() if value is not None}
        derived = {name: value for name, value in vector.get("derived", {}).items() if name not in UNSAID}
        assert {name: points[name] for name in wanted | derived} == wanted | derived, vector["name"]
        assert points.keys() == vector["values"].keys() | derived.keys(), vector["name"]


def test_faces_serve_the_golden_words() -> None:
    """A lift put into the state of the first golden vector serves its words, but for counters and the heartbeat."""
    lift, face = sp_lift(start_floor=7, rated_load=625)
    lift.arrive(7, 9)
    words = registers(face.read(4, 0, 32, 3 * SECOND)).words
    (vector, *_) = json.loads(MAPS.joinpath("sp-lift-1.json").read_text(encoding="utf-8"))["vectors"]
    golden = [int(word, 16) for word in vector["words"]]
    assert list(words[:15]) == golden[:15]
    assert words[29] == golden[29]
