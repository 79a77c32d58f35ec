"""How the nodes of a rule are made, planned once for all devices that look the same to it.

Planning walks through expressions and costs a hundred times what making the nodes does. Two plans share a blueprint if
nothing that decides about the nodes differs: parameters, delays, which of the rule's points and events the device has,
their kinds, and its tags and equipment record where the rule asks for them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from edge.rules.building import Builder, Make, names_in
from edge.rules.forms import FAR, far_point
from edge.rules.graph import Graph, Shape, shape_of
from edge.rules.nodes import Fixed, Input, Node
from edge.rules.rule import DeviceSpec, ParameterValue
from edge.rules.scope import KIND
from edge.rules.sets import Gathered, Tally
from edge.rules.syntax import Call, Expression, Name, parts

_NODES: Final = 0
_VALUES: Final = 1
_MIXED: Final = 2
_SHARED: Final = 3
_SET: Final = 4
_HEARD: Final = 5


class _Place(int):
    """The place of a node among those made before."""

    __slots__ = ()


class _Step(NamedTuple):
    how: int
    make: Callable[..., Node]
    arguments: tuple[Any, ...]


Places = tuple[tuple[str, int], ...]
"""Where which nodes are, by name."""


class Blueprint:
    """What a builder has built, and the node that comes last and is made from those before it.

    `named`: the places of the named expressions. `inputs`: of the points, by name. `happenings`: of the events.
    `gathered`: of the sets.
    """

    __slots__ = ("_ending", "_shape", "_steps", "gathered", "happenings", "inputs", "named")

    def __init__(self, builder: Builder, ending: Callable[[Sequence[Node]], Node]) -> None:
        places = {id(node): place for place, node in enumerate(builder.nodes)}
        self._ending = ending
        self._steps = [_step(node, made, places) for node, made in zip(builder.nodes, builder.recipe, strict=True)]
        self._shape: Shape = shape_of([*builder.nodes, ending(builder.nodes)])
        self.inputs: Places = tuple(sorted((name, places[id(node)]) for name, node in builder.inputs.items()))
        self.happenings: Places = tuple((name, places[id(node)]) for name, node in builder.happenings.items())
        self.gathered = tuple(places[id(node)] for node in builder.gathered.values())
        self.named: Places = tuple((name, places[id(node)]) for name, node in builder.named.items())

    def stamp(self, tallies: Mapping[Call, Tally], heard: Callable[[str], Input]) -> Graph:
        """Make the nodes once more, for the sets and the points of one device."""
        nodes: list[Any] = []
        for how, make, arguments in self._steps:
            if how == _SHARED:
                nodes.append(arguments[0])
            elif how == _NODES:
                nodes.append(make(*[nodes[place] for place in arguments]))
            elif how == _HEARD:
                nodes.append(heard(arguments[0]))
            elif how == _VALUES:
                nodes.append(make(*arguments))
            elif how == _SET:
                nodes.append(make(arguments[0], tallies[arguments[1]]))
            else:
                nodes.append(make(*[nodes[one] if type(one) is _Place else one for one in arguments]))
        nodes.append(self._ending(nodes))
        return Graph(nodes, self._shape)


def _step(node: Node, made: Make, places: Mapping[int, int]) -> _Step:
    make, arguments = made
    if isinstance(node, Fixed):  # it never changes: one serves all
        return _Step(_SHARED, make, (node,))
    if make is Input:
        return _Step(_HEARD, make, arguments)
    if make is Gathered:
        return _Step(_SET, make, arguments)
    found = tuple(_Place(places[id(one)]) if isinstance(one, Node) else one for one in arguments)
    kinds = {isinstance(one, Node) for one in arguments}
    return _Step(_NODES if kinds == {True} else _MIXED if True in kinds else _VALUES, make, found)


class Uses:
    """What of a device decides how the nodes of some expressions are made there."""

    __slots__ = ("_asset", "_events", "_far", "_names", "_tagged")

    def __init__(self, trees: Sequence[Expression], names: Sequence[str] = ()) -> None:
        inside = list(trees)
        for part in inside:  # grows while it is walked
            inside.extend(parts(part))
        calls = [part for part in inside if isinstance(part, Call)]
        written = {name.removesuffix(KIND) for tree in trees for name in names_in(tree)}
        self._names = tuple(sorted({*written, *names}))
        events = {part.arguments[0] for part in calls if part.name == "on"}
        self._events = tuple(sorted(event.name for event in events if isinstance(event, Name)))
        self._far = tuple(part for part in calls if part.name in FAR)
        self._tagged = any(part.name == "tagged" for part in calls)
        self._asset = any(part.name == "asset" for part in calls)

    def key(self, device: DeviceSpec, parameters: Mapping[str, ParameterValue]) -> tuple[Any, ...]:
        """Return what is equal for two devices on which the nodes are made in the same way."""
        points, events = device.points, device.events
        words = {name: value.value for name, value in parameters.items()} if self._far else {}
        return (
            tuple([(type(value.value), value.value) for value in parameters.values()]),
            tuple([points[name].kind if name in points else None for name in self._names]),
            tuple([name in events for name in self._events]),
            tuple([far_point(call, words) in points for call in self._far]),
            device.tags if self._tagged else (),
            tuple(sorted(device.asset.items())) if self._asset else (),
        )
