"""The operators of time, events and quality: one small class each, and the table in which the language finds them.

An operator enters when a shipped rule or profile needs it, in the same commit.
"""

from collections import deque
from typing import Any, ClassVar, Final

from edge.rules.baselines import Baseline
from edge.rules.happenings import LATE
from edge.rules.nodes import Keeper, Node
from edge.rules.sequences import Sequence
from edge.rules.signature import ANYTHING, Operator, Parameter
from edge.rules.stopwatch import Stopwatch
from edge.rules.types import BOOL, COUNT, EVENT
from edge.rules.windows import Mean, Rate
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.sample import Value

MOST_EVENTS: Final = 1_000
"""Events that `count` remembers; beyond that the oldest are forgotten and the count stays there."""


class Held(Keeper, Operator):
    """`held(x, d)`: x has been true for d of known time without a false between.

    d is a duration, or a point's number of seconds, which may change and may be unknown.
    """

    __slots__ = ("after", "watch")
    parameters = (Parameter("x", ("bool",)), Parameter("d", ("duration", "number"), constant=True, seconds=True))
    gives = BOOL

    def __init__(self, x: Node, d: Micros | Node) -> None:
        super().__init__(*((x, d) if isinstance(d, Node) else (x,)))
        self.after = None if isinstance(d, Node) else d
        self.watch = Stopwatch()

    def compute(self, now: Micros) -> Value:
        x = self.children[0].value
        self.watch.follow(x, now)
        after = self._after()
        if after is None:
            self.due = None
            return False if x is False else None
        ripe = self.watch.read(now) >= after
        self.due = None if ripe else self.watch.due(after)
        return x and ripe

    def _after(self) -> Micros | None:
        if len(self.children) == 1:
            return self.after
        seconds = self.children[1].value
        return round(seconds * SECOND) if isinstance(seconds, int | float) else None

    def delays(self) -> tuple[Stopwatch, ...]:
        return (self.watch,)

    def save(self) -> object:
        return self.watch.save()

    def restore(self, saved: Any, as_of: Micros) -> None:
        self.watch.restore(saved, as_of)


class _Edge(Keeper, Operator):
    """An event seen by comparing the last known value with the one known now; what lies between is unknown."""

    __slots__ = ("before",)
    pulse = True
    gives = EVENT

    def __init__(self, x: Node) -> None:
        super().__init__(x)
        self.before: Value = None

    def save(self) -> object:
        return self.before

    def restore(self, saved: Any, as_of: Micros) -> None:  # noqa: ARG002
        self.before = saved


class Rose(_Edge):
    """`rose(x)`: x became true."""

    __slots__ = ()
    parameters = (Parameter("x", ("bool",)),)

    def compute(self, now: Micros) -> Value:  # noqa: ARG002
        x, before = self.children[0].value, self.before
        if x is None:
            return None
        self.before = x
        return before is False and x is True


class Changed(_Edge):
    """`changed(x)`: x has another value than before."""

    __slots__ = ()
    parameters = (Parameter("x", ANYTHING),)

    def compute(self, now: Micros) -> Value:  # noqa: ARG002
        x, before = self.children[0].value, self.before
        if x is None:
            return None
        self.before = x
        return before is not None and before != x


class Count(Keeper, Operator):
    """`count(e, d, reset=c)`: how many events e in the last d of known time; while c is true none are, and none stay.

    An event leaves exactly d after it came. Unknown while e or c is unknown, and then the d does not run.
    """

    __slots__ = ("span", "times", "watch")
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("e", ("event",)),
        Parameter("d", ("duration",), constant=True),
        Parameter("reset", ("bool",), optional=True),
    )
    gives = COUNT

    def __init__(self, e: Node, d: Micros, reset: Node | None = None) -> None:
        super().__init__(*((e,) if reset is None else (e, reset)))
        self.span = d
        self.watch = Stopwatch()
        self.times: deque[Micros] = deque(maxlen=MOST_EVENTS)

    def compute(self, now: Micros) -> Value:
        event = self.children[0].value
        reset = self.children[1].value if len(self.children) > 1 else False
        if reset:
            self.times.clear()
        if event is None or reset is None:
            self.watch.stop(now)
            self.due = None
            return 0 if reset else None
        self.watch.run(now)
        shown = self.watch.read(now)
        while self.times and self.times[0] + self.span <= shown:
            self.times.popleft()
        if event and not reset:
            self.times.append(shown)
        self.due = self.watch.due(self.times[0] + self.span) if self.times else None
        return len(self.times)

    def save(self) -> object:
        return self.watch.save(), list(self.times)

    def restore(self, saved: Any, as_of: Micros) -> None:
        watch, times = saved
        self.watch.restore(watch, as_of)
        self.times = deque(times, maxlen=MOST_EVENTS)


