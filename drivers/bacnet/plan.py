"""From properties to requests: as few as fit into one datagram each way by estimate, halved where that was wrong. Pure.

Nothing is ever segmented: this gateway says that it cannot, so a device whose answer is too long aborts instead, and
its request is halved. Sizes by ANSI/ASHRAE 135-2020, 20.1 and 21.
"""

from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from drivers.bacnet.message import Reference

DEFAULT_APDU: Final = 1476
"""Most bytes of one BACnet/IP message; 480 over MS/TP, 206 over LonTalk and the smallest controllers."""

REQUEST_HEAD: Final = 4
"""PDU type, sizes accepted, invoke id, service."""
ANSWER_HEAD: Final = 3
"""PDU type, invoke id, service."""
OBJECT: Final = 7
"""Object identifier and the pair of tags around its properties."""

PLAIN: Final = 5
"""Bytes of one number with its tag."""
LIST: Final = 32
"""Bytes of a list or whole array; most lists of lifts have a few entries of 2 bytes."""
TEXT: Final = 68
"""Bytes of a text of 64 characters."""


@dataclass(frozen=True, slots=True)
class Item:
    """A property to read; `size` is how many bytes its value may have, by estimate."""

    reference: Reference
    size: int = PLAIN


@dataclass(frozen=True, slots=True)
class Request:
    """The items that one request reads; a single one by ReadProperty, which every device has."""

    items: tuple[Item, ...]

    @property
    def references(self) -> tuple[Reference, ...]:
        return tuple(item.reference for item in self.items)


def plan(
    items: Sequence[Item], max_apdu: int, *, single: bool = False, cuts: Collection[Reference] = ()
) -> list[Request]:
    """Return the requests that read every item, objects kept together, in order of object and property.

    Args:
        max_apdu: most bytes that the device sends or takes at once. single: it has no ReadPropertyMultiple.
        cuts: a request never goes on over one of these, whether or not it is among the items.
    """
    ordered = sorted(items, key=_order)
    if single:
        return [Request((item,)) for item in ordered]
    ends = sorted(_place(cut) for cut in cuts)
    requests: list[Request] = []
    taken: list[Item] = []
    for item in ordered:
        parted = taken and bisect_right(ends, _order(taken[-1])) < bisect_right(ends, _order(item))
        if parted or (taken and max(_asking([*taken, item]), _answering([*taken, item])) > max_apdu):
            requests.append(Request(tuple(taken)))
            taken = []
        taken.append(item)
    return [*requests, Request(tuple(taken))] if taken else requests


def halved(request: Request) -> list[Request]:
    """Return two requests for the same items."""
    middle = len(request.items) // 2
    return [Request(request.items[:middle]), Request(request.items[middle:])]


def _order(item: Item) -> tuple[int, int, int, int]:
    return _place(item.reference)


def _place(reference: Reference) -> tuple[int, int, int, int]:
    kind, instance, prop, element = reference
    return kind, instance, prop, -1 if element is None else element


def _asking(items: Sequence[Item]) -> int:
    return REQUEST_HEAD + OBJECT * _objects(items) + sum(_name(item.reference) for item in items)


def _answering(items: Sequence[Item]) -> int:
    """An error in place of a value takes 4 bytes, which is less than any estimate."""
    return ANSWER_HEAD + OBJECT * _objects(items) + sum(_name(item.reference) + 2 + item.size for item in items)


def _objects(items: Sequence[Item]) -> int:
    return len({item.reference[:2] for item in items})


def _name(reference: Reference) -> int:
    return _number(reference.property) + (0 if reference.element is None else _number(reference.element))


def _number(value: int) -> int:
    return 1 + max(1, (value.bit_length() + 7) // 8)


def size(many: bool, text: bool) -> int:
    """Return how many bytes a value may have: `many` values, a `text`, or one number."""
    return LIST if many else TEXT if text else PLAIN
