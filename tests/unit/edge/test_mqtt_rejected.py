"""What people see of messages that could not be used: who may, on which link, and what to do about each."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from edge.cli import mqtt as cli
from edge.operations.mqtt import operations
from edge.poller import Poller
from sitekeeper.model.clock import SECOND
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import NotFound, Refused
from tests import virtual
from tests.fixtures import mqtt
from tests.fixtures.mqtt import BASE
from tests.fixtures.mqtt_rig import Rig

TECHNICIAN = Actor(name="lee", role="technician", origin="site")
VIEWER = Actor(name="may", role="viewer", origin="site")


def rejected(actor: Actor, **args: Any) -> list[dict[str, Any]]:
    """Return what one is told after two messages of no use and one that nobody claims."""

    async def story() -> list[dict[str, Any]]:
        rig = Rig()
        await rig.driver.open()
        for topic, payload in ((f"{BASE}/door/1", mqtt.state("ajar")),) * 2 + ((mqtt.EVENT, b"{"),):
            rig.say(topic, payload)
        await asyncio.sleep(1)
        poller = Poller("doors", rig.driver, (), rig.sink, rig.clock)
        assert poller.rejected() == 3
        links = {"doors": None, "plant": None}
        gateway = SimpleNamespace(
            site=SimpleNamespace(links=links),
            drivers={"plant": object(), "doors": rig.driver},
            when=lambda at: f"{at // SECOND} s",
        )
        told = [item async for item in operations(gateway)["mqtt.rejected"](actor, args)]  # type: ignore[arg-type]
        await rig.driver.close()
        return told

    return virtual.run(story())


@pytest.mark.parametrize("link", [None, "doors"])
def test_what_a_technician_is_told(link: str | None) -> None:
    """The last first, repeats as a number, of one link or of all."""
    told = rejected(TECHNICIAN, link=link)
    assert [(each["link"], each["reason"], each["device"], each["times"]) for each in told] == [
        ("doors", "not-json", "door-1", 1),
        ("doors", "no-meaning", "door-1", 2),
    ]
    assert told[1]["last"] == "0 s"


def test_who_is_not_told() -> None:
    """A viewer is not; a link that is not there, or on which nobody speaks unasked, is said to be none."""
    with pytest.raises(Refused, match="viewer may not"):
        rejected(VIEWER)
    with pytest.raises(NotFound, match="did you mean doors"):
        rejected(TECHNICIAN, link="door")
    with pytest.raises(Refused, match="only on links of the kind mqtt"):
        rejected(TECHNICIAN, link="plant")


@pytest.mark.parametrize(("lang", "word"), [("en", "enum"), ("zh-Hant", "設定檔"), ("zh-Hans", "配置文件")])
def test_the_command_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch, lang: str, word: str) -> None:
    """One line for each kind of message, and for each reason one with a remedy; in JSON it is beside it."""
    item = {
        "link": "doors", "topic": "a/b", "reason": "no-meaning", "device": "door-1", "why": "x", "times": 2,
        "first": "{}", "since": "then", "last": "now",
    }  # fmt: skip
    monkeypatch.setattr(cli, "ask", lambda *_: iter([item]))
    shown = CliRunner().invoke(cli.mqtt, ["rejected", "doors", "--lang", lang])
    assert "doors\ta/b\tno-meaning\tdoor-1\tx\t2\tnow\t{}" in shown.stdout
    assert word in shown.stderr
    shown = CliRunner().invoke(cli.mqtt, ["rejected", "--json", "--lang", lang])
    assert word in json.loads(shown.stdout)["data"][0]["remedy"]
