"""The office process put together: store, ingest, notify, silence, local socket. The one place that names them all.

broker -> Ingest -> store (commit) -> receipts
|-> Notifier -> channels -> people
|-> silence of sites -> transitions of the office's own -> the same store
|-> what the record lacks -> requests to the sites, and transitions of the office's own
|-> console -> server-sent events -> browsers
people -> local socket, console -> acknowledgements -> store (pending) -> Ingest repeats them to the site
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cloud_sync.ingest import Ingest, Lane
from cloud_sync.session import Connect
from cloud_sync.store.base import StoredTransition
from cloud_sync.store.reader import StoreReader
from office.audit_watch import AuditWatch
from office.away import AwayAlarm
from office.central import lanes, open_store, receiving
from office.clock_trust import synchronised
from office.command_operations import CommandOperations
from office.commands import Orders
from office.completeness import Completeness
from office.completeness_operations import CompletenessOperations
from office.composer import Composer
from office.console.reading import ReadingThread
from office.database import Database
from office.follow import Follower
from office.health import Health, judged, operation
from office.keeping import Keeper
from office.local_api import LocalApi, Operation
from office.notify.channels import Channel
from office.notify.channels.chosen import chosen
from office.notify.log import StoreLog
from office.notify.worker import Notifier
from office.operations import Operations
from office.own_alarms import OwnAlarms
from office.service import NEVER, Service
from office.settings import OfficeSettings
from office.silence import Silence, is_active, silence_key
from office.silence_watch import SilenceWatch
from office.trust import COMMAND_KEY, folder_for
from sitekeeper.model.alarm import AlarmRecord, Transition
from sitekeeper.model.clock import SECOND, Clock, SystemClock
from sitekeeper.model.command import Ack, Actor
from sitekeeper.order import Sign

if TYPE_CHECKING:
    from office.console.server import Console
    from office.enrol.enrolment import Enrolment
    from office.enrol.leaving import Leaving

_T = TypeVar("_T")


class Office:
    """One office. `open` it, `run` it until cancelled, `close` it.

    Args:
        connect: makes the two sessions of the ingest; tests hand in a broker in memory.
        channels: instead of those of the settings, for tests.
        inline_store: commit on the loop's thread, for the virtual site.
        service: the service manager that started the office; by default none did.
    """

    def __init__(
        self,
        settings: OfficeSettings,
        *,
        connect: Mapping[Lane, Connect] | None = None,
        channels: Mapping[str, Channel] | None = None,
        clock: Clock | None = None,
        inline_store: bool = False,
        service: Service | None = None,
    ) -> None:
        self.service = service or Service({})
        self._settings = settings
        self._clock = clock or SystemClock(synchronised)
        self._connect = connect
        self._channels = channels
        self._inline = inline_store
        self.console: Console | None = None
        self.enrolment: Enrolment | None = None
        self.database: Database | None = None
        self._reading: ReadingThread | None = None

    async def open(self) -> None:
        """Open the store and the local socket.

        Raises:
            StorageError: the store is in use or not readable. Refused: another office answers at the socket.
        """
        self.store = open_store(self._settings, inline=self._inline)
        try:
            await self._open_parts()
        except BaseException:
            if self.enrolment is not None:
                await self.enrolment.close()
            self._close_store()
            raise

    async def _open_parts(self) -> None:
        self._open_enrolment()
        self._channels = self._channels if self._channels is not None else chosen(self._settings, self._clock)
        self.database = Database(self.store, self._clock, self._database_back) if self.store.shared else None
        self._reading = self._reading_thread()
        hold, read = (None, None) if self.database is None else (self.database.hold, self._read)
        self._words = Composer(self.store.reader, self._settings, self._clock)
        self._notifier = Notifier(
            StoreLog(self.store, self.store.reader, self._push_changed, read=read, hold=hold),
            self._channels,
            self._settings.routing(),
            self._words.compose,
            self._clock,
            self._settings.retry.build(),
        )
        receives = receiving(self._settings)
        broker = self._settings.own_broker()
        connect = self._connect if self._connect is not None else lanes(broker, persistent=not receives.group)
        if self.enrolment is not None:
            connect = {lane: self.enrolment.gate.guard(one) for lane, one in connect.items()}
        self.ingest = Ingest(connect, self.store, self, clock=self._clock, settings=receives)
        self.own = OwnAlarms(self.store, self.store.reader, self._clock, self._wake, self._revoked)
        self._completeness = Completeness(
            self.store.reader, self.own, self.ingest.ask, self._clock, self._settings.language, read
        )
        self._open_silence()
        self.keeper = self._open_keeper()
        self._audits = AuditWatch(self.store.reader, self.own, self._settings.language)
        self.commands = Orders(
            self.store,
            self.store.reader,
            self._clock,
            sign=self._signer,
            send=self.ingest.send_order,
            catalogue=self._words.catalogue,
            guard=None if self.database is None else self.database.guard,
        )
        self.operations = Operations(
            store=self.store,
            reader=self.store.reader,
            clock=self._clock,
            ack_here=self._ack_here,
            ack_sent=self._ack_sent,
            commands=self.commands,
        )
        local = self._settings.socket
        self._api = LocalApi(Path(local.path), self._asked_locally(), local.operators)
        await self._api.open()
        try:
            self._open_console()
        except BaseException:
            await self._api.close()
            raise

    def _open_silence(self) -> None:
        reader = self.store.history()
        try:
            sites = [row.site for row in reader.sites()]
            active = [site for site in sites if is_active(reader.alarm(silence_key(site)))]
        finally:
            reader.close()
        self._silence = Silence(sites, active, self._clock.monotonic(), self._settings.silence.after)
        self._silences = SilenceWatch(
            self._silence,
            self.own,
            self.ingest,
            self._clock,
            self._settings.silence.after,
            self._settings.language,
            away=self._away,
            revoked=self._revoked,
        )

    def _open_keeper(self) -> Keeper:
        place = self._settings.store
        return Keeper(
            self.store,
            self._clock,
            self._settings.retention.limits(),
            None if place.url is not None else Path(place.path).parent,
            threads=not self._inline,
        )

    def _asked_locally(self) -> dict[str, Operation]:
        reader, history = self.store.reader, self.store.history
        commands = CommandOperations(orders=self.commands, reader=reader, open_reader=history)
        completeness = CompletenessOperations(store=self.store, open_reader=history, clock=self._clock, wake=self._wake)
        return {
            **self.operations.table(),
            **commands.table(),
            **completeness.table(),
            "office.status": operation(self.health),
        }

    def _open_enrolment(self) -> None:
        if self._settings.enrol is None:
            return
        from office.enrol.enrolment import Enrolment  # late: cryptography, and only offices with an authority pay

        enrolment = Enrolment(self._settings, self._clock)
        enrolment.open()
        self.enrolment = enrolment

    def _leaving(self, enrolment: "Enrolment") -> "Leaving":
        from office.enrol.leaving import Leaving  # late: only offices with an authority pay

        sites = enrolment.desk.registry.sites
        return Leaving(self.store, sites, self._clock, self._settings.language, self._wake)

    def _revoked(self) -> frozenset[str]:
        return frozenset() if self.enrolment is None else self.enrolment.gate.away

    def _open_console(self) -> None:
        if self._settings.console is None:
            return
        from office.console.server import Console  # late: a web framework, and only offices with a console pay

        console = Console(
            self._settings.console,
            self.store.history,
            self._settings.console.accounts(Path(self._settings.store.path)),
            self.operations,
            self._clock,
            self._settings.language,
            broker=self.ingest.whole,
            ready=self.problem,
            health=self.health,
            unknown=self._silences.blind_since,
            away=self._away,
            revoked=lambda: {} if self.enrolment is None else self.enrolment.revoked,
        )
        console.open()
        self.console = console

    async def run(self) -> None:
        """Work until cancelled.

        Raises:
            ExceptionGroup: a part died; everything else has been stopped.
        """
        self.service.tell("READY=1")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.ingest.run(), name="office-ingest")
            if self.store.shared:
                tasks.create_task(Follower(self.store, self).run(), name="office-follow")
            if self.database is not None:
                tasks.create_task(self.database.run(), name="office-database")
                tasks.create_task(self._away_alarm(self.database).run(), name="office-database-alarm")
            if self.service.due < NEVER:
                tasks.create_task(self._live(), name="office-life")
            tasks.create_task(self._notifier.run(), name="office-notify")
            tasks.create_task(self._silences.run(), name="office-silence")
            tasks.create_task(self._completeness.run(), name="office-completeness")
            tasks.create_task(self._audits.run(), name="office-audits")
            tasks.create_task(self.keeper.run(), name="office-keeping")
            tasks.create_task(self.commands.run(), name="office-commands")
            if self.console is not None:
                tasks.create_task(self.console.run(), name="office-console")
            if self.enrolment is not None:
                tasks.create_task(self.enrolment.run(), name="office-enrolment")
                tasks.create_task(self._leaving(self.enrolment).run(), name="office-leaving")

    async def close(self) -> None:
        """Give everything back; what is stored is stored."""
        self.service.tell("STOPPING=1")
        if self.console is not None:
            await self.console.close()
        await self._api.close()
        if self.enrolment is not None:
            await self.enrolment.close()
        for channel in (self._channels or {}).values():
            await channel.close()
        await asyncio.to_thread(self._close_store) if self.store.shared else self.store.close()

    def _close_store(self) -> None:
        if self._reading is not None:
            self._reading.close()
        if self.database is not None:
            self.database.close()
        self.store.close()

    # Listener of the ingest; called on the loop, returns at once

    def applied(self, transitions: Sequence[StoredTransition]) -> None:
        """Have the new transitions looked at; they are in the store, which is the queue."""
        del transitions
        self._wake()

    def heard(self, site: str, *, online: bool) -> None:
        """Note a sign of life. A last will is the broker's word, not the site's."""
        if self.console is not None:
            self.console.parts.hub.heard(site)
        if not online:
            return
        if not self._silence.knows(site):
            self._silences.look()  # perhaps the first that can become silent: the deadline must be looked at
        if self._silence.heard(site, self._clock.monotonic()):
            self._silences.look()

    async def _live(self) -> None:
        """Give signs of life as they become due."""
        while True:
            self.feed()
            await asyncio.sleep(min(self.service.every, SECOND) / SECOND)

    def feed(self) -> None:
        """Give a sign of life if one is due; not if committing has not come round since the time for two."""
        now = self._clock.monotonic()
        if now >= self.service.due:
            alive = now - self.ingest.last_turn < 2 * self.service.every
            status = self.problem() or "; ".join(filter(None, ("receiving", self.keeper.problem)))
            self.service.feed(now, status, alive=alive)

    def problem(self) -> str:
        """Return why the office does not do its whole work at present; empty if it does."""
        return self.health().problem

    def health(self) -> Health:
        """Return how the office itself stands."""
        return judged(
            self._clock.wall(), self.ingest, self.database, self._silences.unknown_since(), self.keeper.problem
        )

    # what the parts need of each other

    def _wake(self) -> None:
        self._notifier.wake()
        if self.console is not None:
            self.console.parts.hub.wake()

    def _push_changed(self, occurrence: str) -> None:
        if self.console is not None:
            self.console.parts.hub.changed(occurrence)

    async def _ack_sent(self, site: str, ack: Ack) -> str:
        state: str = await self._guarded(asyncio.wrap_future(self.store.add_ack(site, ack)))
        await self.ingest.send_acks()
        return state

    async def _ack_here(self, record: AlarmRecord, actor: Actor, note: str) -> Transition:
        return await self._guarded(self.own.ack(record, actor, note))

    async def _guarded(self, work: Awaitable[_T]) -> _T:
        """Return what `work` returns; StorageError if the database goes away meanwhile."""
        return await (work if self.database is None else self.database.guard(work))

    # the database of another machine

    def _reading_thread(self) -> ReadingThread | None:
        return ReadingThread(self.store.history, "asyncio_office", self._away) if self.store.shared else None

    async def _read(self, question: Callable[[StoreReader], _T]) -> _T:
        """Ask the store what may take its time, away from the loop."""
        return question(self.store.reader) if self._reading is None else await self._reading.ask(question)

    def _away(self) -> str:
        return "" if self.database is None else self.database.away

    def _database_back(self) -> None:
        self.ingest.store_back()
        self._silences.look()
        self._wake()

    def _away_alarm(self, database: Database) -> AwayAlarm:
        return AwayAlarm(
            database,
            self.store,
            self.own,
            self._channels or {},
            self._settings.routing().routes,
            self._words.compose,
            self._clock,
            retry=self._settings.retry.build(),
            after=self._settings.silence.after,
            language=self._settings.language,
        )

    def _signer(self) -> Sign | None:
        """Return what signs with the office's key for commands; None if it has none (yet)."""
        store, enrol = Path(self._settings.store.path), self._settings.enrol
        path = (folder_for(store) if enrol is None else enrol.trust_folder(store)) / COMMAND_KEY
        if not path.exists():
            return None
        from cloud_sync.signing import signer  # late: cryptography, and only offices that command pay

        return signer(path)
