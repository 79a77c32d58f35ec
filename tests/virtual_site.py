"""A whole site and its office in one process, in virtual time: scenario, gateway, broker, office, telephone.

Real: pymodbus against the frame server on loopback sockets, both SQLite files, both local sockets, the signed webhook.
Virtual: time. In memory: the brokers of office and devices. Writers work inline. `kill_gateway` leaves the outbox as a
kill -9 would.
"""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import yaml

from cloud_sync.memory import MemoryBroker
from edge import operations
from edge.app import App, Wiring
from edge.settings import load as load_site
from office.app import Office
from office.notify.channels.webhook import Webhook
from office.settings import OfficeSettings
from simulators.estate import Estate
from simulators.journal import Journal
from simulators.phone import Phone
from simulators.scenario import Device, Link, Scenario, load
from sitekeeper import control
from sitekeeper.model.clock import SECOND, Clock, Micros
from sitekeeper.model.command import Actor
from tests import oracle, virtual
from tests.fixtures.channel import Chat

SCENARIOS = Path(__file__).parents[1] / "config/scenarios"
SITE = "s1"
SECRET = "sixteen characters or more"
TECHNICIAN = Actor(name="chan", role="technician", origin="site")
PROFILES = {
    "sp-lift-1": "sp-lift-1",
    "lmon": "lift-lmon",
    "words": "lift-lmon",
    "bacnet-lift": "bacnet-lift",
    "bacnet-escalator": "bacnet-escalator",
    "lighting-output": "bacnet-lighting-output",
    "binary-lighting-output": "bacnet-binary-lighting-output",
    "access-door": "bacnet-access-door",
    "sp-barrier-1": "sp-barrier-1",
    "sp-io-16": "sp-io-16-fire",
    "sp-io-16-gas": "sp-io-16-gas",
    "sp-io-16-water": "sp-io-16-water",
    **{
        maker: maker
        for maker in (
            "came-gard-ptx",
            "notifier-modbus-gw",
            "aqualeak-10k",
            "igd-toc-635",
            "pemtech-pt495",
            "honeywell-midas",
            "uhppote-door",
            "esp-rfid",
        )
    },
    "mqtt-door": "mqtt-door",
    "mqtt-lpr": "mqtt-lpr",
    "mqtt-carpark": "mqtt-carpark",
    **{
        same: same
        for same in (
            "sp-io-16-lift",
            "arkel-arcode",
            "invertek-elevator-core",
            "dali-group",
            "dfrobot-sen0644",
            "sonbest-km35b91",
            "eastron-sdm630",
        )
    },
    "sp-relay-8": "sp-relay-8",
    "sp-lux-1": "sp-lux-1",
    "dali-gear": "dali-gear",
    "dali-emergency": "dali-emergency",
}
SLOTS = {
    "sp-relay-8": lambda slot: {"channel": slot},
    "dali-gear": lambda slot: {"channel": 0, "short_address": slot},
    "dali-emergency": lambda slot: {"channel": 0, "short_address": slot},
    "dali-group": lambda slot: {"channel": 0, "group": slot},
    "notifier-modbus-gw": lambda _: {"register": 8999},
    "igd-toc-635": lambda _: {"sensor": 1},
}
"""The parameters of a profile that say which part of a unit a device is."""
PACKS = {
    "sp-relay-8": "lighting",
    "sp-lux-1": "lighting",
    "dfrobot-sen0644": "lighting",
    "sonbest-km35b91": "lighting",
    "dali-group": "lighting",
    "dali-gear": "lighting",
    "dali-emergency": "lighting",
    "sp-barrier-1": "parking",
    "mqtt-lpr": "parking",
    "mqtt-carpark": "parking",
    "sp-io-16": "fire",
    "mqtt-door": "access",
    "uhppote-door": "access",
    "esp-rfid": "access",
    "bacnet-escalator": "escalator",
    "sp-io-16-gas": "gas",
    "sp-io-16-water": "water",
    "came-gard-ptx": "parking",
    "notifier-modbus-gw": "fire",
    "aqualeak-10k": "water",
    "igd-toc-635": "gas",
    "pemtech-pt495": "gas",
    "honeywell-midas": "gas",
}
"""The rule pack that a face brings along, beside that of lifts."""


