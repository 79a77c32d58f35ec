"""An office with a console over a broker in memory, and sites reduced to what they say: for the console's tests."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cloud_sync import wire
from cloud_sync.ingest import Lane
from cloud_sync.memory import MemoryBroker
from cloud_sync.session import Connect, Session, Will
from office.app import Office
from office.auth import Users
from office.settings import OfficeSettings
from sitekeeper import files
from sitekeeper.block import Block, Gap, GapCause, Vouch, encode
from sitekeeper.catalogue import (
    Catalogue,
    CatalogueDevice,
    CatalogueGroup,
    CataloguePoint,
    CatalogueRule,
    catalogue_hash,
)
from sitekeeper.catalogue import encode as encode_catalogue
from sitekeeper.model.alarm import AlarmState, Cause, Transition
from sitekeeper.model.asset import Asset
from sitekeeper.model.clock import MS, SECOND, SystemClock
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import PeerUnreachable
from sitekeeper.model.quality import Reason, bad
from sitekeeper.model.sample import Sample, Value
from tests.fixtures.channel import Chat

POINTS: dict[str, tuple[str, str, tuple[str, ...], tuple[str, ...]]] = {
    # name: type, unit, members, names in three languages; in the order of their ids
    "direction": ("enum", "", ("none", "up", "down"), ("Direction", "運行方向", "运行方向")),
    "door": ("enum", "", ("closed", "open", "closing", "opening", "unknown"), ("Door", "轎門", "轿门")),
    "floor": ("int", "", (), ("Floor", "樓層", "楼层")),
    "load": ("float", "%", (), ("Load", "載重", "载重")),
    "online": ("bool", "", (), ()),
    "passenger": ("bool", "", (), ("Passenger in car", "轎廂有人", "轿厢有人")),
    "service_mode": ("enum", "", ("out_of_service", "normal"), ("Service mode", "運行模式", "运行模式")),
}
HANDLE = {name: handle for handle, name in enumerate(POINTS)}


def named(*words: str) -> dict[str, str]:
    return dict(zip(("en", "zh-Hant", "zh-Hans"), words, strict=False))


RULES = (
    CatalogueRule("L01", "P1", named("People trapped in the lift", "電梯困人", "电梯困人"), "lift-entrapment"),
    CatalogueRule("L22", "P2", named("Mains failed", "升降機停電", "电梯停电"), "lift-power"),
    CatalogueRule("L25", "P3", named("Lift not monitored", "升降機失去監察", "电梯失去监察"), "monitoring-lost"),
)
SAYS_EVERY_S = 1
"""A gateway says every 10 s that it is there; tests that watch one fall silent wait for less than it would take."""
LANES: tuple[Lane, ...] = ("urgent", "bulk")
PASSWORDS: dict[str, str] = {}
"""Of the accounts of every estate, by name."""
_ACCOUNTS: list[bytes] = []
"""Their file, once it has been made."""


def catalogue(site: str, names: dict[str, str]) -> bytes:
    """Return the catalogue of a site with one lift."""
    return encode_catalogue(
        Catalogue(
            site=site,
            names=names,
            timezone="Asia/Hong_Kong",
            groups=(CatalogueGroup("lift-a1@1s", "lift-a1", SECOND),),
            devices=(
                CatalogueDevice(
                    "lift-a1", "lift", "sp-lift-1", named("Tower A lift 1", "A座1號梯", "A座1号梯"),
                    zone="tower-a", asset=Asset(rescue_phone="+852 5550 0100"),
                ),
            ),
            points=tuple(
                CataloguePoint(
                    f"lift-a1/{name}", "lift-a1", kind, "" if name == "online" else "lift-a1@1s", unit, members,
                    names=named(*names),
                )
                for name, (kind, unit, members, names) in POINTS.items()
            ),
            rules=RULES,
        )
    )  # fmt: skip


class Site:
    """A site reduced to what it says and hears on the broker."""

    def __init__(self, session: Session, name: str, names: dict[str, str]) -> None:
        self.session, self.name = session, name
        self.catalogue = catalogue(name, names)
        self.sequences = {"alarms": 0, "samples": 0}
        self.began = SystemClock().wall()
        self.states: dict[str, AlarmState] = {}
        self.talking: asyncio.Future[None]

    async def begin(self) -> None:
        await self.session.subscribe(f"sitekeeper/1/{self.name}/down/ack")
        await self.session.publish(f"sitekeeper/1/{self.name}/up/catalogue", self.catalogue)
        await self.say()

    async def say(self) -> None:
        status = wire.Status(
            online=True, site=self.name, epoch="e1", boot="b", version="0", first={"alarms": 1},
            at=SystemClock().wall(), clock=True,
        )  # fmt: skip
        await self.session.publish(f"sitekeeper/1/{self.name}/up/status", wire.encode_status(status), retain=True)

    async def publish(self, stream: str, t0: int, **fields: Any) -> None:
        self.sequences[stream] += 1
        block = Block(
            site=self.name, epoch="e1", stream=stream, sequence=self.sequences[stream], boot="b", trusted=True, t0=t0,
            mono0=t0, catalogue=catalogue_hash(self.catalogue), **fields,
        )  # fmt: skip
        await self.session.publish(f"sitekeeper/1/{self.name}/up/{stream}", encode(block))

    async def samples(self, at: int, until: int, gaps: Sequence[Gap] = (), **values: Value | Reason) -> None:
        """Tell values from `at` on, and vouch for the lift until `until`; a reason stands for a bad value."""
        told = [
            Sample(HANDLE[name], at, *((None, bad(value)) if isinstance(value, Reason) else (value, 0)))
            for name, value in sorted(values.items(), key=lambda item: HANDLE[item[0]])
        ]  # fmt: skip
        vouch = [Vouch(0, until, until - at)]
        await self.publish("samples", at, samples=told, vouch=vouch, gaps=list(gaps))

    async def alarm(self, rule: str, priority: str, cause: Cause, target: AlarmState, **fields: Any) -> str:
        """Move an alarm of the lift, or of `device`; return the occurrence."""
        key = f"{self.name}/{fields.pop('device', 'lift-a1')}/{rule}"
        source = self.states.get(key, AlarmState.NORMAL)
        self.states[key] = target
        now = fields.pop("at", SystemClock().wall())
        occurrence = fields.pop("occurrence", None) or f"{key}@e1-{self.sequences['alarms'] + 1}"
        move = Transition(occurrence, key, rule, source, target, cause, priority, now, now, priority == "P1", **fields)
        await self.publish("alarms", now, transitions=[move])
        return occurrence

    async def answer_acks(self) -> None:
        """Answer each acknowledgement of the office with the site's own transition, as a gateway does."""
        done: set[str] = set()
        while True:
            delivery = await self.session.receive()
            self.session.ack(delivery)
            if not delivery.topic.endswith("/down/ack"):
                continue
            ack = wire.decode_ack(delivery.payload)
            if ack.id in done:
                continue
            done.add(ack.id)
            rule = ack.occurrence.partition("@")[0].rpartition("/")[2]
            actor = Actor(ack.who, "office", "office")
            priority = {"L01": "P1", "L22": "P2"}.get(rule, "P3")
            await self.alarm(
                rule, priority, Cause.ACK, AlarmState.ACKED, occurrence=ack.occurrence, actor=actor, note=ack.note,
                ack_id=ack.id,
            )  # fmt: skip


