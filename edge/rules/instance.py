"""One rule at work on one device: its nodes, its decision, its saved state."""

import hashlib
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from edge.rules.blueprint import Blueprint, Uses
from edge.rules.building import Builder
from edge.rules.decide import Decision, Level, VerdictKind
from edge.rules.happenings import Happening
from edge.rules.nodes import Input, Node
from edge.rules.rule import DeviceSpec, Mode, ParameterValue, Rule, Until
from edge.rules.sets import Gathered, MemberSpec, Tally
from edge.rules.syntax import Call
from sitekeeper.durations import duration_text
from sitekeeper.model.alarm import Priority
from sitekeeper.model.clock import Micros
from sitekeeper.model.command import Write
from sitekeeper.model.errors import FormatError
from sitekeeper.model.quality import Q
from sitekeeper.model.sample import Value

_STATE_FORMAT: Final = 1


class Verdict(msgspec.Struct, frozen=True, array_like=True):
    """What a rule decided about its device.

    Attributes:
        kind: `raise` and `clear` its alarm; `level`: its priority is another one now; `note`: it would have been
            raised, but `unless` is true.
        at: monotonic time of the sample or timer that decided.
        values: inputs and shown points at that moment: (value, packed quality).
        limits: the parameters in words.
        detail: the named sub-expressions that were true.
        revision: hash of text, parameters and the device's points; a saved state fits only the same revision.
        writes: what a rule with `do:` claims on `raise` and gives up on `clear`; nothing in mode `watch`.
        alarm: False for a rule without a priority, which only writes: there is no alarm to move.
        until: `reset`: what it claims, forbids and suppresses stays past the clear, until the alarm is reset on site.
        stagger: how long after one another its claims end. ends: how long each stands at most; 0 for no limit.
        forbids: devices to which nothing is written meanwhile.
        veils: (device, rule) of the alarms that are not shown meanwhile.
        through: this priority is shown although another alarm suppresses this one.
        realarm: how long after an acknowledgement it is annunciated again; 0 for never.
        parent: the rule of the same device under which it is bundled.
    """

    rule: str
    device: str
    kind: VerdictKind
    at: Micros
    priority: Priority
    values: dict[str, tuple[Value, Q]]
    limits: dict[str, str]
    detail: str
    latched: bool
    revision: str
    mode: Literal["", "watch"]
    writes: tuple[Write, ...] = ()
    alarm: bool = True
    until: Until = "clear"
    stagger: Micros = 0
    ends: Micros = 0
    forbids: tuple[str, ...] = ()
    veils: tuple[tuple[str, str], ...] = ()
    through: bool = False
    realarm: Micros = 0
    parent: str = ""


class SavedState(msgspec.Struct, array_like=True):
    """The bytes of `Engine.dirty`. A state of another revision keeps only what the alarm needs to be cleared."""

    version: int
    revision: str
    active: bool
    priority: Priority
    memories: list[Any]


Sets = Mapping[Call, tuple[MemberSpec, ...]]
"""The devices of each set that a rule asks about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A rule that applies to a device, with its parameters for this device.

    `sets`, `writes`, `forbids` and `veils` are what its scopes come to, seen from this device.
    """

    rule: Rule
    device: DeviceSpec
    parameters: Mapping[str, ParameterValue]
    levels: tuple[tuple[Priority, Micros], ...]
    off_delay: Micros
    mode: Mode
    sets: Sets = field(default_factory=dict)
    writes: tuple[Write, ...] = ()
    forbids: tuple[str, ...] = ()
    veils: tuple[tuple[str, str], ...] = ()
    key: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", f"{self.device.id}/{self.rule.id}")  # kept: several tables have it as a key


