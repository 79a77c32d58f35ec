"""A company's own PostgreSQL: gateway, broker, workers, database, office and telephone, each a process of its own."""

import asyncio
import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml

from cloud_sync.ingest import Ingest, IngestSettings
from cloud_sync.store.base import Transaction
from cloud_sync.store.postgres import PostgresStore
from office.central import GROUP
from office.follow import Follower
from simulators.stage import free_port, sk, write
from sitekeeper.model.clock import SystemClock
from sitekeeper.model.errors import Refused
from tests import oracle
from tests.contract.test_store_contract import commit, name_points, put
from tests.estate_run import SITE, STUCK_FOR_S, EstateRun, lift
from tests.fixtures.postgres import Postgres, rows
from tests.unit.cloud_sync.material import SITE as MATERIAL
from tests.unit.cloud_sync.material import T0, payload

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

WORKERS = ("worker-a", "worker-b")
TERMINATE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
DOWN_S = 20.0 if os.environ.get("SITEKEEPER_FULL") else 6.0


class CompanyRun(EstateRun):
    """The estate of `estate_run` on a PostgreSQL store, with workers that receive; the office only follows."""

    def __init__(self, folder: Path, devices: list[dict[str, Any]], url: str) -> None:
        super().__init__(folder, devices)
        self.url = url
        self.console = free_port()
        self._token = ""
        self._ends = ("gateway", *WORKERS, "office", "tap", "phone", "broker")
        for name in WORKERS:
            command = sk("office", "ingest", "--config", self._path("office.yaml"), "--name", name)
            self._start[name] = (command, lambda: True)

    async def _set_up(self) -> None:
        await super()._set_up()
        for name in WORKERS:
            await self.start(name)

    def _write_office(self) -> None:
        super()._write_office()
        path = self.folder / "office.yaml"
        office = yaml.safe_load(path.read_text())
        office["store"] = {"url": self.url, "folder": str(self.folder)}
        office["ingest"] = "external"
        office["broker"]["protocol"] = "5"
        office["console"] = {"port": self.console}
        write(path, yaml.safe_dump(office))

    def judge(self) -> oracle.Account:
        files = {name: self.folder / f"{name}.jsonl" for name in ("phone", "tap", "done")}
        needed = {**oracle.NEEDED, "L01": STUCK_FOR_S * oracle.SECOND}
        return oracle.judge(SITE, self.url, self.folder / "lifts.jsonl", **files, needed=needed)

    def one(self, sql: str) -> Any:
        return rows(self.url, sql)[0][0]

    def _drained(self) -> bool:
        with psycopg.connect(self.url) as office:
            left = office.execute(
                "SELECT (SELECT count(*) FROM transitions WHERE decision IS NULL)"
                " + (SELECT count(*) FROM pushes WHERE state IN ('planned', 'sending'))"
            ).fetchone()
        with closing(sqlite3.connect(f"file:{self.outbox}?mode=ro", uri=True)) as outbox:
            waiting = outbox.execute("SELECT count(*) FROM blocks WHERE NOT released").fetchone()
        return left == waiting == (0,)

    async def kept(self, condition: Callable[[], bool], within: float, what: str) -> None:
        """Wait until a condition holds and do meanwhile what systemd does: start the office again when it has stopped.

        When it notices that its database was away, and whether it stops then, is its own affair.
        """
        end = asyncio.get_running_loop().time() + within
        while not condition():
            assert asyncio.get_running_loop().time() < end, f"{what} after {within} s"
            if not self._stage.alive("office"):
                self._did("kill office")
                await self.bring_back("office")
            await asyncio.sleep(0.1)

    def asked(self, path: str) -> Any:
        """Ask the console's API as a program with a token does; return None while nobody listens."""
        if not self._token:
            office = self._path("office.yaml")
            command = sk("office", "user", "token", "add", "checker", "--role", "viewer", "--config", office)
            self._token = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.console}{path}", headers=headers, timeout=20.0)
        except httpx.TransportError:
            return None
        answer.raise_for_status()
        return answer.json()


