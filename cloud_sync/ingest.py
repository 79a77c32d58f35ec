"""The ingest's shell: receives on two lanes, commits, answers; `ingest_machine` decides.

The lanes are two sessions, so that samples filling one cannot hold up what comes on the other: `urgent` (alarms,
events, catalogues, status) and `bulk` (samples). Each lane connects again by itself. Samples wait undecoded, each site
in a queue of its own (`dealer`), and are decoded one transaction ahead. Order of every transaction: commit, listener,
receipts, acknowledgement to the broker; a kill between any two leads to a repeat, to nothing worse.
"""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from random import Random
from typing import Final

import structlog

from cloud_sync import wire
from cloud_sync.dealer import Dealer
from cloud_sync.fit import apart
from cloud_sync.grouping import ALONE, SHARED, Grouping
from cloud_sync.ingest_machine import IngestMachine
from cloud_sync.ingest_records import Acknowledge, Answer, Arrival, Ask, Batch, Heard, Look, Output
from cloud_sync.ingest_settings import TOPICS, IngestSettings, Lane, Listener
from cloud_sync.ingest_shared import SharedIngestMachine
from cloud_sync.session import Connect, Delivery, Session, heed_the_end
from cloud_sync.store.base import IngestStore, Outcome
from cloud_sync.wire import ROOT, Request, down_topic
from sitekeeper.model.clock import SECOND, Clock, Micros
from sitekeeper.model.errors import FormatError, PeerUnreachable, Refused, StorageError

__all__ = ["Ingest", "IngestSettings", "Lane", "Listener"]

log = structlog.get_logger()

MUTE_AFTER_S = 1.0
"""A database that has not answered for so long is mute."""
NOBODY = 16
"""Reason code of a message for which the broker has no receiver (MQTT 5, section 3.4.2.1); 3.1.1 does not tell."""
AT_ONCE: Final = 16
"""Receipts and questions under way to the broker at most, and half of what it takes; the rest is for orders."""