class Instance:
    """The state of one rule on one device."""

    __slots__ = (
        "_design",
        "deadline",
        "decision",
        "graph",
        "key",
        "pending",
        "place",
        "plan",
        "revision",
    )

    def __init__(
        self,
        plan: Plan,
        place: int,
        tallies: Mapping[Call, Tally],
        design: "Design",
        heard: Callable[[str], Input] = Input,
    ) -> None:
        self._design = design
        self.graph = design.blueprint.stamp(tallies, heard)
        self.decision: Decision = self.graph.nodes[-1]  # a design ends in it
        self.plan = plan
        self.key = plan.key
        self.place = place
        self.deadline: Micros | None = None
        self.pending = True
        self.revision = design.revision(plan)

    def evaluate(self, now: Micros, out: list[Verdict], *, late: bool = False) -> bool:
        """Bring everything up to `now`, append what was decided; tell whether state and `deadline` may have changed.

        `late`: this is the moment of a late event.
        """
        self.pending = False
        if not (self.graph.settle_late(now) if late else self.graph.settle(now)):
            return False
        self.deadline = self.graph.deadline()
        if self.decision.made:
            made, self.decision.made = self.decision.made, ()
            out.extend(self._verdict(kind, priority, now) for kind, priority in made)
        return True

    @property
    def nodes(self) -> Sequence[Any]:
        """Its nodes, in order of evaluation; the decision is the last."""
        return self.graph.nodes

    @property
    def happenings(self) -> Mapping[str, Happening]:
        """The events that it listens to, by name."""
        return {name: self.nodes[place] for name, place in self._design.blueprint.happenings}

    @property
    def gathered(self) -> list[Gathered]:
        """The sets that it reads."""
        return [self.nodes[place] for place in self._design.blueprint.gathered]

    @property
    def limits(self) -> Mapping[str, str]:
        """Its parameters and delays in words."""
        return self._design.limits

    def forget(self) -> bool:
        """Forget what it has learned; tell whether it can learn anything."""
        return self.graph.forget()

    def resettable(self) -> tuple[bool, bool]:
        """Tell whether the condition is false, and whether what a reset needs is true. Unknown is neither."""
        reset = self._design.reset
        return self.decision.when.value is False, reset is None or self.nodes[reset].value is True

    def standing(self, now: Micros, latched: Container[str] = ()) -> Verdict | None:
        """Return its raise once more, if it is active and writes, forbids or suppresses something.

        So it is too if these last until a reset, and its alarm is among the `latched`.
        """
        plan = self.plan
        stands = self.decision.active or (plan.rule.until == "reset" and self.key in latched)
        if not stands or plan.mode == "watch" or not (plan.writes or plan.forbids or plan.veils):
            return None
        return self._verdict("raise", self.decision.priority, now)

    def save(self) -> bytes:
        """Return the state."""
        decision = self.decision
        state = SavedState(_STATE_FORMAT, self.revision, decision.active, decision.priority, self.graph.save())
        return msgspec.msgpack.encode(state)

    def restore(self, saved: bytes, as_of: Micros) -> None:
        """Take up a saved state whose time ended at `as_of`.

        Raises:
            FormatError: the bytes are no such state.
        """
        state = decode_state(saved)
        if state.version == _STATE_FORMAT and state.revision == self.revision:
            self.graph.restore(state.memories, as_of)
        else:
            self.decision.active, self.decision.priority = state.active, state.priority

    def _verdict(self, kind: VerdictKind, priority: Priority, now: Micros) -> Verdict:
        plan, rule = self.plan, self.plan.rule
        acts = kind in {"raise", "clear"} and plan.mode != "watch"
        return Verdict(
            rule=rule.id,
            device=plan.device.id,
            kind=kind,
            at=now,
            priority=priority,
            values={name: self.nodes[place].reading() for name, place in self._design.blueprint.inputs},
            limits=self._design.limits,
            detail=", ".join(name for name, at in self._design.blueprint.named if self.nodes[at].value is True),
            latched=rule.latch,
            revision=self.revision,
            mode="watch" if plan.mode == "watch" else "",
            writes=plan.writes if acts else (),
            alarm=rule.alarm,
            until=rule.until,
            stagger=0 if rule.do is None else rule.do.stagger,
            ends=0 if rule.do is None else rule.do.lasts,
            forbids=plan.forbids if acts else (),
            veils=plan.veils if acts else (),
            through=priority in self._design.through,
            realarm=rule.realarm,
            parent=rule.parent,
        )


def decode_state(saved: bytes) -> SavedState:
    """Decode a saved state.

    Raises:
        FormatError: the bytes are no such state.
    """
    try:
        return msgspec.msgpack.decode(saved, type=SavedState)
    except msgspec.MsgspecError as error:
        raise FormatError(f"state of a rule: {error}") from error


def _limits(plan: Plan) -> dict[str, str]:
    limits = {name: value.words() for name, value in plan.parameters.items()}
    for priority, after in plan.levels:
        if after:
            limits["on_delay" if len(plan.levels) == 1 else f"after_{priority}"] = duration_text(after)
    return limits


