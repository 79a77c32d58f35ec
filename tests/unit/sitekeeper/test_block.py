"""A block comes back as it was, or is refused; never as something else."""

from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from sitekeeper.block import (
    MAX_BLOCK,
    MAX_BODY,
    STREAMS,
    Block,
    BlockTooLarge,
    Gap,
    GapCause,
    Header,
    Vouch,
    decode,
    encode,
    peek,
)
from sitekeeper.frame import seal
from sitekeeper.model.alarm import AlarmState, Cause, Transition
from sitekeeper.model.errors import FormatError, FormatTooNew
from sitekeeper.model.event import Event
from sitekeeper.model.quality import Quality, Reason, pack
from sitekeeper.model.sample import Sample
from tests.golden import ALARMS, EVENTS, HEAD, SAMPLES

TIMES = st.integers(-(2**52), 2**52)
NAMES = st.text(min_size=1, max_size=20)
WORDS = st.text(max_size=20)
VALUES = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), WORDS)
QUALITIES = st.builds(pack, st.sampled_from(Quality), st.sampled_from(Reason))
SAMPLE = st.builds(Sample, st.integers(0, 2**31 - 1), TIMES, VALUES, QUALITIES, st.none() | TIMES)
EVENT = st.builds(Event, NAMES, TIMES, st.dictionaries(WORDS, VALUES, max_size=4), st.none() | TIMES, st.none() | TIMES)
TRANSITION = st.builds(
    Transition,
    *(NAMES, NAMES, NAMES, st.sampled_from(AlarmState), st.sampled_from(AlarmState), st.sampled_from(Cause)),
    *(st.sampled_from(["P1", "P2", "P3", "P4"]), TIMES, TIMES, st.booleans()),
    values=st.dictionaries(WORDS, st.tuples(VALUES, QUALITIES), max_size=3),
)
GAP = st.builds(Gap, NAMES, TIMES, TIMES, st.sampled_from(GapCause))


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    """Blocks of all streams; vouches on whole milliseconds from t0, as the recorder makes them."""
    stream = draw(st.sampled_from(STREAMS))
    t0 = draw(TIMES)
    millis = st.integers(0, 2**40)
    index = st.integers(0, 2**31 - 1)
    vouch = st.builds(lambda group, end, span: Vouch(group, t0 - end * 1000, span * 1000), index, millis, millis)
    records: dict[str, Any] = {
        "samples": {"samples": draw(st.lists(SAMPLE, max_size=8))},
        "events": {"events": draw(st.lists(EVENT, max_size=3))},
        "alarms": {"transitions": draw(st.lists(TRANSITION, max_size=3))},
    }[stream]
    return Block(
        site=draw(NAMES),
        epoch=draw(NAMES),
        stream=stream,
        sequence=draw(st.integers(1, 2**53)),
        boot=draw(NAMES),
        catalogue=draw(NAMES),
        trusted=draw(st.booleans()),
        t0=t0,
        mono0=draw(TIMES),
        vouch=draw(st.lists(vouch, max_size=4)),
        gaps=draw(st.lists(GAP, max_size=3)),
        **records,
    )


@settings(max_examples=20, deadline=None)
@given(blocks())
def test_what_is_encoded_comes_back(block: Block) -> None:
    """Decoding an encoded block gives the same block, value for value and type for type."""
    data = encode(block)
    back = decode(data)
    assert back == block
    assert encode(back) == data  # 1, 1.0 and True are equal, but not the same bytes
    assert peek(data) == Header(block.site, block.epoch, block.stream, block.sequence)


def test_equal_blocks_give_equal_bytes_whatever_the_order_of_their_fields() -> None:
    """Two events whose fields were filled in another order are the same bytes."""
    one = Event("a/b", 1, {"x": 1, "y": 2})
    other = Event("a/b", 1, {"y": 2, "x": 1})
    assert encode(msgspec.structs.replace(EVENTS, events=[one])) == encode(
        msgspec.structs.replace(EVENTS, events=[other])
    )


