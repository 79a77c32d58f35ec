"""Secrets come from three places, are kept out of every output, and may be read by their owner only."""

from pathlib import Path

import pytest

from edge.settings import load
from sitekeeper.model.errors import ConfigError

OFFICE = (
    'rules:\n  packs: [lift]\noffice: {broker: mqtt://office.example, username: x, password: "a-${secret:broker}-z"}\n'
)
OLD = "rules:\n  packs: [lift]\n"
VALUE = "hunter2hunter2"


def test_a_secret_may_come_from_the_file(site) -> None:
    """`secrets.yaml` with mode 0600 gives the value, which becomes part of the text around the reference."""
    loaded = site(OLD, OFFICE, secrets=f"broker: {VALUE}\n")
    assert loaded.office.password == f"a-{VALUE}-z"


def test_a_systemd_credential_beats_the_environment_which_beats_the_file(site, tmp_path: Path) -> None:
    """The order is credential, environment, file."""
    variables = {"SITEKEEPER_SECRET_BROKER": "from-environment"}
    assert (
        site(OLD, OFFICE, secrets="broker: from-file\n", environment=variables).office.password
        == "a-from-environment-z"
    )
    credentials = tmp_path.parent / f"{tmp_path.name}-credentials"
    credentials.mkdir()
    (credentials / "broker").write_text("from-systemd\n")
    variables["CREDENTIALS_DIRECTORY"] = str(credentials)
    assert site(OLD, OFFICE, environment=variables).office.password == "a-from-systemd-z"


def test_a_secret_is_not_printed_with_the_site(site) -> None:
    """The printed site does not show it."""
    assert VALUE not in repr(site(OLD, OFFICE, secrets=f"broker: {VALUE}\n"))


@pytest.mark.parametrize(
    "section", ['broker: "${secret:broker}", password: x', 'broker: mqtt://b, protocol: "${secret:broker}"']
)
def test_a_secret_never_shows_in_a_message(site, section: str) -> None:
    """A message about the very value shows the reference as written."""
    with pytest.raises(ConfigError) as error:
        site(OLD, f"{OLD}office: {{{section}}}\n", secrets=f"broker: {VALUE}\n")
    assert VALUE not in str(error.value)
    assert "${secret:broker}" in str(error.value)


def test_a_secret_in_a_links_wrong_key_never_shows(site) -> None:
    """A driver's own complaint about a value is not repeated where that value came from a secret."""
    with pytest.raises(ConfigError) as error:
        site("host: 10.1.3.41", 'host: 10.1.3.41, timeout: "${secret:broker}"', secrets=f"broker: {VALUE}\n")
    assert VALUE not in str(error.value)


def test_a_file_that_others_may_read_is_a_fault(site, tmp_path: Path) -> None:
    """A group- or world-readable `secrets.yaml` is refused with the command that closes it."""
    site(OLD, OFFICE, secrets=f"broker: {VALUE}\n")
    (tmp_path / "secrets.yaml").chmod(0o640)
    with pytest.raises(ConfigError) as error:
        load(tmp_path, environment={})
    assert [(f.file, f.code, f.hint) for f in error.value.faults] == [
        ("secrets.yaml", "secrets-open", "chmod 600 secrets.yaml")
    ]


def test_a_secret_is_text(site) -> None:
    """An unquoted number is refused, because 0123 or 1e3 would come out otherwise; it is not shown either."""
    with pytest.raises(ConfigError) as error:
        site(OLD, OFFICE, secrets="broker: 90210\n")
    assert [f.code for f in error.value.faults] == ["wrong-type"]
    assert "90210" not in str(error.value)
