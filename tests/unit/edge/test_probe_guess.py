"""The search for an encoding: what is there is found near the top, and nothing is found that is not there."""

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.modbus.address import Table
from drivers.modbus.codec import decoder
from drivers.modbus.options import WORDS, ModbusPoint
from edge.probe.guess import KINDS, SCALES, Expected, Moment, Words, expected, guess, orders, tied
from sitekeeper.model.quality import GOOD

WAYS = [(kind, order, scale) for kind in KINDS for order in orders(kind) for scale in SCALES]
FIRST = 10
"""How many candidates `sk probe` prints."""


def registers(seed: int, count: int = 40, table: Table = "holding") -> dict[tuple[Table, int], bytes]:
    r = random.Random(seed)
    return {(table, at): r.randbytes(2) for at in range(count)}


def wire(kind: str, order: str, raw: float) -> bytes:
    """Encode by hand, not by the driver."""
    size = 2 * WORDS[kind]
    if kind.startswith("float"):
        plain = struct.pack(">f" if size == 4 else ">d", raw)
    elif kind.startswith("bcd"):
        plain = bytes.fromhex(f"{int(raw):0{2 * size}d}")
    else:
        plain = int(raw).to_bytes(size, "big", signed=kind.startswith("int"))
    words = [plain[at : at + 2] for at in range(0, size, 2)]
    words = words[::-1] if order in ("CDAB", "DCBA") else words
    return b"".join(word[::-1] if order in ("BADC", "DCBA") else word for word in words)


