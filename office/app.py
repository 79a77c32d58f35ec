"""The office process put together: store, ingest, notify, silence, local socket. The one place that names them all.

broker -> Ingest -> store (commit) -> receipts
|-> Notifier -> channels -> people
|-> silence of sites -> transitions of the office's own -> the same store
|-> console -> server-sent events -> browsers
people -> local socket, console -> acknowledgements -> store (pending) -> Ingest repeats them to the site
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from cloud_sync.ingest import Ingest, Lane
from cloud_sync.mqtt import BrokerSettings, connector
from cloud_sync.session import Connect
from cloud_sync.store.base import Push, StoredTransition
from cloud_sync.store.sqlite import SqliteStore
from office.local_api import LocalApi
from office.notify.channels import Channel, Message
from office.notify.log import StoreLog
from office.notify.stages import OFFICE_EPOCH, Case
from office.notify.text import message
from office.notify.worker import Notifier
from office.operations import Operations
from office.service import Service
from office.settings import Broker, ChannelSettings, OfficeSettings, WebhookChannel
from office.silence import Silence, SilenceAlarm, is_active, silence_key
from sitekeeper.catalogue import Catalogue
from sitekeeper.durations import duration_text
from sitekeeper.model.alarm import AlarmRecord, Cause, Transition, split_key
from sitekeeper.model.clock import SECOND, Clock, Micros, SystemClock
from sitekeeper.model.command import Ack, Actor
from sitekeeper.story import span
from sitekeeper.texts import text

if TYPE_CHECKING:
    from office.console.server import Console

LOOK_EVERY: Final[Micros] = 10 * SECOND
"""The silence of sites is looked at this often even when no deadline is near."""

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
        self._clock = clock or SystemClock()
        self._connect = connect
        self._channels = channels
        self._inline = inline_store
        self._back: set[str] = set()  # sites heard again whose GW01 is to be cleared; at most one entry a site
        self._look = asyncio.Event()
        self._own = asyncio.Lock()  # one transition of the office's own at a time: each continues a sequence
        self._catalogues: dict[str, tuple[str, Catalogue | None]] = {}  # by site: hash and content
        self._fresh_epoch = OFFICE_EPOCH + secrets.token_hex(4)
        self.console: Console | None = None

    async def open(self) -> None:
        """Open the store and the local socket.

        Raises:
            StorageError: the store is in use or not readable. Refused: another office answers at the socket.
        """
        self.store = SqliteStore.open(Path(self._settings.store.path), inline=self._inline)
        try:
            await self._open_parts()
        except BaseException:
            self.store.close()
            raise

    async def _open_parts(self) -> None:
        self._channels = self._channels if self._channels is not None else _channels(self._settings, self._clock)
        self._notifier = Notifier(
            StoreLog(self.store, self.store.reader, self._push_changed),
            self._channels,
            self._settings.routing(),
            self._compose,
            self._clock,
            self._settings.retry.build(),
        )
        connect = self._connect if self._connect is not None else _connect(self._settings.broker)
        self.ingest = Ingest(connect, self.store, self, clock=self._clock)
        sites = [row.site for row in self.store.reader.sites()]
        active = [site for site in sites if is_active(self.store.reader.alarm(silence_key(site)))]
        self._silence = Silence(sites, active, self._clock.monotonic(), self._settings.silence.after)
        self.operations = Operations(
            store=self.store,
            reader=self.store.reader,
            clock=self._clock,
            ack_here=self._ack_here,
            ack_sent=self._ack_sent,
        )
        local = self._settings.socket
        self._api = LocalApi(Path(local.path), self.operations.table(), local.operators)
        await self._api.open()
        try:
            self._open_console()
        except BaseException:
            await self._api.close()
            raise

    def _open_console(self) -> None:
        if self._settings.console is None:
            return
        from office.console.server import Console  # late: a web framework, and only offices with a console pay

        console = Console(
            self._settings.console,
            Path(self._settings.store.path),
            self.operations,
            self._clock,
            self._settings.language,
            broker=lambda: len(self.ingest.connected()) == 2,
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
            tasks.create_task(self._notifier.run(), name="office-notify")
            tasks.create_task(self._watch_silence(), name="office-silence")
            if self.console is not None:
                tasks.create_task(self.console.run(), name="office-console")

    async def close(self) -> None:
        """Give everything back; what is stored is stored."""
        self.service.tell("STOPPING=1")
        if self.console is not None:
            await self.console.close()
        await self._api.close()
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
            self._back.add(site)
            self._look.set()

    # the office's own alarm

    async def _watch_silence(self) -> None:
        while True:
            self._look.clear()
            while self._back:
                await self._own_move(self._back.pop(), Cause.CLEAR)
            for site in self._silence.advance(self._clock.monotonic()):
                _logger.warning("site silent", site=site)
                await self._own_move(site, Cause.RAISE)
            self._live()
            deadline = self._silence.next_deadline()
            wait = LOOK_EVERY if deadline is None else max(deadline - self._clock.monotonic(), 0)
            try:
                async with asyncio.timeout(min(wait, LOOK_EVERY) / SECOND):
                    await self._look.wait()
            except TimeoutError:
                continue

    def _live(self) -> None:
        """Give a sign of life if one is due; not if committing has not come round since the time for two."""
        now, problem = self._clock.monotonic(), self.ingest.store_problem or self.ingest.problem
        if now >= self.service.due:
            alive = now - self.ingest.last_turn < 2 * self.service.every
            self.service.feed(now, problem or "receiving", alive=alive)

    async def _own_move(self, site: str, cause: Cause) -> None:
        """Raise or clear GW01, unless it already stands so."""
        async with self._own:
            record = self.store.reader.alarm(silence_key(site))
            if is_active(record) == (cause is Cause.RAISE):
                return
            after = self._settings.silence.after
            detail = text("office.silence.detail", self._settings.language, span=span(after, self._settings.language))
            await self._store_own(
                site,
                record,
                cause,
                detail=detail if cause is Cause.RAISE else "",
                limits={"silent_for": duration_text(after)},
            )

    async def _ack_here(self, record: AlarmRecord, actor: Actor, note: str) -> Transition:
        async with self._own:
            site = split_key(record.key)[0]
            now = self.store.reader.alarm(record.key)
            return await self._store_own(site, now, Cause.ACK, actor=actor, note=note)

    async def _store_own(
        self,
        site: str,
        record: AlarmRecord | None,
        cause: Cause,
        *,
        actor: Actor | None = None,
        note: str = "",
        detail: str = "",
        limits: Mapping[str, str] | None = None,
    ) -> Transition:
        alarm = SilenceAlarm(site=site, record=record, fresh_epoch=self._fresh_epoch)
        at = self._clock.wall()
        move = alarm.move(
            cause,
            sequence=self.store.reader.next_sequence(site, alarm.epoch),
            at=at,
            mono=self._clock.monotonic(),
            actor=actor,
            note=note,
            detail=detail,
            limits=limits,
        )
        await asyncio.wrap_future(self.store.add_transitions(alarm.epoch, at, [move]))
        self._wake()
        return move

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


def _connect(broker: Broker) -> dict[Lane, Connect]:
    settings = BrokerSettings(**broker.model_dump(exclude={"client_id"}))
    lanes: tuple[Lane, ...] = ("urgent", "bulk")
    return {lane: connector(settings, f"{broker.client_id}-{lane}", persistent=True) for lane in lanes}


def _channels(settings: OfficeSettings, clock: Clock) -> dict[str, Channel]:
    return {channel.id: _channel(channel, clock) for channel in settings.channels}


def _channel(settings: ChannelSettings, clock: Clock) -> Channel:
    """Make a channel. Its library is imported here, so that an office imports only what its channels need."""
    if isinstance(settings, WebhookChannel):
        from office.notify.channels.webhook import Webhook

        return Webhook(settings.url, settings.secret, settings.timeout, clock)
    from office.notify.channels.apprise import Apprise

    return Apprise(settings.url, settings.timeout)