@pytest.mark.parametrize("block", [SAMPLES, EVENTS, ALARMS], ids=lambda block: block.stream)
def test_a_flipped_bit_is_refused_or_changes_nothing(block: Block) -> None:
    """No single damaged bit of a block gives another block."""
    data = bytearray(encode(block))
    for place in range(len(data)):
        for bit in range(0, 8, 2 if place > 40 else 1):
            data[place] ^= 1 << bit
            assert _refused_or(bytes(data), block), f"byte {place}, bit {bit}"
            data[place] ^= 1 << bit


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_a_damaged_byte_is_refused_or_changes_nothing(data: st.DataObject) -> None:
    """No other value of any single byte of a block gives another block."""
    good = encode(SAMPLES)
    place = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[place] = data.draw(st.integers(0, 255))
    assert _refused_or(bytes(bad), SAMPLES)


def _refused_or(data: bytes, expected: Block) -> bool:
    try:
        return decode(data) == expected
    except FormatError:
        return True


def test_a_block_cut_short_anywhere_is_refused() -> None:
    """Every proper beginning of a block is refused."""
    data = encode(SAMPLES)
    for length in range(len(data)):
        with pytest.raises(FormatError):
            decode(data[:length])


def test_a_block_with_anything_behind_it_is_refused() -> None:
    """Bytes after the frame are not ignored."""
    with pytest.raises(FormatError):
        decode(encode(SAMPLES) + b"\0")


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_at_all_are_refused_in_our_own_words(data: bytes) -> None:
    """Garbage raises FormatError, bare or in a proper envelope."""
    for each in (data, b"\1" + data, seal(data)):
        with pytest.raises(FormatError):
            decode(each)


@pytest.mark.parametrize("version", [2, 3, 255])
def test_a_newer_version_is_told_apart_from_damage(version: int) -> None:
    """An unknown newer version byte raises FormatTooNew, so that the site keeps its blocks."""
    with pytest.raises(FormatTooNew):
        decode(bytes([version]) + encode(SAMPLES)[1:])


def test_a_reason_of_a_newer_version_is_told_apart_from_damage() -> None:
    """A quality byte without meaning here raises FormatTooNew."""
    newer = msgspec.structs.replace(SAMPLES, samples=[Sample(0, 0, None, 2 << 6 | 63)])
    with pytest.raises(FormatTooNew):
        decode(encode(newer))


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    """A small frame that would unpack to more than the limit is refused by its stated size."""
    bomb = seal(bytes(MAX_BODY + 1))
    assert len(bomb) < MAX_BLOCK
    with pytest.raises(FormatError, match="would unpack"):
        decode(bomb)


def test_a_frame_that_does_not_state_its_size_is_refused() -> None:
    """Without a stated size nothing is unpacked at all."""
    packer = zstandard.ZstdCompressor(write_content_size=False, write_checksum=True)
    with pytest.raises(FormatError, match="would unpack"):
        decode(b"\1" + packer.compress(b"\xc0"))


def test_a_frame_without_checksum_is_refused() -> None:
    """Damage could pass unseen in a frame without checksum."""
    with pytest.raises(FormatError, match="checksum"):
        decode(b"\1" + zstandard.ZstdCompressor().compress(b"\xc0"))


def test_lists_that_claim_more_than_they_hold_are_refused() -> None:
    """An array header of four thousand million elements costs neither memory nor time."""
    with pytest.raises(FormatError):
        decode(seal(b"\xdd\xff\xff\xff\xff"))


def test_a_deeply_nested_body_is_refused() -> None:
    """Nesting beyond the interpreter's depth raises our error, not its own."""
    with pytest.raises(FormatError):
        decode(seal(b"\x9c" * 11 + b"\x91" * 100_000))


