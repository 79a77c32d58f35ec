"""BACnet devices on one port: asks what the plan says, decodes what changed, and has an outcome for every point.

An answer is compared as a whole with the last one; if equal, that is all. If not, only properties whose own bytes
changed are decoded. An error for one property touches the points of that property and no others.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from drivers.bacnet.codec import Decoder, decoder
from drivers.bacnet.encoder import Encoder, encoder
from drivers.bacnet.message import Part, Reference, Refusal, Wrong, read_multiple, read_single
from drivers.bacnet.names import reference_text
from drivers.bacnet.options import BacnetDevice, IpLink, Place
from drivers.bacnet.plan import Item, Request, halved, plan, size
from drivers.bacnet.stack import Nak, Stack
from drivers.bacnet.station import Station
from drivers.base import DeviceRead, ReadGroup, Scan, ScanMemory
from drivers.lookup import find
from sitekeeper.model.clock import Clock, Micros
from sitekeeper.model.errors import DeviceRefused, DeviceSilent, FieldError, ReplyMismatch
from sitekeeper.model.quality import Reason, bad
from sitekeeper.model.sample import Value

Cell = tuple[int, Decoder]
"""Index of a point, and what makes its value."""


@dataclass(slots=True)
class _Block:
    """A planned request with its last answer, as a whole and by property."""

    request: Request
    last: bytes | None = None
    parts: list[Part | None] = field(default_factory=list)
    failures: int = 0

    def __post_init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Have the next answer decoded whole."""
        self.last, self.parts = None, [None] * len(self.request.items)


@dataclass(slots=True)
class _Group:
    """A scan group as it is read. `first` is the block to begin with, so that a mute one cannot starve the others."""

    device: str
    station: Station
    memory: ScanMemory
    items: tuple[Item, ...]
    cells: dict[Reference, list[Cell]]
    blocks: list[_Block] = field(default_factory=list)
    planned_for: tuple[int, bool] | None = None
    first: int = 0
    silences: int = 0
    last_good: Micros | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def prepare(self) -> None:
        """Plan anew if what is known of the device has changed."""
        known = (self.station.max_apdu, self.station.single)
        if known != self.planned_for:
            self.blocks = [_Block(one) for one in plan(self.items, known[0], single=known[1])]
            self.planned_for, self.first = known, 0

    def replace(self, block: _Block, requests: Sequence[Request]) -> list[_Block]:
        """Read by `requests`, from now on, what was read by `block`."""
        at = self.blocks.index(block)
        self.blocks[at : at + 1] = blocks = [_Block(request) for request in requests]
        return blocks


@dataclass(slots=True)
class _Tally:
    """One scan under way."""

    received: Micros
    waiting: deque[_Block]
    heard: bool
    answered: bool = True
    gone: bool = False
    errors: list[FieldError] = field(default_factory=list)


def _prepare(device: DeviceRead, read: ReadGroup, station: Station) -> _Group:
    assert isinstance(device.options, BacnetDevice)
    cells: dict[Reference, list[Cell]] = {}
    sizes: dict[Reference, int] = {}
    for index, point in enumerate(read.points):
        assert isinstance(point.address, Place)
        reference = point.address.reference(device.options)
        cells.setdefault(reference, []).append((index, decoder(point.address.point, point.type)))
        sizes[reference] = max(sizes.get(reference, 0), size(point.address.many, point.type == "text"))
    items = tuple(Item(reference, estimate) for reference, estimate in sizes.items())
    return _Group(device.id, station, ScanMemory(read), items, cells)


class _Target(NamedTuple):
    """A point that can be written."""

    group: _Group
    reference: Reference
    encode: Encoder


def _targets(device: DeviceRead, group: _Group) -> dict[str, _Target]:
    assert isinstance(device.options, BacnetDevice)
    found = {}
    for read in group.memory.group.points:
        place = read.address
        assert isinstance(place, Place)
        if place.point.write is not False:
            target = _Target(group, place.reference(device.options), encoder(place.point, read.type))
            found[f"{device.id}/{read.name}"] = target
    return found


