"""The barrier and the input module as served: tables against the domain brief, and what may be written."""

import pytest

from simulators.barrier import Barrier, LaneSettings
from simulators.fire import Panel
from simulators.maps import DISCRETE, HOLDING, INPUT, SP_BARRIER_1, SP_IO_16, SP_IO_16_GAS, SP_IO_16_WATER, decode
from simulators.modbus_face import Answer, Echo, Refusal, Registers
from simulators.safety import GasDetector, LeakCable
from simulators.table_face import BarrierFace, GasFace, LeakFace, PanelFace
from sitekeeper.model.clock import SECOND


def barrier(auto_close: int = 5) -> tuple[Barrier, BarrierFace]:
    lane = Barrier(LaneSettings(auto_close=auto_close), seed=1)
    return lane, BarrierFace(lane)


def words(answer: Answer) -> tuple[int, ...]:
    assert isinstance(answer, Registers)
    return answer.words


def test_a_barrier_at_rest() -> None:
    """Closed, attached, mains ok, chain healthy; the input registers count the reply that carries the heartbeat."""
    _, face = barrier()
    assert words(face.read(2, 0, 16, 0)) == (1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1)
    answer = face.read(4, 0, 9, 0)
    assert words(answer) == (17, 0, 0, 0, 48_310, 24, 1, 0, 12)
    assert isinstance(answer, Registers)
    assert (answer.first, answer.serial) == (INPUT, 1)
    assert words(face.read(1, 0, 3, 0)) == (0, 0, 0)
    assert words(face.read(3, 0, 2, 0)) == (5, 0)


def test_each_input_has_its_bit() -> None:
    """Every discrete input of the barrier from 2 to 15 shows what the table says, and nothing else moves with it."""
    acts = {
        2: lambda lane: lane.do("break"), 3: lambda lane: lane.disturb("arrival", "occupied"),
        4: lambda lane: lane.disturb("safety", "occupied"), 5: lambda lane: lane.disturb("exit", "occupied"),
        9: lambda lane: lane.disturb("photocell", "occupied"), 12: lambda lane: lane.do("cabinet_open"),
        13: lambda lane: lane.set_mains(False), 15: lambda lane: lane.do("chain_broken"),
    }  # fmt: skip
    for place, act in acts.items():
        lane, face = barrier()
        rest = words(face.read(2, 0, 16, 0))
        act(lane)  # type: ignore[no-untyped-call]
        assert [
            n for n, pair in enumerate(zip(rest, words(face.read(2, 0, 16, 0)), strict=True)) if len({*pair}) > 1
        ] == [place]
    for place, name in ((6, "arrival"), (7, "safety"), (8, "exit")):
        lane, face = barrier()
        lane.disturb(name, "fault")  # type: ignore[arg-type]
        seen = face.read(2, 0, 16, 0)
        assert words(seen)[place] == 1
        assert decode(SP_BARRIER_1, DISCRETE, words(seen))[f"loop.{name}"] == "fault"


@pytest.mark.parametrize(
    ("function", "address", "count", "code"),
    [
        (1, 0, 4, 2),
        (2, 16, 1, 2),
        (2, 0, 17, 2),
        (4, 9, 1, 2),
        (3, 0, 3, 2),
        (4, 0, 0, 3),
        (4, 0, 126, 3),
        (2, 0, 2001, 3),
    ],
)
def test_reads_outside_are_refused(function: int, address: int, count: int, code: int) -> None:
    """A table ends where it ends, with exception 2; an impossible count gets exception 3 and uses no serial number."""
    _, face = barrier()
    assert face.read(function, address, count, 0) == Refusal(code)
    answer = face.read(4, 6, 1, 0)
    assert isinstance(answer, Registers)
    assert answer.serial == 1


def test_coils_command_and_clear_themselves() -> None:
    """Open, stop and close do what they say, and read as 0 right after; a 0 commands nothing."""
    _, face = barrier(auto_close=0)
    assert face.write(5, 0, (1,), 0) == Echo(0, (1,))
    assert words(face.read(1, 0, 3, 0)) == (0, 0, 0)
    assert words(face.read(4, 0, 2, SECOND)) == (32, 33)
    face.write(5, 1, (0,), SECOND)
    assert words(face.read(4, 0, 1, SECOND)) == (32,)
    face.write(5, 1, (1,), SECOND)
    assert words(face.read(4, 0, 1, 9 * SECOND)) == (19,)
    assert face.write(15, 0, (0, 0, 1), 9 * SECOND) == Echo(0, (0, 0, 1))
    assert words(face.read(4, 0, 1, 9 * SECOND)) == (33,)
    assert face.write(5, 3, (1,), 0) == Refusal(2)


@pytest.mark.parametrize("way", ["safety", "fault", "photocell", "chain"])
def test_close_is_refused(way: str) -> None:
    """Coil 2 gets exception 4 while input 4 or 9 is set or 15 is not; no other of the same request is done."""
    lane, face = barrier(auto_close=0)
    lane.open()
    lane.advance(5 * SECOND)
    if way == "chain":
        lane.do("chain_broken")
    elif way == "fault":
        lane.disturb("safety", "fault")
    else:
        lane.disturb(way, "occupied")  # type: ignore[arg-type]
    assert face.write(5, 2, (1,), lane.now) == Refusal(4, 2, (1,))
    assert face.write(15, 1, (1, 1), lane.now) == Refusal(4, 1, (1, 1))
    assert face.write(5, 2, (0,), lane.now) == Echo(2, (0,))
    assert lane.position == 100


