"""The product's side of the month: a site of its own, its pipeline as the gateway has it, fed by the estate.

    python -m tests.month.run --days 365 --seed 7        one long run, with its account

Real are settings, profiles, packs, changes, derived points, rules, alarms, the recorder and the door of people. Not
here are sockets, drivers and the disk: readings come from the estate, blocks go into a digest. A reading holds good
for half an hour, because a machine with nothing new is seen only once in a quarter of one.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from drivers.base import Heard, Outcome, Scan
from edge.alarm_moves import facts_of
from edge.alarms import AlarmBook
from edge.bus import Usage
from edge.changes import Changes
from edge.commands.alarm_door import AlarmDoor
from edge.latest import Latest
from edge.own_points import Members, OwnPoint, OwnPoints, known
from edge.pipeline import Pipeline
from edge.recorder import Limits, Recorder
from edge.rules.derives import Derives
from edge.rules.engine import Engine
from edge.settings import Site, load
from sitekeeper.block import decode
from sitekeeper.model.alarm import HELD_BACK, AlarmState, Transition, annunciates
from sitekeeper.model.clock import ManualClock, Moment
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import LinkDown, NotFound, Refused
from sitekeeper.model.point import ScanGroup
from sitekeeper.model.quality import GOOD, Reason, bad
from sitekeeper.model.sample import Sample
from tests.month import faults as injected
from tests.month import truth
from tests.month.machines import Estate, Fault
from tests.month.people import Staff, live
from tests.month.world import DAY, HOUR, MINUTE, Told, Value, World
from tests.unit.edge.pipeline_rig import FakeStore

GUARD = Actor(name="ng", role="technician", origin="site")
HOLDS_GOOD = 30 * MINUTE
ZONES = {
    "zone-1": tuple(f"lamp-{n:02d}" for n in range(1, 13)),
    "zone-2": tuple(f"lamp-{n:02d}" for n in range(13, 25)),
}
PACKS = ["lift", "access", "parking", "lighting", "fire", "gas", "water", "gateway"]


def site_file() -> dict[str, Any]:
    """Return the site as its own file would say it."""
    modbus = {"driver": "modbus-tcp", "host": "10.0.0.1", "timeout": "1s"}
    links = {link: {**modbus, "port": 5020 + n} for n, link in enumerate(("lifts", "lanes", "lights", "safety"))}
    return {
        "site": {"id": "month", "timezone": "Asia/Shanghai"},
        "links": {**links, "doors": {"driver": "mqtt", "host": "10.0.0.2"}},
        "devices": [{"id": name, **said} for name, said in _devices().items()],
        "rules": {"packs": PACKS},
        "outbox": {"path": "outbox.db"},
    }


def _devices() -> dict[str, dict[str, Any]]:
    asset = {"floors": 12, "rated_speed": 1.6}
    found: dict[str, dict[str, Any]] = {
        f"lift-{n}": {"profile": "sp-lift-1", "link": "lifts", "unit": n, "asset": asset} for n in (1, 2)
    }
    for controller, doors in truth.BEHIND.items():
        for number, door in enumerate(doors, 1):
            own = {"site": "month", "controller": controller, "door": number}
            tags = ["perimeter"] if door in truth.PERIMETER else []
            found[door] = {"profile": "mqtt-door", "link": "doors", "with": own, "tags": tags}
    place: dict[str, Any]
    for unit, lane in enumerate(("lane-in", "lane-out"), 1):
        found[lane] = {
            "profile": "sp-barrier-1",
            "link": "lanes",
            "unit": unit,
            "tags": [lane.replace("lane-out", "exit")],
        }
    for zone, lamps in ZONES.items():
        for lamp in lamps:
            place = {"channel": 0, "short_address": int(lamp[-2:])}
            found[lamp] = {"profile": "dali-gear", "link": "lights", "unit": 1, "with": place, "zone": zone}
    for n in range(1, 13):
        place = {"channel": 0, "short_address": 30 + n}
        found[f"em-{n:02d}"] = {"profile": "dali-emergency", "link": "lights", "unit": 1, "with": place}
    kinds = {"panel": "sp-io-16-fire", "gas-1": "sp-io-16-gas", "leak-1": "sp-io-16-water", "leak-2": "sp-io-16-water"}
    for unit, (name, profile) in enumerate(kinds.items(), 1):
        tags = ["switch-room"] if name in truth.SWITCH_ROOM else []
        found[name] = {"profile": profile, "link": "safety", "unit": unit, "tags": tags}
    return found


class Digest(FakeStore):
    """A store that keeps what the blocks add up to, the moves of alarms, and the newest record of each."""

    def __init__(self) -> None:
        super().__init__()
        self.digest = hashlib.sha256()
        self.count = 0
        self.moves_made: list[Transition] = []

    def append(self, blocks: Sequence[Any], **more: Any) -> Any:
        """Take blocks."""
        done = super().append(blocks, **more)
        self.appended.clear()
        for block in blocks:
            self.digest.update(block.payload)
            self.count += block.count
            if block.stream == "alarms":
                self.moves_made += decode(block.payload).transitions
        return done


@dataclass
class Outcomes:
    """What came of a run."""

    rang: list[truth.Rang]
    due: list[truth.Due]
    missing: list[truth.Due]
    unexplained: list[truth.Rang]
    crowded: list[tuple[truth.Rang, truth.Rang]]
    standing: list[str]
    digest: str
    records: int
    refused: Counter[str]

    def of(self, priority: str) -> tuple[list[truth.Due], list[truth.Rang]]:
        """Return what is missing and what is unexplained of one priority."""
        missing = [due for due in self.missing if due.priority == priority]
        return missing, [one for one in self.unexplained if one.priority == priority]


class Month:
    """One run: `Sink` for the estate, `Desk` for its staff."""

    def __init__(self, site: Site, seed: str) -> None:
        self._site = site
        self.clock = ManualClock()
        self.store = Digest()
        self.refused: Counter[str] = Counter()
        self.rang: list[truth.Rang] = []
        self._told = 0
        self._places = _places(site)
        self._build()
        self.world = World(seed, self)
        self.estate = Estate.of(self.world)
        self.staff = Staff(self.world, self)

    def _build(self) -> None:
        site, now = self._site, self._moment()
        points = tuple(replace(point, stale_after=HOLDS_GOOD) for point in site.points)
        changes = Changes(points, site.groups, {}, now=now.mono)
        self.book = AlarmBook(site.id, "e1", (), facts_of(site.rules.plans), now)
        recorder = Recorder(
            site=site.id, epoch="e1", boot="b1", catalogue="c0", groups=[group.id for group in site.groups],
            ledger=changes, sequences={}, covered={}, start=now, limits=Limits(wait=MINUTE, idle=HOUR),
        )  # fmt: skip
        latest = Latest(points)
        self.pipeline = Pipeline(
            boot="b1", changes=changes, derives=Derives(site.derivations, state={}, as_of=None, now=now.mono),
            latest=latest, engine=Engine(site.rules, state={}, as_of=None, now=now.mono), book=self.book,
            recorder=recorder, store=self.store, clock=self.clock,
        )  # fmt: skip
        self.door = AlarmDoor(self.book, self.pipeline.moved, self._moment, {}, self.pipeline.sequence)
        self._own = _own_points(site, latest, now.mono)
        self.pipeline.watchers.add(self._seen)

    # what the estate says

    def scan(self, at: int, device: str, values: Mapping[str, Value], *, complete: bool) -> None:
        """Take what one device showed at one reading."""
        self._pass(at)
        for group, places in self._places[device].items():
            named = [(places[name], value) for name, value in values.items() if name in places]
            if named or complete or not values:
                found = [Outcome(place, at, value, GOOD) for place, value in sorted(named)]
                self._scanned(device, group, at, found, complete=complete)
        self._look()

    def unanswered(self, at: int, device: str) -> None:
        """Take that a device did not answer."""
        self._pass(at)
        for group, places in self._places[device].items():
            found = [Outcome(place, at, None, bad(Reason.COMM)) for place in places.values()]
            self._scanned(device, group, at, found, complete=True, answered=False)
        self._look()

    def lost(self, at: int, link: str) -> None:
        """Take that a link is down."""
        self._pass(at)
        groups = [group for each in self.estate.on(link) for group in self._places[each.name]]
        self.pipeline.link_failed(tuple(groups), LinkDown(link, endpoint=link))
        self._look()

    def heard(self, at: int, device: str, name: str, fields: Mapping[str, Value], told: Told) -> None:
        """Take what a device told unasked."""
        self._pass(at)
        known_fields = {field.name for field in self._site.devices[device].events[name]}
        wall = self.clock.wall() - self.clock.monotonic() + told.happened
        heard = Heard(
            device=device, name=name, received=at, fields={k: v for k, v in fields.items() if k in known_fields},
            sequence=told.sequence, counter=told.counter, source=wall, buffered=told.buffered, behind=0,
        )  # fmt: skip
        self.pipeline.heard([heard])
        self._look()

    def tested(self, at: int, device: str, fields: Mapping[str, Value]) -> None:
        """Take the result of an emergency luminaire's test, which the gateway itself has read."""
        self._pass(at)
        self.pipeline.told(f"{device}/test.event", fields, audit=b"", state={})
        self._look()

    def _scanned(
        self, device: str, group: str, at: int, found: list[Outcome], *, complete: bool, answered: bool = True
    ) -> None:
        self.pipeline.scanned(
            Scan(
                group=group, device=device, asked=at, received=at, outcomes=found, complete=complete, answered=answered
            )
        )

    # time

    def run(self, days: int, chosen: Sequence[Fault] | None = None, *, snapshot: int = 0, stop: int = 0) -> Outcomes:
        """Let so many days pass, with these faults, or all.

        Args:
            snapshot: the days of which `Outcomes.digest` tells; all by default. stop: the days after which to end.
        """
        for machine in self.estate.machines():
            self.world.at(0, machine.found)
            self.world.at(self.world.now + 1, machine.found)
        live(self.estate)
        injected.happen(self.estate, days, injected.all_of(days) if chosen is None else chosen)
        digest, end = "", (stop or days) * DAY
        while (at := self.world.next()) is not None and at < end:
            if snapshot and not digest and at >= snapshot * DAY:
                self._pass(snapshot * DAY)
                digest = self.store.digest.hexdigest()
            self.world.step()
        self._pass(end)
        return self._outcomes(digest or self.store.digest.hexdigest())

    def _pass(self, at: int) -> None:
        """Let time pass up to `at`: what the gateway has to do meanwhile it does when it is due."""
        while (due := self._due()) < at:
            now = max(due, self.clock.monotonic())
            self.clock.advance(now - self.clock.monotonic())
            for scan in self._own.scans(self._moment()):
                self.pipeline.scanned(scan)
            self.pipeline.tick()
            self._look()
        self.clock.advance(at - self.clock.monotonic())

    def _seen(self, samples: Sequence[Sample]) -> None:
        self._own.seen(samples)

    def _due(self) -> int:
        own = self._own.next_deadline()
        return self.pipeline.next_deadline() if own is None else min(own, self.pipeline.next_deadline())

    def _moment(self) -> Moment:
        return Moment(mono=self.clock.monotonic(), wall=self.clock.wall(), trusted=True)

    # what the staff sees and does

    def _look(self) -> None:
        """Tell the staff of whatever has begun to ring."""
        moves = self.store.moves_made
        while self._told < len(moves):
            move = moves[self._told]
            self._told += 1
            if move.mode == "" and annunciates(move):
                self._rings(move)

    def _rings(self, move: Transition) -> None:
        _, device, rule = move.key.split("/")
        record = self.book.record(move.key)
        assert record is not None
        at = move.at - (self.clock.wall() - self.clock.monotonic())
        self.rang.append(truth.Rang(at, rule, device, move.priority, move.occurrence))
        self.staff.rang(move.occurrence, latched=record.latched)

    def acknowledge(self, occurrence: str) -> bool:
        """Do it at the gateway's door."""
        return self._done(lambda: self.door.ack(occurrence, GUARD, "seen"))

    def reset(self, occurrence: str) -> bool:
        """Enter that all is well."""
        record = next((record for record in self.book.records() if record.occurrence == occurrence), None)
        if record is None:
            return False
        _, device, rule = record.key.split("/")
        false, allowed = self.pipeline.standing(rule, device)
        return self._done(
            lambda: self.door.clear(occurrence, GUARD, "all is well", condition_false=false, reset_allowed=allowed)
        )

    def _done(self, do: Any) -> bool:
        self._pass(self.world.now)
        try:
            do()
        except (Refused, NotFound) as refused:
            self.refused[type(refused).__name__] += 1
            return False
        finally:
            self._look()
        return True

    def _outcomes(self, digest: str) -> Outcomes:
        calls = truth.due([fact for fact in self.world.facts if fact.end], ZONES)
        missing, unexplained = truth.judge(calls, self.rang)
        normal = {AlarmState.NORMAL, *HELD_BACK}
        standing = [record.key for record in self.book.records() if record.state not in normal]
        crowded = truth.crowded(self.rang, self.world.storms)
        return Outcomes(
            self.rang, calls, missing, unexplained, crowded, standing, digest, self.store.count, self.refused
        )


