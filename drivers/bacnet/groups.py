"""A BACnet scan group as it is read: by which requests, in which order, and what came of each last time. No sockets.

What a device tells by itself (`cov`) is still read, in turn: with each scan one request's worth, so that a device that
has died, or has forgotten its subscriptions, is found. Where all of a group goes into the requests that are sent
anyway, nothing is left out: its subscriptions then save no request, they only bring changes sooner.
"""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from drivers.bacnet.codec import Decoder, decoder
from drivers.bacnet.encoder import Encoder, encoder
from drivers.bacnet.flags import Owner, Worth, asked
from drivers.bacnet.message import Part, Reference, Refusal
from drivers.bacnet.options import BacnetDevice, Place
from drivers.bacnet.plan import PLAIN, Item, Request, plan, size
from drivers.bacnet.station import Station
from drivers.bacnet.subscription import Wanted
from drivers.base import DeviceRead, ReadGroup, ScanMemory
from sitekeeper.model.clock import MINUTE, Micros
from sitekeeper.model.quality import Q, Reason, bad
from sitekeeper.model.sample import Value

BACKSTOP: Final[Micros] = MINUTE
"""Whatever is told is read again within this time, besides in its turn."""

Cell = tuple[int, Decoder]
"""Index of a point, and what makes its value."""


@dataclass(slots=True, eq=False)
class Block:
    """A planned request with its last answer, as a whole and by property.

    `told`: read in turn, for the device tells changes of all of it, or it is flags that would cost a request each.
    `read_at`: when it was last answered.
    """

    request: Request
    told: bool = False
    last: bytes | None = None
    parts: list[Part | None] = field(default_factory=list)
    failures: int = 0
    read_at: Micros | None = None

    def __post_init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Have the next answer decoded whole."""
        self.last, self.parts = None, [None] * len(self.request.items)


@dataclass(slots=True, eq=False)
class Group:
    """A scan group. `first` is the block to begin with, so that a mute one cannot starve the others.

    `newer`: told while the scan under way was read, whose answers may be older. `doubted`: to be read after it.
    `worth`: of its values, by what their objects say.
    """

    device: str
    station: Station
    memory: ScanMemory
    items: tuple[Item, ...]
    cells: dict[Reference, list[Cell]]
    worth: Worth
    blocks: list[Block] = field(default_factory=list)
    planned_for: tuple[int, bool, int, int] | None = None
    first: int = 0
    silences: int = 0
    last_good: Micros | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    newer: frozenset[Reference] = frozenset()
    doubted: frozenset[Reference] = frozenset()

    def begin(self) -> None:
        """Take note that a scan begins: what is told from now on may be newer than its answers."""
        self.newer = self.doubted = frozenset()

    def prepare(self) -> None:
        """Plan anew if what is known of the device has changed."""
        station = self.station
        known = (station.max_apdu, station.single, station.subscriptions.version, len(station.lacking))
        if known != self.planned_for:
            self.blocks = self._plan()
            self.planned_for, self.first = known, 0

    def _plan(self) -> list[Block]:
        items = [item for item in self.items if item.reference not in self.station.lacking]
        whole, seldom = self._requests(items), self._seldom()
        polled = self._requests([item for item in items if item.reference not in seldom])
        if len(whole) <= max(1, len(polled)):
            return [Block(request) for request in whole]
        told = self._requests([item for item in items if item.reference in seldom])
        return [Block(request) for request in polled] + [Block(request, told=True) for request in told]

    def _requests(self, items: Sequence[Item]) -> list[Request]:
        station = self.station
        cuts = station.learned.cuts.get(self.memory.group.id, ())
        return plan(items, station.max_apdu, single=station.single, cuts=cuts)

    def _seldom(self) -> set[Reference]:
        """Return what is told; and flags that come with it, or for each of which a request would have to be sent."""
        told = {reference for reference in self.cells if self.station.subscriptions.alive(reference)}
        polled = {reference[:2] for reference in self.cells if reference not in told}
        beside = self.worth.watched - self.cells.keys()
        return told | {each for each in beside if self.station.single or each[:2] not in polled}

    def due(self, now: Micros) -> list[Block]:
        """Return what the scan that begins now reads."""
        blocks = self.blocks[self.first :] + self.blocks[: self.first]
        if self.memory.complete:
            return blocks
        told = [block for block in blocks if block.told]
        turn = min(told, key=_read_at, default=None)
        return [b for b in blocks if not b.told or b is turn or b.read_at is None or now - b.read_at >= BACKSTOP]

    def replace(self, block: Block, requests: Sequence[Request]) -> list[Block]:
        """Read by `requests`, from now on, what was read by `block`."""
        blocks = [Block(request, told=block.told) for request in requests]
        if block in self.blocks:  # a subscription that ended meanwhile has had the group planned anew
            at = self.blocks.index(block)
            self.blocks[at : at + 1] = blocks
        return blocks

    def skip(self, block: Block) -> None:
        """Begin the next scan behind `block`."""
        if block in self.blocks:
            self.first = (self.blocks.index(block) + 1) % len(self.blocks)

    def halve(self, block: Block, requests: Sequence[Request]) -> list[Block]:
        """As `replace`, and for good: a device's answer to all of `block` does not fit into one message."""
        self.station.learned.cut(self.memory.group.id, requests[-1].references[0])
        return self.replace(block, requests)

    def beside(self, block: Block) -> bool:
        """Tell whether it reads nothing that is a point."""
        return not any(reference in self.cells for reference in block.request.references)

    def lack(self, references: Iterable[Reference]) -> None:
        """Ask no more for these, as far as they are flags."""
        self.station.lack(frozenset(references) - self.cells.keys())

    def outcomes(self, reference: Reference, part: Part) -> Iterator[tuple[int, Value, Q]]:
        """Yield what the points of one property are, by what came for it and what its object says."""
        for index, decode in self.cells.get(reference, ()):
            found = (None, bad(Reason.REFUSED)) if isinstance(part, Refusal) else decode(part)
            yield index, *self.worth.weigh(reference, *found)

    def of(self, places: Collection[Owner]) -> Iterator[tuple[int, Value, Q]]:
        """Yield what all points of these objects are, by what is known of them."""
        for block in self.blocks:
            for reference, part in zip(block.request.references, block.parts, strict=True):
                if reference[:2] in places and part is not None:
                    yield from self.outcomes(reference, part)

    def told(self, reference: Reference, value: Part) -> None:
        """Remember what the device said unasked of a property, so that a reading of the same is no news."""
        for block in self.blocks:
            for at, one in enumerate(block.request.references):
                if one == reference:
                    block.last, block.parts[at] = None, value
        if self.turn.locked():
            self.newer |= {reference}

    def doubt(self, references: Iterable[Reference]) -> None:
        """Have these read by the next scan, and said whatever it finds; a scan under way settles nothing."""
        doubted = frozenset(references)
        if self.turn.locked():
            self.doubted |= doubted
        for block in self.blocks:
            _reopen(block, doubted)

    def answered(self, block: Block, now: Micros) -> None:
        """Take note that `block` has been answered; what was doubted meanwhile is still to be read."""
        block.read_at = now
        _reopen(block, self.doubted)


