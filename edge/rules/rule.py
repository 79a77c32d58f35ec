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
from sitekeeper.model.clock import Micros
from sitekeeper.model.point import Names, Point
from sitekeeper.model.sample import Value
from sitekeeper.profile import Writable

SHIPPED: Final = "config/rules/"
"""Where shipped rules lie, as messages call it."""
PRIORITIES: Final = ("P1", "P2", "P3", "P4")
Mode = Literal["", "watch", "off"]
"""`""`: live. `off`: compiled and listed, and not run."""
Until = Literal["clear", "reset"]


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

    @property
    def shipped(self) -> bool:
        """Whether it comes with this software."""
        return self.document.file.startswith(SHIPPED)

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
    """One level: `after` is a constant expression, `when` narrows the rule's own condition.

    `through`: it is shown although another alarm suppresses this one.
    """

    priority: Priority
    after: Expression
    when: Expression | None = None
    through: bool = False


@dataclass(frozen=True, slots=True)
class Reach:
    """Which devices a set or a linkage means.

    `scope` is `self`, `site`, `zone`, `link`, `via`, or `group` and a name. `cls` may be `any` for what suppresses.
    """

    scope: str
    cls: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Linkage:
    """A checked `do:`. `write` is in the order of writing.

    `until`: when it is given up. `stagger`: how long after one another the devices are given up. `lasts`: how long a
    claim stands at most, 0 for as long as the rule holds.
    """

    reach: Reach
    write: tuple[tuple[str, Value], ...]
    priority: int
    until: Until = "clear"
    stagger: Micros = 0
    lasts: Micros = 0


@dataclass(frozen=True, slots=True)
class Suppress:
    """A checked `suppress:`: which alarms of which devices are not shown while this one stands.

    `rules`: by id; `offline`: those that say that their device is not heard. `documented`: why a life-safety alarm may
    be among them.
    """

    reach: Reach
    rules: tuple[str, ...] = ()
    offline: bool = False
    until: Until = "clear"
    documented: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule that was read without a fault.

    Attributes:
        named: sub-expressions under `let`, each may use those before it.
        unless: while true the rule raises nothing, and leaves a note once.
        latch: an alarm that returned stays until it is reset on site; `reset_when` must be true for that.
        show: further points whose values are told with each verdict.
        do: what it writes while it holds. alarm: False if that is all it does.
        forbid: devices to which nothing is written while it holds.
        once: `zone`, `link`, `via` or `site`: it applies to the first device (by id) of its class there and no other.
        life_safety: nobody may shelve it or take it out of service. audience: who alone is pushed; empty for all.
        offline: it says that its device is not heard. parent: the rule of the same device under which it is bundled.
        realarm: how long after an acknowledgement it is annunciated again, 0 for never.
        suppress: the alarms that are not shown while it stands.
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
    life_safety: bool = False
    audience: str = ""
    offline: bool = False
    parent: str = ""
    realarm: Micros = 0
    suppress: Suppress | None = None
    forbid: Reach | None = None
    canonical: bytes

    def trees(self) -> list[Expression]:
        """Return every expression that decides, without the named ones."""
        trees = [self.when, self.unless, self.reset_when, *(level.when for level in self.levels)]
        return [tree for tree in trees if tree is not None]

    @property
    def until(self) -> Until:
        """When what it claims and suppresses ends; `do:` and `suppress:` agree about it."""
        return next((part.until for part in (self.do, self.suppress) if part is not None), "clear")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSpec:
    """A device as rules see it.

    Attributes:
        points: by name within the device; among them the built-in `online`.
        profile_settings, settings: what its profile and the site file say about rules; the latter wins.
        events: types of the fields of every event that it can tell, by event.
        writables: the points that its class and its driver allow to be written, and how.
        zone, link, via, tags: what scopes of sets and linkages choose by. Without a zone it shares none. `via` is
            what it is reached through: its controller, its camera's lane, else its link.
        asset: the numbers of its equipment record, as far as they are stated.
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
    via: str = ""
    tags: tuple[str, ...] = ()
    asset: Mapping[str, float] = field(default_factory=dict)


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
