"""The office process put together: store, ingest, notify, silence, local socket. The one place that names them all.

broker -> Ingest -> store (commit) -> receipts
|-> Notifier -> channels -> people
|-> silence of sites -> transitions of the office's own -> the same store
|-> what the record lacks -> requests to the sites, and transitions of the office's own
|-> console -> server-sent events -> browsers
people -> local socket, console -> acknowledgements -> store (pending) -> Ingest repeats them to the site
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from cloud_sync.ingest import Ingest, Lane
from cloud_sync.session import Connect
from cloud_sync.store.base import Push, StoredTransition
from office.audit_watch import AuditWatch
from office.central import lanes, open_store, receiving
from office.clock_trust import synchronised
from office.command_operations import CommandOperations
from office.commands import Orders
from office.completeness import Completeness
from office.completeness_operations import CompletenessOperations
from office.follow import Follower
from office.keeping import Keeper
from office.local_api import LocalApi, Operation
from office.notify.channels import Channel, Message
from office.notify.log import StoreLog
from office.notify.stages import Case
from office.notify.text import message
from office.notify.worker import Notifier
from office.operations import Operations
from office.own_alarms import OwnAlarms
from office.service import Service
from office.settings import ChannelSettings, OfficeSettings, WebhookChannel
from office.silence import RULE as SILENCE
from office.silence import Silence, is_active, silence_key
from office.trust import COMMAND_KEY, folder_for
from sitekeeper.catalogue import Catalogue
from sitekeeper.durations import duration_text
from sitekeeper.model.alarm import Cause, split_key
from sitekeeper.model.clock import SECOND, Clock, Micros, SystemClock
from sitekeeper.model.command import Ack
from sitekeeper.model.errors import StorageError
from sitekeeper.order import Sign
from sitekeeper.story import span
from sitekeeper.texts import text

if TYPE_CHECKING:
    from office.console.server import Console
    from office.enrol.enrolment import Enrolment

LOOK_EVERY: Final[Micros] = 10 * SECOND
"""The silence of sites is looked at this often even when no deadline is near."""
AGAIN_AFTER: Final[Micros] = SECOND
"""So soon it is told again what the store did not take."""

_logger = structlog.get_logger()


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
        self._look = asyncio.Event()
        self._catalogues: dict[str, tuple[str, Catalogue | None]] = {}  # by site: hash and content
        self.console: Console | None = None
        self.enrolment: Enrolment | None = None

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
            self.store.close()
            raise

    async def _open_parts(self) -> None:
        self._open_enrolment()
        self._channels = self._channels if self._channels is not None else _channels(self._settings, self._clock)
        self._notifier = Notifier(
            StoreLog(self.store, self.store.reader, self._push_changed),
            self._channels,
            self._settings.routing(),
            self._compose,
            self._clock,
            self._settings.retry.build(),
        )
        receives = receiving(self._settings)
        broker = self._settings.own_broker()
        connect = self._connect if self._connect is not None else lanes(broker, persistent=not receives.group)
        if self.enrolment is not None:
            connect = {lane: self.enrolment.gate.guard(one) for lane, one in connect.items()}
        self.ingest = Ingest(connect, self.store, self, clock=self._clock, settings=receives)
        self.own = OwnAlarms(self.store, self.store.reader, self._clock, self._wake)
        self._completeness = Completeness(
            self.store.reader, self.own, self.ingest.ask, self._clock, self._settings.language
        )
        sites = [row.site for row in self.store.reader.sites()]
        active = [site for site in sites if is_active(self.store.reader.alarm(silence_key(site)))]
        self._silence = Silence(sites, active, self._clock.monotonic(), self._settings.silence.after)
        place = self._settings.store
        self.keeper = Keeper(
            self.store,
            self._clock,
            self._settings.retention.limits(),
            None if place.url is not None else Path(place.path).parent,
            threads=not self._inline,
        )
        self._audits = AuditWatch(self.store.reader, self.own, self._settings.language)
        self.commands = Orders(
            self.store,
            self.store.reader,
            self._clock,
            sign=self._signer,
            send=self.ingest.send_order,
            catalogue=self._catalogue,
        )
        self.operations = Operations(
            store=self.store,
            reader=self.store.reader,
            clock=self._clock,
            ack_here=self.own.ack,
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

    def _asked_locally(self) -> dict[str, Operation]:
        reader, history = self.store.reader, self.store.history
        commands = CommandOperations(orders=self.commands, reader=reader, open_reader=history)
        completeness = CompletenessOperations(store=self.store, open_reader=history, clock=self._clock, wake=self._wake)
        return {**self.operations.table(), **commands.table(), **completeness.table()}

    def _open_enrolment(self) -> None:
        if self._settings.enrol is None:
            return
        from office.enrol.enrolment import Enrolment  # late: cryptography, and only offices with an authority pay

        enrolment = Enrolment(self._settings, self._clock)
        enrolment.open()
        self.enrolment = enrolment

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
            ready=lambda: self.ingest.problem or self.ingest.store_problem,
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
            tasks.create_task(self._notifier.run(), name="office-notify")
            tasks.create_task(self._watch_silence(), name="office-silence")
            tasks.create_task(self._completeness.run(), name="office-completeness")
            tasks.create_task(self._audits.run(), name="office-audits")
            tasks.create_task(self.keeper.run(), name="office-keeping")
            tasks.create_task(self.commands.run(), name="office-commands")
            if self.console is not None:
                tasks.create_task(self.console.run(), name="office-console")
            if self.enrolment is not None:
                tasks.create_task(self.enrolment.run(), name="office-enrolment")

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
            self._look.set()  # perhaps the first that can become silent: the deadline must be looked at
        if self._silence.heard(site, self._clock.monotonic()):
            self._look.set()

    # the office's own alarm

    async def _watch_silence(self) -> None:
        while True:
            self._look.clear()
            self._silence.listens(self._clock.monotonic(), hears=self.ingest.whole())
            if self.enrolment is not None:
                self._silence.forget(self.enrolment.gate.away)
            for site in self._silence.advance(self._clock.monotonic()):
                _logger.warning("site silent", site=site)
            try:
                await self._tell_silence()
            except StorageError as error:  # the ingest says so too; what is not told now is told when it is over
                _logger.warning("silence of sites not told yet", why=str(error))
            self._live()
            deadline = self._silence.next_deadline()
            wait = LOOK_EVERY if deadline is None else max(deadline - self._clock.monotonic(), 0)
            most = AGAIN_AFTER if self._silence.untold() else LOOK_EVERY
            try:
                async with asyncio.timeout(min(wait, most) / SECOND):
                    await self._look.wait()
            except TimeoutError:
                continue

    async def _tell_silence(self) -> None:
        for site, silent in self._silence.untold():
            await self._own_move(site, Cause.RAISE if silent else Cause.CLEAR)
            self._silence.told(site, silent=silent)

    def _live(self) -> None:
        """Give a sign of life if one is due; not if committing has not come round since the time for two."""
        now, problem = self._clock.monotonic(), self.ingest.store_problem or self.ingest.problem
        if now >= self.service.due:
            alive = now - self.ingest.last_turn < 2 * self.service.every
            self.service.feed(now, problem or "; ".join(filter(None, ("receiving", self.keeper.problem))), alive=alive)

    async def _own_move(self, site: str, cause: Cause) -> None:
        """Raise or clear GW01, unless it already stands so."""
        after = self._settings.silence.after
        detail = text("office.silence.detail", self._settings.language, span=span(after, self._settings.language))
        if not self.ingest.whole():
            detail = text("office.silence.no-broker", self._settings.language)
        await self.own.move(
            site,
            SILENCE,
            cause,
            detail=detail if cause is Cause.RAISE else "",
            limits={"silent_for": duration_text(after)},
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
        state = await asyncio.wrap_future(self.store.add_ack(site, ack))
        await self.ingest.send_acks()
        return state

    def _signer(self) -> Sign | None:
        """Return what signs with the office's key for commands; None if it has none (yet)."""
        store, enrol = Path(self._settings.store.path), self._settings.enrol
        path = (folder_for(store) if enrol is None else enrol.trust_folder(store)) / COMMAND_KEY
        if not path.exists():
            return None
        from cloud_sync.signing import signer  # late: cryptography, and only offices that command pay

        return signer(path)

    async def _compose(self, case: Case, channel: str, row: Push) -> Message:
        catalogue = self._catalogue(split_key(case.transition.key)[0])
        languages = {settings.id: settings.language for settings in self._settings.channels}
        language = languages.get(channel) or self._settings.language
        return message(case, row, catalogue, language, self._clock.wall())

    def _catalogue(self, site: str) -> Catalogue | None:
        """Return the site's newest catalogue; decoded once, because a large one takes tens of milliseconds."""
        found = next((row.catalogue for row in self.store.reader.sites() if row.site == site), None)
        if found is None:
            return None
        if self._catalogues.get(site, ("", None))[0] != found:
            self._catalogues[site] = (found, self.store.reader.catalogue(site))
        return self._catalogues[site][1]


def _channels(settings: OfficeSettings, clock: Clock) -> dict[str, Channel]:
    return {channel.id: _channel(channel, clock) for channel in settings.channels}


def _channel(settings: ChannelSettings, clock: Clock) -> Channel:
    """Make a channel. Its library is imported here, so that an office imports only what its channels need."""
    if isinstance(settings, WebhookChannel):
        from office.notify.channels.webhook import Webhook

        return Webhook(settings.url, settings.secret, settings.timeout, clock)
    from office.notify.channels.apprise import Apprise

    return Apprise(settings.url, settings.timeout)
