"""Server-sent events: each committed transition to every browser, in order, and every 1.5 s a sign of life.

The store is the queue: a wake-up makes the pump read what is newer than what it published last, so that ids reach
every client in ascending order, and a client that comes back with its `Last-Event-ID` gets all that it missed. A
client's own queue is bounded; one that does not take its events is told to load the page anew.

Events: `alarm` (id = transition id), `changed` (an acknowledgement is on its way, a push got its answer), `beat` (the
office's time, whether it has its broker and can read its store, since when not, the sites heard since the last one, how
many commands wait for a second person), `reload`. Of an alarm that only security may know nobody else is told. The
store is asked for news every few seconds even when nothing wakes the pump: that is how it shows in time that it does
not answer.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Container
from typing import Any, Final

import msgspec
import structlog

from cloud_sync.store.base import StoredTransition
from cloud_sync.store.history import HistoryReader
from office.commands import AGREE_WITHIN
from office.console.reading import ReadingThread
from office.health import Health
from office.known import Catalogues
from sitekeeper.model.alarm import split_key
from sitekeeper.model.clock import MS, SECOND, Clock, Micros
from sitekeeper.model.errors import Refused, StorageError

BEAT_S: Final = 1.5
"""A browser that has not had a beat for 3.8 s says so."""
BACKLOG: Final = 256
"""Events that wait for one browser; beyond it they are dropped for a single `reload`."""
REPLAY: Final = 1_000
"""Transitions that are told again to a browser that comes back; one that missed more loads the page anew."""
MAX_CLIENTS: Final = 500
RETRY: Final = b"retry: 1000\n\n"
RETRY_S: Final = 1.0
LOOK_EVERY: Final = 2
"""Beats between two looks whether the store answers."""
ANSWER_WITHIN: Final[Micros] = 3 * SECOND
"""A store that takes longer to say what is new is not answering."""

_logger = structlog.get_logger()

Frame = tuple[int, bytes]
"""(transition id or 0, bytes of the event)."""
Sees = Callable[[str], bool]
"""Whether a browser may know of a site."""


class Client:
    """One browser's queue."""

    def __init__(self, sees: Sees = lambda _: True, *, security: bool = False) -> None:
        self.sees, self.security = sees, security
        self.queue: asyncio.Queue[Frame | None] = asyncio.Queue(BACKLOG)

    def may_know(self, key: str, secret: Container[str]) -> bool:
        """Tell whether it may know of an alarm; `secret` are the rules, `<site>/<rule>`, of security alone."""
        site, _, rule = split_key(key)
        return self.sees(site) and (self.security or f"{site}/{rule}" not in secret)

    def put(self, frame: Frame | None) -> bool:
        """Queue a frame; tell whether there was room. Without room everything is dropped for one `reload`."""
        if not self.queue.full():
            self.queue.put_nowait(frame)
            return True
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait((0, event("reload", {})))
        self.queue.put_nowait(None)
        return False