def site_folder(
    folder: Path,
    plan: Scenario,
    ports: Mapping[str, int],
    rules: Mapping[str, Mapping[str, Any]] | None = None,
    places: Mapping[str, Mapping[str, Any]] | None = None,
    packs: Sequence[str] = (),
    **more: Any,
) -> Path:
    """Write the site folder that fits a scenario.

    `rules` are settings of rules by device, `places` its zone and tags, `packs` rules beside those of `PACKS`, `more`
    further sections.
    """
    folder.mkdir(exist_ok=True)
    site = {
        "site": {"id": SITE, "name": {"en": "Pine Court"}, "timezone": "Asia/Hong_Kong"},
        "links": {link.id: _link(link, ports[link.id]) for link in plan.links},
        "devices": [
            {
                "id": device.id,
                "profile": PROFILES[device.face],
                "link": link.id,
                **_place(link, device, ports[link.id]),
                "name": {"en": f"Lift {device.id[-2:].upper()}"},
                "asset": {"rescue_phone": "+852 5550 0100"},
                "rules": dict((rules or {}).get(device.id, {})),
                **(places or {}).get(device.id, {}),
            }
            for link in plan.links
            for device in link.devices
        ],
        "rules": {"packs": rule_packs(plan, packs)},
        "outbox": {"path": "outbox.db"},
        **more,
    }
    (folder / "site.yaml").write_text(yaml.safe_dump(site, sort_keys=False))
    return folder


def rule_packs(plan: Scenario, more: Sequence[str]) -> list[str]:
    """Return the rules that the site of a scenario runs: those of its faces, and `more`."""
    return sorted({"lift", *more, *(PACKS.get(device.face, "lift") for device in plan.devices())})


def _link(link: Link, port: int) -> dict[str, Any]:
    if link.kind == "bacnet":
        return {"driver": "bacnet-ip", "address": "127.0.0.1/8", "port": 0, "instance": 990001, "timeout": "1s"}
    if link.kind == "mqtt":
        return {"driver": "mqtt", "host": "in-memory"}
    if link.serial:
        return {"driver": "modbus-rtu", "port": link.serial, "framing": "8N1", "timeout": "1s"}
    driver = "modbus-tcp" if link.framing == "mbap" else "modbus-rtu-over-tcp"
    return {"driver": driver, "host": "127.0.0.1", "port": port, "timeout": "1s"}


def _place(link: Link, device: Device, port: int) -> dict[str, Any]:
    if link.kind == "bacnet":
        return {"device": link.instance, "address": f"127.0.0.1:{port}", "object": device.object}
    if device.face == "uhppote-door":
        own = {"site": link.site, "client": "sitekeeper", "controller": int(device.controller), "door": device.door}
        return {"with": {**own, "zone": "Asia/Hong_Kong"}}
    if device.face == "esp-rfid":
        return {"with": {"topic": f"rfid-{device.controller}"}}
    if link.kind == "mqtt":
        return {"with": {"site": link.site, "controller": device.controller, "door": device.door}}
    if device.face in SLOTS:
        return {"unit": device.unit, "with": SLOTS[device.face](device.slot)}
    return {"unit": device.unit}


def lent(broker: MemoryBroker) -> Any:
    """Return what lends drivers connections to `broker`, whichever they ask for: `drivers.broker.Brokers`."""

    def brokers(*, client_id: str, **_: Any) -> Any:
        return broker.connector(client_id, persistent=True)

    return brokers


class RebootedClock:
    """The clock after a restart of the whole machine: the wall goes on, the monotonic time begins anew."""

    def __init__(self, clock: virtual.VirtualClock) -> None:
        self._clock = clock
        self._booted = clock.monotonic() - SECOND

    def wall(self) -> Micros:
        return self._clock.wall()

    def monotonic(self) -> Micros:
        return self._clock.monotonic() - self._booted

    def trusted(self) -> bool:
        return self._clock.trusted()


