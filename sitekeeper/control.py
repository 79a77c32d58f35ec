"""The local control protocol, without the socket: newline JSON, one request, items, one end line.

    ->  {"v": 1, "op": "point.read", "args": {"id": "lift-a1/floor"}}
    <-  {"item": {...}}            none, one, or many; a watch goes on until the caller closes
    <-  {"ok": true, "problems": []}

The daemon and the office speak it on their Unix sockets; whoever holds the socket feeds lines in and writes lines out.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from sitekeeper.model.errors import SitekeeperError

VERSION = 1
MAX_LINE = 1 << 20
"""Longest request or reply line in bytes; longer ones end the conversation."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why something could not be done: a stable word, a sentence, the remedy."""

    code: str
    message: str
    hint: str = ""


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
_end = msgspec.json.Decoder(End)


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


def read_reply(lines: Iterator[bytes]) -> Iterator[Any]:
    """Yield the items of a reply; at its end return quietly or raise.

    Raises:
        ControlError: the other side reported problems, or closed before the end line.
    """
    for line in lines:
        message = msgspec.json.decode(line)
        if "item" in message:
            yield message["item"]
            continue
        end = _end.decode(line)
        if not end.ok:
            raise ControlError(end.problems)
        return
    raise ControlError([Problem("closed", "the daemon closed the connection before it had answered")])


class ControlError(SitekeeperError):
    """The daemon answered with problems."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{p.message}{' - ' + p.hint if p.hint else ''}" for p in problems))
        self.problems = problems
