"""An uplink machine and an ingest machine with a bad network between them, in one thread and in virtual time.

Everything that can go wrong is a step: lose, repeat or swap a message on either way, break the connection, kill either
side (it starts again from what was durable). The store is a dictionary that does by hand what the SQL must do.
"""

from collections import Counter
from random import Random

from cloud_sync import wire
from cloud_sync.ingest_machine import IngestMachine
from cloud_sync.ingest_records import Acknowledge, Answer, Arrival, Ask, Batch
from cloud_sync.session import Delivery
from cloud_sync.store.base import Known, Outcome, PutBlock, PutCatalogue, PutMissing, Shape
from cloud_sync.uplink_machine import Reconnect, Release, Send, UplinkLimits, UplinkMachine
from cloud_sync.wire import Receipt, Request, Status
from sitekeeper.block import STREAMS, Stream
from sitekeeper.model.clock import MS, SECOND
from tests.unit.cloud_sync.material import EPOCH, SITE, Source

Id = tuple[str, str, str, int]


class Office:
    """What is durable at the office."""

    def __init__(self, *, dedupe: bool) -> None:
        self.dedupe = dedupe
        self.blocks: dict[Id, str] = {}
        self.writes: Counter[Id] = Counter()
        self.order: list[int] = []
        self.catalogues: dict[str, Shape] = {}
        self.missing: list[tuple[int, int]] = []

    def known(self) -> Known:
        positions: dict[tuple[str, str], int] = {}
        for site, epoch, stream, sequence in self.blocks:
            if stream == "alarms":
                positions[site, epoch] = max(positions.get((site, epoch), 0), sequence)
        return Known(catalogues=dict(self.catalogues), alarms=positions)

    def commit(self, batch: Batch) -> Outcome:
        applied = []
        for entry in batch.transaction.entries:
            applied.append("new")
            if isinstance(entry, PutCatalogue):
                self.catalogues[entry.hash] = Shape.of(entry.catalogue)
            elif isinstance(entry, PutMissing):
                self.missing.append((entry.start, entry.end))
            elif isinstance(entry, PutBlock):
                block = entry.block
                identity = (block.site, block.epoch, block.stream, block.sequence)
                if identity in self.blocks and self.dedupe:
                    applied[-1] = "repeat"
                    continue
                self.blocks[identity] = entry.digest
                self.writes[identity] += 1
                if block.stream == "alarms":
                    self.order.append(block.sequence)
        return Outcome(applied=tuple(applied))  # type: ignore[arg-type]