class Ingest:
    """The office's receiving half. `run` works until it is cancelled."""

    def __init__(
        self,
        connect: Mapping[Lane, Connect],
        store: IngestStore,
        listener: Listener,
        *,
        clock: Clock,
        settings: IngestSettings | None = None,
    ) -> None:
        self._connect = connect
        self._store = store
        self._listener = listener
        self._clock = clock
        self._settings = settings or IngestSettings()
        machine = SharedIngestMachine if store.shared else IngestMachine
        self._machine: IngestMachine = machine(store.known(), self._settings.limits)
        self._grouping = Grouping(self._settings.limits.size, SHARED if store.shared else ALONE)
        self._machine.bulk_size = self._grouping.size
        self._sessions: dict[Lane, tuple[int, Session]] = {}
        self._connections = 0
        self._random = Random()  # noqa: S311 - jitter, not secrets
        self._work = asyncio.Event()
        self._deal = asyncio.Event()
        self._dealer = Dealer(counts=self._machine.counts)
        self._talking = asyncio.Semaphore(1)
        self._again = asyncio.Event()
        self._bulk_since: Micros | None = None
        self._bulk_last: Micros = 0
        self.problem = ""
        self.store_problem = ""
        self.last_turn: Micros = clock.monotonic()  # when committing last came round; a commit that hangs stops it

    @property
    def counts(self) -> Mapping[str, int]:
        """Return how many entries and messages came to what since the start, for status."""
        return self._machine.counts

    def connected(self) -> dict[Lane, str]:
        """Return the protocol of each lane that is connected at present."""
        return {lane: session.protocol for lane, (_, session) in self._sessions.items()}

    def whole(self) -> bool:
        """Tell whether everything that it needs of its broker is there."""
        return len(self._sessions) == len(self._lanes())

    def _lanes(self) -> tuple[Lane, ...]:
        return ("urgent", "bulk") if self._settings.receive else ("urgent",)

    async def run(self) -> None:
        """Receive and commit until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for lane in self._lanes():
                tasks.create_task(self._keep_lane(lane), name=f"ingest-{lane}")
            tasks.create_task(self._deal_for_ever(), name="ingest-deal")
            tasks.create_task(self._commit_for_ever(), name="ingest-commit")
            if self._settings.acks:
                tasks.create_task(self._repeat_acks(), name="ingest-acks")

    async def send_acks(self) -> None:
        """Send the pending acknowledgements now; to be called after `add_ack`, so that the site hears of it at once."""
        for pending in self._store.pending_acks():
            await self._publish(down_topic(pending.site, "ack"), wire.encode_ack(pending.ack))

    async def send_order(self, site: str, payload: bytes) -> None:
        """Publish a command at once.

        Raises:
            Refused: `unreachable`, nobody got it. PeerUnreachable: that is not known.
        """
        connection = self._sessions.get("urgent")
        if connection is None:
            raise Refused("unreachable", "the office has no connection to its broker")
        reason = await connection[1].publish(down_topic(site, "command"), payload)
        if reason >= 128 or reason == NOBODY:
            raise Refused("unreachable", f"the broker hands it to nobody, reason code {reason}")

    async def ask(self, site: str, request: Request) -> None:
        """Ask a site for something. What cannot be sent is lost: whoever asks asks again."""
        await self._publish(down_topic(site, "request"), wire.encode_request(request))

    # receiving

    async def _keep_lane(self, lane: Lane) -> None:
        delay = self._settings.backoff_first
        while True:
            try:
                session = await self._connect[lane]()
            except (PeerUnreachable, Refused) as err:
                self._lost(lane, str(err))
            else:
                delay = self._settings.backoff_first
                try:
                    await self._receive(lane, session)
                except (PeerUnreachable, Refused) as err:
                    self._lost(lane, str(err))
                finally:
                    self._sessions.pop(lane, None)
                    await session.close()
            heed_the_end()
            await asyncio.sleep(self._random.uniform(0.5, 1.0) * delay / SECOND)
            delay = min(2 * delay, self._settings.backoff_most)

    async def _receive(self, lane: Lane, session: Session) -> None:
        self._connections += 1
        number = self._connections
        self._sessions[lane] = (number, session)
        if lane == "urgent":
            self._talking = asyncio.Semaphore(max(1, min(AT_ONCE, session.allows.unanswered // 2)))
        await self._subscribe(lane, session)
        heed_the_end()
        log.info("ingest connected", lane=lane, protocol=session.protocol)
        self.problem = ""
        while True:
            arrival = Arrival(lane, number, await session.receive())
            if lane == "bulk":
                for forgotten in self._dealer.put(_sender(arrival.delivery), arrival):
                    self._acknowledge(forgotten)
                self._deal.set()
            else:
                await self._do(self._machine.accept(arrival, self._clock.monotonic()))
                self._work.set()

    async def _deal_for_ever(self) -> None:
        """Decode samples one transaction ahead, from each site in turn, while nothing more urgent is there."""
        while True:
            urgent, _ = self._machine.pending()
            arrival = None if urgent or self._machine.full() else self._dealer.deal()
            if arrival is None:
                self._deal.clear()
                with suppress(TimeoutError):  # a look each second needs no trust in being told
                    async with asyncio.timeout(1.0):
                        await self._deal.wait()
                continue
            self._bulk_last = self._clock.monotonic()
            await self._do(self._machine.accept(arrival, self._bulk_last))
            self._work.set()
            await asyncio.sleep(0)

    async def _subscribe(self, lane: Lane, session: Session) -> None:
        group = self._settings.group
        if group and session.protocol != "5":
            if not self._settings.alone_without:
                reason = "no-shared-subscription"
                raise Refused(reason, f"the broker speaks MQTT {session.protocol}; several workers want MQTT 5")
            group = ""
        for kind in TOPICS[lane] if self._settings.receive else ():
            await session.subscribe(f"$share/{group}/{ROOT}/+/up/{kind}" if group else f"{ROOT}/+/up/{kind}")

    def _lost(self, lane: Lane, why: str) -> None:
        if why != self.problem:
            log.warning("ingest lost its broker", lane=lane, why=why)
        self.problem = why

    # committing

    async def _commit_for_ever(self) -> None:
        while True:
            self.last_turn = self._clock.monotonic()
            await self._do(self._machine.advance(self.last_turn))
            batch = None if await self._should_wait() else self._machine.batch(self._clock.wall())
            if batch is None:
                continue
            self._deal.set()
            await self._settle(batch)

    async def _should_wait(self) -> bool:
        """Tell whether nothing is to be committed yet, after having waited for something new to happen."""
        urgent, bulk = self._machine.pending()
        if urgent or (bulk and self._machine.full()):
            return False
        now = self._clock.monotonic()
        until = now + self._settings.linger
        if not bulk:
            self._bulk_since = None
        else:
            self._bulk_since = now if self._bulk_since is None else self._bulk_since
            until = min(self._bulk_since + self._settings.linger, self._bulk_last + self._settings.quiet)
        if until <= now:
            self._bulk_since = None
            return False
        self._work.clear()
        try:
            async with asyncio.timeout((until - now) / SECOND):
                await self._work.wait()
        except TimeoutError:
            pass  # the linger is over, or it was time to look
        return True

    async def _settle(self, batch: Batch) -> None:
        """Commit a batch and answer for it. What the store cannot hold is told from the rest, and stops none of it."""
        began = self._clock.monotonic()
        try:
            outcome = await self._commit(batch)
        except StorageError as err:
            log.warning("central store cannot hold a message", why=str(err), entries=len(batch.arrivals))
            instead = apart(batch, str(err))
            for one in instead:
                await self._settle(one)
            if not instead:
                await self._do([Acknowledge(arrival) for arrival in batch.arrivals if arrival is not None])
        else:
            if batch.bulk:
                behind = self._machine.full() or self._dealer.size >= self._machine.bulk_size
                self._grouping.took(batch.bulk, self._clock.monotonic() - began, behind=behind)
                self._machine.bulk_size = self._grouping.size
            self._machine.forget(outcome.forgotten)
            if outcome.transitions:
                self._listener.applied(outcome.transitions)
            await self._do(self._machine.committed(batch, outcome))

    async def _commit(self, batch: Batch) -> Outcome:
        """Commit until it is durable. Repeating is harmless, also where the outcome of the first attempt is unknown.

        Raises:
            StorageError: `refused`, it will never be.
        """
        tries = 0
        while True:
            self.last_turn = self._clock.monotonic()
            try:
                outcome = await self._answered(self._store.commit(batch.transaction))
            except StorageError as err:
                if err.refused:
                    raise
                self._store_failed(err)
                await self._rest(tries)
                tries += 1
            else:
                self.store_problem = ""
                return outcome

    async def _answered(self, committing: "Future[Outcome]") -> Outcome:
        """Wait for a commit. Another machine's database may be mute for any time: that is told, and no death of ours.

        Alone with its store a commit that does not return stops `last_turn`, and the service manager restarts us.
        """
        answer = asyncio.wrap_future(committing)
        while self._store.shared and not answer.done():
            await asyncio.wait({answer}, timeout=MUTE_AFTER_S)
            if not answer.done():
                self.last_turn = self._clock.monotonic()
                self._store_failed(StorageError("central store: the database does not answer", unknown=True))
        return await answer

    async def _rest(self, tries: int) -> None:
        """Pause before a commit is tried again; `store_back` ends it."""
        pause = min(self._settings.retry << min(tries, 8), self._settings.retry_most)
        self._again.clear()
        try:
            async with asyncio.timeout(self._random.uniform(0.5, 1.0) * pause / SECOND):
                await self._again.wait()
        except TimeoutError:
            return

    def store_back(self) -> None:
        """Say that the store may be well again: what waits is committed at once."""
        self._again.set()

    def _store_failed(self, err: StorageError) -> None:
        if self.store_problem != str(err):
            log.warning("central store failed, trying again", why=str(err), unknown=err.unknown)
        self.store_problem = str(err)

    # answering

    async def _do(self, outputs: Sequence[Output]) -> None:
        """Say what is to be said, several at a time, and only then acknowledge to the broker."""
        await asyncio.gather(*[self._say(output) for output in outputs if isinstance(output, Answer | Ask)])
        for output in outputs:
            match output:
                case Look():
                    await self._look(output)
                case Heard(site, online):
                    self._listener.heard(site, online=online is not False)
                case Acknowledge(arrival):
                    self._acknowledge(arrival)

    async def _say(self, what: Answer | Ask) -> None:
        async with self._talking:
            match what:
                case Answer(site, receipt):
                    await self._publish(down_topic(site, "receipt"), wire.encode_receipt(receipt))
                case Ask(site, request):
                    await self._publish(down_topic(site, "request"), wire.encode_request(request))

    async def _look(self, look: Look) -> None:
        try:
            shape = self._store.shape(look.catalogue)
        except StorageError as err:  # it is looked for again
            self._store_failed(err)
        else:
            await self._do(self._machine.looked(look, shape))

    async def _publish(self, topic: str, payload: bytes) -> None:
        """Publish on the urgent lane. What cannot be sent is lost and will be asked for by a repeat of the block."""
        connection = self._sessions.get("urgent")
        if connection is None:
            return
        try:
            await connection[1].publish(topic, payload)
        except PeerUnreachable as err:
            self._lost("urgent", str(err))

    def _acknowledge(self, arrival: Arrival) -> None:
        lane: Lane = "urgent" if arrival.lane == "urgent" else "bulk"
        connection = self._sessions.get(lane)
        if connection is not None and connection[0] == arrival.connection:
            connection[1].ack(arrival.delivery)

    async def _repeat_acks(self) -> None:
        while True:
            await asyncio.sleep(self._settings.ack_every / SECOND)
            try:
                await self.send_acks()
            except StorageError as err:
                self._store_failed(err)


def _sender(delivery: Delivery) -> str:
    """Return the site that a message comes from; what names none waits together, to be passed over."""
    try:
        return wire.parse_topic(delivery.topic)[0]
    except FormatError:
        return ""