class Within(Count):
    """`within(e, d)`: e happened in the last d of known time."""

    __slots__ = ()
    parameters = Count.parameters[:2]
    gives = BOOL

    def compute(self, now: Micros) -> Value:
        count = super().compute(now)
        return None if count is None else bool(count)


class Latch(Keeper, Operator):
    """`latch(set=s, reset=r)`: true from s on until r; r wins. Unknown while s and r leave it open, and then kept.

    s may be an event; a late one does nothing. One that comes while r is unknown is remembered: it was, and what is
    true afterwards is for r to say.
    """

    __slots__ = ("on",)
    parameters = (Parameter("set", ("bool", "event")), Parameter("reset", ("bool",)))
    gives = BOOL

    def __init__(self, set: Node, reset: Node) -> None:  # noqa: A002
        super().__init__(set, reset)
        self.on = False

    def compute(self, now: Micros) -> Value:  # noqa: ARG002
        up, down = self.children[0].value, self.children[1].value
        if down is None and up is True and self.children[0].pulse:
            self.on = True
        value = _latched(self.on, False if up == LATE else up, down)
        if value is not None:
            self.on = value
        return value

    def save(self) -> object:
        return self.on

    def restore(self, saved: Any, as_of: Micros) -> None:  # noqa: ARG002
        self.on = saved


def _latched(on: bool, up: Value, down: Value) -> bool | None:
    """Kleene's `not down and (up or on)`."""
    if down:
        return False
    held = True if on or up else None if up is None else False
    return held if down is False or held is False else None


class Last(Keeper, Operator):
    """`last(x)`: x when it was last known; unknown only before that."""

    __slots__ = ("known",)
    parameters = (Parameter("x", ANYTHING),)
    gives = None

    def __init__(self, x: Node) -> None:
        super().__init__(x)
        self.known: Value = None

    def compute(self, now: Micros) -> Value:  # noqa: ARG002
        x = self.children[0].value
        if x is not None:
            self.known = x
        return self.known

    def save(self) -> object:
        return self.known

    def restore(self, saved: Any, as_of: Micros) -> None:  # noqa: ARG002
        self.known = saved


class Default(Node, Operator):
    """`default(x, v)`: x, or v while x is unknown or where the device lacks a point that x needs."""

    __slots__ = ()
    parameters = (Parameter("x", ANYTHING), Parameter("v", ANYTHING))
    gives = None

    def __init__(self, x: Node, v: Node) -> None:
        super().__init__(x, v)

    def compute(self, now: Micros) -> Value:  # noqa: ARG002
        x, otherwise = self.children
        return otherwise.value if x.value is None else x.value


class Optional(Default):
    """`optional(x, v)`: x, or v where the device lacks a point or event that x needs. Unknown stays unknown.

    Which of the two it is, is known when the rule is compiled: there is never such a node.
    """

    __slots__ = ()


class Stale(Node, Operator):
    """`stale(device)`: the device is not online. Unknown only until its state is first heard after a start."""

    __slots__ = ()
    parameters = (Parameter("device", ("device",)),)
    gives = BOOL

    def __init__(self, device: Node) -> None:
        super().__init__(device)

    def compute(self, now: Micros) -> Value:  # noqa: ARG002
        online = self.children[0].value
        return None if online is None else not online


AnyOperator = type[Held | Rose | Changed | Count | Latch | Last | Default | Stale | Mean | Rate | Sequence | Baseline]

OPERATORS: Final[dict[str, AnyOperator]] = {
    "optional": Optional,
    "held": Held,
    "rose": Rose,
    "changed": Changed,
    "count": Count,
    "within": Within,
    "latch": Latch,
    "last": Last,
    "default": Default,
    "stale": Stale,
    "mean": Mean,
    "rate": Rate,
    "sequence": Sequence,
    "baseline": Baseline,
}
"""Every operator by its name in the language."""
