"""A BACnet scan group as it is read: by which requests, in which order, and what came of each last time. No sockets.

What a device tells by itself (`cov`) is still read, in turn: with each scan one request's worth, so that a device that
has died, or has forgotten its subscriptions, is found. Where all of a group goes into the requests that are sent
anyway, nothing is left out: its subscriptions then save no request, they only bring changes sooner.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from drivers.bacnet.codec import Decoder, decoder
from drivers.bacnet.cov import Wanted
from drivers.bacnet.encoder import Encoder, encoder
from drivers.bacnet.message import Part, Reference
from drivers.bacnet.options import BacnetDevice, Place
from drivers.bacnet.plan import Item, Request, plan, size
from drivers.bacnet.station import Station
from drivers.base import DeviceRead, ReadGroup, ScanMemory
from sitekeeper.model.clock import MINUTE, Micros

BACKSTOP: Final[Micros] = MINUTE
"""Whatever is told is read again within this time, besides in its turn."""

Cell = tuple[int, Decoder]
"""Index of a point, and what makes its value."""


@dataclass(slots=True, eq=False)
class Block:
    """A planned request with its last answer, as a whole and by property.

    `told`: the device tells changes of all of it. `read_at`: when it was last answered.
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
    """

    device: str
    station: Station
    memory: ScanMemory
    items: tuple[Item, ...]
    cells: dict[Reference, list[Cell]]
    blocks: list[Block] = field(default_factory=list)
    planned_for: tuple[int, bool, int] | None = None
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
        known = (station.max_apdu, station.single, station.subscriptions.version)
        if known != self.planned_for:
            self.blocks = self._plan()
            self.planned_for, self.first = known, 0

    def _plan(self) -> list[Block]:
        most, single, alive = self.station.max_apdu, self.station.single, self.station.subscriptions.alive
        whole = plan(self.items, most, single=single)
        polled = plan([item for item in self.items if not alive(item.reference)], most, single=single)
        if len(whole) <= max(1, len(polled)):
            return [Block(request) for request in whole]
        told = plan([item for item in self.items if alive(item.reference)], most, single=single)
        return [Block(request) for request in polled] + [Block(request, told=True) for request in told]

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
    items = tuple(Item(reference, estimate) for reference, estimate in sizes.items())
    return Group(device.id, station, ScanMemory(read), items, cells)


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
