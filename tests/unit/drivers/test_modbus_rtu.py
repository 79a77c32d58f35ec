"""Which answers are taken on a serial line. Frames are written in hex, checksums from the standard's own example."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus import RTU, RTU_OVER_TCP, TCP
from drivers.modbus.framing import Rtu
from drivers.modbus.reply import Expected, Wrong
from drivers.modbus.rtu import NOISE, checksum, examine, frame, noise, without_echo

TWO_REGISTERS = Expected(unit=1, function=3, size=4)
ASKED = bytes.fromhex("01 03 0000 0002 c40b")
GOOD = frame(bytes.fromhex("01 03 04 1122 3344"))
ECHO = Expected(unit=1, function=6, size=0, echo=bytes.fromhex("0010 0001"))


def test_the_checksum_is_that_of_the_standard():
    """MODBUS over Serial Line V1.02, appendix B: 02 07 has the checksum 41 12."""
    assert checksum(bytes.fromhex("02 07")) == bytes.fromhex("41 12")
    assert frame(ASKED[:-2]) == ASKED


def test_right_answer_exception_and_confirmation():
    """What is expected is handed on from its unit on, without its checksum."""
    assert examine(GOOD, ASKED, TWO_REGISTERS) == GOOD[:-2]
    refusal = frame(bytes.fromhex("01 83 02"))
    assert examine(refusal, ASKED, TWO_REGISTERS) == refusal[:-2]
    written = frame(bytes.fromhex("01 06 0010 0001"))
    assert examine(written, written, ECHO) == written[:-2]


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        ("02 03 04 1122 3344", "unit 2"),
        ("01 04 04 1122 3344", "function 04"),
        ("01 01 04 1122 3344", "function 01"),
        ("01 03 02 1122", "2 data bytes"),
        ("01 03 06 1122 3344 5566", "6 data bytes"),
        ("01 84 02", "function 84"),
        ("01 06 0010 0001", "function 06"),
    ],
)
def test_wrong_answers(answer, what):
    """A sound frame of another unit, function or length says which it was."""
    found = examine(frame(bytes.fromhex(answer)), ASKED, TWO_REGISTERS)
    assert isinstance(found, Wrong)
    assert what in found.what


@given(st.integers(0, 8 * len(GOOD) - 1))
def test_no_flipped_bit_passes(bit):
    """One bit of a right answer that is wrong is found, wherever it is."""
    flipped = (int.from_bytes(GOOD) ^ 1 << bit).to_bytes(len(GOOD))
    assert not isinstance(examine(flipped, ASKED, TWO_REGISTERS), bytes)


@given(st.integers(0, len(GOOD) - 1))
def test_half_an_answer_is_waited_for(size):
    """While it is not complete nothing is said."""
    assert examine(GOOD[:size], ASKED, TWO_REGISTERS) is None


@given(st.binary(min_size=1, max_size=4).filter(lambda noise: noise[0] != 1))
def test_a_little_noise_before_the_answer_does_no_harm(noise):
    """A driver that switches over makes a byte or two."""
    assert examine(noise + GOOD, ASKED, TWO_REGISTERS) == GOOD[:-2]


@given(st.lists(st.sampled_from([0, 255]), min_size=1, max_size=NOISE))
def test_a_glitch_behind_the_answer_does_no_harm(glitch):
    """No unit is 0 or 255, so a few such bytes are the beginning of no other answer."""
    assert examine(GOOD + bytes(glitch), ASKED, TWO_REGISTERS) == GOOD[:-2]


def test_a_frame_within_the_data_of_the_answer_is_no_frame():
    """While the expected answer is still coming nothing is looked for inside it."""
    answer = frame(bytes.fromhex("01 03 08") + frame(bytes.fromhex("01 83 02")) + bytes(3))
    four = Expected(unit=1, function=3, size=8)
    assert [examine(answer[:size], ASKED, four) for size in range(len(answer))] == [None] * len(answer)
    assert examine(b"\0" + answer[:8], ASKED, four) is None
    assert examine(answer, ASKED, four) == answer[:-2]


@given(st.binary(min_size=1, max_size=40).filter(lambda more: not noise(more)))
def test_what_follows_the_answer_makes_it_doubtful(more):
    """Two answers to one request: the first may be a late one."""
    found = examine(GOOD + more, ASKED, TWO_REGISTERS)
    assert isinstance(found, Wrong)


@given(st.binary(max_size=300))
def test_garbage_is_no_answer(garbage):
    """Whatever comes, it is an answer only with the right checksum."""
    found = examine(garbage, ASKED, TWO_REGISTERS)
    assert not isinstance(found, bytes) or garbage.endswith(frame(found))


def test_an_echo_is_told_or_taken_away():
    """An adapter that repeats what we send is named; with `echo` its repetition is cut off, and must be unchanged."""
    found = examine(ASKED, ASKED, TWO_REGISTERS)
    assert isinstance(found, Wrong)
    assert "echo: true" in found.what
    assert without_echo(ASKED + GOOD, ASKED) == GOOD
    assert without_echo(ASKED[:3], ASKED) is None
    changed = without_echo(b"\x09" + ASKED[1:], ASKED)
    assert isinstance(changed, Wrong)
    assert "two spoke at once" in changed.what


def test_an_echoing_adapter_confirms_no_write():
    """The confirmation of a write is the request once more: its echo alone must not be taken for it."""
    line = Rtu(echo=True)
    request = line.sent(bytes.fromhex("0007 0000 0006 01 06 0010 0001"))
    assert line.examine(request, ECHO) is None
    assert line.examine(request + request, ECHO) == bytes.fromhex("0007 0000 0006 01 06 0010 0001")


def test_a_line_that_was_seen_to_repeat_confirms_no_write():
    """Without `echo: true` our own words would confirm it; a read answered alone shows that it repeats no more."""
    line, read = Rtu(echo=False), bytes.fromhex("0006 0000 0006 01 03 0000 0002")
    assert isinstance(line.examine(line.sent(read), TWO_REGISTERS), Wrong)
    written = line.sent(bytes.fromhex("0007 0000 0006 01 06 0010 0001"))
    assert line.examine(written, ECHO) is None
    assert isinstance(line.examine(written + written, ECHO), Wrong)
    line.sent(read)
    assert line.examine(GOOD, TWO_REGISTERS) is not None
    line.sent(bytes.fromhex("0008 0000 0006 01 06 0010 0001"))
    assert line.examine(written, ECHO) == bytes.fromhex("0008 0000 0006 01 06 0010 0001")


@pytest.mark.parametrize("kind", [RTU, RTU_OVER_TCP])
@pytest.mark.parametrize("unit", [0, 248, 255])
def test_units_of_a_serial_line(kind, unit):
    """0 would be told to all units at once, and beyond 247 there is none; on TCP 0 and 255 are the endpoint itself."""
    with pytest.raises(ValueError, match="1 to 247"):
        kind.device_model.model_validate({"unit": unit})
    assert kind.device_model.model_validate({"unit": 247})
    assert unit == 248 or TCP.device_model.model_validate({"unit": unit})


def test_a_frame_has_characters_of_eight_bits():
    """Seven are of the other, textual mode."""
    with pytest.raises(ValueError, match="framing"):
        RTU.link_model.model_validate({"port": "/dev/ttyUSB0", "framing": "7E1"})
    assert RTU.link_model.model_validate({"port": "/dev/ttyUSB0", "framing": "8N2"})
    for number, meant in ((80.0, "8E1"), (800.0, "8E2")):  # YAML takes 8E1 without quotes for a number
        link = RTU.link_model.model_validate({"port": "/dev/ttyUSB0", "framing": number})
        assert link.model_dump()["framing"] == meant
