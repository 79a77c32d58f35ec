"""What the checker must know of an operator: its arguments, and the type of its result."""

from typing import ClassVar, Final, NamedTuple

from edge.rules.types import Base, Type
from sitekeeper.model.clock import Micros


class Parameter(NamedTuple):
    """One argument of an operator: which types it takes, whether it must be constant, whether it may be left out.

    `seconds`: instead of a constant it may be a number of seconds that changes. `span`: the shortest and the longest
    window that it may be.
    """

    name: str
    accepts: tuple[Base, ...]
    constant: bool = False
    optional: bool = False
    seconds: bool = False
    span: tuple[Micros, Micros] | None = None


ANYTHING: Final[tuple[Base, ...]] = ("bool", "number", "text", "enum")


class Operator:
    """Parameters in order, and the type of the result."""

    __slots__ = ()

    parameters: ClassVar[tuple[Parameter, ...]]
    gives: ClassVar[Type | None]
    """None: the type of the first argument."""
