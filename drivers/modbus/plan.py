"""From points to requests: as few as the protocol and the device allow, each point whole within one of them. Pure.

Limits of a request: 125 registers, 2000 bits (MODBUS Application Protocol V1.1b3, 6.1 to 6.4), or less if the device
takes less. A run of addresses that no point uses is read along only where the device allows it, and nothing that the
device has refused before (`learned`) is asked again as part of something larger.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Final

from drivers.modbus.address import Table
from drivers.modbus.learned import Learned, Run


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
        lone: the device has refused these addresses, or some of them, asked for alone: asked for more rarely.
    """

    table: Table
    address: int
    count: int
    spans: tuple[Span, ...]
    bridged: bool
    lone: bool = False

    @property
    def run(self) -> Run:
        return Run(self.table, self.address, self.count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the device takes: see `drivers.modbus.options.ModbusDevice`."""

    max_registers: int = 125
    max_bits: int = 2000
    gaps: int = 0

    def most(self, table: Table) -> int:
        return self.max_bits if table in {"coil", "discrete"} else self.max_registers


_NOTHING: Final = Learned()


def plan(
    spans: Iterable[Span], limits: Limits, learned: Learned = _NOTHING, *, most: int | None = None
) -> list[Request]:
    """Return the fewest requests that read every span, in order of table and address.

    Taking spans by rising address and starting a new request only when the next one does not fit is optimal: whatever
    a later start could hold, it holds at least as much of what follows, for a part of what is allowed is allowed. A
    span larger than the device's limit gets a request of its own, for the device to refuse.

    Args:
        learned: what the device has refused so far. most: instead of the size that follows from it.
    """
    requests: list[Request] = []
    for table, members in groupby(sorted(spans), key=attrgetter("table")):
        sound: list[Span] = []
        refused: list[Span] = []
        for span in members:
            (refused if learned.blocks(Run(table, span.address, span.size)) else sound).append(span)
        size = min(limits.most(table), learned.most(table) if most is None else most)
        found = [*_fewest(sound, size, limits.gaps, learned), *_alone(refused)]
        requests += sorted(found, key=attrgetter("address")) if refused else found
    return requests


def halves(request: Request) -> tuple[Request, Request] | None:
    """Return two requests that share the points of this one and read no gap between them; None: there is but one.

    Cut is at the gap nearest to the middle, so that a gap which may not be read is found soon; without gaps, between
    the points nearest to the middle.
    """
    places = sorted({(span.address, span.end) for span in request.spans})
    middle = request.address + request.count / 2
    cuts = []
    reached = 0
    for at, (address, end) in enumerate(places):
        if at:
            cuts.append((address <= reached, abs((reached + address) / 2 - middle), address, end))
        reached = max(reached, end)
    if not cuts:
        return None
    _, _, address, end = min(cuts)
    left = [span for span in request.spans if (span.address, span.end) < (address, end)]
    right = [span for span in request.spans if (span.address, span.end) >= (address, end)]
    return _request(left), _request(right)


def alone(request: Request, number: int) -> Request | None:
    """Return the request for one of several places of points, another one with each number; None: there is but one."""
    places = sorted({(span.address, span.end) for span in request.spans})
    if len(places) < 2:
        return None
    one = places[number % len(places)]
    return _request([span for span in request.spans if (span.address, span.end) == one])


def between(left: Request, right: Request) -> Run | None:
    """Return the gap between two halves; None: there is none."""
    gap = right.address - left.run.end
    return Run(left.table, left.run.end, gap) if gap > 0 else None


def larger(spans: Sequence[Span], limits: Limits, learned: Learned) -> Request | None:
    """Return a request worth trying, larger than any that was answered and smaller than one that was refused.

    None: no size that is still possible would save a request. The size is halved each time, as in looking up a word.
    """
    for table in sorted({span.table for span in spans}):
        least, refused = learned.sizes(table)
        if refused is None:
            continue
        of_table = [span for span in spans if span.table == table]
        now = len(plan(of_table, limits, learned))
        sizes = [(least + refused) // 2, refused - 1]
        if learned.times(table, refused) == 1:
            sizes.append(refused)  # the same size elsewhere: was it the size, or a border at that place?
        for most in sizes if len(plan(of_table, limits, learned, most=sizes[-1])) < now else ():
            for request in plan(of_table, limits, learned, most=most):
                if least < request.count <= sizes[-1] and not request.lone:
                    return request
    return None


def _fewest(spans: Sequence[Span], most: int, gaps: int, learned: Learned) -> Iterator[Request]:
    taken: list[Span] = []
    end = 0
    for span in spans:
        if taken:
            first, reached = taken[0].address, max(end, span.end)
            fits = span.address - end <= gaps and reached - first <= most
            if not fits or learned.blocks(Run(span.table, first, reached - first)):
                yield _request(taken)
                taken = []
        end = max(end, span.end) if taken else span.end
        taken.append(span)
    if taken:
        yield _request(taken)


def _alone(spans: Sequence[Span]) -> Iterator[Request]:
    """Return a request for each place; points of the same place share it."""
    for _, members in groupby(spans, key=lambda span: (span.address, span.size)):
        yield _request(list(members), lone=True)


def _request(spans: Sequence[Span], *, lone: bool = False) -> Request:
    first, end = spans[0], max(span.end for span in spans)
    used = {address for span in spans for address in range(span.address, span.end)}
    count = end - first.address
    return Request(
        table=first.table,
        address=first.address,
        count=count,
        spans=tuple(spans),
        bridged=len(used) < count,
        lone=lone,
    )