class BacnetDriver:
    """A `drivers.base.Driver` for all devices on one BACnet/IP port."""

    def __init__(self, link: IpLink, devices: Sequence[DeviceRead], clock: Clock) -> None:
        self._stack = Stack(link)
        self._clock = clock
        self._stations: dict[tuple[str, int], Station] = {}
        self._groups: dict[str, _Group] = {}
        self._targets: dict[str, _Target] = {}
        for device in devices:
            station = self._station(device, link.timeout)
            for read in device.groups:
                group = self._groups[read.id] = _prepare(device, read, station)
                self._targets |= _targets(device, group)

    def _station(self, device: DeviceRead, timeout: Micros) -> Station:
        options = device.options
        assert isinstance(options, BacnetDevice)
        key = (str(self._stack.peer(options.address)), options.device)
        if key in self._stations:
            self._stations[key].also(options)
        else:
            self._stations[key] = Station(self._stack, options, self._clock, timeout)
        return self._stations[key]

    async def open(self) -> None:
        for station in self._stations.values():
            station.begin()
        for group in self._groups.values():
            group.memory.forget()
            group.planned_for = None
        await self._stack.open()

    async def write(self, device: str, point: str, value: Value, priority: int) -> None:
        target = find(f"{device}/{point}", self._targets, "a point that can be written:")
        if not 1 <= priority <= 16:
            raise ValueError(f"priority {priority} is not one of 1 to 16")
        group, reference, encode = target
        data = encode(value)
        request = f"write {reference_text(*reference)} {data.hex(' ')} priority {priority}"
        try:
            declined = await group.station.write(reference, data, priority)
        except FieldError as error:
            error.device, error.request, error.last_good = device, request, group.last_good
            raise
        if declined is not None:
            endpoint, what = group.station.endpoint, str(declined)
            refusal = DeviceRefused(
                what, exception_code=declined.code, endpoint=endpoint, device=device, request=request
            )
            refusal.last_good = group.last_good
            raise refusal

    async def close(self) -> None:
        await self._stack.close()

    def requests(self, group_id: str) -> tuple[Request, ...]:
        """Return the requests by which a group is read as things stand."""
        group = self._group(group_id)
        group.prepare()
        return tuple(block.request for block in group.blocks)

    async def read(self, group_id: str) -> Scan:
        group = self._group(group_id)
        async with group.turn:
            return await self._read(group)

    def _group(self, group_id: str) -> _Group:
        return find(group_id, self._groups, "scan group")

    async def _read(self, group: _Group) -> Scan:
        now = self._clock.monotonic()
        group.memory.begin(now)
        tally = _Tally(now, deque(), heard=False)
        try:
            tally.heard = await group.station.meet(group.memory.group.id)
        except (DeviceSilent, ReplyMismatch) as error:
            return self._nothing(group, tally, error)
        group.prepare()
        if group.memory.complete:
            for block in group.blocks:
                block.forget()
        tally.waiting.extend(group.blocks[group.first :] + group.blocks[: group.first])
        await self._work(group, tally)
        if tally.answered:
            group.silences, group.last_good = 0, self._clock.wall()
        return group.memory.finish(tally.received, answered=tally.answered, errors=tally.errors)

    def _nothing(self, group: _Group, tally: _Tally, error: FieldError) -> Scan:
        """The device is not there, or is another one: no point of the group can be read."""
        tally.received = self._clock.monotonic()
        reason = Reason.COMM if isinstance(error, DeviceSilent) else Reason.MISMATCH
        group.silences += 1
        for index in range(len(group.memory.group.points)):
            group.memory.note(index, None, bad(reason), tally.received)
        error.device, error.count, error.last_good = group.device, group.silences, group.last_good
        return group.memory.finish(tally.received, answered=False, errors=[error])

    async def _work(self, group: _Group, tally: _Tally) -> None:
        workers = min(group.station.in_flight, len(tally.waiting))
        if workers <= 1:
            await self._worker(group, tally)
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                for number in range(workers):
                    tasks.create_task(self._worker(group, tally), name=f"{group.memory.group.id} {number}")
        except ExceptionGroup as several:
            raise several.exceptions[0] from None

    async def _worker(self, group: _Group, tally: _Tally) -> None:
        while tally.waiting:
            block = tally.waiting.popleft()
            try:
                answer = await group.station.ask(group.memory.group.id, block.request)
                tally.received, tally.heard = self._clock.monotonic(), True
                self._take(group, tally, block, answer)
            except DeviceSilent as error:
                tally.received = self._clock.monotonic()
                self._silent(group, tally, block, error)
            except (DeviceRefused, ReplyMismatch) as error:
                tally.answered = tally.answered and isinstance(error, DeviceRefused)
                _failed(group, tally, block, error)

    def _take(self, group: _Group, tally: _Tally, block: _Block, answer: bytes | Nak) -> None:
        """Use an answer; raises what the whole request has come to nothing by."""
        if isinstance(answer, Nak):
            smaller = group.station.smaller(block.request, answer)
            if not smaller:
                raise _refused(group, block, str(answer), answer.code)
            tally.waiting.extendleft(reversed(group.replace(block, smaller)))
            return
        if answer != block.last:
            _decode(group, tally, block, answer)
        refused = [(one, part) for one, part in zip(block.request.references, block.parts, strict=True)
                   if isinstance(part, Refusal)]  # fmt: skip
        block.failures = block.failures + 1 if refused else 0
        for reference, part in refused:
            what = f"error {part.code}, {_text(part)}"
            tally.errors.append(_refused(group, block, what, part.code, reference))

    def _silent(self, group: _Group, tally: _Tally, block: _Block, error: DeviceSilent) -> None:
        """Without a word from the device the rest is not asked: each request would cost its neighbours a time-out.

        One that answers, and not this request, may have dropped it as too long: it is asked for less the next time.
        """
        tally.answered = False
        if tally.heard:
            _failed(group, tally, block, error)
            if len(block.request.items) > 1:
                group.replace(block, halved(block.request))
            return
        group.silences += not tally.gone  # of several in flight the first has counted it
        tally.gone = True
        _failed(group, tally, block, error, count=group.silences)
        group.first = (group.blocks.index(block) + 1) % len(group.blocks)
        group.station.forget()
        for rest in tally.waiting:
            _bad(group, rest, Reason.COMM, tally.received)
        tally.waiting.clear()


