"""How the words of a Modbus map are told apart, and the usual ways in which they mean something.

Where a device has several tables, their words are told apart as in Modicon's numbers, counted from zero: coil n is word
n, discrete input n is DISCRETE + n, input register n INPUT + n, holding register n HOLDING + n.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sitekeeper.model.sample import Value

Words = Sequence[int]

DISCRETE: Final = 10_000
INPUT: Final = 30_000
HOLDING: Final = 40_000
LINE: Final = 16
"""How far from a contact of the module `sp-io-16` its line is."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One point: the words it takes (by number within the map) and what they mean; None if they mean nothing."""

    first: int
    count: int
    meaning: Callable[[Words], Value]


Map = Mapping[str, Entry]


def decode(entries: Map, first: int, words: Words) -> dict[str, Value]:
    """Return the value of every point whose words all lie in `words`, which start at word number `first`."""
    last = first + len(words)
    found: dict[str, Value] = {}
    for name, entry in entries.items():
        if first <= entry.first and entry.first + entry.count <= last:
            found[name] = entry.meaning(words[entry.first - first : entry.first - first + entry.count])
    return found


def word(number: int) -> Entry:
    """Return a plain unsigned word."""
    return Entry(number, 1, lambda w: w[0])


def signed(number: int) -> Entry:
    """Return a word in two's complement."""
    return Entry(number, 1, lambda w: _signed(w[0]))


def tenths(number: int, parts: int) -> Entry:
    """Return a signed word in tenths, hundredths, ... as a decimal number."""
    return Entry(number, 1, lambda w: _signed(w[0]) / parts)


def long(number: int) -> Entry:
    """Return two words, the high one first."""
    return Entry(number, 2, lambda w: w[0] * 65536 + w[1])


def long_low_first(number: int) -> Entry:
    """Return two words, the low one first."""
    return Entry(number, 2, lambda w: w[0] + w[1] * 65536)


def text(number: int, characters: int) -> Entry:
    """Return so many characters, two in a word, up to the first that is nought."""

    def meaning(words: Words) -> Value:
        return "".join(chr(each >> 8) + chr(each & 0xFF) for each in words).split("\0")[0].strip()

    return Entry(number, (characters + 1) // 2, meaning)


def high(number: int) -> Entry:
    """Return the high byte of a word."""
    return Entry(number, 1, lambda w: w[0] >> 8)


def low(number: int) -> Entry:
    """Return the low byte of a word."""
    return Entry(number, 1, lambda w: w[0] & 0xFF)


def bit(number: int, place: int, if_set: Value = True, if_clear: Value = False) -> Entry:
    """Return one bit of a word."""
    return Entry(number, 1, lambda w: if_set if w[0] >> place & 1 else if_clear)


def code(number: int, meanings: Mapping[int, Value]) -> Entry:
    """Return a word that stands for something."""
    return Entry(number, 1, lambda w: meanings.get(w[0]))


def flag(number: int, if_set: Value = True, if_clear: Value = False) -> Entry:
    """Return a coil or a discrete input."""
    return Entry(DISCRETE + number, 1, lambda w: if_set if w[0] else if_clear)


def told(number: int) -> Entry:
    """Return a contact that calls for somebody when it is closed; open, it says nothing while its line is broken."""
    return Entry(DISCRETE + number, LINE + 1, lambda w: True if w[0] else None if w[LINE] else False)


def mains(number: int) -> Entry:
    """Return the contact of the mains, which calls for somebody when it is open."""
    return Entry(DISCRETE + number, LINE + 1, lambda w: "failed" if not w[0] else None if w[LINE] else "mains")


def _signed(raw: int) -> int:
    return raw - 65536 if raw >= 32768 else raw
