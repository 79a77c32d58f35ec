"""A joined gateway, its office and their broker as real processes: renewals under load, secrets nowhere, revoking."""

import json
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sitekeeper.enrolment import parse_code
from tests.fixtures.enrolled import EnrolledOffice, join
from tests.fixtures.sk_site import SkSite
from tests.sk import wait_for

pytestmark = pytest.mark.slow

LIFE_S = 9
RENEWALS = 2
BLOCKS = 15
CANARIES = {"chat": "canary-chat-0123456789abcdef", "desk": "canary-desk-0123456789abcdef"}
SITE = "pine-court"
LIFTS = [f"lift-a{unit}" for unit in range(1, 9)]
SCENARIO = {
    "title": "Lifts that go up and down, and the alarm button of each",
    "seed": 1,
    "links": [
        {
            "id": "lifts",
            "devices": [
                {
                    "id": lift,
                    "unit": unit,
                    "face": "sp-lift-1",
                    "lift": {"floors": 12, "start_floor": 1, "traffic": "1s"},
                    "story": [{"at": f"{unit}s", "do": {"alarm_button": "8s"}}],
                }
                for unit, lift in enumerate(LIFTS, 1)
            ],
        }
    ],
}


class Estate(SkSite):
    """Everything is started once for the tests of this file, which follow each other."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.office = EnrolledOffice(folder, certificates_last=f"{LIFE_S}s")
        self.office.written["channels"] = [
            {"id": "desk", "kind": "webhook", "url": "http://127.0.0.1:9/x", "secret": "${secret:desk}"},
        ]
        self.office.config.write_text(json.dumps(self.office.written))
        secrets = folder / "secrets.yaml"
        secrets.touch(0o600)
        secrets.write_text("".join(f"{name}: {word}\n" for name, word in CANARIES.items()))

    def begin(self) -> None:
        self.office.broker.start()
        self.start("office", "office", "run", "--config", str(self.office.config))
        wait_for(self.office.socket.exists)
        self.code = self.office.sk("site", "add", SITE).out.strip()
        self.joined = join(self.code, self.folder / "site")
        port = self.simulate(SCENARIO)["lifts"]
        self.serve(
            links={"a1": {"driver": "modbus-tcp", "host": "127.0.0.1", "port": port, "timeout": "1s"}},
            devices=[
                {"id": lift, "profile": "sp-lift-1", "link": "a1", "unit": unit} for unit, lift in enumerate(LIFTS, 1)
            ],
            rules={"packs": ["lift"]},
            office={"broker": f"mqtts://127.0.0.1:{self.office.broker_port}"},
        )

    def logged(self, *events: str) -> list[dict[str, Any]]:
        lines = (self.folder / "gateway.log").read_text().splitlines()
        return [row for row in map(json.loads, filter(None, lines)) if row["event"] in events]

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.office.broker.kill()


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    estate = Estate(tmp_path_factory.mktemp("estate"))
    try:
        estate.begin()
        yield estate
    finally:
        estate.close()


def unsent(estate: Estate) -> dict[str, Any]:
    found: dict[str, Any] = estate.data("sync", "status")["unsent"]
    return found


def stored(estate: Estate) -> dict[str, tuple[int, int, int]]:
    """Return how many blocks of each stream the office has, with the first and the last sequence."""
    query = "SELECT stream, count(*), min(sequence), max(sequence) FROM blocks GROUP BY stream"
    with closing(sqlite3.connect(estate.office.folder / "office.db")) as sql:
        return {stream: (count, first, last) for stream, count, first, last in sql.execute(query)}


def test_renewals_under_load_lose_no_block(estate: Estate) -> None:
    """At two thirds of its life each certificate is replaced, with one reconnect; the office has every block."""
    wait_for(lambda: len(estate.logged("certificate renewed")) >= RENEWALS)
    wait_for(lambda: estate.data("status")["office"]["published"] >= BLOCKS)  # there was something to lose
    wait_for(lambda: estate.data("status")["office"]["state"] == "connected")
    logged = Counter(row["event"] for row in estate.logged("certificate renewed", "uplink connected"))
    renewed, connected = logged["certificate renewed"], logged["uplink connected"]
    assert RENEWALS <= renewed <= connected <= renewed + 1
    wait_for(lambda: unsent(estate)["samples"]["blocks"] <= 1)
    wait_for(lambda: sum(count for count, *_ in stored(estate).values()) >= BLOCKS)  # what is sent twice is stored once
    rows = stored(estate)
    assert rows["events"][0] >= renewed - 1, "each renewal is an event of the gateway"
    for stream, (count, first, last) in rows.items():
        assert (first, last) == (1, count), stream
    assert estate.data("status")["office"]["certificate"]["renewed"] >= renewed  # it goes on every six seconds


def test_secrets_are_nowhere_but_in_their_files(estate: Estate) -> None:
    """Keys, codes and passwords of a running estate: none in arguments, environments, logs, answers or databases."""
    trust, own = estate.office.trust, estate.folder / "site/trust"
    keys = [trust / "ca.key", trust / "command.key", trust / "enrol.key", trust / "broker.key", trust / "office.pem"]
    canaries = {word.encode() for word in CANARIES.values()}
    canaries |= {
        re.search(rb"BEGIN PRIVATE KEY-----\n.{50}(.{14})\n", path.read_bytes())[1]  # type: ignore[index]
        for path in [*keys, own / "gateway.pem"]
    }
    secret = parse_code(estate.code).secret
    canaries |= {secret, secret.hex().encode(), estate.code.partition("/")[2].encode()}
    assert len(canaries) == len(CANARIES) + len(keys) + 1 + 3
    looked = {}
    for name, process in estate.processes.items():
        for what in ("cmdline", "environ"):
            looked[f"{name} {what}"] = Path(f"/proc/{process.pid}/{what}").read_bytes()
    answers = [
        estate(*words)
        for words in (("status",), ("sync", "status"), ("doctor",), ("config", "check", str(estate.folder / "site")))
    ]
    answers += [estate.joined, estate.office.sk("site", "list"), estate.office.sk("ca", "init")]
    looked |= {f"answer {index}": (said.out + said.err).encode() for index, said in enumerate(answers)}
    secret_files = {*keys, own / "gateway.pem", trust / "broker/server.key", estate.folder / "secrets.yaml"}
    looked |= {
        str(path): path.read_bytes() for path in estate.folder.rglob("*") if path.is_file() and path not in secret_files
    }
    assert any(name.endswith("office.db") for name in looked)
    assert any(name.endswith("outbox.db") for name in looked)
    found = [name for name, content in looked.items() if any(canary in content for canary in canaries)]
    assert found == []
    assert {oct(path.stat().st_mode & 0o177) for path in secret_files if path.parent.name != "broker"} == {"0o0"}


def test_a_revoked_site_is_out_within_a_minute(estate: Estate) -> None:
    """Its connection ends, the broker takes it no more, and the office's list says so."""
    began = time.monotonic()
    assert estate.office.sk("site", "revoke", SITE).code == 0
    wait_for(lambda: estate.data("status")["office"]["state"] != "connected", within=60)
    wait_for(lambda: "revoked" in estate.data("status")["office"]["last_error"], within=60)
    took = time.monotonic() - began
    print(f"out after {took:.1f} s")
    assert took < 60
    row = next(row for row in estate.office.sk("site", "list").table() if row["site"] == SITE)
    assert row["state"] == "revoked"
    assert estate.processes["gateway"].poll() is None  # it goes on recording
