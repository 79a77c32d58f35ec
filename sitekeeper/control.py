"""The local control protocol, without the socket: newline JSON, one request, items, one end line.

    ->  {"v": 1, "op": "point.read", "args": {"id": "lift-a1/floor"}}
    <-  {"item": {...}}            none, one, or many; a watch goes on until the caller closes
    <-  {"ok": true, "problems": []}

The daemon and the office speak it on their Unix sockets; whoever holds the socket feeds lines in and writes lines out.
"""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

import msgspec

from sitekeeper.model.command import ROLE_RANK, Role
from sitekeeper.model.errors import NotFound, Refused, SitekeeperError

_T = TypeVar("_T")

VERSION = 1
MAX_LINE = 1 << 20
"""Longest request or reply line in bytes; longer ones end the conversation."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why something could not be done: a stable word, a sentence, the remedy.

    `said` and `fields`: the key of the sentence among our texts, and what it needs to be said in any language.
    """

    code: str
    message: str
    hint: str = ""
    said: str = ""
    fields: dict[str, Any] = {}


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing asked of a daemon."""

    v: int
    op: str
    args: dict[str, Any] = {}


class End(msgspec.Struct, frozen=True):
    """The last line of every reply."""

    ok: bool
    problems: list[Problem] = []


class BadRequest(SitekeeperError):
    """A line that is not a request of this version."""


_request = msgspec.json.Decoder(Request)


def encode_request(op: str, args: dict[str, Any]) -> bytes:
    """Return the request line, newline included."""
    return msgspec.json.encode(Request(v=VERSION, op=op, args=args)) + b"\n"


def parse_request(line: bytes) -> Request:
    """Parse one request line.

    Raises:
        BadRequest: too long, not JSON, unknown fields, or another version of the protocol.
    """
    if len(line) > MAX_LINE:
        msg = f"request of {len(line)} bytes; the limit is {MAX_LINE}"
        raise BadRequest(msg)
    try:
        request = _request.decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        msg = f"not a request: {error}"
        raise BadRequest(msg) from error
    if request.v != VERSION:
        msg = f"protocol version {request.v}; this side speaks {VERSION}"
        raise BadRequest(msg)
    return request


def encode_item(item: object) -> bytes:
    """Return one item line; structs, dicts and lists alike."""
    return msgspec.json.encode({"item": item}) + b"\n"


def encode_end(problems: list[Problem] | None = None) -> bytes:
    """Return the end line; the request went well if there are no problems."""
    return msgspec.json.encode(End(ok=not problems, problems=problems or [])) + b"\n"


def problem_of(error: Exception) -> Problem:
    """Return what a caller is told of an error; one that is not of ours is a fault of ours, `internal`."""
    match error:
        case Refused():
            return Problem(error.reason, error.detail or error.reason)
        case NotFound():
            return Problem("not-found", str(error))
        case BadRequest():
            return Problem("usage", str(error))
        case SitekeeperError():
            return Problem("failed", str(error))
    return Problem("internal", f"{type(error).__name__}: {error}")


def operation_of(op: str, table: Mapping[str, _T]) -> _T:
    """Return what `table` holds for `op`.

    Raises:
        NotFound: nothing; with the names that are spelt alike.
    """
    try:
        return table[op]
    except KeyError:
        raise NotFound(f"no operation {op!r}", near=tuple(get_close_matches(op, table, n=3))) from None


def role_of(groups: Iterable[str], roles: Mapping[str, Role]) -> Role:
    """Return the highest role that the groups grant; without one, people may look."""
    held = [roles[name] for name in groups if name in roles]
    return max(held, key=ROLE_RANK.__getitem__, default="viewer")


def read_reply(lines: Iterator[bytes]) -> Iterator[Any]:
    """Yield the items of a reply; at its end return quietly or raise.

    Raises:
        ControlError: the other side reported problems, closed before the end line, or does not speak this protocol.
    """
    for line in lines:
        try:
            message = msgspec.json.decode(line)
            if isinstance(message, dict) and "item" in message:
                yield message["item"]
                continue
            end = msgspec.convert(message, End)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ControlError([Problem("closed", f"not an answer of a daemon: {error}")]) from None
        if not end.ok:
            raise ControlError(end.problems)
        return
    raise ControlError([Problem("closed", "the daemon closed the connection before it had answered")])


class ControlError(SitekeeperError):
    """The daemon answered with problems."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{p.message}{' - ' + p.hint if p.hint else ''}" for p in problems))
        self.problems = problems
