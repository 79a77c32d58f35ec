"""From points to requests: as few as the protocol allows, each point whole within one of them. Pure.

Limits of a request: 125 registers, 2000 bits (MODBUS Application Protocol V1.1b3, 6.1 to 6.4), or less if the device
takes less. A run of addresses that no point uses is read along only where the device allows it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from drivers.modbus.address import Table


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """The addresses of one point. `index` is the point's place in its scan group."""

    table: Table
    address: int
    size: int
    index: int

    @property
    def end(self) -> int:
        return self.address + self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One read request and the points that its reply carries.

    Attributes:
        bridged: it covers addresses that no point uses.
    """

    table: Table
    address: int
    count: int
    spans: tuple[Span, ...]
    bridged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the device takes: see `drivers.modbus.options.ModbusDevice`."""

    max_registers: int = 125
    max_bits: int = 2000
    gaps: int = 0

    def most(self, table: Table) -> int:
        return self.max_bits if table in {"coil", "discrete"} else self.max_registers


def plan(spans: Iterable[Span], limits: Limits) -> list[Request]:
    """Return the fewest requests that read every span, in order of table and address.

    Taking spans by rising address and starting a new request only when the next one does not fit is optimal: whatever
    a later start could hold, it holds at least as much of what follows. A span larger than the device's limit gets a
    request of its own, for the device to refuse.
    """
    requests: list[Request] = []
    for table, members in groupby(sorted(spans), key=attrgetter("table")):
        most = limits.most(table)
        taken: list[Span] = []
        end = 0
        for span in members:
            fits = taken and span.address - end <= limits.gaps and max(end, span.end) - taken[0].address <= most
            if taken and not fits:
                requests.append(_request(taken, end))
                taken = []
            end = max(end, span.end) if taken else span.end
            taken.append(span)
        requests.append(_request(taken, end))
    return requests


def unbridged(request: Request, limits: Limits) -> list[Request]:
    """Return the requests that read the same points and nothing between them."""
    return plan(request.spans, Limits(max_registers=limits.max_registers, max_bits=limits.max_bits, gaps=0))


def _request(spans: Sequence[Span], end: int) -> Request:
    first = spans[0]
    used = {address for span in spans for address in range(span.address, span.end)}
    count = end - first.address
    return Request(table=first.table, address=first.address, count=count, spans=tuple(spans), bridged=len(used) < count)
