"""Brokers that let us in only in part, or not at all: each is named with what to do, and no point stays good."""

import asyncio
import base64
import hashlib
import json
import random
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cloud_sync.mqtt import BrokerSettings, connector
from drivers.mqtt.driver import MqttDriver
from edge.brokers import real_brokers
from edge.cli.discover_mqtt import mqtt as discover
from edge.cli.probe_mqtt import mqtt as probe
from edge.poller import Poller
from sitekeeper.model.clock import SECOND, SystemClock
from sitekeeper.model.errors import DeviceRefused, LinkDown
from sitekeeper.model.point import ScanGroup
from sitekeeper.model.quality import GOOD, Reason, bad
from tests.fixtures import mqtt
from tests.fixtures.mosquitto import Authority, Mosquitto, passwords
from tests.fixtures.mqtt import BASE, EVENT, STATUS, Sink

PLUGIN = next(Path("/usr/lib").glob("**/mosquitto_dynamic_security.so"), Path("/usr/lib/mosquitto_dynamic_security.so"))
"""Part of the Debian package `mosquitto`. What stands in an `acl_file` never refuses a subscription."""
LOCALHOST = "IP:127.0.0.1,DNS:localhost"


def allowing(folder: Path, **users: Sequence[str]) -> str:
    """Return settings of a broker at which each user, whose password is his name, may read so much; `field` all."""
    if not PLUGIN.exists():
        pytest.skip("mosquitto_dynamic_security.so is not installed")
    salt = b"0123456789ab"
    clients, roles = [], []
    for user, topics in {**users, "field": ("#",)}.items():
        word = hashlib.pbkdf2_hmac("sha512", user.encode(), salt, 101)
        words = {"password": base64.b64encode(word).decode(), "salt": base64.b64encode(salt).decode()}
        clients.append({"username": user, **words, "iterations": 101, "roles": [{"rolename": user}]})
        acls = [{"acltype": "subscribePattern", "topic": topic, "allow": True} for topic in topics]
        roles.append({"rolename": user, "acls": acls})
    usual = {"publishClientSend": True, "publishClientReceive": True, "subscribe": False, "unsubscribe": True}
    file = folder / "security.json"
    file.write_text(json.dumps({"clients": clients, "roles": roles, "defaultACLAccess": usual}))
    return f"allow_anonymous false\nplugin {PLUGIN}\nplugin_opt_config_file {file}"


@asynccontextmanager
async def field(port: int, user: str = "field"):
    """Be two doors with a controller; the session may publish."""
    session = await connector(BrokerSettings(host="127.0.0.1", port=port, username=user, password=user), "field")()
    try:
        await session.publish(STATUS, b'{"online":true}', retain=True)
        for number in (1, 2):
            await session.publish(f"{BASE}/door/{number}", mqtt.state(), retain=True)
        yield session
    finally:
        await session.close()


@asynccontextmanager
async def polled(made: MqttDriver, sink: Sink):
    groups = tuple(ScanGroup(id=f"door-{n}@1s", device=f"door-{n}", period=SECOND, handles=(0, 1, 2)) for n in (1, 2))
    task = asyncio.create_task(Poller("doors", made, groups, sink, SystemClock(), rng=random.Random(1)).run())
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def driver(port: int, user: str = "", **link: Any) -> MqttDriver:
    who = {"username": user, "password": user} if user else {}
    doors = [mqtt.door(1), mqtt.door(2)]
    return mqtt.driver(real_brokers, doors, SystemClock(), host="127.0.0.1", port=port, **who, **link)


@pytest.mark.parametrize(("protocol", "code"), [("5", 135), ("3.1.1", 128)])
async def test_a_subscription_that_is_refused(tmp_path, protocol, code):
    """The door whose topic is refused turns bad and names topic, code and remedy; the other one goes on."""
    with Mosquitto(tmp_path, allowing(tmp_path, gateway=(STATUS, EVENT, f"{BASE}/door/1"))) as broker:
        async with field(broker.port) as session:
            made, sink = driver(broker.port, "gateway", protocol=protocol), Sink()
            async with polled(made, sink):
                await until(lambda: {each.device for each in sink.story} == {"door-1", "door-2"})
                other, refused = await made.read("door-1@1s"), await made.read("door-2@1s")
                assert (other.answered, other.errors) == (True, ())
                assert {q for _, q, _ in made._states._groups["door-1@1s"].values} == {GOOD}
                assert {q for _, q, _ in made._states._groups["door-2@1s"].values} == {bad(Reason.REFUSED)}
                (error,) = refused.errors
                assert isinstance(error, DeviceRefused)
                assert (error.request, error.exception_code) == (f"subscribe {BASE}/door/2", code)
                assert "the broker's access list does not let this user read that" in str(error)
                await session.publish(EVENT, mqtt.event(1))
                await until(lambda: len(sink.durable) == 1)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_broker_that_refuses_everything_is_a_link_that_is_down(tmp_path, protocol):
    """Who may read nothing at all has no connection worth the name, and is told why."""
    with Mosquitto(tmp_path, allowing(tmp_path, gateway=("other/#",))) as broker:
        made = driver(broker.port, "gateway", protocol=protocol)
        with pytest.raises(LinkDown, match="access list does not let this user read that"):
            await made.open()
        await made.close()


