"""The nodes of one rule on one device, in an order in which every node comes after those it reads.

A set bit in `mask` means: the node at this place must be computed again. A node whose value stays the same wakes
nobody, so the cost of a change is the number of nodes whose value it really moves. What is equal for all graphs that
are made in the same way is kept once: a large site has thousands.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from edge.rules.nodes import Fixed, Heard, Input, Keeper, Node
from sitekeeper.model.clock import Micros


class Shape(NamedTuple):
    """What a graph is beside its nodes; equal for all graphs that are made in the same way.

    Attributes:
        computed: the mask of the nodes that are computed. ups: for each node, the mask of who reads it.
        inputs, keepers, pulses: the places of points and events, of the nodes with a memory, and of the events.
        keeping: the mask of the nodes with a memory.
    """

    computed: int
    ups: tuple[int, ...]
    inputs: tuple[int, ...]
    keepers: tuple[int, ...]
    pulses: tuple[int, ...]
    keeping: int


def shape_of(nodes: Sequence[Node]) -> Shape:
    """Return the shape of a graph of these nodes."""
    ups: dict[int, int] = {}
    for place, node in enumerate(nodes):
        for child in node.children:
            ups[id(child)] = ups.get(id(child), 0) | 1 << place
    keepers = tuple(place for place, node in enumerate(nodes) if isinstance(node, Keeper))
    return Shape(
        sum(1 << place for place, node in enumerate(nodes) if not isinstance(node, Input | Fixed)),
        tuple(ups.get(id(node), 0) for node in nodes),
        tuple(place for place, node in enumerate(nodes) if isinstance(node, Input)),
        keepers,
        tuple(place for place, node in enumerate(nodes) if node.pulse),
        sum(1 << place for place in keepers),
    )


class Graph:
    """Evaluates nodes. `mask` may be raised from outside with `Input.up`, or as `Heard.readers` says."""

    __slots__ = ("_shape", "mask", "nodes")

    def __init__(self, nodes: Sequence[Any], shape: Shape | None = None) -> None:
        self.nodes = tuple(nodes)
        self._shape = shape = shape or shape_of(nodes)
        for place in shape.inputs:
            if type(nodes[place]) is not Heard:
                nodes[place].up = shape.ups[place]
        self.mask = shape.computed

    def read_by(self, owner: Any) -> None:
        """Let the points that are shared wake `owner`, whose graph this is."""
        for place in self._shape.inputs:
            if type(point := self.nodes[place]) is Heard and (up := self._shape.ups[place]):
                point.readers.append((owner, up))

    def settle_late(self, now: Micros) -> bool:
        """`settle` for the moment of a late event: what it makes true starts no watch."""
        idle = [watch for keeper in self._keepers() for watch in keeper.delays() if watch.idle]
        kept = self.settle(now)
        for watch in idle:
            if watch.since is not None:
                watch.bar()
        return kept

    def settle(self, now: Micros) -> bool:
        """Compute what must be computed; tell whether a node with a memory was among it."""
        nodes, shape, mask, done = self.nodes, self._shape, self.mask, 0
        ups = shape.ups
        self.mask = 0
        while mask:
            lowest = mask & -mask
            mask ^= lowest
            done |= lowest
            place = lowest.bit_length() - 1
            node = nodes[place]
            value = node.compute(now)
            if value != node.value:
                node.value = value
                mask |= ups[place]
        for place in shape.pulses:
            if nodes[place].value:
                nodes[place].value = False
        return done & shape.keeping != 0

    def wake(self, now: Micros) -> None:
        """Mark the nodes whose time has come."""
        for place in self._shape.keepers:
            due = self.nodes[place].due
            if due is not None and due <= now:
                self.mask |= 1 << place

    def forget(self) -> bool:
        """Let every node forget what it has learned; tell whether one learns anything."""
        forgot = sum(1 << place for place in self._shape.keepers if self.nodes[place].forget())
        self.mask |= forgot
        return bool(forgot)

    def deadline(self) -> Micros | None:
        """Return when the first node wants to be computed again, whatever comes."""
        return min((keeper.due for keeper in self._keepers() if keeper.due is not None), default=None)

    def save(self) -> list[object]:
        """Return the memories of all nodes, in order."""
        return [keeper.save() for keeper in self._keepers()]

    def restore(self, saved: Sequence[Any], as_of: Micros) -> None:
        """Take up the memories saved by a graph of the same rule text."""
        for keeper, memory in zip(self._keepers(), saved, strict=True):
            keeper.restore(memory, as_of)

    def _keepers(self) -> list[Keeper]:
        return [self.nodes[place] for place in self._shape.keepers]