class VirtualSite:
    """Everything of one run. Times are microseconds since its start."""

    def __init__(
        self,
        folder: Path,
        plan: Scenario,
        rules: Mapping[str, Mapping[str, Any]],
        places: Mapping[str, Mapping[str, Any]],
        packs: Sequence[str],
        start: Micros = virtual.START,
    ) -> None:
        self.folder, self.plan, self._rules, self._places, self._packs = folder, plan, rules, places, packs
        self.sections: dict[str, Any] = {}
        """Further sections of the site's own file."""
        self.clock = virtual.VirtualClock(start=start)
        self.broker, self.field_broker = MemoryBroker(), MemoryBroker()
        self.chat, self.guard = Chat("chat"), Chat("guard")
        self.ladder: Mapping[str, Any] = {}
        """As in office.yaml; its channels are `called`."""
        self.called = {name: Chat(name) for name in ("second", "supervisor", "vendor", "third")}
        self.app: App | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._journal = Journal.open(folder / "sim.jsonl")
        self.estate = Estate(
            plan, clock=self.clock, journal=self._journal, free_ports=True, mqtt=self.field_broker.connector
        )
        self.phone = Phone(clock=self.clock, journal=folder / "phone.jsonl", secret=SECRET.encode())

    # life

    async def open(self) -> None:
        """Start everything but the gateway; the story begins."""
        self._phone_port = await self.phone.start()
        await self.start_office()
        self.ports = await self.estate.start()
        self._tasks["estate"] = asyncio.create_task(self.estate.run(), name="estate")

    async def start_office(self) -> None:
        """Start the office on what its store holds."""
        settings = OfficeSettings.model_validate(
            {
                "store": {"path": str(self.folder / "office.db")},
                "broker": {"host": "unused"},
                "socket": {"path": str(self.folder / "office.sock")},
                "routes": {
                    **{priority: ["duty", "chat"] for priority in ("P1", "P2", "P3")},
                    "security": {"P1": ["guard"]},
                },
                "ladder": self.ladder,
            }
        )
        self.office = Office(
            settings,
            connect={
                "urgent": self.broker.connector("office-urgent", persistent=True),
                "bulk": self.broker.connector("office-bulk", persistent=True),
            },
            channels={
                "duty": Webhook(f"http://127.0.0.1:{self._phone_port}/", SECRET, 10 * SECOND, self.clock),
                "chat": self.chat,
                "guard": self.guard,
                **self.called,
            },
            clock=self.clock,
            inline_store=True,
        )
        await self.office.open()
        self._tasks["office"] = asyncio.create_task(self.office.run(), name="office")

    async def stop_office(self) -> None:
        """End the office; its broker keeps what comes for it meanwhile."""
        await self._end("office")
        await self.office.close()

    def back_up_office(self, to: Path) -> None:
        """Copy the office's store while it runs."""
        with closing(sqlite3.connect(self.folder / "office.db")) as db, closing(sqlite3.connect(to)) as copy:
            db.backup(copy)

    def restore_office(self, backup: Path) -> None:
        """Put a copy in the place of the office's store; the office is stopped."""
        for old in self.folder.glob("office.db*"):
            old.unlink()
        shutil.copy(backup, self.folder / "office.db")

    async def start_gateway(self, clock: Clock | None = None) -> App:
        """Start the gateway; with another clock, as after a restart of the machine."""
        site = load_site(
            site_folder(
                self.folder / "site", self.plan, self.ports, self._rules, self._places, self._packs, **self.sections
            )
        )
        self.app = App(
            site,
            clock or self.clock,
            Wiring(
                connect=self.broker.connector(f"site-{SITE}"),
                inline=True,
                socket=self.folder / "control.sock",
                brokers=lent(self.field_broker),
                room=lambda _: 50 * 10**9,
            ),
        )
        await self.app.open()
        self._done("back gateway")
        self._tasks["gateway"] = asyncio.create_task(self.app.run(), name="gateway")
        return self.app

    async def kill_gateway(self) -> None:
        """End the gateway so that nothing is left of it but what was committed."""
        assert self.app is not None
        self._done("kill gateway")
        await self._end("gateway")
        outbox, image = self.folder / "site/outbox.db", self.folder / "image"
        image.mkdir(exist_ok=True)
        for name in ("outbox.db", "outbox.db-wal"):
            if (outbox.parent / name).exists():
                shutil.copy(outbox.parent / name, image / name)
        await self.app._api.close()
        self.app.outbox.close()
        for old in outbox.parent.glob("outbox.db*"):
            old.unlink()
        for kept in image.iterdir():
            kept.replace(outbox.parent / kept.name)
        self.app = None

    def cut(self) -> None:
        """Take the broker away."""
        self._done("cut")
        self.broker.up = False
        self.broker.cut()

    def mend(self) -> None:
        """Give the broker back."""
        self._done("back")
        self.broker.up = True

    async def close(self) -> None:
        """End everything, first the devices, so that no reading is on its way; what died by itself raises."""
        async with AsyncExitStack() as last_first:
            last_first.callback(self._journal.close)
            last_first.push_async_callback(self.phone.close)
            last_first.push_async_callback(self.office.close)
            last_first.push_async_callback(self._end, "office")
            if self.app is not None:
                last_first.push_async_callback(self.app.close)
                last_first.push_async_callback(self._end, "gateway")
                last_first.push_async_callback(asyncio.sleep, 5)  # the end of the link is recorded, sent, committed
            last_first.push_async_callback(self.estate.close)
            last_first.push_async_callback(self._end, "estate")

    async def _end(self, name: str) -> None:
        task = self._tasks.pop(name)
        if task.done():
            await task
        task.cancel()
        await asyncio.wait({task})

    def _done(self, what: str) -> None:
        with (self.folder / "done.jsonl").open("a") as done:
            done.write(json.dumps({"t": self.clock.wall(), "did": what}) + "\n")

    # time and people

    async def at(self, seconds: float) -> None:
        """Wait until so many seconds of the run are over."""
        for task in self._tasks.values():
            assert not task.done(), f"{task.get_name()} ended: {task.exception()!r}"
        await asyncio.sleep(max(0.0, seconds - virtual.virtual_loop().time()))

    async def ask(self, whom: str, op: str, **args: Any) -> list[Any]:
        """Ask `control` (the site) or `office` over its socket, as `sk` does.

        Raises:
            ControlError: refused.
        """
        reader, writer = await asyncio.open_unix_connection(self.folder / f"{whom}.sock")
        try:
            writer.write(control.encode_request(op, args))
            lines = (await asyncio.wait_for(reader.read(), 30)).splitlines(keepends=True)
        finally:
            writer.close()
            await writer.wait_closed()
        return list(control.read_reply(iter(lines)))

    async def technician(self, op: str, **args: Any) -> list[Any]:
        """Do what a technician on site does with `sk`.

        Raises:
            Refused, NotFound: the site does not let it happen.
        """
        assert self.app is not None
        operation = operations.table(self.app._gateway())[op]
        return [item async for item in operation(TECHNICIAN, args)]

    # what came of it, by plain SQL

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """Ask the office's tables."""
        return select(self.folder / "office.db", sql, *values)

    def moves(self) -> list[tuple[str, str, str, str, float]]:
        """Return all moves at the office in order: rule, cause, source, target, seconds of the run."""
        found = self.rows("SELECT rule, cause, source, target, at FROM transitions ORDER BY id")
        return [(r["rule"], r["cause"], r["source"], r["target"], seconds(r["at"])) for r in found]

    def state(self, rule: str) -> str:
        """Return the state letter of the only alarm of a rule, at the office; A if it was never raised."""
        found = self.rows("SELECT state FROM alarms WHERE rule = ?", rule)
        return found[0]["state"] if found else "A"

    def judged(self) -> oracle.Account:
        """Return the oracle's account of the run."""
        return oracle.judge(
            SITE,
            self.folder / "office.db",
            self.folder / "sim.jsonl",
            phone=self.folder / "phone.jsonl",
            done=self.folder / "done.jsonl",
            packs=rule_packs(self.plan, self._packs),
        )