def _decode(group: _Group, tally: _Tally, block: _Block, answer: bytes) -> None:
    references = block.request.references
    found = read_single(answer, references[0]) if len(references) == 1 else read_multiple(answer, references)
    if isinstance(found, Wrong):
        endpoint, request = group.station.endpoint, _request_text(block)
        raise ReplyMismatch(found.what, endpoint=endpoint, request=request, raw=answer[:300])
    for reference, part, last in zip(references, found, block.parts, strict=True):
        if part == last:
            continue
        for index, decode in group.cells[reference]:
            value, q = (None, bad(Reason.REFUSED)) if isinstance(part, Refusal) else decode(part)
            group.memory.note(index, value, q, tally.received)
    block.last, block.parts = answer, list(found)


def _failed(group: _Group, tally: _Tally, block: _Block, error: FieldError, count: int = 0) -> None:
    """Make the points of one request bad, and complete the error with what only the driver knows."""
    block.failures += 1
    error.device, error.count, error.last_good = group.device, count or block.failures, group.last_good
    error.request = error.request or _request_text(block)
    tally.errors.append(error)
    reasons = {DeviceRefused: Reason.REFUSED, DeviceSilent: Reason.COMM, ReplyMismatch: Reason.MISMATCH}
    _bad(group, block, reasons[type(error)], tally.received)


def _bad(group: _Group, block: _Block, reason: Reason, now: Micros) -> None:
    block.forget()
    for reference in block.request.references:
        for index, _ in group.cells[reference]:
            group.memory.note(index, None, bad(reason), now)


def _refused(group: _Group, block: _Block, what: str, code: int, reference: Reference | None = None) -> DeviceRefused:
    request = reference_text(*reference) if reference else _request_text(block)
    error = DeviceRefused(
        what, exception_code=code, endpoint=group.station.endpoint, device=group.device, request=request
    )
    error.count, error.last_good = max(1, block.failures), group.last_good
    return error


def _text(refusal: Refusal) -> str:
    return str(Nak("error", refusal.code, refusal.error_class)).partition(", ")[2]


def _request_text(block: _Block) -> str:
    first, *rest = block.request.references
    return reference_text(*first) + (f" and {len(rest)} more" if rest else "")
