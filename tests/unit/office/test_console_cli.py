"""`sk office user` and the console's settings."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from office import auth
from office.auth import Users, matches
from office.cli import office
from office.settings import load
from sitekeeper.model.errors import ConfigError

BASE = "store: {path: STORE}\nbroker: {host: b}\n"


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash at a cost that a unit test can pay."""
    monkeypatch.setattr(auth, "COST", (2, 8, 1))


def written(folder: Path, more: str = "console: {}\n") -> str:
    path = folder / "office.yaml"
    path.write_text(BASE.replace("STORE", str(folder / "office.db")) + more)
    return str(path)


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(office, ["user", *arguments])
    return done.exit_code, done.output


def test_an_account_is_made_listed_and_removed(tmp_path: Path) -> None:
    """The password is the only thing that `set` prints, and it is the account's."""
    config = written(tmp_path)
    code, password = run("set", "ann", "--role", "operator", "--config", config)
    account = Users(tmp_path / "console-users.json").find("ann")
    assert code == 0
    assert matches(account, password.strip())
    assert run("list", "--config", config) == (0, "ann\toperator\n")
    assert run("remove", "ann", "--config", config) == (0, "")
    assert run("list", "--config", config) == (0, "")
    assert run("remove", "ann", "--config", config)[0] == 1


def test_a_token_is_made_listed_and_revoked(tmp_path: Path) -> None:
    """`add` prints the token and nothing else; `list` never shows it."""
    config = written(tmp_path)
    code, token = run("token", "add", "grafana", "--role", "viewer", "--config", config)
    assert code == 0
    assert Users(tmp_path / "console-users.json").bearer(token.strip()) is not None
    assert run("token", "list", "--config", config) == (0, "grafana\tviewer\n")
    assert run("token", "add", "grafana", "--role", "viewer", "--config", config)[0] == 1
    assert run("token", "revoke", "grafana", "--config", config) == (0, "")
    assert run("token", "list", "--config", config) == (0, "")
    assert run("token", "revoke", "grafana", "--config", config)[0] == 1


def test_without_a_console_there_are_no_accounts(tmp_path: Path) -> None:
    """Exit code 6: the file must be changed."""
    assert run("list", "--config", written(tmp_path, ""))[0] == 6


def test_the_console_is_off_unless_written_and_then_on_this_machine_only(tmp_path: Path) -> None:
    """No port is opened by surprise, and none to the network."""
    assert load(Path(written(tmp_path, ""))).console is None
    console = load(Path(written(tmp_path))).console
    assert console is not None
    assert (console.host, console.port, console.behind_proxy) == ("127.0.0.1", 8080, False)


@pytest.mark.parametrize("more", ["console: {prt: 1}\n", "console: {port: 70000}\n", "console: {host: ''}\n"])
def test_a_fault_in_the_consoles_settings_has_its_place(tmp_path: Path, more: str) -> None:
    """Line and column, as for every other fault."""
    with pytest.raises(ConfigError) as caught:
        load(Path(written(tmp_path, more)))
    assert caught.value.faults[0].line == 3
