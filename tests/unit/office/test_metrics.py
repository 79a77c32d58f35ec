"""Prometheus' text format (prometheus.io, "Exposition formats")."""

from office.api.metrics import exposition


def test_a_family_has_help_type_and_a_line_for_each_value() -> None:
    """Without labels no braces; truths are 1 and 0."""
    told = exposition([("up", "gauge", "Is it.", [({}, True)]), ("n", "counter", "N.", [({"a": "x", "b": "y"}, 2.5)])])
    assert told == '# HELP up Is it.\n# TYPE up gauge\nup 1\n# HELP n N.\n# TYPE n counter\nn{a="x",b="y"} 2.5\n'


def test_what_a_label_says_cannot_break_out_of_its_quotes() -> None:
    """Backslash, quote and line feed are written as the format asks."""
    told = exposition([("up", "gauge", "Is it.", [({"site": 'a"} 1\nforged \\'}, 0)])])
    assert told.splitlines()[2:] == ['up{site="a\\"} 1\\nforged \\\\"} 0']