async def test_workers_and_database_die_and_nothing_is_lost_or_doubled(postgres: Postgres, tmp_path: Path) -> None:
    """A worker is killed, all connections are cut, the database crashes and comes back: the oracle finds no fault."""
    lifts = [
        lift(1, {"at": "3s", "do": {"alarm_button": "1h"}}),
        *(lift(10 + n, traffic="2s") for n in range(3)),  # so that something is always under way
        # One of these is due after the database has gone, however long it took to get there.
        *(lift(3 + n, {"at": f"{at}s", "do": {"alarm_button": "1h"}}) for n, at in enumerate((16, 32, 48, 64))),
    ]
    url = postgres.create()
    async with CompanyRun(tmp_path, lifts, url) as run:
        await run.until(lambda: len(run.pushes()) >= 1, 60.0, "no push")
        await run.kill("worker-a")
        await asyncio.sleep(2.0)
        assert run.one(f"SELECT count(*) FROM ({TERMINATE}) t") >= 3
        await asyncio.sleep(1.0)
        before = len(run.pushes())
        postgres.stop(signal.SIGQUIT)
        run._did("kill database")
        await asyncio.sleep(DOWN_S)
        postgres.start()
        run._did("back database")
        await run.bring_back("worker-a")
        await run.kept(lambda: len(run.pushes()) > before, 90.0, "no further push")
        await run.kept(lambda: SITE in str(run.asked(f"/api/v1/alarms?site={SITE}")), 30.0, "the console has no alarm")
        await run.drain()
    account = run.judge()
    assert account.wrong == []
    assert account.figures["served"] > 100
    doubled = "SELECT 1 FROM samples GROUP BY point, at, block, position HAVING count(*) > 1"
    assert run.one(f"SELECT count(*) FROM ({doubled}) d") == 0
    assert run.one("SELECT count(*) FROM v_holes") == 0


class Ear:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.heard_of: list[tuple[str, bool]] = []
        self.moves = 0

    def applied(self, _transitions: object) -> None:
        self.moves += 1

    def heard(self, site: str, *, online: bool) -> None:
        self.heard_of.append((site, online))


async def test_the_office_notices_what_others_store(postgres: Postgres) -> None:
    """A transition and a sign of life that a worker stored are told, each once; and nothing of before the start."""
    url = postgres.create()
    worker, office, ear = PostgresStore.open(url), PostgresStore.open(url), Ear()
    name_points(worker)
    commit(worker, payload("alarms", 1))
    follower = Follower(office, ear)
    try:
        await follower.look(heard=True)
        assert (ear.moves, ear.heard_of) == (0, [])
        later = Transaction(at=T0 + 5, entries=(put(payload("alarms", 2)),))
        await asyncio.wrap_future(worker.commit(later))
        for _ in range(2):
            await follower.look(heard=True)
        assert (ear.moves, ear.heard_of) == (1, [(MATERIAL, False)])
    finally:
        follower.close()
        worker.close()
        office.close()


class Old:
    """A session with a broker that speaks MQTT 3.1.1 only."""

    protocol = "3.1.1"

    def __init__(self) -> None:
        self.topics: list[str] = []

    async def subscribe(self, topic: str) -> None:
        self.topics.append(topic)


async def test_without_mqtt_5_a_worker_refuses_and_the_office_receives_alone(postgres: Postgres) -> None:
    """Two plain subscriptions would each get every message; the remedy is said."""
    store, session = PostgresStore.open(postgres.create()), Old()
    try:
        for alone in (False, True):
            settings = IngestSettings(group=GROUP, alone_without=alone)
            ingest = Ingest({}, store, Ear(), clock=SystemClock(), settings=settings)
            if alone:
                await ingest._subscribe("bulk", session)  # type: ignore[arg-type]
                continue
            with pytest.raises(Refused, match="several workers want MQTT 5"):
                await ingest._subscribe("bulk", session)  # type: ignore[arg-type]
        assert session.topics == ["sitekeeper/1/+/up/samples"]
        session.protocol = "5"
        await ingest._subscribe("bulk", session)  # type: ignore[arg-type]
        assert session.topics[1] == f"$share/{GROUP}/sitekeeper/1/+/up/samples"
    finally:
        store.close()
