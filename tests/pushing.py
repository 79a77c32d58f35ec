"""The push half of an office in virtual time: a real store, the real worker, composer and settings, and phones."""

import asyncio
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cloud_sync.store.base import Push, PutCatalogue, Transaction
from cloud_sync.store.sqlite import SqliteStore
from office.composer import Composer
from office.notify.channels import Answer, Message
from office.notify.log import StoreLog
from office.notify.worker import Notifier
from office.settings import load
from sitekeeper.catalogue import Catalogue, CatalogueDevice, CatalogueRule, catalogue_hash, encode
from sitekeeper.model.alarm import AlarmState, Cause, Transition, alarm_key, annunciates, fold, next_state
from sitekeeper.model.clock import MINUTE, SECOND, Micros
from sitekeeper.model.command import Actor
from tests.virtual import VirtualClock

SITE = "hq"
HEAD = """\
store: {path: office.db}
broker: {host: 127.0.0.1}
channels:
"""
CHANNEL = '  - {id: %s, kind: webhook, url: "https://x.example/%s", secret: 0123456789abcdef}\n'
LEE = Actor("lee", "operator", "site")
NAMES = {"A02": "Door held open", "G04": "Lamp dark", "B02": "Barrier stuck", "L01": "Entrapment"}


def catalogue(secret: Sequence[str] = ("A06",), devices: int = 30) -> Catalogue:
    rules = [CatalogueRule(rule, "P3", {"en": name}) for rule, name in NAMES.items()]
    rules += [CatalogueRule(rule, "P1", {"en": "Duress"}, audience="security") for rule in secret]
    known = [CatalogueDevice(f"door-{n:02}", "access", "x", {"en": f"Door {n}"}) for n in range(devices)]
    return Catalogue(
        site=SITE, names={"en": "Pine Court"}, rules=tuple(sorted(rules, key=lambda r: r.id)), devices=tuple(known)
    )


class Phone:
    """Takes every message, and knows when it came."""

    def __init__(self, name: str, clock: VirtualClock) -> None:
        self.recipient = name
        self._clock = clock
        self.got: list[tuple[Micros, Message]] = []
        self.answers: list[Answer] = []

    async def send(self, message: Message) -> Answer:
        await asyncio.sleep(0.05)
        self.got.append((self._clock.monotonic(), message))
        return self.answers.pop(0) if self.answers else Answer("accepted", "200 OK")

    async def close(self) -> None:
        return

    def events(self) -> list[str]:
        return [message.event_id for _, message in self.got]

    def titles(self) -> list[str]:
        return [message.title for _, message in self.got]


class DyingLog(StoreLog):
    """A push log whose process dies right after its `last` write: nothing after it happens."""

    last = -1

    async def decide(self, *arguments: Any) -> Any:
        return await self._counted(super().decide, *arguments)

    async def tell(self, *arguments: Any) -> Any:
        return await self._counted(super().tell, *arguments)

    async def save(self, row: Push) -> int:
        number: int = await self._counted(super().save, row)
        return number

    async def _counted(self, work: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        if self.last == 0:
            await asyncio.Event().wait()
        self.last -= 1
        done = await work(*arguments)
        if self.last == 0:
            await asyncio.Event().wait()
        return done


class Pushing:
    """One office's push half. `settings` is what office.yaml says of routes and ladder."""

    def __init__(self, folder: Path, settings: str, channels: Sequence[str] = ("desk",)) -> None:
        self.clock = VirtualClock()
        path = folder / "office.yaml"
        path.write_text(HEAD + "".join(CHANNEL % (name, name) for name in channels) + settings)
        self.settings = load(path)
        self.store = SqliteStore.open(folder / "office.db", inline=True)
        weakref.finalize(self, self.store.close)
        self.phones = {name: Phone(name, self.clock) for name in channels}
        self.records: dict[str, Any] = {}
        self.moves: list[Transition] = []
        self.notifier: Notifier | None = None
        self.know(catalogue())

    def know(self, found: Catalogue) -> None:
        """Have the site send a catalogue."""
        data = encode(found)
        entry = PutCatalogue(site=SITE, hash=catalogue_hash(data), payload=data, catalogue=found)
        self.store.commit(Transaction(at=self.clock.wall(), entries=(entry,))).result()

    @asynccontextmanager
    async def running(self, last: int = -1) -> AsyncIterator[None]:
        """Run the worker; it is killed at the end, or right after its write number `last`."""
        log = DyingLog(self.store, self.store.reader)
        log.last = last
        composer = Composer(self.store.reader, self.settings, self.clock)
        self.notifier = Notifier(log, self.phones, self.settings.routing(), composer.compose, self.clock)
        task = asyncio.ensure_future(self.notifier.run())
        try:
            await asyncio.sleep(0)
            yield
            assert not task.done(), task
        finally:
            self.notifier = None
            task.cancel()
            await asyncio.wait({task})

    def move(self, key: str, cause: Cause = Cause.RAISE, priority: str = "P3", **fields: Any) -> Transition:
        """Commit one move of the alarm `<device>/<rule>`, as the site would send it."""
        device, rule = key.split("/")
        whole, now = alarm_key(SITE, device, rule), self.clock.wall()
        before = self.records.get(whole)
        source = AlarmState.NORMAL if before is None else before.state
        latched = bool(fields.pop("latched", before is not None and before.latched))
        target = next_state(source, cause, latched=latched)
        occurrence = f"{whole}@e1-{len(self.moves) + 1}" if cause is Cause.RAISE else before.occurrence
        given = {"occurrence": occurrence, "key": whole, "rule": rule, "source": source, "target": target,
            "cause": cause, "priority": priority, "at": now, "mono": now, "latched": latched}  # fmt: skip
        if cause is Cause.ACK:
            given["actor"] = LEE
        made = Transition(**{**given, **fields})
        self.records[whole] = fold(before, made)
        self.moves.append(made)
        self.store.add_transitions("e1", now, [made]).result()
        if self.notifier is not None:
            self.notifier.wake()
        return made

    def decisions(self) -> list[str]:
        """Return what was decided of every annunciation, in order."""
        rows = self.store.reader.ask("SELECT decision, occurrence FROM transitions ORDER BY id")
        pairs = zip(self.moves, rows, strict=True)
        return [str(row[0]).partition(":")[0] for move, row in pairs if annunciates(move)]


async def minutes(count: float) -> None:
    """Let virtual time pass."""
    await asyncio.sleep(count * MINUTE / SECOND)
