"""Sets at work: what each device of a set answers, the tallies that count the answers, and who reads them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from edge.rules.building import Builder
from edge.rules.graph import Graph
from edge.rules.happenings import Happening
from edge.rules.instance import Instance, Plan
from edge.rules.nodes import And, Input
from edge.rules.points import Points
from edge.rules.sets import MEMBER, Gathered, MemberSpec, Tally
from edge.rules.syntax import Call
from sitekeeper.model.clock import Micros
from sitekeeper.model.errors import FormatError
from sitekeeper.model.sample import Value


class Member:
    """The answer of one device to one question; everybody who asks shares it. Its key tells the question too."""

    __slots__ = (
        "_root",
        "_told",
        "deadline",
        "graph",
        "happenings",
        "key",
        "pending",
        "place",
        "spec",
        "tallies",
    )

    def __init__(self, spec: MemberSpec, place: int, heard: Callable[[str], Input]) -> None:
        builder = Builder.of(spec.device, spec.parameters, heard=heard)
        self._root = And(builder.build(spec.tree))  # above a bare point too, so that its changes wake somebody
        self._told: Value = None
        self.graph = Graph([*builder.nodes, self._root])
        self.happenings: Mapping[str, Happening] = builder.happenings
        self.spec = spec
        self.key = spec.key
        self.place = place
        self.tallies: list[Tally] = []
        self.deadline: Micros | None = None
        self.pending = True

    def evaluate(self, now: Micros, *, late: bool) -> tuple[bool, bool]:
        """Bring it up to `now`; tell whether its memory may have changed, and whether its answer did."""
        self.pending = False
        kept = self.graph.settle_late(now) if late else self.graph.settle(now)
        if kept:
            self.deadline = self.graph.deadline()
        before, self._told = self._told, self._root.value
        if before == self._told:
            return kept, False
        for tally in self.tallies:
            tally.move(before, self._told)
        return kept, True

    def save(self) -> bytes:
        """Return the memories of its nodes."""
        return msgspec.msgpack.encode(self.graph.save())

    def restore(self, saved: bytes, as_of: Micros) -> None:
        """Take up saved memories whose time ended at `as_of`.

        Raises:
            FormatError: the bytes are no such memories.
        """
        try:
            self.graph.restore(msgspec.msgpack.decode(saved, type=list[Any]), as_of)
        except (msgspec.MsgspecError, ValueError) as error:
            raise FormatError(f"state of {self.spec.key}: {error}") from error


def is_member(key: str) -> bool:
    """Tell whether a saved state is that of a device of a set."""
    return MEMBER in key


class SetsAtWork:
    """All sets that the rules of a site ask about. Equal sets have one tally, and equal questions one member."""

    def __init__(self, plans: Iterable[Plan], points: Points) -> None:
        self._points = points
        self.members: list[Member] = []
        self.by_key: dict[str, Member] = {}
        self._tallies: dict[tuple[str, ...], Tally] = {}
        self._found: dict[int, Tally] = {}  # by the id of what plans share, to compare long sets once only
        self._readers: dict[int, list[tuple[Instance, Gathered]]] = {}
        for plan in plans:
            for specs in plan.sets.values():
                self._add(specs)

    def tallies(self, plan: Plan) -> dict[Call, Tally]:
        """Return the tally of every set of a rule."""
        return {call: self._found[id(specs)] for call, specs in plan.sets.items()}

    def connect(self, instance: Instance) -> None:
        """Let an instance be woken by the sets that it reads."""
        for gathered in instance.gathered:
            self._readers.setdefault(id(gathered.tally), []).append((instance, gathered))

    def moved(self, member: Member) -> list[Instance]:
        """Tell those who read a set that one of its devices answers otherwise now; return them."""
        found: list[Instance] = []
        for tally in member.tallies:
            for instance, gathered in self._readers.get(id(tally), ()):
                gathered.value = tally.moves
                instance.graph.mask |= gathered.up
                found.append(instance)
        return found

    def _add(self, specs: tuple[MemberSpec, ...]) -> None:
        if id(specs) in self._found:
            return
        key = tuple(spec.key for spec in specs)
        if key in self._tallies:
            self._found[id(specs)] = self._tallies[key]
            return
        tally = self._found[id(specs)] = self._tallies[key] = Tally(unknown=len(specs))
        for spec in specs:
            if spec.key not in self.by_key:
                self.by_key[spec.key] = Member(spec, len(self.members), self._points.of(spec.device))
                self.members.append(self.by_key[spec.key])
            self.by_key[spec.key].tallies.append(tally)
