"""What people write and a driver looks up: whatever is not there is told with what is nearest to it. Pure."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

from sitekeeper.model.errors import NotFound

T = TypeVar("T")


def find(name: str, table: Mapping[str, T], what: str) -> T:
    """Return what `table` has under this name; `what` says what that is a name of, for example `scan group`.

    Raises:
        NotFound: it has nothing under it; carries near misses.
    """
    try:
        return table[name]
    except KeyError:
        raise NotFound(f"{what} {name!r}", near=tuple(get_close_matches(name, table))) from None


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return the hint for a name that is not among the `known`: the nearest one, else `otherwise`, else all of them."""
    known = tuple(known)
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else otherwise or f"there are {', '.join(known) or 'none'}"


def host(written: str) -> str:
    """Return the host as written; an IPv6 address is no host with a port.

    Raises:
        ValueError: there is a port in it.
    """
    name, colon, port = written.partition(":")
    if colon and port.isdecimal():
        raise ValueError(f"a port is a key of its own; did you mean host: {name}, port: {port}?")
    return written


def check_words(words: Iterable[str], members: tuple[str, ...]) -> None:
    """Make sure that a profile's words are words of the class's enumeration.

    Raises:
        ValueError: one is not; says which, and what was probably meant.
    """
    for word in words:
        if word not in members:
            raise ValueError(f"{word!r} is not a word of this point; {did_you_mean(word, members)}")
