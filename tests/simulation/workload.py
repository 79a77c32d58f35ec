"""What a site records: samples, events and alarms at seeded moments, each value used once."""

from collections.abc import Callable, Mapping
from random import Random

from sitekeeper.block import Block, Stream, encode
from sitekeeper.model.clock import HOUR, MS, SECOND, Micros
from tests.simulation import material
from tests.simulation.gateway import Gateway
from tests.simulation.material import DEVICE, RULES, Header, Poison
from tests.simulation.outbox import Entry
from tests.simulation.scheduler import Scheduler


class Workload:
    """Seals blocks of one site until a time; after `busy_until` only now and then."""

    def __init__(self, scheduler: Scheduler, gateway: Gateway, seed: int, *, points: int) -> None:
        self.poison: list[tuple[Stream, Poison]] = []
        self.busy_until: Micros = 0
        self.until: Micros = 0
        self._scheduler = scheduler
        self._gateway = gateway
        self._random = Random(seed)
        self._points = points
        self._value = 0
        self._since: Micros = 0
        self._raised: dict[str, int] = {}

    def tick(self) -> None:
        """Seal something, and plan the next time."""
        now, random = self._scheduler.now, self._random
        if now > self.until:
            return
        if self._gateway.alive:
            chance = random.random()
            if chance < 0.70:
                for _ in range(12 if random.random() < 0.04 else 1):
                    self.samples()
            elif chance < 0.84:
                self.event("note", {"n": self._next()})
            else:
                self.alarm()
        self._scheduler.after(random.randrange(500, 9000) * MS if now < self.busy_until else HOUR, self.tick)

    def samples(self) -> None:
        """Seal a block of samples; now and then one that only tells a gap."""
        sequence, header, since = self._gateway.outbox.next_to_seal("samples"), self._header(), self._since
        self._since = header.mono0
        if self._random.random() < 0.05:
            self._seal(material.empty(header, sequence, since=since))
            return
        values = [(self._random.randrange(self._points), self._next()) for _ in range(self._random.randrange(1, 4))]
        self._seal(material.samples(header, sequence, values, since=since))

    def event(
        self,
        name: str,
        fields: Mapping[str, int | str],
        *,
        device: str = DEVICE,
        then: Callable[[], None] | None = None,
    ) -> None:
        """Seal a block with one event."""
        sequence = self._gateway.outbox.next_to_seal("events")
        self._seal(material.event(self._header(), sequence, name, fields, device=device), then=then)

    def alarm(self) -> None:
        """Raise an alarm, or clear it if it stands."""
        rule = self._random.choice(RULES)
        sequence = self._gateway.outbox.next_to_seal("alarms")
        raised = self._raised.get(rule, 0)
        block = material.alarm(self._header(), sequence, rule, raised)

        def moved() -> None:
            self._raised[rule] = 0 if raised else sequence

        self._seal(block, then=moved)

    def drop(self, count: int) -> None:
        """Make room: drop the oldest samples and tell it, in one transaction."""
        outbox = self._gateway.outbox
        entries = outbox.drop_oldest(count)
        if entries and self._gateway.alive:
            first, last = entries[0].identity[3], entries[-1].identity[3]
            self._scheduler.seen("dropped for space")
            self.event("dropped", {"first": first, "last": last}, then=lambda: outbox.dropped(entries))

    def begin_epoch(self) -> None:
        """A new file knows of no alarm."""
        self._raised.clear()

    def twin(self, entry: Entry) -> Entry | None:
        """Return what another gateway with our identity would make of a sequence that we have used."""
        if entry.block is None or entry.block.stream != "samples":
            return None
        header = self._header()
        values = [(0, self._next())]
        block = material.samples(header, entry.identity[3], values, since=header.mono0 - SECOND)
        return Entry(entry.identity, encode(block), block, fate="lost")

    def far(self, stream: Stream, sequence: int) -> Block:
        """Return a sound block under a number that no site reaches."""
        match stream:
            case "alarms":
                return material.alarm(self._header(), sequence, RULES[0], 0)
            case "events":
                return material.event(self._header(), sequence, "note", {"n": self._next()})
            case "samples":
                return material.samples(self._header(), sequence, [(0, self._next())], since=self._scheduler.now)

    def _seal(self, block: Block, *, then: Callable[[], None] | None = None) -> None:
        outbox = self._gateway.outbox
        identity = (block.site, block.epoch, block.stream, block.sequence)
        wrong = next((one for one in self.poison if one[0] == block.stream), None)
        if wrong is not None and (then is None or block.stream == "alarms"):
            self.poison.remove(wrong)
            entry = Entry(identity, material.poisoned(block, wrong[1]), None)
        else:
            entry = Entry(identity, encode(block), block)
        self._scheduler.note(f"{block.site} seals {block.stream} {block.sequence} {entry.digest}")
        outbox.seal(entry, then=then)
        self._gateway.flush_soon()

    def _header(self) -> Header:
        gateway = self._gateway
        return Header(
            site=gateway.site,
            epoch=gateway.outbox.epoch,
            boot=f"b{gateway.boot}",
            catalogue=gateway.catalogue,
            t0=gateway.wall(),
            mono0=self._scheduler.now,
        )

    def _next(self) -> int:
        self._value += 1
        return self._value
