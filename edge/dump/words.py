"""A Modbus unit in a dump: the words of its points, by table and address, and what is masked of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from drivers.base import PointRead
from drivers.captured import Words
from drivers.modbus.codec import decoder
from drivers.modbus.options import ModbusPoint
from edge.dump.taken import Read, Taken
from sitekeeper.model.clock import SECOND
from sitekeeper.model.sample import Sample

_X: Final = 0x7878
_ALL: Final = 0xFFFF
_REGISTERS: Final = ("input", "holding")

Covered = Mapping[tuple[str, int], int]
"""By table and address the bits that are masked."""


def taken(points: Sequence[PointRead], said: Words, hidden: frozenset[str] | None) -> Taken:
    """Return what of a unit goes into the file; `hidden`: the points that are masked, None if nothing is."""
    tables, missing = taken_of(points, said.tables, hidden)
    hidden = hidden or frozenset()
    covered = _covered(point for point in points if point.name in hidden)
    samples = [_sample(point, tables, covered) for point in points]
    return Taken({table: _written(table, found) for table, found in tables.items()}, samples, missing)


def raw(point: PointRead, said: Words) -> list[str]:
    """Return the words of one point, in hex; nothing where one is not there."""
    table, at = _places(point)
    there = said.tables.get(table, {})
    if not all(address in there for address in at):
        return []
    return [f"{there[address]:04X}" if table in _REGISTERS else str(there[address]) for address in at]


def _places(point: PointRead) -> tuple[str, range]:
    place = point.address
    assert isinstance(place, ModbusPoint)
    return place.table, range(place.address, place.address + place.size)


def _bits(point: PointRead) -> int:
    """Return the bits of its words that a point is made of; all, where that is not plain."""
    place = point.address
    assert isinstance(place, ModbusPoint)
    if place.bits or place.size > 1 or place.order != "ABCD" or point.type == "text":
        return _ALL
    if place.byte is not None:
        return 0xFF00 if place.byte == "high" else 0x00FF
    if place.bit is not None:
        return 1 << place.bit
    if place.field_bits is not None:
        low, high = place.field_bits
        return (1 << high + 1) - (1 << low)
    return _ALL


def _covered(points: Iterable[PointRead]) -> Covered:
    found: dict[tuple[str, int], int] = {}
    for point in points:
        table, at = _places(point)
        for address in at:
            found[table, address] = found.get((table, address), 0) | _bits(point)
    return found


def taken_of(
    points: Sequence[PointRead], words: Mapping[str, Mapping[int, int]], hidden: frozenset[str] | None
) -> tuple[dict[str, dict[int, int]], list[str]]:
    """Return the words of points, and the points of which some are not there; bits that no point may show are 0."""
    found: dict[str, dict[int, int]] = {}
    missing = []
    for point in points:
        table, at = _places(point)
        there = words.get(table, {})
        if not all(address in there for address in at):
            missing.append(point.name)
            continue
        found.setdefault(table, {}).update({address: there[address] for address in at})
    if hidden is None:
        return found, sorted(missing)
    shown = _covered(point for point in points if point.name not in hidden)
    covered = _covered(point for point in points if point.name in hidden)
    texts = {(t, a) for p in points if p.name in hidden and p.type == "text" for t, at in [_places(p)] for a in at}
    for table, held in found.items():
        for address, word in held.items():
            place = table, address
            allowed = shown.get(place, 0) & ~covered.get(place, 0)
            held[address] = _X if place in texts else word & allowed
    return found, sorted(missing)


def _sample(point: PointRead, taken: Mapping[str, Mapping[int, int]], covered: Covered) -> Read:
    """Return what a point is by the words; nothing, where one is not there or masked: what stands there is no value."""
    table, at = _places(point)
    there = taken.get(table, {})
    if not all(address in there and not _bits(point) & covered.get((table, address), 0) for address in at):
        return point, None
    place = point.address
    assert isinstance(place, ModbusPoint)
    data = bytes([there[at.start]]) if place.bits else b"".join(there[address].to_bytes(2) for address in at)
    value, q = decoder(place, point.type)(data)
    return point, Sample(point.handle, SECOND, value, q)


def _written(table: str, words: Mapping[int, int]) -> dict[str, int | str]:
    bits = table in ("coil", "discrete")
    return {str(address): word if bits else f"0x{word:04X}" for address, word in sorted(words.items())}
