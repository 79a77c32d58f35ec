"""office.yaml: what a person may write, every mistake at its place, secrets from where they belong."""

from pathlib import Path

import pytest

from office.central import open_store
from office.notify.stages import Step
from office.settings import load
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import ConfigError, StorageError

GOOD = """\
store: {path: office.db}
broker: {host: 127.0.0.1, password: "${secret:broker}"}
channels:
  - {id: desk, kind: webhook, url: "https://desk.example/hook", secret: "${secret:desk}", timeout: 3s}
"""
SECRETS = "broker: hunter22\ndesk: 0123456789abcdef\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    secrets = tmp_path / "secrets.yaml"
    secrets.write_text(SECRETS)
    secrets.chmod(0o600)
    return tmp_path


def write(folder: Path, content: str) -> Path:
    path = folder / "office.yaml"
    path.write_text(content)
    return path


def faults(folder: Path, content: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(write(folder, content))
    return [str(fault) for fault in caught.value.faults]


def test_a_good_file_gives_settings_with_secrets_and_defaults(folder: Path) -> None:
    """Secrets come from the file beside it; P1 to P3 go to every channel unless routes say otherwise."""
    settings = load(write(folder, GOOD))
    assert settings.broker.password == "hunter22"
    assert settings.channels[0].timeout == 3 * SECOND
    assert settings.routing().routes == {"P1": ("desk",), "P2": ("desk",), "P3": ("desk",)}
    assert settings.silence.after == 60 * SECOND


def test_routes_as_written_replace_the_default(folder: Path) -> None:
    """A priority that is not routed is not pushed."""
    assert load(write(folder, GOOD + "routes: {P1: [desk]}\n")).routing().routes == {"P1": ("desk",)}


def test_security_and_the_ladder_are_read_as_written(folder: Path) -> None:
    """What only security may know has routes of its own; a ladder has its steps in order."""
    written = "routes: {P1: [desk], security: {P1: [desk]}}\nladder: {P1: [{after: 30s, channels: [desk]}]}\n"
    found = load(write(folder, GOOD + written)).routing()
    assert (found.routes, found.security) == ({"P1": ("desk",)}, {"P1": ("desk",)})
    assert found.ladder == {"P1": (Step(30 * SECOND, ("desk",)),)}
    assert load(write(folder, GOOD)).routing().ladder == {}


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("routes: {P1: [desk], security: {P1: [dsek]}}", "5:38: no channel has the id dsek [unknown-channel]"),
        ("ladder: {P1: [{after: 30s, channels: [dsek]}]}", "5:39: no channel has the id dsek [unknown-channel]"),
        ("ladder: {P4: [{after: 30s, channels: [desk]}]}", "5:10: ladder: P4 goes to no channel under routes"),
        ("ladder: {P1: [{after: 30s, channels: [desk]}, {after: 30s, channels: [desk]}]}", "5:55: ladder: each step"),
        ("ladder: {P1: [{after: 0s, channels: [desk]}]}", "5:23: "),
        ("ladder: {P1: []}", "5:14: P1: "),
        ("ladder: {P1: [{after: 30s, chanels: [desk]}]}", "did you mean channels?"),
        ("routes: {P5: [desk]}", "unknown key P5"),
        ("security: {P1: [desk]}", "it belongs under routes:"),
    ],
)
def test_a_ladder_that_cannot_be_climbed_is_told_at_its_place(folder: Path, written: str, fault: str) -> None:
    """Unknown channels, a priority that goes nowhere, steps that do not come one after the other, misspelt keys."""
    assert any(fault in line for line in faults(folder, GOOD + written + "\n")), faults(folder, GOOD + written + "\n")