class Hub:
    """All browsers that listen."""

    def __init__(
        self,
        reading: ReadingThread,
        clock: Clock,
        broker: Callable[[], bool],
        health: Callable[[], Health],
        catalogues: Catalogues,
    ) -> None:
        self._reading = reading
        self._catalogues = catalogues  # as those see them who may not know of everything
        self._clock = clock
        self._broker, self._health = broker, health
        self._clients: set[Client] = set()
        self._heard: set[str] = set()  # sites, since the last beat
        self._changed: dict[str, None] = {}  # occurrences, since the pump looked last
        self._waiting: dict[str, int] = {}  # commands that wait for a second person, by site
        self._wake = asyncio.Event()
        self._last = 0
        self._closed = False
        self._problem = ""
        self._asked: Micros | None = None  # monotonic time at which the store was asked and has not answered
        self._since: dict[str, Micros] = {}  # by trouble: wall time at which it began

    async def run(self) -> None:
        """Publish until cancelled.

        Raises:
            StorageError: the store cannot be read.
        """
        self._last = await self._reading.ask(lambda reader: reader.last_transition())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pump(), name="console-pump")
            tasks.create_task(self._beats(), name="console-beats")

    def wake(self) -> None:
        """Have newly committed transitions published."""
        self._wake.set()

    def heard(self, site: str) -> None:
        """Note that a site gave a sign of life."""
        self._heard.add(site)

    def changed(self, occurrence: str) -> None:
        """Say that something about an alarm is new that is no transition: after its transitions, to who may know."""
        self._changed[occurrence] = None
        while len(self._changed) > REPLAY:
            self._changed.pop(next(iter(self._changed)))
        self._wake.set()

    def close(self) -> None:
        """End all streams, so that the server can stop."""
        self._closed = True
        for client in list(self._clients):
            client.put(None)

    def admit(self) -> None:
        """Let one more browser listen.

        Raises:
            Refused: `busy`, too many listen already, or the office stops.
        """
        if len(self._clients) >= MAX_CLIENTS or self._closed:
            reason = "busy"
            raise Refused(reason, "too many browsers listen")

    async def listen(
        self, after: int | None, stands: Callable[[], bool], sees: Sees = lambda _: True, *, security: bool = False
    ) -> AsyncIterator[bytes]:
        """Yield one browser's events until the office stops or its session does not stand any more.

        Args:
            after: the last transition that it has; None for one that wants only what is to come.
            sees: which sites it may know of. security: whether also of what only security may.
        """
        client = Client(sees, security=security)
        self._clients.add(client)  # before the replay: what is published meanwhile waits in its queue
        try:
            yield RETRY + self._beat(client)
            told = 0
            if after is not None:
                missed = await self._missed(after, client)
                if missed is None:
                    yield event("reload", {})
                    return
                for number, frame in missed:
                    told = number
                    yield frame
            while stands() and (item := await client.queue.get()) is not None:
                number, frame = item
                if number == 0 or number > told:
                    yield frame
        finally:
            self._clients.discard(client)

    async def _missed(self, after: int, client: Client) -> list[Frame] | None:
        def gather(reader: HistoryReader) -> tuple[list[StoredTransition], frozenset[str]]:
            return reader.transitions_after(after, REPLAY + 1), self._secret(reader)

        found, secret = await self._reading.ask(gather)
        if len(found) > REPLAY:
            return None
        return [_alarm(one) for one in found if client.may_know(one.transition.key, secret)]

    def _secret(self, reader: HistoryReader) -> frozenset[str]:
        return frozenset(self._catalogues.hidden(reader))

    async def _pump(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            changed = list(self._changed)
            self._asked = self._clock.monotonic()
            try:
                fresh, secret = await self._reading.ask(self._news)
            except (StorageError, Refused) as error:  # the beat says so, and the pages show it
                self._failing(str(error))
                self._wake.set()
                await asyncio.sleep(RETRY_S)
                continue
            self._failing("")
            self._asked = None
            for one in fresh:
                self._last = one.id
                self._send(_alarm(one), one.transition.key, secret)
            for occurrence in changed:
                self._changed.pop(occurrence, None)
                self._send((0, event("changed", {"occurrence": occurrence})), occurrence, secret)
            if len(fresh) == REPLAY:
                self._wake.set()

    def _news(self, reader: HistoryReader) -> tuple[list[StoredTransition], frozenset[str]]:
        fresh = self._newer(reader)
        self._waiting = reader.awaiting(self._clock.wall() - AGREE_WITHIN)
        return fresh, self._secret(reader) if fresh or self._changed else frozenset()

    def _newer(self, reader: HistoryReader) -> list[StoredTransition]:
        return reader.transitions_after(self._last, REPLAY)

    def _failing(self, why: str) -> None:
        if why and not self._problem:
            _logger.warning("console cannot read the store", why=why)
        self._problem = why

    def trouble(self) -> tuple[str, Micros] | None:
        """Return why nothing shown is to be taken as new, `no-store` or `no-broker`, and since when (wall time)."""
        asked, now, health = self._asked, self._clock.wall(), self._health()
        late = asked is not None and self._clock.monotonic() - asked > ANSWER_WITHIN
        for name, there, since in (
            ("no-store", bool(self._problem) or late or not health.database.ok, health.database.since),
            ("no-broker", not self._broker(), health.broker.since),
        ):
            if there:
                self._since.setdefault(name, now if since is None else since)
            else:
                self._since.pop(name, None)
        return next(((name, self._since[name]) for name in ("no-store", "no-broker") if name in self._since), None)

    async def _beats(self) -> None:
        beats = 0
        while True:
            await asyncio.sleep(BEAT_S)
            beats += 1
            if beats % LOOK_EVERY == 0:
                self._wake.set()
            for client in list(self._clients):
                self._put(client, (0, self._beat(client)))
            self._heard.clear()

    def _beat(self, client: Client) -> bytes:
        now, sites = self._clock.wall() // MS, sorted(filter(client.sees, self._heard))
        why, since = self.trouble() or ("", None)
        told = {"broker": self._broker(), "store": why != "no-store", "since": None if since is None else since // MS}
        waiting = sum(number for site, number in self._waiting.items() if client.sees(site))
        return event("beat", {"now": now, **told, "sites": sites, "waiting": waiting})

    def _send(self, frame: Frame, key: str, secret: Container[str]) -> None:
        """Hand an event about an alarm to every browser that may know of it."""
        for client in list(self._clients):
            if client.may_know(key, secret):
                self._put(client, frame)

    def _put(self, client: Client, frame: Frame) -> None:
        if not client.put(frame):
            self._clients.discard(client)


def _alarm(one: StoredTransition) -> Frame:
    move = one.transition
    site, device, rule = split_key(move.key)
    data = {
        "id": one.id,
        "occurrence": move.occurrence,
        "site": site,
        "device": device,
        "rule": rule,
        "priority": move.priority,
        "cause": move.cause,
        "state": move.target,
        "at": move.at // MS,
    }
    return one.id, event("alarm", data, one.id)


def event(kind: str, data: dict[str, Any], number: int = 0) -> bytes:
    """Return one event as it goes over the wire; only those with a number move `Last-Event-ID`."""
    head = f"id: {number}\n" if number else ""
    return f"{head}event: {kind}\ndata: {msgspec.json.encode(data).decode()}\n\n".encode()
