"""Where in a message something is: paths as people write them, and what they lead to. Pure.

    state  relays.0.on  relays[-1].on  "switch:0".output  ["a.b"]  doors[id=3].state     in a JSON payload
    $                                                                                    the whole JSON value
    $text                                                                                the payload as text
    $topic.name                                                                          a named level of the topic

`[id=3]` is the first member of an array whose `id` is 3. Nothing is computed, and nothing else is understood.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from functools import lru_cache
from typing import Final, Literal

from drivers.mqtt.moments import moment
from drivers.mqtt.parse import Scalar, Unreadable, any_of, plain, same, tree
from drivers.mqtt.topics import NO_CAPTURES, Captures
from sitekeeper.model.clock import Micros

MAX_STEPS: Final = 16

_PIECE: Final = re.compile(
    r"""
    (?P<dot>\.)? (?: (?P<bare>[^.\[\]"'\s=][^.\[\]"'=]*) | (?P<quoted>"(?:[^"\\]|\\.)*") )
    | \[ (?: (?P<index>-?[0-9]{1,6}) | (?P<inner>"(?:[^"\\]|\\.)*") | (?P<key>[^.\[\]"'\s=]+)=(?P<value>[^\[\]"']+) ) \]
    """,
    re.VERBOSE,
)
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_TOPIC: Final = re.compile(r"\$topic\.([a-z][a-z0-9_]{0,63})")


@dataclass(frozen=True, slots=True)
class Name:
    """A member of an object; of an array, if it is a number, that element."""

    name: str


@dataclass(frozen=True, slots=True)
class Index:
    """An element of an array, from 0, or from the end with -1."""

    at: int


@dataclass(frozen=True, slots=True)
class Having:
    """The first element of an array whose member `name` has this value."""

    name: str
    value: str


Step = Name | Index | Having


@dataclass(frozen=True, slots=True)
class Where:
    """A path that was understood. `level`: of the topic, by name."""

    text: str
    root: Literal["json", "text", "topic"]
    steps: tuple[Step, ...] = ()
    level: str = ""

    @property
    def in_json(self) -> bool:
        return self.root == "json"


@lru_cache(maxsize=1024)
def where(written: str) -> Where:
    """Return what a path means.

    Raises:
        ValueError: it is none.
    """
    if written == "$text":
        return Where(written, "text")
    if match := _TOPIC.fullmatch(written):
        return Where(written, "topic", level=match[1])
    rest = written.removeprefix("$.") if written.startswith("$.") else "" if written == "$" else written
    if rest.startswith("$["):
        rest = rest[1:]
    if rest.startswith("$"):
        raise ValueError(f"{written!r} is no path: of words with $ there are $, $text and $topic.<name>")
    return Where(written, "json", tuple(_steps(rest, written)))


def _steps(rest: str, written: str) -> list[Step]:
    steps: list[Step] = []
    at = 0
    while at < len(rest):
        match = _PIECE.match(rest, at)
        named = match is not None and (match["bare"] or match["quoted"])
        if match is None or len(steps) >= MAX_STEPS or (named and bool(match["dot"]) != bool(steps)):
            raise ValueError(
                f"{written!r} is no path: names with dots between them, [0] or [id=3] for an element, "
                'and names with other signs in quotes, for example doors[0].state or "switch:0".output'
            )
        steps.append(_step(match))
        at = match.end()
    return steps


def _step(match: re.Match[str]) -> Step:
    if match["bare"] is not None:
        return Name(match["bare"])
    if match["index"] is not None:
        return Index(int(match["index"]))
    if match["key"] is not None:
        return Having(match["key"], match["value"])
    return Name(str(json.loads(match["quoted"] or match["inner"])))


def spelt(path: Where) -> str:
    """Return a path as text."""
    if not path.in_json:
        return path.text
    return "$" + "".join(_spelt(step) for step in path.steps)


def _spelt(step: Step) -> str:
    match step:
        case Name(name):
            return f".{name}" if _BARE.fullmatch(name) else f"[{json.dumps(name, ensure_ascii=False)}]"
        case Index(at):
            return f"[{at}]"
        case Having(name, value):
            return f"[{name}={value}]"


def follow(found: object, path: Where) -> object:
    """Return what lies at `path` of a JSON value.

    Raises:
        Unreadable: there is nothing.
    """
    for step in path.steps:
        match step:
            case Name(name) if isinstance(found, dict) and name in found:
                found = found[name]
            case Name(name) if isinstance(found, list) and name.isascii() and name.isdecimal() and len(name) < 7:
                found = _element(found, int(name), path)
            case Index(at) if isinstance(found, list):
                found = _element(found, at, path)
            case Having(name, value) if isinstance(found, list):
                found = next((each for each in found if _has(each, name, value)), None)
                if found is None:
                    raise Unreadable(f"nothing at {path.text}", "missing")
            case _:
                raise Unreadable(f"nothing at {path.text}", "missing")
    return found


def _element(found: list[object], at: int, path: Where) -> object:
    if not -len(found) <= at < len(found):
        raise Unreadable(f"nothing at {path.text}", "missing")
    return found[at]


def _has(each: object, name: str, value: str) -> bool:
    return isinstance(each, dict) and name in each and same(value, each[name])


def pick(found: object, path: str) -> object:
    """Return what lies at a path of a JSON value. Raises Unreadable, there is nothing."""
    return follow(found, where(path))


class Content:
    """The content of one message, understood only as far as somebody asks, and only once.

    Attributes:
        came: wall time at which it came, if that is known: it tells which hour is meant where clocks are set back.
    """

    __slots__ = ("_found", "_text", "came", "fault", "payload")

    def __init__(self, payload: bytes, came: Micros | None = None) -> None:
        self.payload = payload
        self.came = came
        self.fault: Unreadable | None = None
        self._found: tuple[object] | None = None
        self._text: str | None = None

    @classmethod
    def of(cls, payload: "bytes | Content") -> "Content":
        return payload if isinstance(payload, Content) else cls(payload)

    def at(self, path: Where, captures: Captures = NO_CAPTURES) -> object:
        """Return what is at `path`.

        Raises:
            Unreadable: nothing, or the payload is not what it should be; then `fault` says so.
        """
        if path.root == "topic":
            if path.level not in captures:
                raise Unreadable(f"the topic has no level {path.level}", "missing")
            return captures[path.level]
        if path.root == "text":
            return self.text()
        return follow(self.tree(), path)

    def check(self) -> None:
        """Raises Unreadable if somebody has asked for JSON, and it is none."""
        if self.fault is not None:
            raise Unreadable(str(self.fault), self.fault.code)

    def text(self) -> str:
        """Return the payload as text, without blanks around it. Raises Unreadable."""
        if self._text is None:
            self._text = plain(self.payload)
        return self._text

    def tree(self) -> object:
        """Return the JSON value. Raises Unreadable."""
        self.check()
        if self._found is None:
            try:
                self._found = (tree(self.payload),)
            except Unreadable as error:
                self.fault = error
                raise
        return self._found[0]


class When:
    """What a message must have to be somebody's."""

    __slots__ = ("_wanted",)

    def __init__(self, when: Mapping[str, Scalar | list[Scalar]]) -> None:
        self._wanted = tuple((where(path), want) for path, want in when.items())

    def holds(self, content: Content, captures: Captures) -> bool:
        try:
            return all(any_of(want, content.at(path, captures)) for path, want in self._wanted)
        except Unreadable:
            return False

    def __bool__(self) -> bool:
        return bool(self._wanted)


def moment_at(
    content: Content, path: Where | None, zone: tzinfo | None, captures: Captures = NO_CAPTURES
) -> Micros | None:
    """Return the wall time at `path`; None if there is none, which is no fault of the value beside it."""
    if path is None:
        return None
    try:
        return moment(content.at(path, captures), zone, content.came)
    except Unreadable:
        return None
