"""Windows of known time over a number: `mean(x, d)`, `rate(x, d)`; and `median` over the last events.

A window stands still while x is unknown. Its result is worked out when x changes, at every sixtieth of d (at least a
millisecond) of known time, and when the window is full for the first time; between these it stands. So the moment at
which it crosses a limit does not depend on who else is evaluated when.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from math import fsum
from typing import Any, Final

from edge.rules.nodes import Keeper, Node
from edge.rules.signature import Operator, Parameter
from edge.rules.stopwatch import Stopwatch
from edge.rules.types import Type
from sitekeeper.model.clock import DAY, MS, SECOND, Micros
from sitekeeper.model.sample import Value

STEPS: Final = 60
MOST_PIECES: Final = 512
"""Values that a window remembers; beyond that neighbours shorter than d / 256 together become their mean."""
WINDOW: Final = (MS, DAY)


class _Window(Keeper, Operator):
    """What x was in the last d of known time: pieces of (known time at which it began, value), the last is now."""

    __slots__ = ("pieces", "span", "step", "watch")
    parameters = (Parameter("x", ("number",)), Parameter("d", ("duration",), constant=True, span=WINDOW))

    def __init__(self, x: Node, d: Micros) -> None:
        super().__init__(x)
        self.span = min(max(d, WINDOW[0]), WINDOW[1])
        self.step = max(MS, self.span // STEPS)
        self.watch = Stopwatch()
        self.pieces: deque[tuple[Micros, float]] = deque()

    def over(self, shown: Micros) -> float:
        """Return the result for the window that ends at `shown`, which is full."""
        raise NotImplementedError

    def compute(self, now: Micros) -> Value:
        x = self.children[0].value
        if not isinstance(x, int | float):
            self.watch.stop(now)
            self.due = None
            return None
        self.watch.run(now)
        shown = self.watch.read(now)
        self._take(x, shown)
        steady = len(self.pieces) == 1
        after = None if steady else shown - shown % self.step + self.step
        if shown < self.span:
            after = self.span
        self.due = None if after is None else self.watch.due(after)
        return None if shown < self.span else self.over(shown)

    def _take(self, x: float, shown: Micros) -> None:
        """Let x be the value from `shown` on, and forget what the window has left behind."""
        pieces = self.pieces
        if pieces and pieces[-1][0] == shown:
            pieces.pop()
        if not pieces or pieces[-1][1] != x:
            pieces.append((shown, x))
        while len(pieces) > 1 and pieces[1][0] <= shown - self.span:
            pieces.popleft()
        if len(pieces) > MOST_PIECES:
            self.pieces = deque(self._merged())

    def _merged(self) -> Iterator[tuple[Micros, float]]:
        """Join short neighbours; their integral stays what it was."""
        *pieces, (last, x) = self.pieces
        ends = [*(start for start, _ in pieces[1:]), last]
        place = 0
        while place < len(pieces):
            start, value = pieces[place]
            if place + 1 < len(pieces) and ends[place + 1] - start < 2 * self.span // MOST_PIECES:
                middle, end, other = ends[place], ends[place + 1], pieces[place + 1][1]
                value = fsum((value * (middle - start), other * (end - middle))) / (end - start)
                place += 1
            yield start, value
            place += 1
        yield last, x

    def save(self) -> object:
        return self.watch.save(), [list(piece) for piece in self.pieces]

    def restore(self, saved: Any, as_of: Micros) -> None:
        watch, pieces = saved
        self.watch.restore(watch, as_of)
        self.pieces = deque((start, value) for start, value in pieces)


class Mean(_Window):
    """`mean(x, d)`: the mean of x over the last d of known time, weighted by time; unknown before d of it was seen."""

    __slots__ = ()
    gives = None

    def over(self, shown: Micros) -> float:
        if len(self.pieces) == 1:
            return float(self.pieces[0][1])
        begin = shown - self.span
        starts = [max(start, begin) for start, _ in self.pieces]
        ends = [*starts[1:], shown]
        return fsum(x * (end - at) for (_, x), at, end in zip(self.pieces, starts, ends, strict=True)) / self.span


class Rate(_Window):
    """`rate(x, d)`: by how much x grew in the last d of known time, a second; unknown before d of it was seen."""

    __slots__ = ()
    gives = Type("number")

    def over(self, shown: Micros) -> float:  # noqa: ARG002 - the first piece reaches back to where the window begins
        return (self.pieces[-1][1] - self.pieces[0][1]) / (self.span / SECOND)


class Median(Keeper):
    """`median(on(event), field, n)`: of the field in the last n events in which it was known; unknown before n."""

    __slots__ = ("count", "last", "ordered")

    def __init__(self, event: Node, field: Node, n: int) -> None:
        super().__init__(event, field)
        self.count = n
        self.last: deque[float] = deque()
        self.ordered: list[float] = []

    def compute(self, now: Micros) -> Value:  # noqa: ARG002
        event, field = (child.value for child in self.children)
        if event and isinstance(field, int | float):
            self.last.append(field)
            insort(self.ordered, field)
            if len(self.last) > self.count:
                del self.ordered[bisect_left(self.ordered, self.last.popleft())]
        if len(self.last) < self.count:
            return None
        middle = self.count // 2
        if self.count % 2:
            return self.ordered[middle]
        return (self.ordered[middle - 1] + self.ordered[middle]) / 2

    def save(self) -> object:
        return list(self.last)

    def restore(self, saved: Any, as_of: Micros) -> None:  # noqa: ARG002
        self.last = deque(saved)
        self.ordered = sorted(saved)
