"""The language: what it reads, how tightly its signs bind, where it says that something is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.rules.language import parse
from edge.rules.syntax import (
    MAX_DEPTH,
    MAX_TEXT,
    Binary,
    Call,
    Choice,
    Constant,
    ExpressionError,
    Junction,
    Name,
    Unary,
)


def test_signs_bind_as_the_grammar_says():
    """`or` binds least, then `and`, `not`, comparisons, sums, products, minus."""
    tree = parse("a or not b == 1 + 2 * -c and d")
    assert isinstance(tree, Junction)
    assert tree.operator == "or"
    last = tree.terms[1]
    assert isinstance(last, Junction)
    assert last.operator == "and"
    negated = last.terms[0]
    assert isinstance(negated, Unary)
    assert isinstance(negated.operand, Binary)
    assert negated.operand.operator == "=="
    total = negated.operand.right
    assert isinstance(total, Binary)
    assert total.operator == "+"
    assert isinstance(total.right, Binary)
    assert isinstance(total.right.right, Unary)


def test_a_choice_binds_least_of_all():
    """`x if a or b else y` takes the whole condition."""
    tree = parse("'up' if a or b else 'down' if c else 'none'")
    assert isinstance(tree, Choice)
    assert isinstance(tree.condition, Junction)
    assert isinstance(tree.otherwise, Choice)


def test_durations_are_microseconds():
    """A duration literal is a constant in microseconds."""
    assert [parse(t).value for t in ("500ms", "15s", "3min", "2h", "7d")] == [  # type: ignore[union-attr]
        500_000, 15_000_000, 180_000_000, 7_200_000_000, 604_800_000_000
    ]  # fmt: skip


def test_a_dotted_name_is_one_token():
    """`passenger.kind` is one name."""
    assert parse("passenger.kind") == Name(0, "passenger.kind")


def test_arguments_by_place_and_by_name():
    """Arguments may be named, and then stand in any order."""
    tree = parse("count(rose(a), 15s, reset=not b)")
    assert isinstance(tree, Call)
    assert [argument.at for argument in tree.arguments] == [6, 15]
    assert tree.named[0][0] == "reset"


@pytest.mark.parametrize(
    ("text", "at", "code", "near"),
    [
        ("a = 1", 2, "unknown-sign", "=="),
        ("a && b", 2, "unknown-sign", "and"),
        ("a || b", 2, "unknown-sign", "or"),
        ("!a", 0, "unknown-sign", "not"),
        ("a < b < c", 6, "chained", ""),
        ("held(a, 15 s)", 11, "wanted", ""),
        ("held(a, 15m)", 8, "duration", ""),
        ("Door == 'x'", 0, "bad-name", "door"),
        ("a == 'x", 5, "open-quote", ""),
        ("a and", 5, "unfinished", ""),
        ("(a or b", 7, "wanted", ""),
        ("a b", 2, "not-expected", ""),
        ("a in b", 5, "wanted", ""),
        ("latch(set=a, b)", 14, "argument-order", ""),
        ("a ? b", 2, "unknown-sign", ""),
        ("", 0, "unfinished", ""),
        ("a and or b", 6, "not-expected", ""),
    ],
)
def test_a_mistake_has_a_place_and_a_way_out(text, at, code, near):
    """The first word that does not fit is named by its offset, with what was probably meant."""
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert (caught.value.at, caught.value.code, caught.value.near) == (at, code, near)


@pytest.mark.parametrize(
    "text", ["(" * 60 + "a" + ")" * 60, "not " * 60 + "a", "-" * 60 + "n", "1" + "+1" * 60, "f(" * 60]
)
def test_depth_is_bounded(text):
    """Nothing deeper than the limit is built, however it is nested."""
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert caught.value.code == "too-deep"
    assert caught.value.fields == {"limit": MAX_DEPTH}


def test_length_is_bounded():
    """A text longer than the limit is not even read."""
    with pytest.raises(ExpressionError) as caught:
        parse("a" * (MAX_TEXT + 1))
    assert caught.value.code == "too-long"


def test_a_long_flat_condition_is_not_deep():
    """Two hundred terms side by side are one junction."""
    tree = parse(" or ".join(["a"] * 200))
    assert isinstance(tree, Junction)
    assert len(tree.terms) == 200


@given(st.text(alphabet="ab1 ()+-*/<>=!'\",.%&|_ifnotrdelsh", max_size=60))
def test_any_text_is_read_or_refused_inside_itself(text):
    """Whatever is written either parses or is refused with an offset inside the text."""
    try:
        parse(text)
        at = 0
    except ExpressionError as error:
        at = error.at
    assert 0 <= at <= len(text)


def test_text_keeps_its_quotes_out():
    """Both kinds of quotes make a text."""
    assert parse("'a b'") == Constant(0, "a b", "text")
    assert parse('"a b"') == Constant(0, "a b", "text")
