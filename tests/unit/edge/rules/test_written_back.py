"""A tree written back is the text of that tree."""

import re

import pytest
from hypothesis import given, settings

from edge.rules import packs
from edge.rules.compiling import compile_rules
from edge.rules.language import parse
from edge.rules.written_back import written_back
from sitekeeper.faults import Faults, Place
from tests.unit.edge.rules.test_against_reference import conditions
from tests.unit.edge.rules.test_windows_against_reference import FAR, LEARNED, ORDERED, WINDOWED

_PLACE = re.compile(r"\bat=\d+, ")


def same(text: str) -> str:
    """Parse, write and parse again; return what was written."""
    tree = parse(text)
    written = written_back(tree)
    assert _PLACE.sub("", repr(parse(written))) == _PLACE.sub("", repr(tree)), written
    return written


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a and (b and c)", "a and (b and c)"),
        ("(a and b) and c", "a and b and c"),
        ("not (a == b)", "not a == b"),
        ("(not a) == b", "(not a) == b"),
        ("(a == b) == c", "(a == b) == c"),
        ("a - (b - c)", "a - (b - c)"),
        ("(a - b) - c", "a - b - c"),
        ("(a + b) * -c", "(a + b) * -c"),
        ("-(a + b)", "-(a + b)"),
        ("(a if b else c) if d else e if f else g", "(a if b else c) if d else e if f else g"),
        ("(a or b) in (true, false)", "(a or b) in (true, false)"),
        ('held(a,90s) and m == "it\'s"', 'held(a, 90s) and m == "it\'s"'),
        ("n > 0.0000001 or n < 1500ms / 1s", "n > 0.0000001 or n < 1500ms / 1s"),
        ("latch(reset=b, set=a)", "latch(reset=b, set=a)"),
    ],
)
def test_brackets_stand_where_they_are_needed(text, written):
    """Neither more, nor fewer."""
    assert same(text) == written


@settings(max_examples=200, deadline=None)
@given(conditions())
def test_any_condition_comes_back(text):
    """Whatever can be written."""
    same(text)


def test_every_shipped_expression_comes_back():
    """And the directed ones of the other tests."""
    faults = Faults()
    texts = packs.load([(pack, Place("test")) for pack in packs.shipped()], faults)
    rules = compile_rules(texts, packs.shipped_classes(), (), {}, faults, events=packs.shipped_events()).rules
    assert faults.found == []
    for rule in rules:
        for tree in (*rule.trees(), *rule.named.values()):
            same(written_back(tree))
    for text in (*FAR, *LEARNED, *ORDERED, *WINDOWED):
        same(text)