def build(plan: Plan, builder: Builder) -> list[Node | None]:
    """Build the nodes of a plan; return those of `when`, `unless`, `reset_when` and of the levels' own conditions."""
    rule = plan.rule
    trees = [rule.when, rule.unless, rule.reset_when, *(level.when for level in rule.levels)]
    made = [None if tree is None else builder.build(tree) for tree in trees]
    for name in rule.show:
        if name in plan.device.points:
            builder.input(name)
    return made


class Design:
    """What is the same for all instances of one rule that share a blueprint.

    Attributes:
        limits: parameters and delays in words. reset: the place of the node that must be true for a reset.
        through: the priorities that are shown although another alarm suppresses this one.
    """

    __slots__ = (
        "_deciding",
        "_levels",
        "_off_delay",
        "_plain",
        "_revision",
        "_unless",
        "_when",
        "blueprint",
        "limits",
        "reset",
        "through",
    )

    def __init__(self, plan: Plan, tallies: Mapping[Call, Tally]) -> None:
        rule = plan.rule
        builder = Builder.of(plan.device, plan.parameters, rule.named, tallies)

        made = build(plan, builder)
        places = {id(node): place for place, node in enumerate(builder.nodes)}
        self._when, self._unless, self.reset, *narrowed = [None if n is None else places[id(n)] for n in made]
        levels = [(*level, at) for level, at in zip(plan.levels, narrowed, strict=True)]
        self._levels = sorted(levels, key=lambda level: level[0])  # P1 before P4
        # Levels without a condition of their own are the same for all.
        plain = all(at is None for at in narrowed)
        self._plain = tuple(Level(priority, after) for priority, after, _ in self._levels if plain)
        self._off_delay = plan.off_delay
        self.limits = _limits(plan)
        self.through = frozenset(level.priority for level in rule.levels if level.through)
        self._deciding = _deciding(plan, self.limits, builder)
        self._revision = ""
        self.blueprint = Blueprint(builder, self._decision)

    def _decision(self, nodes: Sequence[Node]) -> Decision:
        def at(place: int | None) -> Node | None:
            return None if place is None else nodes[place]

        levels = self._plain or tuple(Level(priority, after, at(place)) for priority, after, place in self._levels)
        return Decision(nodes[self._when or 0], at(self._unless), levels, self._off_delay)

    def revision(self, plan: Plan) -> str:
        """Return the revision of a plan of this design; only what it writes may differ."""
        if plan.writes:
            return _hash(self._deciding, plan.writes)
        self._revision = self._revision or _hash(self._deciding, ())
        return self._revision


class Designs:
    """The designs of the rules of a site, each made when its first plan is."""

    def __init__(self) -> None:
        self._uses: dict[str, Uses] = {}
        self._known: dict[tuple[object, ...], Design] = {}

    def of(self, plan: Plan, tallies: Mapping[Call, Tally]) -> Design:
        """Return the design of a plan."""
        rule = plan.rule
        if (uses := self._uses.get(rule.id)) is None:
            uses = self._uses[rule.id] = Uses([*rule.trees(), *rule.named.values()], rule.show)
        key = (rule.id, plan.levels, plan.off_delay, *uses.key(plan.device, plan.parameters))
        if (design := self._known.get(key)) is None:
            design = self._known[key] = Design(plan, tallies)
        return design


def _deciding(plan: Plan, limits: Mapping[str, str], builder: Builder) -> tuple[list[object], list[object]]:
    """Return everything that decides, and the shape of the nodes, so that a saved memory never meets another node.

    What is written stands between the two parts.
    """
    canonical, device = plan.rule.canonical, plan.device
    shape = [(type(node).__name__, getattr(node, "name", "")) for node in builder.nodes]
    kinds = sorted((name, device.points[name].kind) for name in builder.inputs)
    last: list[object] = [device.tags if b"tagged" in canonical else ()]
    if b"asset(" in canonical:
        last.append(sorted(device.asset.items()))
    return [canonical, sorted(limits.items()), plan.off_delay, plan.levels, shape, kinds], last


def _hash(deciding: tuple[list[object], list[object]], writes: tuple[Write, ...]) -> str:
    first, last = deciding
    return hashlib.blake2b(msgspec.msgpack.encode([*first, writes, *last]), digest_size=8).hexdigest()
