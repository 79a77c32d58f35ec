"""What an expression becomes: small objects that hold their value and recompute it from the values below them.

The value of a node is a bool, number, text, or None for unknown. `compute` reads only the values of `children`, the
node's own memory and `now`; who calls it, and when, is the graph's business.
"""

import operator
from collections.abc import Callable
from typing import Any, ClassVar, Final

from edge.rules.stopwatch import Stopwatch
from sitekeeper.model.clock import Micros
from sitekeeper.model.quality import Reason, bad
from sitekeeper.model.sample import Sample, Value


class Node:
    """One piece of a compiled expression. No abstract class: asking one what it is costs ten times as much."""

    __slots__ = ("children", "value")

    pulse: ClassVar[bool] = False
    """Its true lasts for one moment only: an event."""

    def __init__(self, *children: "Node") -> None:
        self.children = children
        self.value: Value = None

    def compute(self, now: Micros) -> Value:
        """Return the value at `now`."""
        raise NotImplementedError


class Keeper(Node):
    """A node with a memory: it is saved with the rule, and may want to be asked again at `due`."""

    __slots__ = ("due",)

    def __init__(self, *children: Node) -> None:
        super().__init__(*children)
        self.due: Micros | None = None

    def delays(self) -> tuple[Stopwatch, ...]:
        """Return the watches that a late event may not start."""
        return ()

    def forget(self) -> bool:
        """Forget what was learned of this device; tell whether it learns anything."""
        return False

    def save(self) -> object:
        """Return the memory as plain data that MessagePack can hold."""
        raise NotImplementedError

    def restore(self, saved: Any, as_of: Micros) -> None:
        """Take up a saved memory whose time ended at `as_of`, on the clock of that time."""
        raise NotImplementedError


class Input(Node):
    """What comes from outside the graph, whose owner puts it in; nothing is computed. `up`: who reads it there."""

    __slots__ = ("name", "sample", "up")

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.up = 0
        self.sample: Sample | None = None

    def compute(self, now: Micros) -> Value:  # noqa: ARG002
        return self.value

    def reading(self) -> tuple[Value, int]:
        """Return value and packed quality as last heard."""
        return (None, bad(Reason.NOT_YET)) if self.sample is None else (self.sample.value, self.sample.q)


class Heard(Input):
    """A point that all rules of a site share. `readers`: whose graph must compute what when its value has changed."""

    __slots__ = ("readers",)

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.readers: list[tuple[Any, int]] = []


class Fixed(Node):
    """A value that never changes."""

    __slots__ = ()

    def __init__(self, value: Value) -> None:
        super().__init__()
        self.value = value

    def compute(self, now: Micros) -> Value:  # noqa: ARG002
        return self.value


class Not(Node):
    """Kleene's not: unknown stays unknown."""

    __slots__ = ()

    def compute(self, now: Micros) -> Value:  # noqa: ARG002
        value = self.children[0].value
        return None if value is None else not value


class And(Node):
    """Kleene's and: one false decides, else one unknown."""

    __slots__ = ()

    def compute(self, now: Micros) -> Value:  # noqa: ARG002
        result: bool | None = True
        for child in self.children:
            if child.value is False:
                return False
            if child.value is None:
                result = None
        return result


class Or(Node):
    """Kleene's or: one true decides, else one unknown."""

    __slots__ = ()

    def compute(self, now: Micros) -> Value:  # noqa: ARG002
        result: bool | None = False
        for child in self.children:
            if child.value is True:
                return True
            if child.value is None:
                result = None
        return result


class Applied(Node):
    """A comparison or a calculation with two operands; unknown if either is."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[Any, Any], Value], left: Node, right: Node) -> None:
        super().__init__(left, right)
        self.function = function

    def compute(self, now: Micros) -> Value:  # noqa: ARG002
        left, right = self.children
        if left.value is None or right.value is None:
            return None
        return self.function(left.value, right.value)


class Among(Node):
    """`x in (a, b)`: Kleene's or over the comparisons."""

    __slots__ = ()

    def compute(self, now: Micros) -> Value:  # noqa: ARG002
        wanted, *items = (child.value for child in self.children)
        if wanted is None:
            return None
        if wanted in items:
            return True
        return None if None in items else False


class Choose(Node):
    """`then if condition else otherwise`; unknown if the condition is."""

    __slots__ = ()

    def compute(self, now: Micros) -> Value:  # noqa: ARG002
        then, condition, otherwise = self.children
        if condition.value is None:
            return None
        return then.value if condition.value else otherwise.value


def _divide(left: float, right: float) -> float | None:
    return left / right if right else None


FUNCTIONS: Final[dict[str, Callable[[Any, Any], Value]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
}
"""Comparisons and calculations. A division by zero is unknown."""
