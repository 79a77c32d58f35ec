"""The nodes of one rule on one device, in an order in which every node comes after those it reads.

A set bit in `mask` means: this node must be computed again. A node whose value stays the same wakes nobody, so the cost
of a change is the number of nodes whose value it really moves.
"""

from collections.abc import Sequence
from typing import Any

from edge.rules.nodes import Fixed, Input, Keeper, Node
from sitekeeper.model.clock import Micros


class Graph:
    """Evaluates nodes. `mask` may be raised from outside with `Input.up`."""

    __slots__ = ("_keepers", "_keeping", "_nodes", "_pulses", "_ups", "inputs", "mask")

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.inputs = tuple(node for node in nodes if isinstance(node, Input))
        self._nodes = tuple(node for node in nodes if not isinstance(node, Input | Fixed))
        ups: dict[int, int] = {}
        for place, node in enumerate(self._nodes):
            for child in node.children:
                ups[id(child)] = ups.get(id(child), 0) | 1 << place
        self._ups = tuple(ups.get(id(node), 0) for node in self._nodes)
        for point in self.inputs:
            point.up = ups.get(id(point), 0)
        self._keepers = tuple((1 << place, node) for place, node in enumerate(self._nodes) if isinstance(node, Keeper))
        self._keeping = sum(bit for bit, _ in self._keepers)
        self._pulses = tuple(node for node in nodes if node.pulse)
        self.mask = (1 << len(self._nodes)) - 1

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