def _reopen(block: Block, doubted: frozenset[Reference]) -> None:
    for at, one in enumerate(block.request.references):
        if one in doubted:
            block.last, block.parts[at], block.read_at = None, None, None


def _read_at(block: Block) -> Micros:
    return -1 if block.read_at is None else block.read_at


def prepared(device: DeviceRead, read: ReadGroup, station: Station) -> Group:
    """Return a scan group as nothing is known of it yet."""
    assert isinstance(device.options, BacnetDevice)
    cells: dict[Reference, list[Cell]] = {}
    sizes: dict[Reference, int] = {}
    for index, point in enumerate(read.points):
        assert isinstance(point.address, Place)
        reference = point.address.reference(device.options)
        cells.setdefault(reference, []).append((index, decoder(point.address.point, point.type)))
        sizes[reference] = max(sizes.get(reference, 0), size(point.address.many, point.type == "text"))
    watched = asked(sizes) if device.options.status else frozenset()
    items = tuple(Item(reference, estimate) for reference, estimate in (dict.fromkeys(watched, PLAIN) | sizes).items())
    return Group(device.id, station, ScanMemory(read), items, cells, Worth(watched))


class Target(NamedTuple):
    """A point that can be written."""

    group: Group
    reference: Reference
    encode: Encoder


def targets(device: DeviceRead, group: Group) -> dict[str, Target]:
    """Return what can be written of a scan group, by `<device>/<point>`."""
    assert isinstance(device.options, BacnetDevice)
    found = {}
    for read in group.memory.group.points:
        place = read.address
        assert isinstance(place, Place)
        if place.point.write is not False:
            target = Target(group, place.reference(device.options), encoder(place.point, read.type))
            found[f"{device.id}/{read.name}"] = target
    return found


def to_tell(device: DeviceRead) -> list[Wanted]:
    """Return the properties whose changes the device is to tell, if it is to tell any."""
    assert isinstance(device.options, BacnetDevice)
    if device.options.cov == "none":
        return []
    found = []
    for place in (point.address for read in device.groups for point in read.points):
        assert isinstance(place, Place)
        if place.point.cov is not False:
            increment = None if place.point.cov is True else float(place.point.cov)
            found.append(Wanted(place.reference(device.options), increment))
    return found