def test_the_environment_comes_before_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret in the environment wins; systemd's credentials come next."""
    monkeypatch.setenv("SITEKEEPER_SECRET_BROKER", "from-env")
    (folder / "desk").write_text("credential-of-systemd\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    settings = load(write(folder, GOOD))
    assert settings.broker.password == "from-env"
    assert settings.channels[0].model_dump()["secret"] == "credential-of-systemd"


def test_every_mistake_is_named_at_its_place_at_once(folder: Path) -> None:
    """Unknown key with a suggestion, missing key, bad values: all in one go, each with line and column."""
    found = faults(
        folder,
        "stroe: {path: x}\nbroker: {host: 1.2.3.4, port: 99999}\nchannels:\n"
        "  - {id: desk, kind: webhook, url: 'ftp://x', secret: short, timeout: 3m}\n",
    )
    assert [line.split(" ")[0] for line in found] == [
        "office.yaml:1:1:", "office.yaml:1:1:", "office.yaml:2:31:", "office.yaml:4:36:", "office.yaml:4:55:",
        "office.yaml:4:71:",
    ]  # fmt: skip
    assert any("unknown key stroe" in line and "did you mean store?" in line for line in found)
    assert any("key store is missing" in line for line in found)
    assert any("did you mean 3min" in line for line in found)


def test_routes_may_name_known_channels_only(folder: Path) -> None:
    """A misspelt channel id is found, with a suggestion; so is an id used twice."""
    found = faults(folder, GOOD + "routes: {P1: [desk], P2: [dsek]}\n")
    assert found == ["office.yaml:5:27: no channel has the id dsek [unknown-channel]; did you mean desk?"]
    twice = GOOD + GOOD.splitlines()[3] + "\n"
    assert faults(folder, twice) == ["office.yaml:5:10: a second channel with the id desk [duplicate-channel]"]


def test_a_secret_that_nobody_has_is_a_fault_that_shows_no_secret(folder: Path) -> None:
    """The name is told, the place is told, no value is."""
    [found] = faults(folder, GOOD.replace("${secret:desk}", "${secret:other}"))
    assert found.startswith("office.yaml:4:")
    assert "secret other" in found
    assert "hunter22" not in found


def test_a_secrets_file_open_to_others_is_not_read(folder: Path) -> None:
    """Mode 0644 is a fault with the remedy, not a warning."""
    (folder / "secrets.yaml").chmod(0o644)
    assert any("chmod 600 secrets.yaml" in line for line in faults(folder, GOOD))


@pytest.mark.parametrize("password", ["pw%1x", "pw%zz", "pa/ss@x", "100%", "7/8x", "7#8x", "s@cret"])
def test_a_password_that_is_not_encoded_is_a_fault_that_shows_none_of_it(folder: Path, password: str) -> None:
    """The place, `url`, the secret's name and the remedy are told; no part of the password is."""
    (folder / "secrets.yaml").write_text(f"{SECRETS}db: '{password}'\n")
    url = "url: 'postgresql://sk:${secret:db}@localhost/sk'"
    [found] = faults(folder, GOOD.replace("path: office.db", url))
    assert found.startswith("office.yaml:1:")
    assert "url" in found
    assert "${secret:db}" in found
    assert "% as %25" in found
    assert password[:3] not in found.replace("postgresql://user:password", "").replace("a password in", "")


def test_a_password_that_is_encoded_is_good(folder: Path) -> None:
    """What the remedy says is taken."""
    (folder / "secrets.yaml").write_text(f"{SECRETS}db: 'pw%251%2F%40'\n")
    url = "url: 'postgresql://sk:${secret:db}@localhost/sk'"
    assert load(write(folder, GOOD.replace("path: office.db", url))).store.url is not None


def test_a_database_that_cannot_be_reached_is_told_with_the_place_of_its_url(folder: Path) -> None:
    """A port where nothing can listen: office.yaml and store.url are named, the password is not."""
    url = "url: 'postgresql://sk:${secret:broker}@127.0.0.1:1/sk?connect_timeout=1'"
    settings = load(write(folder, GOOD.replace("path: office.db", url)))
    with pytest.raises(StorageError, match=r"^office\.yaml: store\.url: central store: ") as caught:
        open_store(settings)
    assert "hunter22" not in str(caught.value)


def test_a_key_that_stands_one_level_too_high_is_told_where_it_belongs(folder: Path) -> None:
    """Not "did you mean" with the same word: the key above which it has to stand under."""
    found = faults(folder, GOOD + "broker_pid_file: /run/x.pid\n")
    assert found == ["office.yaml:5:1: unknown key broker_pid_file [unknown-key]; it belongs under enrol:"]
