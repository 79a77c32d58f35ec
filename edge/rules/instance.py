"""One rule at work on one device: its nodes, its decision, its saved state."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from edge.rules.building import Builder
from edge.rules.decide import Decision, Level, VerdictKind
from edge.rules.graph import Graph
from edge.rules.happenings import Happening
from edge.rules.nodes import Input, Node
from edge.rules.rule import DeviceSpec, Mode, ParameterValue, Rule
from edge.rules.sets import MemberSpec, Tally
from edge.rules.syntax import Call
from edge.rules.types import BUILT_IN, Fields
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
    mode: Mode
    writes: tuple[Write, ...] = ()
    alarm: bool = True


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

    `sets` and `writes` are what its scopes come to, seen from this device.
    """

    rule: Rule
    device: DeviceSpec
    parameters: Mapping[str, ParameterValue]
    levels: tuple[tuple[Priority, Micros], ...]
    off_delay: Micros
    mode: Mode
    sets: Sets = field(default_factory=dict)
    writes: tuple[Write, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.device.id}/{self.rule.id}"


class Instance:
    """The state of one rule on one device."""

    __slots__ = (
        "_limits",
        "_named",
        "_reset",
        "deadline",
        "decision",
        "gathered",
        "graph",
        "happenings",
        "inputs",
        "key",
        "pending",
        "place",
        "plan",
        "revision",
    )

    def __init__(self, plan: Plan, place: int, tallies: Mapping[Call, Tally]) -> None:
        rule, device = plan.rule, plan.device
        builder = Builder(
            device.points,
            plan.parameters,
            rule.named,
            events=events_of(device),
            tags=device.tags,
            tallies=tallies,
        )
        when = builder.build(rule.when)
        unless = None if rule.unless is None else builder.build(rule.unless)
        self._reset = None if rule.reset_when is None else builder.build(rule.reset_when)
        levels = [
            Level(priority, after, None if level.when is None else builder.build(level.when))
            for level, (priority, after) in zip(rule.levels, plan.levels, strict=True)
        ]
        self.decision = Decision(when, unless, levels, plan.off_delay)
        for name in rule.show:
            if name in plan.device.points:
                builder.input(name)
        self.graph = Graph([*builder.nodes, self.decision])
        self.inputs: Mapping[str, Input] = builder.inputs
        self.happenings: Mapping[str, Happening] = builder.happenings
        self.gathered = tuple(builder.gathered.values())
        self.plan = plan
        self.key = plan.key
        self.place = place
        self.deadline: Micros | None = None
        self.pending = True
        self._named: Mapping[str, Node] = builder.named
        self._limits = _limits(plan)
        self.revision = _revision(plan, builder)

    def evaluate(self, now: Micros, out: list[Verdict], *, late: bool = False) -> bool:
        """Bring everything up to `now`, append what was decided; tell whether state and `deadline` may have changed.

        `late`: this is the moment of a late event.
        """
        self.pending = False
        if not (self.graph.settle_late(now) if late else self.graph.settle(now)):
            return False
        self.deadline = self.graph.deadline()
        if self.decision.made:
            made, self.decision.made = self.decision.made, []
            out.extend(self._verdict(kind, priority, now) for kind, priority in made)
        return True

    def resettable(self) -> tuple[bool, bool]:
        """Tell whether the condition is false, and whether what a reset needs is true. Unknown is neither."""
        return self.decision.when.value is False, self._reset is None or self._reset.value is True

    @property
    def claims(self) -> tuple[Write, ...]:
        """What it writes while it is active."""
        return () if self.plan.mode == "watch" else self.plan.writes

    def standing(self, now: Micros) -> Verdict | None:
        """Return its raise once more, if it is active and writes something."""
        return self._verdict("raise", self.decision.priority, now) if self.decision.active and self.claims else None

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
        return Verdict(
            rule=self.plan.rule.id,
            device=self.plan.device.id,
            kind=kind,
            at=now,
            priority=priority,
            values={name: point.reading() for name, point in sorted(self.inputs.items())},
            limits=self._limits,
            detail=", ".join(name for name, node in self._named.items() if node.value is True),
            latched=self.plan.rule.latch,
            revision=self.revision,
            mode=self.plan.mode,
            writes=self.claims if kind in {"raise", "clear"} else (),
            alarm=self.plan.rule.alarm,
        )


def events_of(device: DeviceSpec) -> Mapping[str, Fields]:
    """Return the fields of every event of a device, those that the gateway tells of it included."""
    return {**BUILT_IN, **device.events}


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


def _revision(plan: Plan, builder: Builder) -> str:
    """Hash everything that decides, and the shape of the nodes, so that a saved memory never meets another node."""
    shape = [(type(node).__name__, getattr(node, "name", "")) for node in builder.nodes]
    kinds = sorted((name, plan.device.points[name].kind) for name in builder.inputs)
    deciding = (
        plan.rule.canonical,
        sorted(_limits(plan).items()),
        plan.off_delay,
        plan.levels,
        shape,
        kinds,
        plan.writes,
        plan.device.tags if b"tagged" in plan.rule.canonical else (),
    )
    return hashlib.blake2b(msgspec.msgpack.encode(deciding), digest_size=8).hexdigest()
