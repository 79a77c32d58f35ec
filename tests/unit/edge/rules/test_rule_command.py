"""`sk rule list` and `sk rule test` on the shipped site and pack."""

import json

from click.testing import CliRunner

from edge.cli.rule import rule as command
from sitekeeper.data import data_path


def test_the_tests_of_a_file_run_from_the_command_line():
    """Exit 0 and one line per test; the same as JSON in the envelope."""
    file = str(data_path("rules", "lift.yaml"))
    done = CliRunner().invoke(command, ["test", file], standalone_mode=False)
    assert done.return_value == 0
    assert "L01\t" in done.stdout
    as_json = CliRunner().invoke(command, ["test", file, "--json"], standalone_mode=False)
    assert json.loads(as_json.stdout)["ok"] is True


def test_a_failing_test_is_exit_1_and_a_broken_rule_exit_6(tmp_path):
    """A wrong expectation and a mistake in an expression are told apart."""
    good = data_path("rules", "lift.yaml").read_text(encoding="utf-8")
    file = tmp_path / "lift.yaml"
    file.write_text(
        good.replace("{at: 13s, raise: L03, priority: P1, latched: true}", "{at: 14s, raise: L03}"), encoding="utf-8"
    )
    assert CliRunner().invoke(command, ["test", str(file)], standalone_mode=False).return_value == 1
    file.write_text(good.replace("power == 'failed'\n", "powr == 'failed'\n"), encoding="utf-8")
    broken = CliRunner().invoke(command, ["test", str(file)], standalone_mode=False)
    assert broken.return_value == 6
    assert "lift.yaml:" in broken.stderr
    assert 'did you mean "power"' in broken.stderr


def test_the_rules_of_the_shipped_site_are_listed():
    """One row per rule and device, with priority and name in the language asked for."""
    folder = str(data_path("sites", "one-lift"))
    listed = CliRunner().invoke(command, ["list", folder, "--json", "--lang", "zh-Hant"], standalone_mode=False)
    assert listed.return_value == 0, listed.output
    rows = json.loads(listed.stdout)["data"]
    assert {"L01", "L03", "L04", "L22", "L25"} <= {row["rule"] for row in rows}
    assert "非平層困人" in {row["name"] for row in rows}
