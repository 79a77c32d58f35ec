"""Who on site is told, of what and how: the site's `local:` as it is used. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sitekeeper.model.alarm import Priority
from sitekeeper.model.clock import MINUTE, SECOND, Micros
from sitekeeper.model.command import Write


@dataclass(frozen=True, slots=True, kw_only=True)
class Fits:
    """Which alarms a target is told of: those of its priorities, and of exactly its audience."""

    priorities: frozenset[Priority]
    audience: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """A point that is written for a while each time.

    `then` is written afterwards where the point would else stay as it is; None where giving it back is enough.
    """

    write: Write
    on: Micros
    then: Write | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """Where a target's posts go. `secret` is shared with the receiver; empty: they are not signed."""

    url: str
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPlan:
    """All targets of a site, by id: which alarms each is told of, and how.

    Attributes:
        after: how long the office may lack an alarm. repeat: how often a target is told again.
    """

    after: Micros = 30 * SECOND
    repeat: Micros = MINUTE
    fits: Mapping[str, Fits] = field(default_factory=dict)
    outputs: Mapping[str, Output] = field(default_factory=dict)
    posts: Mapping[str, Post] = field(default_factory=dict)