BODY: list[Any] = [
    *("s", "e", "samples", 1, "b", "c", True, 0, 0, [[0], [0], [0]], []),
    [[0], [0], [None], [1], [0]],
]


def _body(place: int, value: object) -> bytes:
    body = [*BODY]
    body[place] = value
    return seal(msgspec.msgpack.encode(body))


def test_the_hand_made_body_of_these_tests_is_sound() -> None:
    """The untouched body decodes, so that each refusal below has its own reason."""
    assert decode(_body(0, "s")).samples == [Sample(0, 0, 1, 0)]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *((0, value) for value in ("", "x" * 201, 1, None)),
        *((2, value) for value in ("Samples", "commands", 0)),
        *((3, value) for value in (0, -1, True, 1.0, 2**63)),
        *((6, value) for value in (1, "yes", None)),
        *((7, value) for value in (1.5, "0", 2**61)),
        *(
            (9, value)
            for value in ([[0], [0]], [[0], [0], []], [[-1], [0], [0]], [[0], [0], [-1]], [[0], [2**60], [0]])
        ),
        *((10, value) for value in ([["g", 0, 1]], [["g", 0, 1, "lazy"]], [["", 0, 1, "clock"]])),
        (11, [[0], [0], [None], [1]]),
        (11, [[0, 1], [0], [None], [1], [0]]),
        (11, [[-1], [0], [None], [1], [0]]),
        (11, [[0], [0], [None], [[1]], [0]]),
        (11, [[0], [0], [None], [1], [256]]),
        (11, [[0], [0], [None], [b"raw"], [0]]),
        (11, [[0] * 4, [2**60] * 4, [None] * 4, [1] * 4, [0] * 4]),
        (11, None),
    ],
)
def test_a_body_of_the_wrong_shape_is_refused(place: int, value: object) -> None:
    """Types, limits and lengths of columns are strict, so that nothing poisonous goes further."""
    with pytest.raises(FormatError):
        decode(_body(place, value))


def test_an_additional_column_is_refused() -> None:
    """New content takes a new version byte and is never half understood."""
    with pytest.raises(FormatError):
        decode(seal(msgspec.msgpack.encode([*BODY, 0])))


def test_a_block_over_64_kib_is_not_made_and_not_read() -> None:
    """The size limit holds on both sides."""
    noise = [Sample(0, 0, "".join(chr(0x4E00 + (i * 7919 * j) % 20_000) for j in range(200)), 0) for i in range(400)]
    with pytest.raises(BlockTooLarge):
        encode(msgspec.structs.replace(SAMPLES, samples=noise))
    with pytest.raises(FormatError, match="more than"):
        decode(bytes(MAX_BLOCK + 1))


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, "\ud800"])
def test_what_no_block_can_hold_is_refused_by_encode(value: int | str) -> None:
    """Integers beyond 64 bits and broken text raise our own error."""
    with pytest.raises(FormatError):
        encode(msgspec.structs.replace(SAMPLES, samples=[Sample(0, 0, value, 0)]))


@settings(max_examples=50, deadline=None)
@given(st.lists(TIMES, min_size=3, max_size=3).map(sorted), st.integers(-(2**52), 2**52))
def test_vouches_that_touch_still_touch_after_rounding(times: list[int], t0: int) -> None:
    """Rounding to milliseconds makes no hole between two vouches of one group, and vouches for no later time."""
    start, middle, end = times
    vouch = [Vouch(1, middle, middle - start), Vouch(1, end, end - middle)]
    first, second = decode(encode(Block(stream="samples", sequence=1, vouch=vouch, **HEAD | {"t0": t0}))).vouch
    assert first.until == second.start
    assert end - 1000 < second.until <= end


def test_a_samples_wall_time_follows_from_the_blocks_two_clocks() -> None:
    """The wall time of a sample is t0 plus its monotonic distance from mono0."""
    assert SAMPLES.wall(4_000_000) == SAMPLES.t0 - 1_000_000
