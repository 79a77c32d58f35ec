"""A site: the shell around `UplinkMachine`, and the workload that it records.

Mirrors `cloud_sync.uplink.Uplink`: status, catalogue once per process and after the alarms, offers from the outbox and
what the machine says; `_obey` and `_answer` for what the office sends; a reconnect with the same back-off. And
`cloud_sync.history.History`, whose queue is used as it is; only its waiting is written anew, and that of `saved` and
`direct`, which are in `beside`. Left out: the door for acknowledgements, and the look at the outbox once a second,
because here a seal always wakes the pump: so a deadline that the machine forgets to name shows.

An `old` gateway has no history to send, says of nothing that it is gone, and does not name its next blocks.
"""

from collections import OrderedDict
from dataclasses import dataclass
from random import Random

from cloud_sync import saved, wire
from cloud_sync.downlink import SealedOrder, parse
from cloud_sync.history import History
from cloud_sync.saved import BlockName
from cloud_sync.session import Delivery
from cloud_sync.uplink import ALARMS_FIRST, REMEMBERED, STEADY, UplinkSettings
from cloud_sync.uplink_machine import BlockId, Output, Reconnect, Release, Send, UplinkLimits, UplinkMachine
from cloud_sync.wire import Receipt, Request, Resend, Status
from sitekeeper.block import STREAMS, Stream, decode
from sitekeeper.model.clock import MS, SECOND, Micros
from sitekeeper.model.errors import FormatError
from tests.simulation.beside import Directly, Saved, Serving, Telling
from tests.simulation.broker import Broker, Connection
from tests.simulation.desk import desk
from tests.simulation.oracle import Oracle
from tests.simulation.outbox import Outbox
from tests.simulation.scheduler import Scheduler

EPOCH_2026: Micros = 1_767_225_600 * SECOND
SETTINGS = UplinkSettings(site="", boot="", version="", catalogue="")
"""Only the times in it are used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all parts of one world share."""

    scheduler: Scheduler
    broker: Broker
    oracle: Oracle