def _places(site: Site) -> dict[str, dict[str, dict[str, int]]]:
    """Return where each point stands: by device, scan group and name."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for group in site.groups:
        names = {site.points[handle].name: place for place, handle in enumerate(group.handles)}
        found.setdefault(group.device, {})[group.id] = names
    return found


def _own_points(site: Site, latest: Latest, now: int) -> OwnPoints:
    """Return what the gateway knows of its links, read once in a quarter of an hour and whenever something moves."""
    found: list[tuple[ScanGroup, list[OwnPoint]]] = []
    links: dict[int, str] = {}
    for own in (own for own in site.own if own.link):
        group = next(group for group in site.groups if group.device == own.id)
        online = [
            latest.find(f"{device.id}/online").handle for device in site.devices.values() if device.link == own.link
        ]
        links |= dict.fromkeys(online, group.id)
        members = Members([partial(_last, latest, handle) for handle in online])
        reads = {
            "devices": OwnPoint(members.count), "offline": OwnPoint(members.offline), "lost": OwnPoint(members.lost),
            "errors.share": OwnPoint(lambda _: known(0.0)),
            "messages.rejected": OwnPoint(lambda _: known(0)), "ids.doubled": OwnPoint(lambda _: known(0)),
        }  # fmt: skip
        reads |= {f"bus.{name}": OwnPoint(lambda _: known(None)) for name in Usage._fields}  # no bus, so no figures
        points = [reads[site.points[handle].name] for handle in group.handles]
        found.append((replace(group, period=15 * MINUTE), points))
    return OwnPoints(found, now=now, links=links)


def _last(latest: Latest, handle: int) -> Value:
    sample = latest.get(handle)
    return None if sample is None else sample.value


def month(folder: Path, seed: str, days: int, chosen: Sequence[Fault] | None = None, **more: Any) -> Outcomes:
    """Run so many days of a new estate."""
    folder.mkdir(exist_ok=True)
    (folder / "site.yaml").write_text(yaml.safe_dump(site_file()))
    return Month(load(folder, environment={}), seed).run(days, chosen, **more)


def main() -> int:
    """Run once; print the account; return 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description="A simulated estate, day after day.")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--seed", default="1")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = month(Path(folder), given.seed, given.days)
    wrong = {name: list(map(str, getattr(found, name))) for name in ("missing", "unexplained", "crowded", "standing")}
    rules = Counter(one.rule for one in found.rang)
    account = {"records": found.records, "due": len(found.due), "rang": dict(rules), "digest": found.digest, **wrong}
    sys.stdout.write(json.dumps(account, indent=1) + "\n")
    return 1 if any(wrong.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