def select(path: Path, sql: str, *values: object) -> list[sqlite3.Row]:
    """Read from a database file."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        db.row_factory = sqlite3.Row
        return db.execute(sql, values).fetchall()


def seconds(wall: Micros) -> float:
    """Return the seconds of the run at a wall time."""
    return (wall - virtual.START) / SECOND


@asynccontextmanager
async def running(
    folder: Path,
    scenario: str | Mapping[str, Any],
    *,
    rules: Mapping[str, Mapping[str, Any]] | None = None,
    places: Mapping[str, Mapping[str, Any]] | None = None,
    packs: Sequence[str] = (),
    phase: float = 0.0,
    sections: Mapping[str, Any] | None = None,
    start: Micros = virtual.START,
    ladder: Mapping[str, Any] | None = None,
) -> AsyncIterator[VirtualSite]:
    """Run a scenario, by file name or as written, with its site and office; the first poll comes at `phase` seconds.

    `start` is the wall time at which it begins; whoever counts in seconds of the run counts from `virtual.START`.
    """
    plan = load(SCENARIOS / scenario) if isinstance(scenario, str) else Scenario.model_validate(scenario)
    site = VirtualSite(folder, plan, rules or {}, places or {}, packs, start)
    site.sections, site.ladder = dict(sections or {}), ladder or {}
    await site.open()
    try:
        await site.at(phase)
        await site.start_gateway()
        yield site
    finally:
        await site.close()


def sequences(path: Path) -> dict[str, Sequence[int]]:
    """Return the block sequences that the office has of the site, by stream."""
    found: dict[str, list[int]] = {}
    sql = "SELECT stream, sequence FROM blocks WHERE site = ? ORDER BY stream, sequence"
    for row in select(path, sql, SITE):
        found.setdefault(row["stream"], []).append(row["sequence"])
    return found