class Gateway:
    """One site's gateway process and what it stands on. `crash` ends the process; `start` begins a new one."""

    def __init__(self, around: Surroundings, outbox: Outbox, catalogue: str, limits: UplinkLimits, seed: int) -> None:
        self.outbox = outbox
        self.site = outbox.site
        self.catalogue = catalogue
        self.wall_offset: Micros = 0
        self.alive = False
        self.old = False
        self.boot = 0
        self.limits = limits
        self.connection: Connection | None = None
        self._scheduler, self._broker, self._oracle = around.scheduler, around.broker, around.oracle
        self._new_process(Random(seed))
        self._random = Random(seed + 1)
        self._delay = SETTINGS.backoff_first
        self._lost_at: Micros = 0
        self._wait: Micros = 0
        self._urgent: Micros = 0
        self._began: Micros = 0
        self._attempt = 0
        self._wakes: Micros | None = None
        self._flushes = False

    # the process

    def start(self) -> None:
        """A new process: it knows what the disk knows."""
        self.alive = True
        self.boot += 1
        self._oracle.booted(self.site, self.boot)
        self._new_process(Random(self._random.randrange(2**32)))
        self._delay = SETTINGS.backoff_first
        self._connect(self._attempt)

    def _new_process(self, random: Random) -> None:
        self.machine = UplinkMachine(self.outbox.epoch, self.limits, random)
        self._history = History(self.site, self.outbox, self.machine.pace, None)  # type: ignore[arg-type]
        self._orders = desk(self.site, self._scheduler, self._oracle)
        self._saved = Saved(self._scheduler, self.outbox, self._publish_saved)
        self._directly = Directly(self._scheduler, self._publish_directly)
        self._serving = Serving(self._scheduler, self._history, self.machine.pace, self.outbox, self._publish_history)
        self._telling = Telling(self._scheduler, self._history, self._tell_status)
        self._announced = False
        self._sent: dict[BlockId, Micros] = {}
        self._digests: OrderedDict[str, BlockName] = OrderedDict()

    def crash(self) -> None:
        """Kill the process. What was in memory is gone; the kernel closes its connection."""
        self._scheduler.note(f"{self.site} killed")
        self.alive = False
        self._oracle.booted(self.site, 0)
        self._attempt += 1
        self._wakes = None
        self.outbox.crash()
        connection, self.connection = self.connection, None
        if connection is not None:
            self._broker.close(connection, killed=True)

    def wall(self) -> Micros:
        return EPOCH_2026 + self._scheduler.now + self.wall_offset

    # the outbox

    def flush_soon(self) -> None:
        """Let what is pending become durable with the next group commit."""
        if not self._flushes and self.outbox.waits():
            self._flushes = True
            self._scheduler.after(self._random.randrange(2, 80) * MS, self._flush)

    def _flush(self) -> None:
        self._flushes = False
        if self.alive and self.outbox.waits():
            self.outbox.flush()
            self._stand()
            self._oracle.alarms_sealed(self.site, self.outbox)
            if self.connection is None and self.outbox.unreleased["alarms"]:
                self._back_off()
            self.pump()

    def _stand(self) -> None:
        """Tell past the disk what it does not take."""
        standing = self.outbox.standing()
        if standing:
            self._oracle.told_directly(self.outbox, self.boot)
        self._directly.stand(standing, self.connection)

    def _publish_directly(self, connection: Connection, payload: bytes) -> bool:
        if connection is self.connection:
            self._scheduler.note(f"{self.site} tells {wire.digest(payload)} past its disk")
            self._broker.send(connection, wire.up_topic(self.site, "alarms-volatile"), payload, None)
        return connection is self.connection

    def _publish_saved(self, connection: Connection, name: BlockName | None, payload: bytes | None) -> bool:
        if connection is self.connection and name is not None and payload is not None:
            self._scheduler.seen("saved block sent")
            self._scheduler.note(f"{self.site} sends {name} that was saved")
            self._know(payload, name)
            self._broker.send(connection, wire.up_topic(self.site, name[1]), payload, None)
        return connection is self.connection

    # connecting

    def _connect(self, attempt: int) -> None:
        if attempt != self._attempt or not self.alive or self.connection is not None:
            return
        link = self._broker.links[self.site]
        if not self._broker.reachable(link):
            self._lost("unreachable")
            return
        will = (wire.up_topic(self.site, "status"), self._status(online=False))
        self.connection = self._broker.connect(self.site, self.site, self, will)
        self._began = self._scheduler.now
        self.machine.connect(self._scheduler.now)
        self._oracle.connected(self.site)
        self._scheduler.note(f"{self.site} connected")
        self._telling.begin(self.connection)
        self._announce(self.connection)
        self._serving.begin(self.connection)
        self._saved.begin(self.connection)
        self._directly.begin(self.connection)
        self.pump()

    def _announce(self, connection: Connection) -> None:
        """Send our catalogue once, after the alarms that wait and before any samples."""
        if self._announced or connection is not self.connection:
            return
        if self.outbox.unreleased["alarms"] and self._scheduler.now < self._began + ALARMS_FIRST:
            self._scheduler.after(50 * MS, self._announce, connection)
            return
        self._send_catalogue(self.catalogue)
        self._announced = True
        self.pump()

    def lost(self, connection: Connection) -> None:
        """The connection broke under us."""
        if connection is self.connection:
            self._lost("cut", silent=connection.dead or connection.link.swallows)

    def _lost(self, why: str, *, silent: bool = False) -> None:
        self._scheduler.note(f"{self.site} lost: {why}")
        if self.connection is not None:
            connection, self.connection = self.connection, None
            self._broker.close(connection)
            self.machine.disconnect(self._scheduler.now, silent=silent)
            if self._scheduler.now - self._began > STEADY:
                self._delay = SETTINGS.backoff_first
        self._lost_at = self._scheduler.now
        self._wait = int(self._random.uniform(0.5, 1.0) * self._delay)
        self._urgent = int(self._random.uniform(0.5, 1.0) * SETTINGS.backoff_alarms)
        self._delay = min(2 * self._delay, SETTINGS.backoff_most)
        self._back_off()

    def _back_off(self) -> None:
        """Try again after the back-off, sooner if an alarm waits; while the link is down nothing is tried at all."""
        most = min(self._wait, self._urgent) if self.outbox.unreleased["alarms"] else self._wait
        self._attempt += 1
        delay = max(0, self._lost_at + most - self._scheduler.now)
        if not self._broker.links[self.site].down:
            self._scheduler.after(delay, self._connect, self._attempt)

    def link_up(self) -> None:
        """The link is back: the attempt that was skipped all the time comes within one back-off."""
        if self.alive and self.connection is None:
            self._lost("link is up again")

    # the pump

    def pump(self) -> None:
        """Offer what the outbox holds and do what the machine says, until it says nothing more."""
        if self.connection is None or not self.alive:
            return
        machine, now = self.machine, self._scheduler.now
        for stream in STREAMS:
            oldest, newest, count = self.outbox.unsent(stream)
            if count and (self._announced or stream != "samples"):
                machine.offer(stream, oldest, newest)
        while self._is_up() and (outputs := machine.advance(now)):
            for output in outputs:
                if self._is_up():
                    self._do(output)
        self._oracle.bounded(self.site, machine)
        deadline = machine.next_deadline(now)
        if deadline is not None and (self._wakes is None or not now < self._wakes <= deadline):
            self._wakes = max(deadline, now + MS)
            self._scheduler.after(self._wakes - now, self._wake, self.boot, self._wakes)

    def _is_up(self) -> bool:
        return self.connection is not None

    def _wake(self, boot: int, planned: Micros) -> None:
        if boot == self.boot and planned == self._wakes:
            self._wakes = None
            self.pump()

    def _do(self, output: Output) -> None:
        match output:
            case Send(stream, sequence):
                payload = self.outbox.read(stream, sequence, history=stream == "alarms")
                if payload is None:
                    self.machine.absent(stream, sequence)
                    self._oracle.absent(self.site, self.machine, (stream, sequence))
                    return
                self.machine.spent(stream, sequence, len(payload), self._records((stream, sequence), payload))
                self._remember(payload, (stream, sequence))
                self._scheduler.note(f"{self.site} sends {stream} {sequence}")
                assert self.connection is not None
                topic = wire.up_topic(self.site, stream)
                self._broker.send(self.connection, topic, payload, (stream, sequence))
            case Release():
                self._release(output)
            case Reconnect(reason):
                self._scheduler.seen("reconnect without receipts")
                self._lost(reason)

    def _release(self, output: Release) -> None:
        self._scheduler.note(f"{self.site} releases {output.epoch} {output.ranges}")
        self._oracle.released(self.outbox, self.machine, output.epoch, output.ranges)
        self.outbox.release(output.epoch, output.ranges)
        self.flush_soon()

    # what comes back

    def answered(self, connection: Connection, token: object, reason: int) -> None:
        """The broker has taken, or refused, a publish."""
        if connection is self.connection and isinstance(token, tuple):
            stream, sequence = token
            if reason >= 128:
                self._scheduler.seen("refused by the broker")
            self.machine.published(stream, sequence, reason, self._scheduler.now)
            self.pump()

    def arrived(self, connection: Connection, delivery: Delivery) -> None:
        """A message of the office."""
        if connection is not self.connection:
            return
        self._broker.ack(connection, delivery.mid)
        message = parse(delivery.topic, delivery.payload, site=self.site)
        if isinstance(message, SealedOrder):
            self._orders.take(message.payload, retained=delivery.retained)
        if isinstance(message, Receipt | Request):
            self._obey(message)
        self.pump()

    def _obey(self, message: Receipt | Request) -> None:
        outputs: list[Output] = []
        if isinstance(message, Receipt):
            outputs = self.machine.receipt(message, self._scheduler.now)
            self._oracle.released_saved(self.outbox, self.machine, message)
            saved.release(self.outbox, self.outbox.epoch, message)
            self.flush_soon()
        else:
            outputs = self._answer(message)
        for output in outputs:
            if isinstance(output, Release):
                self._release(output)

    def _answer(self, request: Request) -> list[Output]:
        now, epoch = self._scheduler.now, self.outbox.epoch
        if request.catalogue is not None:
            self._scheduler.seen("catalogue asked for")
            self._send_catalogue(request.catalogue)
        elif request.resend is not None:
            self._resend(request.resend)
        elif request.version is not None and request.version.epoch == epoch:
            self._scheduler.seen("office too old")
            self.machine.too_new(request.version.stream, now)
        elif request.quarantined is not None and (block := self._digests.get(request.quarantined)) is not None:
            self._scheduler.seen("quarantined by digest")
            if not self.old:
                self._history.useless(block)
            return self.machine.quarantined(*block, now)
        return []

    def _resend(self, asked: Resend) -> None:
        self._scheduler.seen("resend asked for")
        oldest, _, count = self.outbox.unsent(asked.stream)
        if count and asked.epoch == self.outbox.epoch and asked.end >= oldest:
            self.machine.resend(asked.stream, max(asked.start, oldest), self._scheduler.now)
        if self.old:
            return
        self._history.want(asked)
        if self.connection is not None:
            self._serving.go_on(self.connection)

    def _publish_history(self, connection: Connection, name: BlockName, payload: bytes) -> None:
        self._scheduler.seen("history sent")
        self._scheduler.note(f"{self.site} sends {name[1]} {name[2]} of its history")
        self._know(payload, name)
        self._broker.send(connection, wire.up_topic(self.site, name[1]), payload, None)

    def _remember(self, payload: bytes, block: BlockId) -> None:
        now = self._scheduler.now
        self._scheduler.seen("sent again" if block in self._sent else "sent")
        self._sent[block] = now
        if self.machine.probing:
            self._scheduler.seen("probe")
        self._know(payload, (self.outbox.epoch, *block))

    def _know(self, payload: bytes, name: BlockName) -> None:
        self._digests[wire.digest(payload)] = name
        while len(self._digests) > REMEMBERED:
            self._digests.popitem(last=False)

    def _records(self, block: BlockId, payload: bytes) -> int | None:
        if not self.machine.is_backfill(block):
            return None
        try:
            return len(decode(payload).samples)
        except FormatError:
            return None

    # status and catalogue

    def _tell_status(self, connection: Connection) -> bool:
        if connection is self.connection and self.alive:
            topic = wire.up_topic(self.site, "status")
            self._broker.send(connection, topic, self._status(online=True), None, retain=True)
        return connection is self.connection and self.alive

    def _send_catalogue(self, wanted: str) -> None:
        payload = self.outbox.catalogues.get(wanted)
        if payload is not None and self.connection is not None:
            self._broker.send(self.connection, wire.up_topic(self.site, "catalogue"), payload, None)

    def _status(self, *, online: bool) -> bytes:
        unsent: dict[Stream, tuple[int, int, int]] = {stream: self.outbox.unsent(stream) for stream in STREAMS}
        return wire.encode_status(
            Status(
                online=online,
                site=self.site,
                epoch=self.outbox.epoch,
                boot=f"b{self.boot}",
                version="sim",
                at=self.wall(),
                clock=True,
                mono=self._scheduler.now,
                window=self.machine.window,
                first={one: oldest if n else self.outbox.next_sequence(one) for one, (oldest, _, n) in unsent.items()},
                next={} if self.old else {stream: self.outbox.next_sequence(stream) for stream in STREAMS},
                unsent={stream: count for stream, (_, _, count) in unsent.items()},
                absent=self._history.absent,
                nonce=self._orders.nonce() if online else "",
            )
        )
