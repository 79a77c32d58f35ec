"""The shipped estate as a run: every family of devices, a broker of the doors' own, and people who use the doors.

Lifts, lanes and the BACnet controller live in a process of their own. The doors' controllers and the fire panel, which
the test itself moves, live in the test's process. Everything that may be killed is a process.
"""

import asyncio
import signal
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final
from unittest.mock import patch

import yaml

from edge.clock_trust import synchronised
from simulators.estate import Estate
from simulators.faults import Fault
from simulators.fire import Deed
from simulators.journal import Journal
from simulators.proxy import Proxy
from simulators.scenario import Scenario
from simulators.stage import free_port, replaced, write
from simulators.story import Journal as Follower
from sitekeeper.model.clock import MS, SECOND, SystemClock
from tests import doors_broker, oracle, oracle_events
from tests.estate_run import CONFIG, READY_S, SITE, EstateRun, listens
from tests.fixtures.mosquitto import Authority
from tests.oracle_doors import judge_told

PARTS: Final = ("gateway", "doors", "office", "broker")
"""What may be killed. `doors` is the broker of the doors, `broker` the one between site and office."""
MOVED: Final = ("doors", "fire-panel")
"""Links whose devices the test moves."""
DOORS: Final = ("door-lobby", "door-stairs", "door-office", "door-store", "door-roof", "door-plant")
ESCAPE: Final = {"lane-out", *(f"lamp-{n}" for n in range(17, 25))}
"""What else a fire alarm sets free."""
WAYS: Final = ("lift-a1", "parking", "fire-panel", "doors", "office")
"""The gateway's ways on which a byte proxy may stand."""
AUTOSAVE_S: Final = 2
NOTHING: Final = "proved nothing: nothing was at risk"
NOT_JUDGED: Final = {"A03"}
"""A03 counts refusals that are told in time; which of them were is no truth of the doors."""
NOT_WITHOUT_A_CLOCK: Final = {"A01"}
"""A site that does not trust its clock marks nothing late that waited in a broker. Then an opening that was held back,
whose grant was not, looks forced; that much is not promised."""
AWAKE: Final = 50 * MS


