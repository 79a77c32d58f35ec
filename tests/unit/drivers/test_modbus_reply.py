"""Which answers are taken. Frames are written in hex, from the standard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.reply import Expected, Wrong, examine

TWO_REGISTERS = Expected(unit=1, function=3, size=4)
GOOD = bytes.fromhex("0007 0000 0007 01 03 04 1122 3344")
TRANSACTION = b"\x00\x07"


def test_right_answer_and_exception():
    """The right answer and an exception for it are handed on as they are."""
    refusal = bytes.fromhex("0007 0000 0003 01 83 02")
    assert examine(GOOD, TRANSACTION, TWO_REGISTERS) == GOOD
    assert examine(refusal, TRANSACTION, TWO_REGISTERS) == refusal


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        ("0007 0000 0007 02 03 04 1122 3344", "unit 2"),
        ("0007 0000 0007 01 04 04 1122 3344", "function 04"),
        ("0007 0000 0004 01 01 01 11", "function 01"),
        ("0007 0000 0005 01 03 02 1122", "2 data bytes"),
        ("0007 0000 0009 01 03 06 1122 3344 5566", "6 data bytes"),
        ("0007 0000 0007 01 03 02 1122 3344", "byte count 2"),
        ("0007 0000 0007 01 03 ff 1122 3344", "byte count 255"),
        ("0007 0000 0009 01 03 04 1122 3344 5566", "6 data bytes"),
        ("0007 0000 0003 01 03 00", "0 data bytes"),
        ("0007 0000 0002 01 03", "byte count None"),
        ("0007 0000 0002 01 83", "exception of 1 bytes"),
        ("0007 0000 0004 01 83 02 00", "exception of 3 bytes"),
        ("0007 0000 0003 01 84 02", "function 84"),
        ("0007 0000 0003 01 80 03", "function 80"),
    ],
)
def test_wrong_answers(answer, what):
    """An answer of another unit, function or length is no answer, and says which it was."""
    found = examine(bytes.fromhex(answer), TRANSACTION, TWO_REGISTERS)
    assert isinstance(found, Wrong)
    assert not found.lost
    assert what in found.what


@pytest.mark.parametrize("junk", ["47 45 54 20 2f 20 48", "0007 0001 0007", "0007 0000 0001 01", "0007 0000 ffff 01"])
def test_what_is_not_modbus(junk):
    """A stream that cannot be Modbus TCP is lost."""
    found = examine(bytes.fromhex(junk), TRANSACTION, TWO_REGISTERS)
    assert isinstance(found, Wrong)
    assert found.lost


def test_late_answers_are_passed_over():
    """Answers to earlier questions before the right one change nothing."""
    late = b"\x00\x06" + GOOD[2:]
    assert examine(late, TRANSACTION, TWO_REGISTERS) is None
    assert examine(late + late + GOOD, TRANSACTION, TWO_REGISTERS) == GOOD
    assert examine(late + late + GOOD[:-1], TRANSACTION, TWO_REGISTERS) is None


@given(st.integers(0, len(GOOD) - 1))
def test_no_part_is_taken_for_the_whole(cut):
    """However the answer is split, nothing is taken before its last byte is there."""
    assert examine(GOOD[:cut], TRANSACTION, TWO_REGISTERS) is None


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes(junk, plausible):
    """Whatever comes, only a frame of exactly the right unit, function and length, or an exception, gets through."""
    data = TRANSACTION + b"\0\0\0" + junk if plausible else junk
    found = examine(data, TRANSACTION, TWO_REGISTERS)
    if isinstance(found, bytes):
        assert found[:2] == TRANSACTION
        assert found[6] == 1
        assert (len(found), found[7:9]) == (13, b"\x03\x04") or (len(found), found[7]) == (9, 0x83)
