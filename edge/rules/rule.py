"""A rule as read and checked: what it says about every device of its class."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from edge.rules.places import Written
from edge.rules.syntax import Expression
from edge.rules.types import DURATION, TEXT, Type, type_of_value
from sitekeeper.durations import duration_text, parse_duration
from sitekeeper.faults import Place
from sitekeeper.located_yaml import Document, Plain, Trail
from sitekeeper.model.alarm import Priority
from sitekeeper.model.point import Names, Point
from sitekeeper.model.sample import Value
from sitekeeper.profile import Writable

PRIORITIES: Final = ("P1", "P2", "P3", "P4")
Mode = Literal["", "watch"]


@dataclass(frozen=True, slots=True)
class RuleText:
    """One rule as it stands in a file: an item of the list that a rule file is."""

    document: Document
    trail: Trail
    lines: tuple[str, ...] = ()

    @property
    def mapping(self) -> Mapping[str, Plain]:
        """Return what is written; an empty mapping where it is no mapping."""
        found = self.document.data
        for step in self.trail:
            found = found[step]  # type: ignore[index]
        return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}

    def place(self, *path: str | int, key: bool = False) -> Place:
        return self.document.place((*self.trail, *path), key=key)

    def written(self, text: str, *path: str | int) -> Written:
        return Written(text, self.place(*path), self.lines)


@dataclass(frozen=True, slots=True)
class Setting:
    """A value that a person gave to a parameter, a delay, the mode or the priority of a rule, and where."""

    value: Plain
    place: Place


Settings = Mapping[str, Mapping[str, Setting]]
"""Settings by rule id and name."""


@dataclass(frozen=True, slots=True)
class ParameterValue:
    """A parameter with its type. Durations are microseconds."""

    value: Value
    type: Type

    def words(self) -> str:
        if self.type == DURATION and isinstance(self.value, int):
            return duration_text(self.value)
        return str(self.value).lower() if isinstance(self.value, bool) else str(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelRule:
    """One level: `after` is a constant expression, `when` narrows the rule's own condition."""

    priority: Priority
    after: Expression
    when: Expression | None = None


@dataclass(frozen=True, slots=True)
class Reach:
    """Which devices a set or a linkage means. `scope` is `self`, `site`, `zone`, `link`, or `group` and a name."""

    scope: str
    cls: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Linkage:
    """A checked `do:`. `write` is in the order of writing."""

    reach: Reach
    write: tuple[tuple[str, Value], ...]
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule that was read without a fault.

    Attributes:
        named: sub-expressions under `let`, each may use those before it.
        unless: while true the rule raises nothing, and leaves a note once.
        latch: an alarm that returned stays until it is reset on site; `reset_when` must be true for that.
        show: further points whose values are told with each verdict.
        do: what it writes while it holds. alarm: False if that is all it does.
        once: `zone`, `link` or `site`: it applies to the first device (by id) of its class there and to no other.
        canonical: the parts of its text that decide, for the revision.
    """

    id: str
    cls: str
    names: Names
    when: Expression
    levels: tuple[LevelRule, ...]
    off_delay: Expression
    named: Mapping[str, Expression] = field(default_factory=dict)
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    unless: Expression | None = None
    reset_when: Expression | None = None
    latch: bool = False
    mode: Mode = ""
    playbook: str = ""
    show: tuple[str, ...] = ()
    do: Linkage | None = None
    alarm: bool = True
    once: str = ""
    text: RuleText
    canonical: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSpec:
    """A device as rules see it.

    Attributes:
        points: by name within the device; among them the built-in `online`.
        profile_settings, settings: what its profile and the site file say about rules; the latter wins.
        events: types of the fields of every event that it can tell, by event.
        writables: the points that its class and its driver allow to be written, and how.
        zone, link, tags: what scopes of sets and linkages choose by. Without a zone it shares none.
    """

    id: str
    cls: str
    points: Mapping[str, Point]
    profile_settings: Settings = field(default_factory=dict)
    settings: Settings = field(default_factory=dict)
    events: Mapping[str, Mapping[str, Type]] = field(default_factory=dict)
    writables: Mapping[str, Writable] = field(default_factory=dict)
    zone: str = ""
    link: str = ""
    tags: tuple[str, ...] = ()


def parameter_value(value: Plain) -> ParameterValue | None:
    """Return what a YAML scalar means as a parameter: `30s` is a duration; None if it cannot be one."""
    if isinstance(value, bool):
        return ParameterValue(value, type_of_value(value, "bool"))
    if isinstance(value, int | float):
        return ParameterValue(value, type_of_value(value, "number"))
    if not isinstance(value, str):
        return None
    try:
        return ParameterValue(parse_duration(value), DURATION)
    except ValueError:
        return ParameterValue(value, TEXT)
