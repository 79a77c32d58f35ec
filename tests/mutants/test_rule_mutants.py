"""Every shipped rule with one mistake in it fails the tests that stand beside it; see `tests.mutants.rules`."""

import pytest

from tests.mutants.rules import everything, noticed, variants

UNNOTICED = {
    ("A02", "no-delay levels.1.when 0"),
    ("A07", "bad-as-false"),
    ("A15", "bad-as-false"),
    ("A15", "no-delay let.heard 0"),
    ("B07", "no-unless"),
    ("B08", "bad-as-false"),
    ("B09", "bad-as-false"),
    ("B14", "no-unless"),
    ("B15", "bad-as-false"),
    ("B15", "no-unless"),
    ("L01", "no-delay let.present 0"),
    ("L04", "no-delay let.present 0"),
    ("L25", "bad-as-false"),
    ("L25", "no-delay let.present 0"),
}
"""Variants, by rule and name, that the tests beside the rule do not tell from it yet. No other may join them."""


@pytest.mark.parametrize("text", everything(), ids=lambda text: str(text.mapping["id"]))
def test_a_mistake_in_a_rule_is_noticed_beside_it(text) -> None:
    """No condition can be turned round, no delay dropped, no bad input taken for false without a test that fails."""
    made = list(variants(text))
    assert made
    assert {(v.rule, v.name) for v in made if not noticed(v)} - UNNOTICED == set()


def test_every_kind_of_mistake_was_made() -> None:
    """The variants are as many as they should be: each rule is negated, and most have a delay and points."""
    kinds = [variant.name.partition(" ")[0] for text in everything() for variant in variants(text)]
    assert kinds.count("negate") == len(everything()) > 100
    assert {kind: kinds.count(kind) > 20 for kind in set(kinds)} == dict.fromkeys(
        ("negate", "no-delay", "bad-as-false", "no-unless"), True
    )