class Rig:
    """The whole way, one step at a time. The keywords break it on purpose, to show that the tests would notice."""

    def __init__(self, seed: int, *, believe_broker: bool = False, dedupe: bool = True) -> None:
        self.believe_broker = believe_broker
        self.random = Random(seed)
        self.now = 0
        self.source = Source()
        self.office = Office(dedupe=dedupe)
        self.ingest = IngestMachine(self.office.known())
        self.uplink = self._new_uplink()
        self.up: list[tuple[str, bytes]] = []
        self.down: list[tuple[str, bytes]] = []
        self.faulty = True
        self.happened: Counter[str] = Counter()
        self.connected = False

    def _new_uplink(self) -> UplinkMachine:
        return UplinkMachine(EPOCH, UplinkLimits(window=4, receipt_timeout=2 * SECOND), Random(1))

    # what may happen

    def connect(self) -> None:
        self.connected = True
        self.uplink.connect(self.now)
        first = {}
        for stream in STREAMS:
            oldest, _, count = self.source.unsent(stream)
            first[stream] = oldest if count else self.source.next_sequence(stream)
        status = Status(online=True, site=SITE, epoch=EPOCH, boot="b", version="0", first=first)
        self.up.append(("status", wire.encode_status(status)))
        self.up.append(("catalogue", next(iter(self.source.catalogues.values()))))

    def disconnect(self) -> None:
        self.connected = False
        self.uplink.disconnect(self.now)
        if self.faulty:
            self.up.clear()

    def kill_gateway(self) -> None:
        self.disconnect()
        self.uplink = self._new_uplink()

    def kill_office(self) -> None:
        self.ingest = IngestMachine(self.office.known())

    def pump(self) -> None:
        for stream in STREAMS:
            oldest, newest, count = self.source.unsent(stream)
            if count and self.connected:
                self.uplink.offer(stream, oldest, newest)
        while self.connected and (outputs := self.uplink.advance(self.now)):
            for output in outputs:
                self._site_does(output)

    def _site_does(self, output: object) -> None:
        match output:
            case Send(stream, sequence):
                payload = self.source.read(stream, sequence, history=stream == "alarms")
                if payload is None:
                    self.uplink.absent(stream, sequence)
                    return
                self.up.append((stream, payload))
                self.uplink.published(stream, sequence, 0, self.now)
                if self.believe_broker:
                    self.source.release(EPOCH, [(stream, sequence, sequence)])
            case Release(epoch, ranges):
                for released in ranges:
                    self._must_be_committed(*released)
                self.source.release(epoch, ranges)
            case Reconnect():
                self.happened["reconnect"] += 1
                self.disconnect()
                self.connect()

    def _must_be_committed(self, stream: Stream, start: int, end: int) -> None:
        for sequence in range(start, end + 1):
            assert (SITE, EPOCH, stream, sequence) in self.office.blocks, f"{stream} {sequence} released uncommitted"

    def _mangle(self, queue: list[tuple[str, bytes]]) -> tuple[str, bytes] | None:
        """Take the next message; lose it, leave a copy, or take another one instead."""
        place = 0
        if self.faulty and len(queue) > 1 and self.random.random() < 0.2:
            place = self.random.randrange(len(queue))
            self.happened["swapped"] += place > 0
        message = queue.pop(place)
        chance = self.random.random() if self.faulty else 1.0
        if chance < 0.15:
            self.happened["lost"] += 1
            return None
        if chance < 0.30:
            self.happened["repeated"] += 1
            queue.insert(self.random.randrange(len(queue) + 1), message)
        return message

    def carry_up(self) -> None:
        message = self._mangle(self.up) if self.up else None
        if message is None:
            return
        topic = wire.up_topic(SITE, message[0])  # type: ignore[arg-type]
        delivery = Delivery(topic=topic, payload=message[1], retained=False, mid=1, qos=1)
        self._office_does(self.ingest.accept(Arrival("urgent", 1, delivery), self.now))

    def commit(self) -> None:
        batch = self.ingest.batch(self.now)
        if batch is None:
            return
        outcome = self.office.commit(batch)
        if self.faulty and self.random.random() < 0.15:
            self.happened["died after commit"] += 1
            self.kill_office()
            return
        self._office_does(self.ingest.committed(batch, outcome))

    def _office_does(self, outputs: list[object]) -> None:  # type: ignore[type-arg]
        for output in outputs:
            match output:
                case Answer(_, receipt):
                    self.down.append(("receipt", wire.encode_receipt(receipt)))
                case Ask(_, request):
                    self.down.append(("request", wire.encode_request(request)))
                case Acknowledge():
                    pass

    def carry_down(self) -> None:
        message = self._mangle(self.down) if self.down else None
        if message is None:
            return
        kind, payload = message
        if kind == "receipt":
            receipt: Receipt = wire.decode_receipt(payload)
            for output in self.uplink.receipt(receipt, self.now):
                self._site_does(output)
            return
        request: Request = wire.decode_request(payload)
        if request.catalogue is not None:
            self.up.append(("catalogue", self.source.catalogues[request.catalogue]))
        if request.resend is not None:
            self.happened["resend asked"] += 1
            self.uplink.resend(request.resend.stream, request.resend.start, self.now)

    def step(self) -> None:
        """Let one thing happen, chosen by the seed."""
        self.now += self.random.randrange(200) * MS
        chance = self.random.random()
        if chance < 0.10:
            self.source.add(self.random.choice(STREAMS))
        elif chance < 0.13:
            self.disconnect()
        elif chance < 0.15:
            self.kill_gateway()
        elif chance < 0.17:
            self.kill_office()
        elif not self.connected:
            self.connect()
        else:
            self.random.choice((self.pump, self.carry_up, self.carry_up, self.commit, self.carry_down))()

    def settle(self) -> None:
        """Let the faults end, and go on until nothing waits or a virtual hour is over."""
        self.faulty = False
        if self.connected:
            self.disconnect()
        self.connect()
        end = self.now + 3_600 * SECOND
        while self.source.left() and self.now < end:
            self.now += 100 * MS
            if not self.connected:
                self.connect()
            self.pump()
            while self.up:
                self.carry_up()
            while sum(self.ingest.pending()):
                self.commit()
            while self.down:
                self.carry_down()
