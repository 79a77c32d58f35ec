"""A site with all device families for the console's tests: the shipped classes' points, a day's values and events."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import yaml

from cloud_sync.memory import MemoryBroker
from sitekeeper.block import Gap, GapCause, Vouch
from sitekeeper.catalogue import Catalogue, CatalogueDevice, CatalogueGroup, CataloguePoint, CatalogueRule
from sitekeeper.catalogue import encode as encode_catalogue
from sitekeeper.data import data_path
from sitekeeper.model.clock import MINUTE, SECOND, SystemClock
from sitekeeper.model.event import Event, pseudonym
from sitekeeper.model.quality import Reason, bad
from sitekeeper.model.sample import Sample, Value
from tests.console_estate import RULES, Site, named

SALT = b"sixteen bytes or more"
CARD = "8538421176"
DEVICES: dict[str, tuple[str, str, tuple[str, str, str]]] = {
    # id: class, zone, names
    "barrier-in": ("parking", "gate", ("Entry barrier", "入口道閘", "入口道闸")),
    "barrier-out": ("parking", "gate", ("Exit barrier", "出口道閘", "出口道闸")),
    **{
        f"door-{n}": ("access", "tower-a" if n < 4 else "podium", (f"Door {n}", f"{n}號門", f"{n}号门"))
        for n in range(1, 7)
    },
    "fire-panel": ("fire", "", ("Fire panel", "消防主機", "消防主机")),
    "lift-a1": ("lift", "tower-a", ("Tower A lift 1", "A座1號梯", "A座1号梯")),
    "lift-a2": ("lift", "tower-a", ("Tower A lift 2", "A座2號梯", "A座2号梯")),
    **{
        f"lamp-{n:02}": ("lighting", "stairs" if n <= 12 else "car-park", (f"Lamp {n}", f"{n}號燈", f"{n}号灯"))
        for n in range(1, 25)
    },
}
VALUES: dict[str, dict[str, Value | Reason]] = {
    "lift": {
        "floor": 12, "direction": "up", "door": "closed", "passenger": True, "service_mode": "normal",
        "car_status": "running", "load": 36.0, "door_zone": False, "door_closed": True, "power": "mains",
    },
    "access": {
        "door.state": "closed", "lock.state": "locked", "mode": "controlled", "door.alarm": "normal", "rex": False,
        "fire.release": False, "tamper.reader": False, "tamper.case": False, "held_limit": 30.0,
    },
    "parking": {
        "lane.state": "closed", "boom.position": 0.0, "boom.attached": True, "loop.arrival": "absent",
        "loop.safety": "absent", "loop.exit": "absent", "photocell": False, "obstacle": False, "power": "mains",
        "safety_chain": True, "hold_open": False, "close_clear": True, "temperature": 31.5, "vehicles": 117,
        "op.count": 4711,
    },
    "fire": {
        "fire.alarm": False, "fire.prealarm": False, "fire.fault": False, "zone1": False, "zone2": False,
        "zones_active": 0, "power": "mains", "supply": 27.3, "line_fault": False, "callpoint": False,
    },
    "lighting": {
        "level": 60.0, "command": 60.0, "lamp.fail": False, "gear.fail": False, "power": 18.2, "run_hours": 914,
    },
}  # fmt: skip
FAMILY_RULES = (
    CatalogueRule("A01", "P2", named("Door forced open", "門遭強行打開", "门被强行打开")),
    CatalogueRule("B01", "P2", named("Barrier stuck", "道閘卡滯", "道闸卡滞")),
    CatalogueRule("G04", "P3", named("Lamp failed", "燈具故障", "灯具故障")),
    *RULES,
)
OTHERWISE: dict[str, dict[str, Value | Reason]] = {
    "door-2": {"door.state": "open", "door.alarm": "forced_open", "lock.state": "locked"},
    "door-5": {"mode": "free", "lock.state": "unlocked"},
    "barrier-out": {"lane.state": "stopped", "loop.safety": "present", "close_clear": False},
    "lamp-07": {"level": 0.0, "lamp.fail": True},
    "lift-a2": {"floor": 3, "direction": "none", "load": Reason.STALE},
}


def families() -> Catalogue:
    """Return the catalogue: devices with the points of VALUES as their classes write them, in three languages."""
    groups = tuple(CatalogueGroup(f"{device}@1s", device, SECOND) for device in sorted(DEVICES))
    points = [point for device, (cls, _, _) in DEVICES.items() for point in _points(device, cls)]
    return Catalogue(
        site="court",
        names=named("Harbour East Estate", "東港苑", "东港苑"),
        timezone="Asia/Hong_Kong",
        groups=groups,
        devices=tuple(
            CatalogueDevice(device, cls, cls, named(*names), zone=zone)
            for device, (cls, zone, names) in sorted(DEVICES.items())
        ),
        points=tuple(sorted(points, key=lambda point: point.id)),
        rules=FAMILY_RULES,
    )


def _points(device: str, cls: str) -> list[CataloguePoint]:
    written = yaml.safe_load(data_path("classes", f"{cls}.yaml").read_text(encoding="utf-8"))["points"]
    found = [
        CataloguePoint(
            f"{device}/{name}", device, point["type"], f"{device}@1s", point.get("unit", ""),
            tuple(point.get("members", ())), names=point["name"],
        )
        for name, point in written.items()
        if name in VALUES[cls]  # as a profile maps a part of its class
    ]  # fmt: skip
    return [*found, CataloguePoint(f"{device}/online", device, "bool")]


class Court(Site):
    """The site. Its lamp 24 does not answer."""

    def __init__(self, session: Any) -> None:
        super().__init__(session, "court", {})
        self.known = families()
        self.catalogue = encode_catalogue(self.known)
        self.sequences["events"] = 0
        self.handles = {point.id: handle for handle, point in enumerate(self.known.points)}

    async def tell(self, at: int, until: int, changes: Mapping[str, Mapping[str, Value | Reason]] = OTHERWISE) -> None:
        """Tell all values from `at` on, and vouch for all devices until `until`."""
        told: dict[int, Sample] = {}
        for device, (cls, _, _) in DEVICES.items():
            silent = device == "lamp-24"
            values = {"online": not silent} | VALUES[cls] | dict(changes.get(device, {}))
            for name, value in values.items():
                lost = Reason.COMM if silent and name != "online" else value
                handle = self.handles.get(f"{device}/{name}")
                if handle is not None:
                    sample = (None, bad(lost)) if isinstance(lost, Reason) else (lost, 0)
                    told[handle] = Sample(handle, at, *sample)
        vouch = [Vouch(index, until, until - at) for index in range(len(self.known.groups))]
        await self.publish("samples", at, samples=[told[handle] for handle in sorted(told)], vouch=vouch)

    async def remember(self, now: int, minutes: int = 60) -> None:
        """Tell an hour of a lift's load and floors, with five minutes in which its link was down."""
        handles = {name: self.handles[f"lift-a1/{name}"] for name in ("floor", "load")}
        group = next(place for place, each in enumerate(self.known.groups) if each.device == "lift-a1")
        begin, down = now - minutes * MINUTE, range(minutes // 2, minutes // 2 + 5)
        for minute in range(minutes):
            at = begin + minute * MINUTE
            if minute in down:
                continue
            after = minute == down.stop
            gaps = [Gap("lift-a1@1s", begin + down.start * MINUTE, at, GapCause.LINK_DOWN)] if after else []
            samples = []
            for second in range(0, 60, 12):
                trip = minute * 5 + second // 12
                samples.append(Sample(handles["floor"], at + second * SECOND, trip * 7 % 12 + 1, 0))
                samples.append(Sample(handles["load"], at + second * SECOND, trip * trip * 13 % 70 + 0.5, 0))
            await self.publish("samples", at, samples=samples, vouch=[Vouch(group, at + MINUTE, MINUTE)], gaps=gaps)

    async def happen(
        self, source: str, at: int, sequence: int | None = None, *, late: bool = False, **fields: Value
    ) -> None:
        """Tell one event; `from_` stands for the field `from`."""
        event = Event(source, at, {key.rstrip("_"): value for key, value in fields.items()}, sequence, at, late)
        await self.publish("events", at, events=[event])

    async def happenings(self, at: int) -> None:
        """Tell reads, a door that moves, commands and what came of them, and a hole in a counter."""
        card = pseudonym(SALT, "card", CARD)
        await self.happen("door-1/read.event", at, 4701, granted=True, reason=1, dir="in", cred=card)
        await self.happen("door-1/door.event", at + SECOND, 4702, state="open")
        await self.happen("door-2/read.event", at + 2 * SECOND, 4703, granted=False, reason=6, dir="in", cred=card)
        await self.happen("door-2/rex.event", at + 3 * SECOND, 4706, reason=20, late=True)
        await self.happen("door-2/audit_gap", at + 3 * SECOND, counter="ctrl-1", from_=4704, to=4705)
        order = {"id": "c1", "point": "mode", "value": "free", "priority": 2, "by": "F01"}
        for outcome in ("accepted", "confirmed"):
            await self.happen("door-5/command", at + 4 * SECOND, **order, outcome=outcome, reason="")
        refused = {**order, "id": "c2", "point": "cmd.close", "value": "true", "by": "ann", "priority": 8}
        await self.happen("barrier-out/command", at + 5 * SECOND, **refused, outcome="refused", reason="interlock")


@asynccontextmanager
async def court_on(broker: MemoryBroker) -> AsyncIterator[Court]:
    """Yield the site, told once, with its events."""
    session = await broker.connector("court")()
    court = Court(session)
    await court.begin()
    now = SystemClock().wall()
    await court.tell(now - 20 * SECOND, now)
    await court.happenings(now - 15 * SECOND)
    try:
        yield court
    finally:
        await session.close()
