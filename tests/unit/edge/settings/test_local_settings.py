"""`local:` of a site: what could never tell anybody, or would tell the wrong ones, is refused with its place."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from edge.settings import load
from sitekeeper.model.command import SECURITY, Write
from sitekeeper.model.errors import ConfigError

HORN: dict[str, Any] = {"id": "horn", "write": {"point": "horn/on_command", "value": True, "then": False}}


def site(folder: Path, *targets: dict[str, Any]) -> Path:
    written = {
        "site": {"id": "court", "timezone": "Asia/Hong_Kong"},
        "links": {"one": {"driver": "modbus-tcp", "host": "127.0.0.1", "port": 5021}},
        "devices": [{"id": "horn", "profile": "sp-relay-8", "link": "one", "unit": 1, "with": {"channel": 0}}],
        "local": {"targets": list(targets)},
        "outbox": {"path": "outbox.db"},
    }
    (folder / "site.yaml").write_text(yaml.safe_dump(written))
    return folder


def test_what_is_written_becomes_a_plan(tmp_path: Path) -> None:
    """An output at the priority of security, with what ends it."""
    plan = load(site(tmp_path, HORN)).local
    assert plan.outputs["horn"].write == Write("horn", "on_command", True, SECURITY)
    assert plan.outputs["horn"].then == Write("horn", "on_command", False, SECURITY)
    assert plan.fits["horn"].priorities == {"P1"}


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ({"id": "a"}, "local-way"),
        (HORN | {"webhook": {"url": "http://192.0.2.1/"}}, "local-way"),
        (HORN | {"audience": "security"}, "local-heard"),
        (HORN | {"write": {"point": "horn/on_command", "value": True}}, "stays-told"),
        (HORN | {"write": {"point": "horn/on_comand", "value": True}}, "not-written"),
        (HORN | {"write": {"point": "horn/on_command", "value": "loud", "then": False}}, "not-told-so"),
        (HORN, "twice-told"),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path: Path, target: dict[str, Any], code: str) -> None:
    """No way or two, duress that would be heard, a horn that would never stop, a misspelt point, a wrong value."""
    with pytest.raises(ConfigError) as error:
        load(site(tmp_path, *([HORN, HORN] if code == "twice-told" else [target])))
    assert [fault.code for fault in error.value.faults] == [code]
    assert error.value.faults[0].line > 0


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.5:99999/",
        "http://192.0.2.5:80a/",
        "http://192.0.2.5:0/",
        "http://[::1/",
        "http://a..b/",
        "http://:80/",
    ],
)
def test_a_post_to_nowhere_is_refused_before_the_first_alarm(tmp_path: Path, url: str) -> None:
    """A port, a host that there cannot be: at its place, with the form that is expected."""
    with pytest.raises(ConfigError) as error:
        load(site(tmp_path, {"id": "phone", "webhook": {"url": url}}))
    [fault] = error.value.faults
    assert (fault.code, fault.line > 0) == ("bad-url", True)
    assert "http://host:port/path" in fault.hint


@pytest.mark.parametrize("url", ["http://[::1]:8080/", "https://guard.example/a?b=c", "http://192.0.2.5"])
def test_a_post_that_may_arrive_is_taken(tmp_path: Path, url: str) -> None:
    """With and without a port and a path, by name and by address."""
    assert load(site(tmp_path, {"id": "phone", "webhook": {"url": url}})).local.posts["phone"].url == url
