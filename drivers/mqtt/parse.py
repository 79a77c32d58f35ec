"""From the bytes of a message to JSON or text, within bounds. Pure; knows nothing of profiles."""

import json
from typing import Any, Final

Scalar = bool | int | float | str

MAX_PAYLOAD: Final = 256 * 1024
"""Bytes; a longer message is not looked at."""
MAX_DEPTH: Final = 32
FIRST: Final = 48
"""Bytes of a payload that an error shows."""
LARGEST: Final = 2**63


class Unreadable(ValueError):
    """A payload, or a path in it, that cannot be followed; says why. `code` is a short stable word for it."""

    def __init__(self, why: str, code: str = "not-json") -> None:
        super().__init__(why)
        self.code = code


def tree(payload: bytes) -> object:
    """Return what a JSON payload holds.

    Raises:
        Unreadable: too long, not JSON in UTF-8, two members of one name, or nested too deep.
    """
    if len(payload) > MAX_PAYLOAD:
        raise Unreadable(f"{len(payload)} bytes, more than {MAX_PAYLOAD}", "too-large")
    try:
        found: object = json.loads(payload.decode(), object_pairs_hook=_members, parse_constant=_constant)
    except Unreadable:
        raise
    except RecursionError:
        raise Unreadable(f"nested deeper than {MAX_DEPTH}") from None
    except ValueError as error:
        raise Unreadable(f"not JSON: {error}" if payload else "empty, where JSON was expected") from None
    if payload.count(b"[") + payload.count(b"{") > MAX_DEPTH and _deep(found):
        raise Unreadable(f"nested deeper than {MAX_DEPTH}")
    return found


def plain(payload: bytes) -> str:
    """Return a payload that is not JSON as text, without blanks around it. Raises Unreadable if it is none."""
    if len(payload) > MAX_PAYLOAD:
        raise Unreadable(f"{len(payload)} bytes, more than {MAX_PAYLOAD}", "too-large")
    try:
        return payload.decode().strip()
    except UnicodeDecodeError:
        raise Unreadable("not text in UTF-8", "not-text") from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unreadable("two members of one name")
    return found


def _constant(name: str) -> float:
    raise Unreadable(f"{name} is not JSON")


def _deep(found: object) -> bool:
    level = [found]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return any(isinstance(each, dict | list) for each in level)


def key(raw: object, *, raw_text: bool) -> object:
    """Return the same for what is the same in JSON, and only then: 1 is 1.0, but neither true nor "1"."""
    if raw_text:
        return ("text", str(raw).lower() if isinstance(raw, bool) else str(raw))
    if isinstance(raw, bool):
        return ("bool", raw)
    if isinstance(raw, int | float):
        return ("number", raw)
    return ("text", raw) if isinstance(raw, str) else None


def same(want: Scalar, have: object) -> bool:
    """Tell whether a message has the value wanted. A number given as a text by `with:` is still that number."""
    if isinstance(want, str) and isinstance(have, int) and not isinstance(have, bool):
        return abs(have) < LARGEST and want == str(have)
    if isinstance(have, str) and isinstance(want, int) and not isinstance(want, bool):
        return have == str(want)
    return key(want, raw_text=False) == key(have, raw_text=False)


def masked(payload: bytes, most: int = FIRST) -> bytes:
    """Return the first bytes of a payload that may name a person: its shape, and nothing that can be read from it."""
    return bytes(byte if byte in b'{}[]":, \\' else ord("x") for byte in payload[:most])


def any_of(want: Scalar | list[Scalar], have: object) -> bool:
    """Tell whether a message has the value wanted, or one of them."""
    return any(same(each, have) for each in want) if isinstance(want, list) else same(want, have)
