"""The nodes of one rule on one device, in an order in which every node comes after those it reads.

A set bit in `mask` means: this node must be computed again. A node whose value stays the same wakes nobody, so the cost
of a change is the number of nodes whose value it really moves.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from edge.rules.nodes import Fixed, Input, Keeper, Node
from sitekeeper.model.clock import Micros


class Shape(NamedTuple):
    """What a graph is beside its nodes; equal for all graphs that are made in the same way. Places count all nodes.

    Attributes:
        computed: the places of the nodes that are computed; bit n of a mask stands for the n-th of them.
        ups: for each of them, who reads it. inputs: the places of points and events, and who reads them.
        keepers: bit and place of each node with a memory. pulses: the places of the events.
    """

    computed: tuple[int, ...]
    ups: tuple[int, ...]
    inputs: tuple[tuple[int, int], ...]
    keepers: tuple[tuple[int, int], ...]
    pulses: tuple[int, ...]


def shape_of(nodes: Sequence[Node]) -> Shape:
    """Return the shape of a graph of these nodes."""
    computed = tuple(place for place, node in enumerate(nodes) if not isinstance(node, Input | Fixed))
    ups: dict[int, int] = {}
    for bit, place in enumerate(computed):
        for child in nodes[place].children:
            ups[id(child)] = ups.get(id(child), 0) | 1 << bit
    return Shape(
        computed,
        tuple(ups.get(id(nodes[place]), 0) for place in computed),
        tuple((place, ups.get(id(node), 0)) for place, node in enumerate(nodes) if isinstance(node, Input)),
        tuple((1 << bit, place) for bit, place in enumerate(computed) if isinstance(nodes[place], Keeper)),
        tuple(place for place, node in enumerate(nodes) if node.pulse),
    )


class Graph:
    """Evaluates nodes. `mask` may be raised from outside with `Input.up`."""

    __slots__ = ("_keepers", "_keeping", "_nodes", "_pulses", "_ups", "mask")

    def __init__(self, nodes: Sequence[Any], shape: Shape | None = None) -> None:
        computed, self._ups, inputs, keepers, pulses = shape or shape_of(nodes)
        self._nodes: tuple[Node, ...] = tuple([nodes[place] for place in computed])
        for place, up in inputs:
            nodes[place].up = up
        self._keepers: tuple[tuple[int, Keeper], ...] = tuple([(bit, nodes[place]) for bit, place in keepers])
        self._keeping = sum([bit for bit, _ in keepers])
        self._pulses: tuple[Node, ...] = tuple([nodes[place] for place in pulses])
        self.mask = (1 << len(computed)) - 1

    def settle_late(self, now: Micros) -> bool:
        """`settle` for the moment of a late event: what it makes true starts no watch."""
        idle = [watch for _, keeper in self._keepers for watch in keeper.delays() if watch.idle]
        kept = self.settle(now)
        for watch in idle:
            if watch.since is not None:
                watch.bar()
        return kept

    def settle(self, now: Micros) -> bool:
        """Compute what must be computed; tell whether a node with a memory was among it."""
        nodes, ups, mask, done = self._nodes, self._ups, self.mask, 0
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
        for pulse in self._pulses:
            if pulse.value:
                pulse.value = False
        return done & self._keeping != 0

    def wake(self, now: Micros) -> None:
        """Mark the nodes whose time has come."""
        for bit, keeper in self._keepers:
            if keeper.due is not None and keeper.due <= now:
                self.mask |= bit

    def deadline(self) -> Micros | None:
        """Return when the first node wants to be computed again, whatever comes."""
        return min((keeper.due for _, keeper in self._keepers if keeper.due is not None), default=None)

    def save(self) -> list[object]:
        """Return the memories of all nodes, in order."""
        return [keeper.save() for _, keeper in self._keepers]

    def restore(self, saved: Sequence[Any], as_of: Micros) -> None:
        """Take up the memories saved by a graph of the same rule text."""
        for (_, keeper), memory in zip(self._keepers, saved, strict=True):
            keeper.restore(memory, as_of)