def settings(folder: Path, port: int = 0) -> OfficeSettings:
    return OfficeSettings.model_validate(
        {
            "store": {"path": str(folder / "office.db")},
            "broker": {"host": "unused"},
            "socket": {"path": str(folder / "office.sock")},
            "routes": {"P1": ["desk"], "P2": ["desk"]},
            "silence": {"after": "60s"},
            "console": {"port": port},
        }
    )


@asynccontextmanager
async def running(
    folder: Path, broker: MemoryBroker, port: int = 0, reachable: Callable[[], bool] = lambda: True
) -> AsyncIterator[Office]:
    """Run an office with a console and three accounts: admin, ann (operator), vic (viewer).

    Args:
        reachable: tells whether the office can connect to the broker at present.
    """
    _accounts(folder / "console-users.json")
    connect = {lane: only_if(reachable, broker.connector(f"office-{lane}", persistent=True)) for lane in LANES}
    app = Office(settings(folder, port), connect=connect, channels={"desk": Chat()})
    await app.open()
    task = asyncio.ensure_future(app.run())
    try:
        await until(lambda: len(app.ingest.connected()) == 2)
        yield app
        assert not task.done(), f"the office died: {task.exception()!r}"
    finally:
        task.cancel()
        await asyncio.wait({task})
        await app.close()


def _accounts(path: Path) -> None:
    """Write the three accounts; their passwords are hashed once a process, because that takes a second."""
    if not _ACCOUNTS:
        users = Users(path)
        for name, role in (("admin", "admin"), ("ann", "operator"), ("vic", "viewer")):
            PASSWORDS[name] = users.put(name, role)
        _ACCOUNTS.append(path.read_bytes())
    if not path.exists():
        files.put(path, _ACCOUNTS[0], mode=files.PRIVATE)


def only_if(reachable: Callable[[], bool], connect: Connect) -> Connect:
    async def tried(will: Will | None = None) -> Session:
        if not reachable():
            raise PeerUnreachable("broker", "cut")
        return await connect(will)

    return tried


@asynccontextmanager
async def site_on(broker: MemoryBroker, name: str = "hq", **names: str) -> AsyncIterator[Site]:
    """Yield a site that says every few seconds that it is there, until `site.talking` is cancelled or it is gone."""
    session = await broker.connector(name)()
    site = Site(session, name, names or named("Pine Court", "松濤苑一期", "松涛苑一期"))
    await site.begin()
    site.talking = asyncio.ensure_future(_talk(site))
    try:
        yield site
    finally:
        site.talking.cancel()
        await asyncio.wait({site.talking})
        await session.close()


async def _talk(site: Site) -> None:
    while True:
        await asyncio.sleep(SAYS_EVERY_S)
        await site.say()


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


__all__ = ["MS", "Gap", "GapCause", "Site", "running", "settings", "site_on", "until"]