def placed(words: dict[tuple[Table, int], bytes], at: int, data: bytes) -> Words:
    return {**words, **{("holding", at + n): data[2 * n : 2 * n + 2] for n in range(len(data) // 2)}}


@settings(max_examples=60, deadline=None)
@given(way=st.sampled_from(WAYS), raw=st.integers(1_001, 9_999), at=st.integers(0, 36), seed=st.integers(0, 1 << 30))
def test_whatever_the_encoding_it_is_among_the_first(way, raw, at, seed) -> None:
    """A number in any type, order and scale, amid noise: one of the ten printed reads these very registers so."""
    kind, order, scale = way
    words = placed(registers(seed), at, wire(kind, order, raw))
    point = ModbusPoint.model_validate({"holding": at, "type": kind, "order": order, "scale": scale})
    value, _ = decoder(point, "float")(wire(kind, order, raw))
    found = guess([Moment(Expected(float(value), abs(value) * 1e-9), [words] * 3)])
    means = [
        (each.point.address, [f"{each.point.raw_type} {each.point.order}", *each.also], each.point.scale)
        for each in found[:FIRST]
    ]
    assert any(place == at and f"{kind} {order}" in ways and scale == by for place, ways, by in means), means


@settings(max_examples=40, deadline=None)
@given(
    value=st.floats(-5000, 5000).filter(lambda v: abs(v) > 1),
    tolerance=st.sampled_from([0.0, 0.05, 0.5, 5.0]),
    seed=st.integers(0, 1 << 30),
)
def test_nothing_outside_the_tolerance_is_found(value, tolerance, seed) -> None:
    """Each candidate, read again by the driver's decoder from its own registers, is what was expected."""
    words = registers(seed)
    for each in guess([Moment(Expected(value, tolerance), [words])]):
        data = b"".join(words["holding", each.point.address + n] for n in range(each.point.size))
        read, q = decoder(each.point, "float")(data)
        assert q == GOOD
        assert abs(read - value) <= tolerance
        assert read == each.value


def test_a_second_moment_narrows() -> None:
    """Two registers that look alike at the first value are told apart at the second."""
    words = registers(7)
    first = placed(placed(words, 3, wire("uint16", "ABCD", 2315)), 9, wire("uint16", "ABCD", 2315))
    then = placed(first, 9, wire("uint16", "ABCD", 2407))
    shown = [Moment(expected("231.5"), [first] * 3), Moment(expected("240.7"), [then] * 3)]
    assert {each.point.address for each in guess(shown[:1])} >= {3, 9}
    assert [each.point.address for each in guess(shown)] == [9]


def test_what_stands_still_is_before_what_passes() -> None:
    """A counter that happened to pass the value comes after a value that stayed, though it assumes less."""
    words = registers(11)
    reads = [
        placed(placed(words, 5, wire("uint16", "ABCD", 1000 + n)), 8, wire("uint32", "CDAB", 1001)) for n in range(3)
    ]
    found = guess([Moment(expected("1001"), reads)])
    assert (found[0].point.address, found[0].met) == (8, 1.0)
    passing = next(each for each in found if each.point.address == 5)
    assert passing.met == pytest.approx(1 / 3)


def test_a_register_that_could_not_be_read_is_not_guessed() -> None:
    """A value across a hole is no candidate."""
    words = dict(placed(registers(3), 6, wire("float32", "ABCD", 231.5)))
    assert [c.point.address for c in guess([Moment(expected("231.5±0.001"), [words])])] == [6]
    del words["holding", 7]
    assert guess([Moment(expected("231.5±0.001"), [words])]) == []


def test_one_byte_and_a_text_are_found() -> None:
    """The high byte of a register, and a maker's name with the bytes of each register swapped."""
    words = placed(registers(5), 4, b"\x2a\x99")
    assert any(c.point.byte == "high" and c.point.address == 4 for c in guess([Moment(expected("42"), [words])]))
    swapped = placed(words, 12, b"gIDF")
    (found,) = guess([Moment(Expected("IgFD"), [swapped])])
    assert found.yaml("maker") == "maker: {holding: 12, type: string, length: 4, order: BADC}"


def test_the_yaml_reads_what_was_guessed() -> None:
    """What is pasted into a profile is accepted there and gives the value."""
    words = placed(registers(1), 20, wire("float32", "CDAB", 231.5))
    best = guess([Moment(expected("231.5"), [words] * 3)])[0]
    assert best.yaml("voltage") == "voltage: {holding: 20, type: float32, order: CDAB}"


@pytest.mark.parametrize(
    ("written", "value", "tolerance"),
    [
        ("231.5", 231.5, 0.05),
        ("4711", 4711.0, 0.5),
        ("231.5±2", 231.5, 2.0),
        ("-3.25+-0.1", -3.25, 0.1),
        ("60+/-1", 60.0, 1.0),
        ("FD20", "FD20", 0.0),
        ("1e3", 1000.0, 0.5),
        ("1.5E3", 1500.0, 0.5),
        ("2.31e-2", 0.0231, 0.00005),
        ("25 %", 25.0, 0.5),
        ("25%", 25.0, 0.5),
        ("231.5 V", 231.5, 0.05),
        ("21.5 +- 0.2 °C", 21.5, 0.2),
        ("12.5kWh", 12.5, 0.05),
        ('"12.5"', "12.5", 0.0),
        ("2.1b", "2.1b", 0.0),
        ("12 apples", "12 apples", 0.0),
    ],
)
def test_what_is_expected_is_meant_to_its_last_digit(written, value, tolerance) -> None:
    """Unless a tolerance is said; what is no number is a text."""
    assert expected(written) == Expected(value, tolerance)


@pytest.mark.parametrize("written", ["0", "0.0", "0 %", "1+-1", "x", "", '""', "231,5", "1,000.5", "12'000 kWh"])
def test_what_anything_meets_cannot_be_searched_for(written) -> None:
    """Zero is everywhere, and a comma may stand for two things."""
    with pytest.raises(ValueError, match=r"expect a value|too short|write a point"):
        expected(written)


@pytest.mark.parametrize(
    ("order", "first"), [("ABCD", "uint32 ABCD"), ("CDAB", "uint16 ABCD"), ("BADC", "uint16 BADC")]
)
def test_what_hides_in_another_is_a_tie(order: str, first: str) -> None:
    """A counter in two registers before it has run past 65535: the usual order comes first, and both are said."""
    found = guess([Moment(expected("4711"), [placed(registers(7), 12, wire("uint32", order, 4711))] * 3)])
    mates = [f"{each.point.raw_type} {each.point.order}" for each in found[: tied(found)]]
    assert mates[0] == first
    assert {f"uint32 {order}", "uint16 BADC" if order == "BADC" else "uint16 ABCD"} <= {*mates}


def test_two_moments_settle_a_tie() -> None:
    """Past 65535 only the true width is left, and nothing is tied with it."""
    before, after = (placed(registers(7), 12, wire("uint32", "ABCD", raw)) for raw in (4711, 70_000))
    found = guess([Moment(expected("4711"), [before] * 3), Moment(expected("70000"), [after] * 3)])
    assert [(each.point.address, each.point.raw_type) for each in found] == [(12, "uint32")]
    assert tied(found) == 1


def test_two_registers_alike_are_a_tie() -> None:
    """Two places that hold the same are not told apart by where they are; one that assumes more is behind them."""
    words = placed(registers(7), 3, wire("uint16", "ABCD", 2315))
    twice = placed(words, 9, wire("uint16", "ABCD", 2315))
    found = guess([Moment(expected("2315"), [twice] * 3)])
    assert {each.point.address for each in found[: tied(found)]} == {3, 9}
    assert tied(guess([Moment(expected("2315"), [words] * 3)])) == 1
    assert tied([]) == 0