def test_holding_registers() -> None:
    """The automatic close and the reason to hold open can be written, one or both; too much is refused whole."""
    lane, face = barrier()
    assert face.write(6, 0, (9,), 0) == Echo(HOLDING, (9,))
    assert face.write(16, 0, (7, 1), 0) == Echo(HOLDING, (7, 1))
    assert (lane.auto_close, lane.hold_reason) == (7, 1)
    assert words(face.read(2, 14, 1, 0)) == (1,)
    assert decode(SP_BARRIER_1, HOLDING, words(face.read(3, 0, 2, 0))) == {"auto_close": 7, "hold_open": True}
    assert face.write(16, 0, (601, 0), 0) == Refusal(3, HOLDING, (601, 0))
    assert face.write(16, 1, (0, 0), 0) == Refusal(2)
    assert (lane.auto_close, lane.hold_reason) == (7, 1)


def test_what_a_write_means() -> None:
    """Written coils and registers have the points' names, so that the journal says what was commanded."""
    assert decode(SP_BARRIER_1, 2, (1,)) == {"cmd.close": True}
    assert decode(SP_BARRIER_1, HOLDING + 1, (0,)) == {"hold_open": False}


def panel() -> tuple[Panel, PanelFace]:
    thing = Panel()
    return thing, PanelFace(thing)


def test_a_panel_at_rest() -> None:
    """Only mains is there; registers end with the heartbeat and the supply in tenths."""
    _, face = panel()
    assert words(face.read(2, 0, 32, 0)) == tuple(int(place == 5) for place in range(32))
    assert words(face.read(4, 0, 18, 0)) == (*[0] * 16, 1, 273)
    answer = face.read(4, 16, 2, 0)
    assert isinstance(answer, Registers)
    assert (answer.serial, decode(SP_IO_16, answer.first, answer.words)) == (2, {"heartbeat": 2, "supply": 27.3})


def test_the_panels_contacts() -> None:
    """A call point and zone 3 are at inputs 0, 1 and 10; the journal has them under the points' names."""
    thing, face = panel()
    thing.smoke(3, "dense")
    assert [n for n, bit in enumerate(words(face.read(2, 0, 16, 0))) if bit] == [5, 6, 10]
    thing.do("press")
    thing.set_mains(False)
    seen = words(face.read(2, 0, 32, 0))
    assert [n for n, bit in enumerate(seen) if bit] == [0, 1, 2, 10]
    said = decode(SP_IO_16, DISCRETE, seen)
    closed = {name for name, value in said.items() if value is True}
    assert closed == {"fire.alarm", "callpoint", "fire.fault", "zone3"} | {
        "contact.alarm", "contact.callpoint", "contact.fault", "contact.zone3"
    }  # fmt: skip
    assert (said["power"], said["zones_active"], said["line_fault"]) == ("failed", 1, False)


def test_a_broken_line_leaves_its_contact() -> None:
    """An input whose line is broken stays as it was, and its line fault is 16 above."""
    thing, face = panel()
    face.live(0)
    thing.line(5, broken=True)
    thing.set_mains(False)
    seen = words(face.read(2, 0, 32, 0))
    assert (seen[5], seen[21]) == (1, 1)
    said = decode(SP_IO_16, DISCRETE, seen)
    assert (said["line_fault"], said["contact.mains"], said["power"]) == (True, True, None)
    thing.line(5, broken=False)
    assert words(face.read(2, 5, 1, 0)) == (0,)


@pytest.mark.parametrize(
    ("function", "address", "count", "code"), [(1, 0, 1, 2), (3, 0, 1, 2), (2, 32, 1, 2), (4, 18, 1, 2), (4, 0, 0, 3)]
)
def test_the_module_has_no_coils(function: int, address: int, count: int, code: int) -> None:
    """It has its inputs and registers and nothing else; nothing of it is written."""
    _, face = panel()
    assert face.read(function, address, count, 0) == Refusal(code)
    assert face.writes == frozenset()


def test_gas_comes_and_goes_over_both_limits() -> None:
    """The level rises 5 a second; the contacts close at 20 and 40 and open again; the journal names them."""
    told: list[str] = []
    gas = GasDetector(tell=lambda _at, fact, _more: told.append(fact))
    face = GasFace(gas)
    gas.leak(45)
    assert words(face.read(2, 0, 3, 3 * SECOND)) == (0, 0, 0)
    assert words(face.read(2, 0, 3, 4 * SECOND)) == (1, 0, 0)
    assert words(face.read(2, 0, 3, 8 * SECOND)) == (1, 1, 0)
    gas.leak(0)
    gas.break_down(True)
    assert words(face.read(2, 0, 3, 20 * SECOND)) == (0, 0, 1)
    assert told == ["gas", "gas high", "gas", "gas detector fault", "gas high over"]
    said = decode(SP_IO_16_GAS, DISCRETE, words(face.read(2, 0, 32, 20 * SECOND)))
    assert {name for name, value in said.items() if value is True} == {"contact.fault", "gas.fault", "blind"}
    assert (said["gas.al1"], said["gas.al2"]) == (None, None)


def test_a_leak_cable_is_dry_wet_or_broken() -> None:
    """Water is on input 3 and a broken cable on 4; a broken line leaves its contact and is a broken cable too."""
    cable = LeakCable()
    face = LeakFace(cable)
    cable.become("wet")
    assert words(face.read(2, 0, 6, SECOND)) == (0, 0, 0, 1, 0, 0)
    cable.become("cable_break")
    assert words(face.read(2, 0, 6, 2 * SECOND)) == (0, 0, 0, 0, 1, 0)
    cable.line(4, broken=True)
    cable.become("none")
    said = decode(SP_IO_16_WATER, DISCRETE, words(face.read(2, 0, 32, 3 * SECOND)))
    assert (said["leak.cable_break"], said["line.cable"], said["leak.present"]) == (True, True, False)
