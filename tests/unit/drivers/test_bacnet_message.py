"""Requests and answers as bytes: the standard's own examples, and whatever else may come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.bacnet.message import Part, Reference, Refusal, Wrong, multiple, read_multiple, read_single, single

AI = 0
A, B = Reference(AI, 16, 85), Reference(AI, 16, 103)


def test_read_property_as_in_the_standard():
    """The service request of ANSI/ASHRAE 135, F.3.5: present value of analog input 5."""
    assert single(Reference(AI, 5, 85)).hex(" ") == "0c 00 00 00 05 19 55"


def test_read_property_multiple_as_in_the_standard():
    """The service request of F.3.7: present value and reliability of analog input 16."""
    assert multiple([A, B]).hex(" ") == "0c 00 00 00 10 1e 09 55 09 67 1f"


def test_answers_as_in_the_standard():
    """The service acks of F.3.5 and F.3.7: each value is the bytes between its tags."""
    reply = bytes.fromhex("0c 00 00 00 05 19 55 3e 44 42 90 99 9a 3f")
    assert read_single(reply, Reference(AI, 5, 85)) == [bytes.fromhex("44 42 90 99 9a")]
    reply = bytes.fromhex("0c 00 00 00 10 1e 29 55 4e 44 42 90 99 9a 4f 29 67 4e 91 00 4f 1f")
    assert read_multiple(reply, [A, B]) == [bytes.fromhex("44 42 90 99 9a"), bytes.fromhex("91 00")]


def test_errors_of_properties():
    """Of two objects in one answer, one has a value and the other an error."""
    reply = bytes.fromhex(
        "0c 00 00 00 21 1e 29 55 4e 44 42 d9 99 9a 4f 1f 0c 00 00 00 32 1e 29 55 5e 91 01 91 1f 5f 1f"
    )
    asked = [Reference(AI, 33, 85), Reference(AI, 50, 85)]
    assert read_multiple(reply, asked) == [bytes.fromhex("44 42 d9 99 9a"), Refusal(1, 31)]


def test_elements_and_large_numbers():
    """An element of an array, a property of three bytes and a proprietary type are written and read as they are."""
    reference = Reference(1023, 4194302, 70000, 300)
    assert single(reference).hex(" ") == "0c ff ff ff fe 1b 01 11 70 2a 01 2c"
    reply = bytes.fromhex("0c ff ff ff fe 1b 01 11 70 2a 01 2c 3e 21 05 3f")
    assert read_single(reply, reference) == [b"\x21\x05"]
    assert isinstance(read_single(reply, reference._replace(element=301)), Wrong)
    assert isinstance(read_single(reply, reference._replace(element=None)), Wrong)


def test_values_may_hold_tags_like_those_around_them():
    """A constructed value with tags of its own, and content that looks like a tag, is kept whole."""
    value = bytes.fromhex("4e 0e 0c 00 00 00 01 19 55 0f 65 03 4f 4f 4f 4f")
    reply = bytes.fromhex("0c 00 00 00 10 1e 29 55 4e") + value + bytes.fromhex("4f 1f")
    assert read_multiple(reply, [A]) == [value]


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("", "0 properties answered instead of 1"),
        ("0c 00 00 00 11 1e 29 55 4e 21 05 4f 1f", "another property"),
        ("0c 00 40 00 10 1e 29 55 4e 21 05 4f 1f", "another property"),
        ("0c 00 00 00 10 1e 29 56 4e 21 05 4f 1f", "another property"),
        ("0c 00 00 00 10 1e 29 55 39 01 4e 21 05 4f 1f", "another property"),
        ("0c 00 00 00 10 1e 29 55 4e 21 05 4f 29 67 4e 21 05 4f 1f", "more than the 1"),
        ("0c 00 00 00 10 1e 1f", "0 properties answered"),
        ("0b 00 00 10 1e 29 55 4e 21 05 4f 1f", "other than 4 bytes"),
        ("0c 00 00 00 10 1e 29 55 4e 21 05 4f", "ends within a tag"),
        ("0c 00 00 00 10 1e 29 55 4e 25 ff ff ff ff ff 4f 1f", "4294967295 bytes announced"),
        ("0c 00 00 00 10 1e 29 55 5e 21 01 21 02 5f 1f", "no error class"),
        ("0c 00 00 00 10 1e 29 55 4e" + " 4e" * 40, "nested too deep"),
        ("0c 00 00 00 10 1e 29 55 6e 21 05 6f 1f", "no opening tag 4"),
    ],
)
def test_what_does_not_fit_is_named(reply, why):
    """Whatever does not belong to the question is told apart, in words."""
    found = read_multiple(bytes.fromhex(reply), [A])
    assert isinstance(found, Wrong)
    assert why in found.what


references = st.builds(
    Reference,
    st.integers(0, 1023), st.integers(0, 4194302), st.integers(0, 4194303), st.none() | st.integers(0, 65535),
)  # fmt: skip


@given(st.binary(max_size=60), st.lists(references, min_size=1, max_size=3))
def test_any_bytes_are_an_answer_or_wrong(data, asked):
    """No bytes make reading an answer raise, and none give another number of values than were asked for."""
    for found in (read_multiple(data, asked), read_single(data, asked[0])):
        assert isinstance(found, Wrong | list)
    found = read_multiple(data, asked)
    assert isinstance(found, Wrong) or len(found) == len(asked)


def reply_to(asked: list[Reference], values: list[Part]) -> bytes:
    """Write the answer to a request: the request's own encoding of names, with the tags of an answer."""
    parts = []
    for one, value in zip(asked, values, strict=True):
        name = multiple([one])
        named = name[6:-1]
        size = 1 + (named[0] & 7)
        renamed = bytes([named[0] + 0x20]) + named[1:size]
        if len(named) > size:
            renamed += bytes([named[size] + 0x20]) + named[size + 1 :]
        content = b"\x4e" + value + b"\x4f" if isinstance(value, bytes) else b"\x5e\x91\x02\x91\x20\x5f"
        parts.append(name[:6] + renamed + content + b"\x1f")
    return b"".join(parts)


@given(
    st.lists(
        st.tuples(references, st.sampled_from([b"\x10", b"\x21\x07", b"", Refusal(2, 32)])), min_size=1, max_size=6
    )
)
def test_what_was_asked_is_found(pairs):
    """An answer with exactly what was asked for gives each its own value, and with two exchanged gives none."""
    asked, values = [one for one, _ in pairs], [value for _, value in pairs]
    assert read_multiple(reply_to(asked, values), asked) == values
    if len(set(asked)) > 1:
        turned = asked[1:] + asked[:1]
        if turned != asked:
            assert isinstance(read_multiple(reply_to(asked, values), turned), Wrong)


@given(st.lists(references, min_size=1, max_size=6), st.data())
def test_a_cut_answer_is_no_answer(asked, data):
    """However an answer is cut, it is not taken for a whole one."""
    reply = reply_to(asked, [b"\x21\x07"] * len(asked))
    cut = data.draw(st.integers(0, len(reply) - 1))
    assert isinstance(read_multiple(reply[:cut], asked), Wrong)