async def test_an_access_list_that_says_nothing(tmp_path):
    """A file `acl_file` grants every subscription and holds back what comes: the door does not answer, and is bad."""
    file, acl = passwords(tmp_path, gateway="gateway", field="field"), tmp_path / "acl"
    acl.write_text("user field\ntopic readwrite sp/#\nuser gateway\ntopic read other/#\n")
    with Mosquitto(tmp_path, f"allow_anonymous false\npassword_file {file}\nacl_file {acl}") as broker:
        async with field(broker.port):
            for protocol in ("5", "3.1.1"):
                made = driver(broker.port, "gateway", protocol=protocol)
                await made.open()
                scan = await made.read("door-1@1s")
                assert not scan.answered
                assert {outcome.q for outcome in scan.outcomes} == {bad(Reason.COMM)}
                assert "nothing heard since the link was opened" in str(scan.errors[0])
                assert made.report("door-1")["not_let"] == {}
                await made.close()


async def test_certificates_that_are_not_taken(tmp_path):
    """An expired one of ours or of the broker is told from one of a stranger, each with what to do."""
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    certificate, key = ours.sign("broker", host=LOCALHOST)
    old, old_key = ours.sign("old", host=LOCALHOST, days=-1)
    files = {name: who.sign(name, days=days) for name, who, days in (("late", ours, -1), ("strange", theirs, 2))}
    more = f"cafile {ours.ca}\nrequire_certificate true\nallow_anonymous true"

    async def refused(port: int, **tls: Any) -> str:
        made = driver(port, tls={name: str(path) for name, path in tls.items()})
        with pytest.raises(LinkDown) as failure:
            await made.open()
        await made.close()
        return str(failure.value)

    def own(name: str) -> dict[str, Path]:
        return {"ca": ours.ca, "certificate": files[name][0], "key": files[name][1]}

    with Mosquitto(tmp_path, f"{more}\ncertfile {certificate}\nkeyfile {key}") as broker:
        assert "give tls certificate and key" in await refused(broker.port, ca=ours.ca)
        assert "our tls certificate has to be renewed" in await refused(broker.port, **own("late"))
        said = await refused(broker.port, **own("strange"))
        assert "does not know the authority of our tls certificate" in said
        assert "not from the authority in tls ca" in await refused(broker.port, ca=theirs.ca)
    with Mosquitto(tmp_path, f"{more}\ncertfile {old}\nkeyfile {old_key}") as broker:
        assert "the broker's certificate has to be renewed" in await refused(broker.port, ca=ours.ca)


def test_discover_and_probe_with_a_certificate(tmp_path):
    """Both commands are let in with ours, and paste the link as a gateway needs it; without, it is missing."""
    ours = Authority(tmp_path / "ours")
    certificate, key = ours.sign("broker", host=LOCALHOST)
    own, own_key = ours.sign("gateway")
    more = f"cafile {ours.ca}\nrequire_certificate true\nallow_anonymous true\ncertfile {certificate}\nkeyfile {key}"
    with Mosquitto(tmp_path, more) as broker:

        async def fill() -> None:
            settings = BrokerSettings(
                host="127.0.0.1", port=broker.port, ca_file=str(ours.ca), cert_file=str(own), key_file=str(own_key)
            )
            session = await connector(settings, "field")()
            await session.publish(f"{BASE}/door/1", mqtt.state(), retain=True)
            await session.close()

        asyncio.run(fill())
        where = [f"127.0.0.1:{broker.port}", "--ca", str(ours.ca), "--for", "500ms", "--json"]
        for command in (probe, discover):
            answer = json.loads(CliRunner().invoke(command, [*where, "--cert", str(own), "--key", str(own_key)]).stdout)
            assert answer["problems"] == []
            assert [row["topic"] for row in answer["data"]["topics"]] == [f"{BASE}/door/1"]
            assert str(own) in answer["data"]["yaml"]
            assert str(own_key) in answer["data"]["yaml"]
            said = CliRunner().invoke(command, where)
            assert said.exit_code == 1
            assert json.loads(said.stdout)["problems"][0]["code"] == "client-certificate"
        assert CliRunner().invoke(discover, ["127.0.0.1", "--cert", str(own)]).exit_code == 2
