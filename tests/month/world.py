"""The estate of the month: its machines, their links and what they say, in virtual time.

It knows the product only as a `Sink` that is told what was read. All numbers are its own. A change of a machine is
seen by the next reading of it, as it is then; doors and their controllers tell by themselves, a moment later.
"""

import heapq
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Protocol

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

Value = bool | int | float | str | None
Life = Generator[int, None, None]
"""What somebody or something does: each value that it yields is a pause in microseconds."""


class Sink(Protocol):
    """Who is told what can be known of the estate. `at` is never earlier than that of the call before."""

    def scan(self, at: int, device: str, values: Mapping[str, Value], *, complete: bool) -> None: ...

    def unanswered(self, at: int, device: str) -> None: ...

    def lost(self, at: int, link: str) -> None: ...

    def heard(self, at: int, device: str, name: str, fields: Mapping[str, Value], told: "Told") -> None: ...

    def tested(self, at: int, device: str, fields: Mapping[str, Value]) -> None: ...


@dataclass(frozen=True)
class Told:
    """How an event was told: by whose counter, with which number, when it happened, and whether it had to wait."""

    counter: str
    sequence: int
    happened: int
    buffered: bool


@dataclass
class Fact:
    """Something that is truly so, from `begin` until `end`; `known` is when the gateway can know it."""

    what: str
    device: str
    begin: int
    end: int = 0
    known: int = 0


class World:
    """Time, chance, and what is true."""

    def __init__(self, seed: str, sink: Sink) -> None:
        self.now = 0
        self.sink = sink
        self.seed = seed
        self.facts: list[Fact] = []
        self.storms: list[tuple[int, int]] = []
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def random(self, name: str) -> Random:
        """Return a source of chance that depends on the seed and on `name` alone."""
        return Random(f"{self.seed}/{name}")

    def at(self, when: int, do: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (when, self._count, do))

    def spawn(self, life: Life, after: int = 0) -> None:
        def go() -> None:
            pause = next(life, None)
            if pause is not None:
                self.at(self.now + pause, go)

        self.at(self.now + after, go)

    def begin(self, what: str, device: str, known: int = 0) -> Fact:
        """Note that something is true from now on."""
        fact = Fact(what, device, self.now, known=max(known, self.now))
        self.facts.append(fact)
        return fact

    def end(self, *facts: Fact) -> None:
        """Note that it is true no longer."""
        for fact in facts:
            fact.end = self.now

    def storm(self, lasts: int) -> None:
        """Note that more than one alarm is to be expected from now on, for so long."""
        self.storms.append((self.now, self.now + lasts))

    def next(self) -> int | None:
        """Return when something happens next."""
        return self._queue[0][0] if self._queue else None

    def step(self) -> None:
        """Let the next thing happen."""
        self.now, _, do = heapq.heappop(self._queue)
        do()


class Machine:
    """One device: what it shows, and the reading that sees it."""

    READ = SECOND
    """How often it is read."""

    def __init__(self, world: World, name: str, link: str, **shown: Value) -> None:
        self.world, self.name, self.link = world, name, link
        self.random = world.random(name)
        self.reachable = True
        self.values: dict[str, Value] = {key.replace("__", "."): value for key, value in shown.items()}
        self._seen: dict[str, Value] = {}
        self._phase = self.random.randrange(self.READ)
        self._due = False

    def set(self, **shown: Value) -> None:
        """Change what it shows; a double underscore stands for the dot in a name."""
        self.values.update({key.replace("__", "."): value for key, value in shown.items()})
        if not self._due:
            self._due = True
            now = self.world.now
            self.world.at(now + self.READ - (now - self._phase) % self.READ, self._read)

    def _read(self) -> None:
        self._due = False
        if self.reachable:
            changed = {key: value for key, value in self.values.items() if self._seen.get(key) != value}
            if changed:
                self._seen.update(changed)
                self.world.sink.scan(self.world.now, self.name, changed, complete=False)

    def found(self) -> None:
        """Answer from now on; the first answer says everything."""
        self.reachable = True
        self._seen = dict(self.values)
        self.world.sink.scan(self.world.now, self.name, self.values, complete=True)

    def steady(self) -> None:
        """Be read once more, with nothing new."""
        if self.reachable:
            self.world.sink.scan(self.world.now, self.name, {}, complete=False)

    def silent(self, lasts: int) -> Life:
        """Answer nothing for so long."""
        self.reachable = False
        for _ in range(2):
            self.world.sink.unanswered(self.world.now, self.name)
            yield self.READ
        yield max(0, lasts - 2 * self.READ)
        for _ in range(2):
            self.found()
            yield self.READ
