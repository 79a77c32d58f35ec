"""`sequence(e1, e2, ..., within=d, reset=c)`: events in this order, one after the other."""

from typing import Any, ClassVar, Final

from edge.rules.nodes import Keeper, Node
from edge.rules.signature import Operator, Parameter
from edge.rules.stopwatch import Stopwatch
from edge.rules.types import EVENT
from sitekeeper.model.clock import DAY, MS, Micros
from sitekeeper.model.sample import Value

MOST_EVENTS: Final = 6


class Sequence(Keeper, Operator):
    """True in the moment of the last event, if all came in this order within less than d of known time.

    Each comes later than the one before; what else happens between them does not matter. There is one run at a time:
    an event that is awaited advances it, else another e1 begins it anew. While c is true nothing is begun, and what
    had begun is forgotten. An event of which the condition is unknown has not happened, and a late one advances
    nothing. The time in which an event or c is unknown does not count. Unknown while c is, and while the last event is
    that is awaited.
    """

    __slots__ = ("before", "length", "span", "stage", "watch")
    pulse = True
    gives = EVENT
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("e1", ("event",)),
        Parameter("e2", ("event",)),
        *(Parameter(f"e{number}", ("event",), optional=True) for number in range(3, MOST_EVENTS + 1)),
        Parameter("within", ("duration",), constant=True, span=(MS, DAY)),
        Parameter("reset", ("bool",), optional=True),
    )

    def __init__(self, within: Micros, reset: Node | None, *events: Node) -> None:
        super().__init__(*events, *(() if reset is None else (reset,)))
        self.length = len(events)
        self.span = within
        self.stage = 0
        self.before: Micros | None = None
        self.watch = Stopwatch()

    def compute(self, now: Micros) -> Value:
        values = [child.value for child in self.children]
        events, reset = values[: self.length], values[self.length] if len(values) > self.length else False
        if self.stage and (reset or self.watch.read(now) >= self.span):
            self.stage = 0
        done = reset is False and self._advance(events, now)
        self.watch.follow((None if None in values else True) if self.stage else False, now)
        self.due = self.watch.due(self.span) if self.stage else None
        if reset is None or (self.stage == self.length - 1 and events[-1] is None):
            return None
        return done

    def _advance(self, events: list[Value], now: Micros) -> bool:
        """Take what happens in this moment; tell whether it was the last that was wanted."""
        if self.stage and events[self.stage] is True and (self.before is None or now > self.before):
            self.stage, self.before = (self.stage + 1) % self.length, now
            return self.stage == 0
        if events[0] is True:
            self.stage, self.before = 1, now
            self.watch.follow(value=False, now=now)
        return False

    def save(self) -> object:
        return self.stage, self.watch.save()

    def restore(self, saved: Any, as_of: Micros) -> None:
        self.stage, watch = saved
        self.watch.restore(watch, as_of)
        self.before = None  # what is told from now on is later
