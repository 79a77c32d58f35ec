"""Two points of one device at one place: one of them is a slip of the pen."""

from collections.abc import Mapping
from typing import Protocol, cast, runtime_checkable

from edge.settings.library import Declared
from sitekeeper.faults import Faults


@runtime_checkable
class Spanning(Protocol):
    """What the address of a driver with numbered registers can tell; other drivers' addresses are not compared."""

    table: str
    address: int
    size: int
    bit: int | None
    byte: str | None


def overlaps(points: Mapping[str, Declared], addresses: Mapping[str, object], faults: Faults) -> None:
    """Note points that share registers. Bits and bytes of a word may lie beside each other, and within a whole word."""
    if not isinstance(next(iter(addresses.values()), None), Spanning):
        return  # one driver bound them all, so the first tells; asking each would be a fifth of the time to start
    taken: dict[tuple[str, int, object], str] = {}
    for name, address in cast("Mapping[str, Spanning]", addresses).items():
        part = address.bit if address.bit is not None else address.byte
        for register in range(address.address, address.address + address.size):
            other = taken.setdefault((address.table, register, part), name)
            if other != name:
                point = points[name]
                what = f"{address.table} {register}" + (f" {part}" if part is not None else "")
                faults.add(point.where.place((address.table,), key=True), "overlap", name=name, other=other, what=what)
                break
