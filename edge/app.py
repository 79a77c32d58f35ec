"""The composition root of the gateway: the only place on the site that names concrete parts, and owns their tasks."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from cloud_sync.session import Connect
from cloud_sync.uplink import Uplink
from drivers.base import Services
from edge import drill, fieldside, flowside, localside, officeside, operations, own_reading, salt, socket_api
from edge.brokers import real_brokers
from edge.bus.urgent import urgent
from edge.commands import audit
from edge.commands.alarm_door import AlarmDoor
from edge.commands.commander import Commander
from edge.commands.lamp_shell import LampShell, endangers
from edge.drill import DrillDesk
from edge.field_memory import FieldMemory
from edge.local import webhook
from edge.local.shell import Posting
from edge.muster_call import MusterCall
from edge.operations import Gateway
from edge.outbox import Limits, Outbox, space
from edge.own_reading import OwnReader
from edge.poller import Poller
from edge.rules.instance import Verdict
from edge.service import Service
from edge.settings.values import Site
from edge.socket_api import SocketApi
from edge.tables import Tables
from edge.trust import keeping
from sitekeeper import catalogue
from sitekeeper.block import STREAMS
from sitekeeper.model.clock import SECOND, Clock, Micros, Moment
from sitekeeper.model.event import pseudonym

if TYPE_CHECKING:  # at run time they are loaded only by a link that uses them
    from drivers.broker import Brokers

log = structlog.get_logger()

DRAIN: Micros = 5 * SECOND
"""How long a stopping gateway waits for its links to close, and then for receipts; what the office lacks then, it gets
after the next start."""


@dataclass(slots=True, kw_only=True)
class Wiring:
    """What differs between a real gateway, a test and the virtual site.

    Attributes:
        connect: makes sessions with the office's broker; None runs without an office.
        inline: the database writer works on the caller's thread.
        socket: where the local API listens; None for no local API.
        service: the service manager that started the gateway; by default none did.
        brokers: makes connections to the brokers of devices.
        room: the bytes that are free for a file.
        post: posts to somebody on site.
    """

    connect: Connect | None = None
    inline: bool = False
    socket: Path | None = None
    boot: str = field(default_factory=lambda: secrets.token_hex(8))
    service: Service = field(default_factory=lambda: Service({}))
    brokers: "Brokers" = real_brokers
    room: Callable[[Path], int] = space.room
    post: Posting = webhook.post


class App:
    """One gateway: `open`, then `run` until cancelled, then `close`."""

    def __init__(self, site: Site, clock: Clock, wiring: Wiring) -> None:
        self.site, self.clock, self.wiring = site, clock, wiring
        self._wake = asyncio.Event()
        self._scheduled = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._field: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Open the outbox, rebuild state from it, and put the parts together.

        Raises:
            StorageError: the outbox cannot be used.
            SitekeeperError: another daemon serves the local socket.
        """
        self._loop = asyncio.get_running_loop()
        settings = self.site.outbox
        limits = Limits(
            group=settings.commit / SECOND,
            history=settings.history,
            max_size=settings.max_size,
            reserve=settings.reserve,
        )
        settings.path.parent.mkdir(parents=True, exist_ok=True)
        self.outbox = Outbox.open(
            settings.path,
            site=self.site.id,
            clock=self.clock,
            inline=self.wiring.inline,
            limits=limits,
            on_commit=self._committed,
            own=catalogue.encode(self.site.catalogue),
        )
        try:
            await self._open_parts()
        except BaseException:
            self.outbox.close()
            raise
        log.info("gateway open", site=self.site.id, epoch=self.outbox.epoch, boot=self.wiring.boot,
                 devices=len(self.site.devices), points=len(self.site.points))  # fmt: skip

    async def _open_parts(self) -> None:
        payload = catalogue.encode(self.site.catalogue)
        self.outbox.put_catalogue(payload)
        flow = flowside.flow(
            self.site, self.outbox, self.clock, catalogue.catalogue_hash(payload),
            boot=self.wiring.boot, tell=self._tell_directly, wake=self._flowed,
        )  # fmt: skip
        self.pipeline, self._engine, self.watches, self.keeper = flow
        rows = self.outbox.audit_tail()
        self.door = AlarmDoor(
            self.pipeline.book, self.pipeline.moved, self._now, audit.outcomes(rows), self.pipeline.sequence
        )
        self._salt = salt.load(self.site.outbox.path.parent)
        self.drill = DrillDesk(
            self.pipeline.book, self.pipeline, self._now, self.outbox.state().rule_state.get(drill.KEY)
        )
        self.pipeline.moved_watchers.add(self.drill.moved)
        memory = FieldMemory(
            self.outbox.state().rule_state, self.site.devices, lambda state: self.pipeline.noted(state=state)
        )
        services = Services(brokers=self.wiring.brokers, salt=self._salt, memory=memory)
        self.drivers = fieldside.drivers(self.site, self.clock, services)
        self.commander = self._commander(audit.commands(rows))
        self.lamp_tests = self._lamp_tests()
        self.pollers = self._pollers()
        self.audit_watch = officeside.audit_watch(self.site, self.outbox, self.clock, inline=self.wiring.inline)
        self.uplink = self._uplink(catalogue.catalogue_hash(payload), audit.commands(rows))
        self.local = localside.shell(
            self.site, self.outbox, self.pipeline, self.commander, self._connected, self.wiring.post, self.clock
        )
        self.tables = Tables(self.site.lookups, self.site.tables)
        self.tables.look()
        self.pipeline.enrich = self.tables.enrich
        self.own = self._own_points()
        self.muster = MusterCall(self.site, self.pipeline, self.clock)
        self._api: SocketApi | None = None
        if self.wiring.socket is not None:
            self._api = SocketApi(self.wiring.socket, operations.table(self._gateway()), socket_api.ROLES)
            await self._api.open()

    async def run(self) -> None:
        """Poll, decide, record and send until cancelled; a task that dies takes the gateway down, visibly."""
        self.wiring.service.tell("READY=1")
        async with asyncio.TaskGroup() as tasks:
            self.commander.start(tasks)
            self._field = [tasks.create_task(self._tick(), name="ticker")]
            self._field.append(tasks.create_task(self.own.run(), name="own points"))
            if self.site.lamp_tests:
                self._field.append(tasks.create_task(self.lamp_tests.run(), name="lamp tests"))
            if self.site.local.fits:
                self._field.append(tasks.create_task(self.local.run(), name="local targets"))
            if self.muster.doors:
                self._field.append(tasks.create_task(self.muster.run(), name="muster"))
            if self.site.tables:
                looking = own_reading.keep_tables(self.tables, inline=self.wiring.inline)
                self._field.append(tasks.create_task(looking, name="tables"))
            for link, poller in self.pollers.items():
                self._field.append(tasks.create_task(poller.run(), name=f"poller {link}"))
            self._field.append(tasks.create_task(self.drill.run(), name="drill"))
            tasks.create_task(self.audit_watch.run(), name="audit watch")
            if self.uplink is not None:
                tasks.create_task(self.uplink.run(), name="uplink")
            if self.keeper is not None:
                tasks.create_task(self.keeper.run(), name="certificate")

    async def drain(self) -> None:
        """Stop polling, record what waits, give the uplink a moment to hand it over. To be called before `run` ends."""
        self.wiring.service.tell("STOPPING=1")
        for task in self._field:
            task.cancel()
        if self._field:  # nothing yet, if the end is asked for at once
            await asyncio.wait(self._field, timeout=DRAIN / SECOND)
        self.commander.stop()
        self.pipeline.stop()
        until = self.clock.monotonic() + DRAIN
        while self._waiting() and self.clock.monotonic() < until:  # noqa: ASYNC110 - five seconds, once in a life
            await asyncio.sleep(0.05)

    def _waiting(self) -> bool:
        """Tell whether a connected office still lacks something."""
        pending = not self.pipeline.last_append.done()
        return self._connected() and (pending or any(self.outbox.unsent(stream).blocks for stream in STREAMS))

    def _connected(self) -> bool:
        return self.uplink is not None and self.uplink.report().state == "connected"

    async def close(self) -> None:
        """Make durable what the outbox was given, and let go of everything. `drain` comes before, if all is well."""
        if self._api is not None:
            await self._api.close()
        await asyncio.to_thread(self.outbox.close) if not self.wiring.inline else self.outbox.close()
        log.info("gateway closed", site=self.site.id)

    def _commander(self, known: Mapping[str, audit.AuditRow]) -> Commander:
        pipeline = self.pipeline
        commander = Commander(
            fieldside.targets(self.site),
            present=fieldside.Freshness(self.site, pipeline.changes, pipeline.latest, self.clock).present,
            write=fieldside.writer(self.site, self.drivers),
            record=pipeline.told,
            clock=self.clock,
            known=known,
            saved=self.outbox.state().rule_state,
            standing=self._engine.standing(pipeline.book.latched()),
        )
        pipeline.commands = commander.decided
        pipeline.watchers.add(commander.seen)
        return commander

    def _lamp_tests(self) -> LampShell:
        pipeline, saved, decided = self.pipeline, self.outbox.state().rule_state, self.commander.decided
        lamps = LampShell(
            self.site, self.commander, pipeline,
            alarmed=lambda: endangers(pipeline.book.records()), saved=saved, clock=self.clock,
        )  # fmt: skip
        if self.site.lamp_tests:
            pipeline.watchers.add(lamps.seen)

        def commands(verdicts: Sequence[Verdict]) -> None:
            decided(verdicts)
            lamps.decided()

        pipeline.commands = commands
        return lamps

    def _pollers(self) -> dict[str, Poller]:
        pollers, first = {}, urgent(self.site.rules.plans, self.site.derivations)
        for link, driver in self.drivers.items():
            names = {device.id for device in self.site.on_link(link)}
            groups = tuple(group for group in self.site.groups if group.device in names)
            pollers[link] = Poller(
                link, driver, groups, self.pipeline, self.clock,
                accounts=self.pipeline.occurrences.accounts, urgent=first,
            )  # fmt: skip
        return pollers

    def _uplink(self, catalogue_hash: str, known: Iterable[str]) -> Uplink | None:
        if self.wiring.connect is None:
            return None
        settings = officeside.uplink_settings(self.site, self.wiring.boot, catalogue_hash)
        self.orders = officeside.orders(
            self.site, officeside.verifier, self.commander, self.door, self.pipeline, self._now, known
        )
        return Uplink(
            keeping.linked(self.wiring.connect, self.keeper),
            self.outbox,
            officeside.OfficeDoor(self.door, self.pipeline),
            settings=settings,
            clock=self.clock,
            orders=self.orders,
            audit=self.audit_watch,
            hours=self.outbox.hours,
        )

    def _own_points(self) -> OwnReader:
        """Return what reads the gateway's own devices; only now, because they tell of all the other parts."""
        facts = own_reading.Facts(
            room=lambda: self.wiring.room(self.site.outbox.path),
            connected=self._connected,
            audit=lambda: self.audit_watch.facts()["stands"],
            certificate_ends=lambda: None if self.keeper is None else self.keeper.standing.life.ends,
            tables=self.tables,
        )
        latest, now = self.pipeline.latest, self.clock.monotonic()
        own = own_reading.of_site(self.site, latest, self.outbox, self.pollers, facts, now)
        reader = OwnReader(own, self.pipeline.scanned, self.clock)
        self.pipeline.watchers.add(reader.seen)
        return reader

    def _gateway(self) -> Gateway:
        return Gateway(
            site=self.site,
            outbox_path=self.site.outbox.path,
            pipeline=self.pipeline,
            pollers=self.pollers,
            drivers=self.drivers,
            outbox=self.outbox,
            uplink=self._uplink_facts,
            retry=None if self.uplink is None else self.uplink.retry,
            door=self.door,
            drill=self.drill,
            local=self.local,
            commander=self.commander,
            lamp_tests=self.lamp_tests,
            watches=self.watches,
            tables=self.tables,
            pseudonym=partial(pseudonym, self._salt),
            audit=self.audit_watch.facts,
            clock=self.clock,
            boot=self.wiring.boot,
            started=self.clock.monotonic(),
        )

    def _uplink_facts(self) -> dict[str, Any]:
        report = None if self.uplink is None else self.uplink.report()
        return officeside.uplink_facts(report, self._now()) | keeping.facts(self.keeper, self.clock)

    # time and threads

    async def _tick(self) -> None:
        """Call the pipeline whenever one of its deadlines has come, or a sign of life is due."""
        while True:
            self._wake.clear()
            self._scheduled = min(self.pipeline.next_deadline(), self.wiring.service.due)
            wait = (self._scheduled - self.clock.monotonic()) / SECOND
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(wait, 0)):
                    await self._wake.wait()
                    continue
            self.pipeline.tick()

    def _flowed(self) -> None:
        """At the end of a flow: give a sign of life; wake the ticker if a deadline is nearer than its sleep."""
        now, problem = self.clock.monotonic(), self.outbox.problem
        if now >= self.wiring.service.due:
            status = f"outbox: {problem}" if problem else f"devices: {len(self.site.devices)}"
            self.wiring.service.feed(now, status, alive=not self.outbox.dead)
        if self.pipeline.next_deadline() < self._scheduled:
            self._wake.set()

    def _committed(self, *_: object) -> None:
        """Tell the uplink, from the writer's thread, that something new is durable."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._nudge)

    def _nudge(self) -> None:
        uplink = getattr(self, "uplink", None)
        if uplink is not None:
            uplink.wake()

    def _tell_directly(self, blocks: Mapping[int, bytes]) -> None:
        """Tell the office of alarms that the disk does not take."""
        if self.uplink is not None:
            self.uplink.direct.stand(blocks)

    def _now(self) -> Moment:
        return Moment(wall=self.clock.wall(), mono=self.clock.monotonic(), trusted=self.clock.trusted())


@contextlib.asynccontextmanager
async def running(app: App) -> AsyncIterator[App]:
    """Run an app beside the caller's code, for tests and tools; what its tasks raise is raised at the end."""
    await app.open()
    task = asyncio.create_task(app.run(), name=f"gateway {app.site.id}")
    try:
        yield app
    finally:
        if not task.done():
            await app.drain()
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await app.close()
