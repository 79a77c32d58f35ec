"""Addresses as people write them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.address import resolve

WITH = {"channel": 2, "short_address": "13"}


@pytest.mark.parametrize(
    ("written", "address"),
    [
        (0, 0),
        (65535, 65535),
        ("7000*channel + 100*short_address + 6", 15306),
        ("(1 + channel) * 3", 9),
        ("2*3+4*(5+1)", 30),
        ("40000 + 21", 40021),
        ("channel - 1", 1),
        ("10 - 2*3 - channel", 2),
        ("10 - (3 - channel)", 9),
        ("12", 12),
    ],
)
def test_expressions(written, address):
    """An address is an integer or integer arithmetic with + - * and parentheses over the device's parameters."""
    assert resolve("holding", written, WITH) == address


@pytest.mark.parametrize(
    ("table", "written", "says"),
    [
        ("holding", 40021, "write holding: 20"),
        ("holding", "40021", "write holding: 20"),
        ("input", 30001, "write input: 0"),
        ("input", 40021, "write holding: 20"),
        ("holding", 400021, "write holding: 20"),
        ("discrete", 10005, "write discrete: 4"),
        ("coil", "00021", "write coil: 20"),
        ("holding", -1, "outside 0 to 65535"),
        ("holding", 65536, "outside 0 to 65535"),
        ("holding", "channel * 40000", "outside 0 to 65535"),
        ("holding", "chanel + 1", "needs 'chanel'"),
        ("holding", "1 - channel", "outside 0 to 65535"),
        ("holding", "- 1", "not '-'"),
        ("holding", "1 / 1", "'/' is not"),
        ("holding", "2 ** 3", "'*'"),
        ("holding", "(1 + 2", "not closed"),
        ("holding", "1 + ", "the end"),
        ("holding", "1 2", "'2' was not expected"),
        ("holding", "()", "not ')'"),
        ("holding", "", "the end"),
        ("holding", "(" * 101, "longer than"),
    ],
)
def test_refused(table, written, says):
    """What is not a zero-based address is refused with the remedy or the offending text."""
    with pytest.raises(ValueError) as refusal:
        resolve(table, written, WITH)
    assert says in str(refusal.value)


def test_parameter_must_be_a_whole_number():
    """A parameter that is no whole number cannot be part of an address."""
    for value in ("x", True, "-1"):
        with pytest.raises(ValueError, match="not a whole number"):
            resolve("coil", "n + 1", {"n": value})


@given(st.text(alphabet="0123456789+-*() abc", max_size=110))
def test_any_text_gives_an_address_or_a_reason(text):
    """No text makes the parser fail in any other way than with a reason."""
    with suppress(ValueError):
        assert 0 <= resolve("coil", text, {"a": 1, "b": 2}) <= 65535
