"""`sk config check` and `sk config schema` as a person meets them."""

import json

from click.testing import CliRunner, Result

from edge.cli.config import config
from sitekeeper.data import data_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(config, arguments, standalone_mode=False)


def test_a_good_site_is_fine() -> None:
    """The shipped site checks clean, is counted, and the exit code is 0."""
    done = run("check", str(data_path("sites", "one-lift")))
    assert done.return_value == 0
    assert "devices: 2" in done.stdout


def test_json_has_the_envelope_and_every_fault(tmp_path) -> None:
    """`--json` gives schema, ok and each fault in parts; the exit code is 6 all the same."""
    (tmp_path / "site.yaml").write_text("site: {id: x, timezone: UTC}\nlinkss: {}\n")
    done = run("check", str(tmp_path), "--json")
    said = json.loads(done.stdout)
    assert done.return_value == 6
    assert (said["schema"], said["ok"]) == ("sitekeeper.config-check/1", False)
    assert said["data"]["faults"] == [
        {
            "file": "site.yaml",
            "line": 2,
            "column": 1,
            "code": "unknown-key",
            "message": 'there is no key "linkss" here',
            "hint": 'did you mean "links"?',
        }
    ]


def test_a_folder_that_is_not_there_is_a_fault_too(tmp_path) -> None:
    """A wrong path is told like any other fault, with exit code 6."""
    done = run("check", str(tmp_path / "nowhere"))
    assert done.return_value == 6
    assert "is not a folder" in done.stdout


def test_a_schema_is_printed() -> None:
    """One kind of file can be asked for by name."""
    assert json.loads(run("schema", "profile").stdout)["$schema"].endswith("draft-07/schema#")
