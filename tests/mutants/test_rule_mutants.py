"""Every shipped rule with one mistake in it fails the tests that stand beside it; see `tests.mutants.rules`."""

import pytest

from tests.mutants.rules import everything, noticed, variants

NO_DIFFERENCE = {
    ("A07", "bad-as-false"): "its points only excuse, and stand in default(..., false): unknown is false by the rule",
    ("A15", "bad-as-false"): "its point only excuses, and stands in default(..., false)",
    ("B11", "bound let.tolerance 0"): "where the share of the capacity equals the least, both branches say the same",
    ("L05", "bound params.highest"): "the number stands for a landing that there is not",
    ("L06", "bound params.lowest"): "the number stands for a landing that there is not",
}
"""Variants that decide as the rule does, by rule and name, each with the reason."""


@pytest.mark.parametrize("text", everything(), ids=lambda text: str(text.mapping["id"]))
def test_a_mistake_in_a_rule_is_noticed_beside_it(text) -> None:
    """No condition can be turned round, no delay dropped, no bad input taken for false without a test that fails."""
    rule, made = str(text.mapping["id"]), list(variants(text))
    assert made
    assert [v.name for v in made if not noticed(v)] == [name for other, name in NO_DIFFERENCE if other == rule]


def test_every_kind_of_mistake_was_made() -> None:
    """The variants are as many as they should be: each rule is negated, and most have a delay and points."""
    kinds = [variant.name.partition(" ")[0] for text in everything() for variant in variants(text)]
    assert kinds.count("negate") == len(everything()) > 100
    assert {kind: kinds.count(kind) > 15 for kind in set(kinds)} == dict.fromkeys(
        ("negate", "no-delay", "bad-as-false", "no-unless", "no-latch", "bound"), True
    )