class WholeRun(EstateRun):
    """One run of the whole estate; use it as an asynchronous context.

    Args:
        store: how many events a door controller keeps; by default more than a run has.
        ways: have byte proxies on the gateway's ways; that to the doors' broker is encrypted then.

    Attributes:
        ways: the byte proxies, by name, if the run has any.
    """

    def __init__(self, folder: Path, *, seed: int = 1, store: int | None = None, ways: bool = False) -> None:
        super().__init__(folder, [], seed=seed)
        self._doors, self._doors_tls = free_port(), free_port()
        self._start["doors"] = ([self._mosquitto, "-c", self._path("doors.conf")], lambda: listens(self._doors))
        self._ends = (*self._ends, "doors")
        self.ways: dict[str, Proxy] = {name: Proxy(port=free_port(), seed=seed) for name in WAYS if ways}
        self._journal = Journal.open(folder / "lifts.jsonl")
        ours = [link for link in links() if link["id"] in MOVED]
        for link in ours if store is not None else ():
            link |= {"store": store} if link.get("kind") == "mqtt" else {}
        moved = {"title": "moved", "seed": seed, "links": ours}
        plan = Scenario.model_validate(moved).at_broker("127.0.0.1", self._doors)
        self._estate = Estate(plan, clock=SystemClock(), journal=self._journal, free_ports=True)
        self._living: asyncio.Task[None] | None = None
        self._planned = 0
        self._told: list[oracle.Line] = []
        self._follows = Follower(folder / "lifts.jsonl")

    # what may be done to it

    async def people(self, random: Random) -> None:
        """Let people use the doors for ever: bursts of 10 to 50 refused cards a second, and some who enter or leave."""
        while True:
            for name in random.sample(DOORS, 2):
                self.burst(name, random.randrange(10, 51))
            name = random.choice(DOORS)
            door = self._estate.doors[name]
            self._plan(name, random.choice((door.enter, door.leave)))
            await asyncio.sleep(random.uniform(1.1, 2.2))

    def burst(self, name: str, cards: int) -> None:
        """Let so many cards be refused at a door within a second."""
        self._plan(name, partial(self._estate.doors[name].deny, cards, every=SECOND // cards))

    def _wake(self, name: str) -> None:
        """Keep a controller awake: one that sleeps until its next appointment would notice a new one too late."""
        self._estate.doors[name].plan(self._estate.story_time() + AWAKE, "test awake", partial(self._wake, name))

    def _plan(self, name: str, deed: Any) -> None:
        self._planned += 1
        self._estate.doors[name].plan(self._estate.story_time(), f"test {self._planned}", deed)

    def freeze(self, part: str) -> None:
        """Let a part hang: it gets everything and does nothing, until it is thawed or killed."""
        self._stage.signal(part, signal.SIGSTOP)
        if part == "gateway":
            self._did("cut pause")

    def thaw(self, part: str) -> None:
        """Let a frozen part go on."""
        self._stage.signal(part, signal.SIGCONT)
        if part == "gateway":
            self._did("back pause")

    async def forget(self, part: str) -> None:
        """Kill a broker and destroy what it has on its disk."""
        await self.kill(part)
        for kept in (self.folder / part).glob("mosquitto.db*"):
            kept.unlink()

    def spoil(self, way: str, fault: Fault | None) -> None:
        """Spoil a way, or with None heal it, and note it where the oracle has to know: on the way to the office."""
        self.ways[way].switch(fault)
        if way == "office":
            self._did("back way" if fault is None else "cut way")

    def fire(self, deed: Deed) -> None:
        """Do something to the fire panel, at once."""
        panel = self._estate.panels["fire-panel"]
        panel.advance(self._estate.story_time())
        panel.do(deed)

    async def quiet(self, within: float = 120.0) -> None:
        """Have every controller tell something to a gateway that listens, and wait until it has come to the office.

        What a broker has acknowledged and lost shows by the number of the next event, and by nothing before.
        """
        await self.gateway_listens()
        for name in (DOORS[0], DOORS[-1]):
            self.burst(name, 2)
        await self.until(lambda: not any(door.open for door in self._estate.doors.values()), within, "a door is open")
        await asyncio.sleep(1.5)  # a burst takes a second
        await self.until(lambda: not self.untold(), within, "the last events have not come")

    async def gateway_listens(self, topics: int = 2) -> None:
        """Wait until the gateway has subscribed to the events of both controllers; with 0, until it has gone."""
        log = self.folder / "doors.log"
        await self.until(
            lambda: len(doors_broker.gateway_listens(log)) == topics, READY_S, "the gateway does not listen"
        )

    # what may be looked at

    def judge(self) -> oracle.Account:
        """Return the oracle's account of the run, with the order of events and what the doors' broker says."""
        files = {name: self.folder / f"{name}.jsonl" for name in ("phone", "tap", "done")}
        journal, store = self.folder / "lifts.jsonl", self.folder / "office.db"
        trusted = synchronised()
        unjudged = NOT_JUDGED if trusted else NOT_JUDGED | NOT_WITHOUT_A_CLOCK
        needed = {rule: needed for rule, needed in oracle.NEEDED.items() if rule not in unjudged}
        with patch.object(oracle_events, "LATE", oracle_events.LATE if trusted else oracle_events.NEVER):
            account = oracle.judge(SITE, store, journal, **files, needed=needed)
        office = oracle.Office(store, SITE)
        judge_told(self._lines(), oracle.lines(files["done"]), office, account)
        office.close()
        account.risk |= doors_broker.at_risk(self.folder / "doors.log")
        told = account.figures["gap_events_came"] + account.figures["gap_events_missing"]
        account.risk["events in gaps that were told"] = told
        if any(account.risk.values()):
            account.wrong = [sentence for sentence in account.wrong if sentence != NOTHING]
        account.figures["ranges_asked"] = len(self.facts("range asked"))
        return account

    def facts(self, fact: str) -> list[oracle.Line]:
        """Return what happened in truth under this name."""
        return [line for line in self._lines() if line.get("fact") == fact]

    def free(self) -> set[str]:
        """Return the devices that were told last to let people out."""
        last = {line["device"]: line["wrote"] for line in self._lines() if "wrote" in line}
        wanted = {"mode": "free", "hold_open": True, "command": 100}
        return {device for device, wrote in last.items() if wanted.items() & wrote.items()}

    def untold(self) -> set[str]:
        """Return the doors whose last event is not at the office."""
        last = {line["device"]: line["event"]["seq"] for line in self._lines() if "event" in line and "device" in line}
        sql = "SELECT source_id, MAX(device_sequence) FROM events GROUP BY source_id"
        came: dict[str, int] = {}
        with closing(sqlite3.connect(f"file:{self.folder}/office.db?mode=ro", uri=True)) as office:
            for source, sequence in office.execute(sql):
                device = source.split("/")[0]
                came[device] = max(came.get(device, 0), sequence or 0)
        return {device for device, sequence in last.items() if came.get(device, 0) < sequence}

    def _lines(self) -> list[oracle.Line]:
        """Return the journal so far; what was read before is not read again."""
        self._told += self._follows.new()
        return self._told

    # setting up

    async def _set_up(self) -> None:
        kept = self.folder / "doors"
        kept.mkdir()
        settings = doors_broker.MOSQUITTO.format(port=self._doors, folder=kept, autosave=AUTOSAVE_S)
        write(self.folder / "doors.conf", settings + (self._secured() if self.ways else ""))
        await self.start("doors")
        others = [link for link in links() if link["id"] not in MOVED]
        _, ports = await asyncio.gather(self._start_office_side(), self._start_devices(others))
        ports |= await self._estate.start()
        for name in (DOORS[0], DOORS[-1]):
            self._wake(name)
        self._living = asyncio.create_task(self._estate.run(), name="doors and panel")
        ports |= {"doors": self._doors_tls if self.ways else self._doors, "office": self._broker}
        for name, way in self.ways.items():
            way.target = ("127.0.0.1", ports[name])
            ports[name] = await way.start()
        self._write_shipped_site(ports)
        self._write_office()
        await self.start("office")
        await self.start("gateway")
        await self.gateway_listens()

    def _secured(self) -> str:
        """Return settings of a second door to the doors' broker, one with TLS."""
        authority = Authority(self.folder / "authority")
        certificate, key = authority.sign("broker", host="IP:127.0.0.1")
        return f"""
listener {self._doors_tls} 127.0.0.1
cafile {authority.ca}
certfile {certificate}
keyfile {key}
"""

    def _door_link(self) -> str:
        ca = self.folder / "authority" / "ca.pem"
        return f", keepalive: 5s, tls: {{ca: {ca}}}" if self.ways else ""

    async def _silence(self) -> None:
        await self._end_ours()
        await super()._silence()

    async def _tear_down(self) -> None:
        await self._end_ours()
        for way in self.ways.values():
            await way.close()
        self._journal.close()
        await super()._tear_down()

    async def _end_ours(self) -> None:
        """Stop what lives in this process."""
        living, self._living = self._living, None
        if living is not None:
            living.cancel()
            await asyncio.wait((living,))
            await self._estate.close()

    def _write_shipped_site(self, ports: dict[str, int]) -> None:
        shipped = CONFIG / "sites" / SITE
        changes = {
            "port: 5031": f"port: {ports['lift-a1']}",
            "port: 5032": f"port: {ports['parking']}",
            "port: 5033": f"port: {ports['fire-panel']}",
            "host: 127.0.0.1, port: 1883": f"host: 127.0.0.1, port: {ports['doors']}{self._door_link()}",
            '"mqtt://127.0.0.1:1883"': f'"mqtt://127.0.0.1:{ports["office"]}"',
            "path: state/outbox.db": f"path: {self._path('outbox.db')}",
        }
        text = (shipped / "site.yaml").read_text(encoding="utf-8")
        write(self.folder / "site" / "site.yaml", replaced(text, changes))
        for file in sorted((shipped / "devices").glob("*.yaml")):
            text = file.read_text(encoding="utf-8").replace("127.0.0.1:47821", f"127.0.0.1:{ports['bms']}")
            write(self.folder / "site" / "devices" / file.name, text)


def links() -> list[dict[str, Any]]:
    """Return the links of the shipped scenario with traffic on lifts and lanes, and no story but lamps that are lit."""
    text = (CONFIG / "scenarios" / f"{SITE}.yaml").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = yaml.safe_load(text)["links"]
    for device in (device for link in found for device in link["devices"]):
        device["story"] = [step for step in device.get("story", ()) if "level" in step["do"]]
        if device["face"] == "mqtt-door":
            device.pop("traffic", None)
        if "lift" in device:
            device["lift"]["traffic"] = "8s"
    return found
