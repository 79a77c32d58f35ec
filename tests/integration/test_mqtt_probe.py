"""`sk probe mqtt` at a mosquitto that refuses at each step in turn: the step that fails is the one that is named."""

import asyncio
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cloud_sync.mqtt import BrokerSettings, connector
from edge.probe.mqtt_steps import Asked, Report, examine
from tests.sk import sk

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
MISSING = [name for name, path in (("mosquitto", MOSQUITTO), ("openssl", shutil.which("openssl"))) if path is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"Debian packages needed: {', '.join(MISSING)}")


def openssl(*words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=60)


class Authority:
    """Signs certificates."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.file, self.key = folder, folder / f"{name}.crt", folder / f"{name}.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", 2,
                "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.file)  # fmt: skip

    def sign(self, name: str, names: str, days: int = 2) -> tuple[str, str]:
        """Return files with a certificate for `names` and with its key; with `days` below 0 it has expired."""
        key, request, made = (self.folder / f"{name}.{end}" for end in ("key", "csr", "crt"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
                "-keyout", key, "-out", request)  # fmt: skip
        openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.key, "-CAcreateserial", "-days", days,
                "-extfile", extensions, "-out", made)  # fmt: skip
        return str(made), str(key)


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "ours")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def mosquitto(folder: Path, *lines: str) -> Iterator[int]:
    """Run a broker with these lines in its configuration; yield its port."""
    port = free_port()
    (folder / "mosquitto.conf").write_text("\n".join([f"listener {port} 127.0.0.1", "user root", *lines, ""]))
    with subprocess.Popen(
        [str(MOSQUITTO), "-c", str(folder / "mosquitto.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as broker:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
                break
            except OSError:
                time.sleep(0.02)
        try:
            yield port
        finally:
            broker.kill()


async def probed(port: int, **more: Any) -> Report:
    return await examine(Asked(**{"host": "127.0.0.1", "port": port, "listen": 0.3, "timeout": 2.0, **more}))


def failure(report: Report) -> str:
    return report.failed.code if report.failed else ""


def secured(certificate: tuple[str, str], *more: str) -> tuple[str, ...]:
    return (f"certfile {certificate[0]}", f"keyfile {certificate[1]}", "allow_anonymous true", *more)


async def test_what_is_published_is_listed(tmp_path, no_leaked_tasks):
    """Retained and live topics, with members and the doors of our canon; the broker keeps nothing of the probe."""
    with mosquitto(tmp_path, "allow_anonymous true") as port:
        session = await connector(BrokerSettings(host="127.0.0.1", port=port), "field")()
        await session.publish("sp/east/access/405419896/status", b'{"online": true}', retain=True)
        await session.publish("sp/east/access/405419896/door/1", b'{"state": "closed", "lock": "locked"}', retain=True)
        task = asyncio.create_task(probed(port, listen=1.0))
        await asyncio.sleep(0.5)
        await session.publish("sp/east/access/405419896/event", b'{"seq": 1, "door": 2, "cred": "h:9f3c:8538"}')
        await session.publish("other/13812345678", b"\xff")
        report = await task
        await session.close()
    assert failure(report) == ""
    assert list(report.steps) == ["dns", "tcp", "connect", "subscribe"]
    assert {name: each.retained for name, each in report.heard.topics.items()} == {
        "sp/east/access/405419896/status": 1,
        "sp/east/access/405419896/door/1": 1,
        "sp/east/access/405419896/event": 0,
        "other/13812345678": 0,
    }
    (controller,) = report.heard.controllers.values()
    assert (controller.doors, controller.online) == ({1, 2}, True)


async def test_a_name_or_port_that_nobody_has(no_leaked_tasks):
    """A name that is not known and a port that refuses are told apart."""
    report = await probed(free_port(), host="no.such.host.invalid")
    assert (failure(report), report.steps) == ("dns", {})
    report = await probed(free_port())
    assert failure(report) == "tcp"
    assert "connection refused" in report.failed.what


async def test_users(tmp_path, no_leaked_tasks):
    """Nobody, a wrong password and the right one; and a topic that this user may not read."""
    passwords, rights = tmp_path / "passwords", tmp_path / "rights"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "gate", "right"], check=True, timeout=20)
    rights.write_text("user gate\ntopic read sp/#\n")
    lines = (f"password_file {passwords}", f"acl_file {rights}", "allow_anonymous false")
    with mosquitto(tmp_path, *lines) as port:
        for user, password in ((None, None), ("gate", "wrong")):
            report = await probed(port, user=user, password=password)
            assert failure(report) == "user"
            assert "code 5" in report.failed.what
        report = await probed(port, user="gate", password="right", topic="sp/#")
        assert (failure(report), report.steps["connect"]) == ("", "as gate")


async def test_a_good_certificate(tmp_path, authority, no_leaked_tasks):
    """Chain, dates and name are checked one by one, and nobody asks for ours."""
    with mosquitto(tmp_path, *secured(authority.sign("good", "DNS:localhost,IP:127.0.0.1"))) as port:
        report = await probed(port, tls=True, ca=str(authority.file))
        assert failure(report) == ""
        assert list(report.steps) == [
            "dns", "tcp", "tls-chain", "tls-dates", "tls-name", "client-certificate", "connect", "subscribe",
        ]  # fmt: skip
        plain = await probed(port)
        assert failure(plain) in {"closed", "mqtt"}  # it wants encryption and gets none


async def test_an_authority_that_is_not_known(tmp_path, authority, no_leaked_tasks):
    """A certificate of another authority is the chain's fault, whether others are given or the system's are used."""
    with mosquitto(tmp_path, *secured(authority.sign("chain", "IP:127.0.0.1"))) as port:
        stranger = Authority(tmp_path, "stranger")
        for given in ({"ca": str(stranger.file)}, {}):
            report = await probed(port, tls=True, **given)
            assert (failure(report), list(report.steps)) == ("tls-chain", ["dns", "tcp"])


async def test_a_certificate_that_has_expired(tmp_path, authority, no_leaked_tasks):
    """Old dates are told apart from a chain that is wrong."""
    with mosquitto(tmp_path, *secured(authority.sign("old", "IP:127.0.0.1", days=-1))) as port:
        report = await probed(port, tls=True, ca=str(authority.file))
        assert (failure(report), report.failed.what) == ("tls-dates", "its certificate has expired")


async def test_a_certificate_for_another_name(tmp_path, authority, no_leaked_tasks):
    """A good certificate of somebody else is the name's fault, after chain and dates were found right."""
    with mosquitto(tmp_path, *secured(authority.sign("name", "DNS:broker.example"))) as port:
        report = await probed(port, tls=True, ca=str(authority.file))
        assert (failure(report), list(report.steps)) == ("tls-name", ["dns", "tcp", "tls-chain", "tls-dates"])


@pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
async def test_a_broker_that_wants_our_certificate(tmp_path, authority, version, no_leaked_tasks):
    """Without one, or with one of a stranger, it is ours that is wrong; with the right one we are in."""
    certificate = authority.sign(f"wants-{version}", "IP:127.0.0.1")
    lines = secured(certificate, f"cafile {authority.file}", "require_certificate true", f"tls_version {version}")
    with mosquitto(tmp_path, *lines) as port:
        given = {"tls": True, "ca": str(authority.file)}
        report = await probed(port, **given)
        assert failure(report) == "client-certificate"
        certificate, key = Authority(tmp_path, "other").sign("impostor", "DNS:gate")
        report = await probed(port, **given, certificate=certificate, key=key)
        assert failure(report) == "client-certificate"
        certificate, key = authority.sign("gate", "DNS:gate")
        report = await probed(port, **given, certificate=certificate, key=key)
        assert (failure(report), report.steps["client-certificate"]) == ("", "accepted")
        report = await probed(port, **given, certificate=certificate, key=str(authority.key))
        assert failure(report) == "tls-files"


async def test_what_is_no_broker(no_leaked_tasks):
    """Something else that listens, or says nothing, is not called a broker, and one without TLS is told."""

    talks = set[asyncio.Task[None]]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        if await reader.read(1):
            writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        while await reader.read(4096):
            pass
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        assert failure(await probed(port, timeout=0.5)) == "mqtt"
        assert failure(await probed(port, tls=True)) == "tls"
        await asyncio.gather(*talks)


@pytest.mark.slow
def test_the_command(tmp_path) -> None:
    """Exit codes, the envelope, and no number of a person in what is printed."""
    with mosquitto(tmp_path, "allow_anonymous true") as port:

        async def fill() -> None:
            session = await connector(BrokerSettings(host="127.0.0.1", port=port), "field")()
            await session.publish("staff/13812345678", b'{"in": true}', retain=True)
            await session.publish("sp/east/access/405419896/door/1", b'{"state": "closed"}', retain=True)
            await session.close()

        asyncio.run(fill())
        said = sk("probe", "mqtt", f"127.0.0.1:{port}", "--for", "300ms", "--json")
        answer = said.envelope()
        assert (said.code, answer["schema"]) == (0, "sitekeeper.probe.mqtt/1")
        assert [row["topic"] for row in answer["data"]["topics"]] == ["sp/east/access/405419896/door/1", "staff/…78"]
        assert "profile: mqtt-door" in answer["data"]["yaml"]
        said = sk("probe", "mqtt", f"127.0.0.1:{port}", "--for", "300ms")
        assert (said.code, "13812345678" in said.out + said.err) == (0, False)
    said = sk("probe", "mqtt", f"127.0.0.1:{port}", "--json")
    assert (said.code, json.loads(said.out)["problems"][0]["code"]) == (5, "tcp")
    for wrong in ((), ("a:b",), ("a", "--cert", __file__), ("a", "--for", "soon"), ("a", "--password-file", __file__)):
        assert sk("probe", "mqtt", *wrong).code == 2, wrong
