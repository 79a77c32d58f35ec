"""Events inside an expression: `on(event, expr)` and `cmd(point)`.

An event is a moment of its own. `on` is true in that moment if the event's condition was true then, and false at every
other time, so it is never unknown: what was not heard has not happened, and an event of which the condition is not
known does not count.

A late event (`Event.late`) is heard long after it happened. `count` and `within` count it as of when it was heard; a
`latch` does not take it, and a `held` or an on-delay whose condition it makes true does not start: such a watch
starts only when the condition becomes true anew. What needs no waiting is decided all the same. A condition that wants
none of it says `not late`.
"""

from collections.abc import Mapping
from typing import Final

from edge.rules.nodes import Input, Node
from edge.rules.types import Type
from sitekeeper.model.clock import Micros
from sitekeeper.model.event import Event
from sitekeeper.model.sample import Value

LATE: Final = "late"
"""The truth of a late event; also the field that every event has."""

_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "bool": (bool,),
    "number": (int, float),
    "text": (str,),
    "enum": (str,),
}


class Happening(Input):
    """One event of the device. True for the moment in which it is told, LATE if it came late."""

    __slots__ = ("fields", "types")
    pulse = True

    def __init__(self, name: str, types: Mapping[str, Type]) -> None:
        super().__init__(name)
        self.value = False
        self.types = types
        self.fields: dict[str, Input] = {}

    def tell(self, event: Event) -> int:
        """Take an event; return the mask of what must be computed. A field of a wrong type is unknown."""
        self.value = LATE if event.late else True
        mask = self.up
        for name, node in self.fields.items():
            value = event.late if name == LATE else self._typed(name, event.fields.get(name))
            if value != node.value or type(value) is not type(node.value):
                node.value = value
                mask |= node.up
        return mask

    def _typed(self, name: str, value: Value) -> Value:
        base = self.types[name].base
        fits = isinstance(value, _KINDS[base]) and isinstance(value, bool) == (base == "bool")
        return value if fits else None


def field_of(happening: Happening, name: str) -> Input:
    """Make the node of one of its fields, which keeps its value until the next event."""
    happening.fields[name] = Input(f"{happening.name}:{name}")
    return happening.fields[name]


class On(Node):
    """`on(event, expr)`: the event is told in this moment, and its condition is true."""

    __slots__ = ()
    pulse = True

    def __init__(self, happening: Happening, condition: Node) -> None:
        super().__init__(happening, condition)
        self.value = False

    def compute(self, now: Micros) -> Value:  # noqa: ARG002
        happening, condition = self.children
        return happening.value if happening.value and condition.value is True else False
