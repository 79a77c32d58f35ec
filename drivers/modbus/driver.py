"""Modbus devices on one link: asks what the plan says, decodes what changed, and has an outcome for every point.

An answer is compared as a whole with the last one; if equal, that is all. If not, only points whose own bytes changed
are decoded. What went wrong with one request touches the points of that request and no others. A write is read back
by the next scan like any other change.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Final, Literal, NamedTuple

from drivers.base import DeviceRead, ReadGroup, Scan, ScanMemory
from drivers.lookup import find
from drivers.modbus.codec import Decoder, decoder
from drivers.modbus.encoder import Encoder, encoder
from drivers.modbus.link import Link
from drivers.modbus.options import ModbusDevice, ModbusPoint
from drivers.modbus.plan import Limits, Request, Span, plan, unbridged
from drivers.modbus.request import Question, command, question
from sitekeeper.model.clock import SECOND, Clock, Micros
from sitekeeper.model.errors import DeviceRefused, DeviceSilent, FieldError, ReplyMismatch
from sitekeeper.model.quality import Reason, bad
from sitekeeper.model.sample import Value

GATEWAY: Final = frozenset({10, 11})
"""Exceptions by which a gateway says that the device itself did not answer."""

TARGET_SILENT: Final = 11
"""The exception by which a gateway says that it passed the request on and got no answer: it may have been obeyed."""
ACKNOWLEDGED: Final = 5
"""The exception by which a device says that it has accepted a command that takes it long."""

SPARED: Final = 20 * SECOND
"""How long a unit from which nothing comes is left alone at most on a serial line, where waiting for it in vain takes
a time-out and two silences from all others."""

_REASONS: Final[dict[type[FieldError], Reason]] = {
    DeviceRefused: Reason.REFUSED,
    DeviceSilent: Reason.COMM,
    ReplyMismatch: Reason.MISMATCH,
}


class _Cell(NamedTuple):
    """A point within a reply, and which bytes are its own."""

    point: int
    part: slice
    decode: Decoder


@dataclass(slots=True)
class _Block:
    """A planned request with its last answer. `at` has for each byte of an answer the points that it belongs to.

    `doubtful`: its next answer may be a late one of just the right shape, so it is asked twice.
    """

    request: Request
    question: Question
    cells: tuple[_Cell, ...]
    at: tuple[tuple[_Cell, ...], ...]
    last: bytes = b""
    failures: int = 0
    doubtful: bool = False

    def forget(self) -> None:
        """Have the next answer decoded whole."""
        self.last = b""


@dataclass(slots=True)
class _Group:
    """A scan group as it is read. `first` is the block to begin with, so that a mute one cannot starve the others."""

    device: str
    unit: int
    pause: Micros
    limits: Limits
    group: ReadGroup
    memory: ScanMemory
    blocks: list[_Block] = field(default_factory=list)
    first: int = 0
    last_good: Micros | None = None

    def block(self, request: Request) -> _Block:
        asked = question(self.unit, request.table, request.address, request.count)
        cells = tuple(_cell(self.group, request, span) for span in request.spans)
        return _Block(request, asked, cells, _by_byte(cells, asked.expected.size))


def _cell(group: ReadGroup, request: Request, span: Span) -> _Cell:
    read = group.points[span.index]
    point = read.address
    assert isinstance(point, ModbusPoint)
    offset = span.address - request.address
    if point.bits:
        return _Cell(span.index, slice(offset // 8, offset // 8 + 1), decoder(point, read.type, offset % 8))
    return _Cell(span.index, slice(2 * offset, 2 * (offset + span.size)), decoder(point, read.type))


def _by_byte(cells: tuple[_Cell, ...], size: int) -> tuple[tuple[_Cell, ...], ...]:
    """Return for each byte of an answer the cells that it is part of: the same object for bytes of the same cells."""
    found: list[list[_Cell]] = [[] for _ in range(size)]
    for cell in cells:
        for byte in range(cell.part.start, cell.part.stop):
            found[byte].append(cell)
    shared: dict[tuple[int, ...], tuple[_Cell, ...]] = {}
    return tuple(shared.setdefault(tuple(cell.point for cell in those), tuple(those)) for those in found)


def _spans(group: ReadGroup) -> list[Span]:
    found = []
    for index, read in enumerate(group.points):
        assert isinstance(read.address, ModbusPoint)
        found.append(Span(read.address.table, read.address.address, read.address.size, index))
    return found


class _Target(NamedTuple):
    """A point that can be written."""

    group: _Group
    function: Literal[5, 6, 15, 16]
    address: int
    encode: Encoder


def _targets(group: _Group) -> Iterator[tuple[str, _Target]]:
    for read in group.group.points:
        point = read.address
        assert isinstance(point, ModbusPoint)
        if point.write is not None:
            yield f"{group.device}/{read.name}", _Target(group, point.write, point.address, encoder(point, read.type))


def _prepare(device: DeviceRead, read: ReadGroup) -> _Group:
    options = device.options
    assert isinstance(options, ModbusDevice)
    limits = Limits(max_registers=options.max_registers, max_bits=options.max_bits, gaps=options.gaps)
    group = _Group(device.id, options.unit, options.pause, limits, read, ScanMemory(read))
    group.blocks = [group.block(request) for request in plan(_spans(read), group.limits)]
    return group


class ModbusDriver:
    """A `drivers.base.Driver` for all devices on one Modbus link."""

    def __init__(self, link: Link, devices: Sequence[DeviceRead], clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._turn = asyncio.Lock()
        self._mute: set[str] = set()
        self._groups = {group.id: _prepare(device, group) for device in devices for group in device.groups}
        self._targets = dict(found for group in self._groups.values() for found in _targets(group))

    async def open(self) -> None:
        for group in self._groups.values():
            group.memory.forget()
        await self._link.open()

    async def write(self, device: str, point: str, value: Value, priority: int) -> None:  # noqa: ARG002 - Modbus has none
        """As `Driver.write`; it takes its turn between two requests of a scan, and is never sent twice."""
        target = find(f"{device}/{point}", self._targets, "a point that can be written:")
        if value is None:
            raise ValueError("a Modbus register holds what was last written: there is nothing to give up")
        asked = command(target.group.unit, target.function, target.address, target.encode(value))
        try:
            await self._link.ask(asked, target.group.pause)
        except FieldError as error:
            self._doubt(asked, error)
            error.device, error.last_good = device, target.group.last_good
            if isinstance(error, DeviceRefused) and error.exception_code == ACKNOWLEDGED:
                return
            if isinstance(error, DeviceRefused) and error.exception_code == TARGET_SILENT:
                raise _silent_behind_gateway(error, asked) from None
            raise

    def _doubt(self, asked: Question, error: FieldError) -> None:
        """Have what looks like the late answer to `asked` confirmed by a second one: unit, function and length."""
        if self._link.numbered or isinstance(error, DeviceRefused):
            return
        for group in self._groups.values():
            for block in group.blocks:
                block.doubtful = block.doubtful or block.question.expected == asked.expected

    async def _ask(self, group: _Group, block: _Block) -> bytes:
        """Return the answer; of a doubtful block the second one, for the line was silent between the two."""
        data = await self._link.ask(block.question, group.pause)
        if block.doubtful:
            data = await self._link.ask(block.question, group.pause)
            block.doubtful = False
        return data

    def spare(self, device: str) -> Micros:
        """As `Sparing.spare`."""
        return SPARED if device in self._mute else 0

    async def close(self) -> None:
        self._link.close()

    def requests(self, group_id: str) -> tuple[Request, ...]:
        """Return the requests by which a group is read as things stand."""
        return tuple(block.request for block in self._group(group_id).blocks)

    async def read(self, group_id: str) -> Scan:
        group = self._group(group_id)
        async with self._turn:
            return await self._read(group)

    def _group(self, group_id: str) -> _Group:
        return find(group_id, self._groups, "scan group")

    async def _read(self, group: _Group) -> Scan:
        received = self._clock.monotonic()
        group.memory.begin(received)
        if group.memory.complete:
            for block in group.blocks:
                block.forget()
        errors: list[FieldError] = []
        answered, heard = True, False
        waiting = deque(group.blocks[group.first :] + group.blocks[: group.first])
        while waiting:
            block = waiting.popleft()
            try:
                data = await self._ask(group, block)
                received = self._clock.monotonic()
                heard = True
                if data != block.last:
                    _decode(group.memory, block, data, received)
                block.failures = 0
            except (DeviceRefused, DeviceSilent, ReplyMismatch) as error:
                received = self._clock.monotonic()
                self._doubt(block.question, error)
                heard = heard or not isinstance(error, DeviceSilent)
                if _beyond_a_gap(block, error):
                    waiting.extendleft(reversed(_without_gaps(group, block)))
                    continue
                errors.append(error)
                _failed(group, block, error, received)
                answered = answered and _counts_as_answer(error)
                if not heard:
                    group.first = (group.blocks.index(block) + 1) % len(group.blocks)
                    break
        for block in waiting:
            _unread(group, block, received)
        (self._mute.discard if heard or self._link.numbered else self._mute.add)(group.device)
        if answered:
            group.last_good = self._clock.wall()
        return group.memory.finish(received, answered=answered, errors=errors)


def _decode(memory: ScanMemory, block: _Block, data: bytes, received: Micros) -> None:
    """Note the points whose bytes are not those of the last answer.

    The bytes that differ are found in one go, so that a point which stands still costs nothing, not even a look at it:
    with many devices its objects would have to be fetched from memory each time.
    """
    if not block.last:
        _note(memory, block.cells, data, received)
    else:
        differing = int.from_bytes(data, "big") ^ int.from_bytes(block.last, "big")
        before: tuple[_Cell, ...] = ()
        for byte in compress(range(len(data)), differing.to_bytes(len(data), "big")):
            cells = block.at[byte]
            if cells is not before:
                _note(memory, cells, data, received)
                before = cells
    block.last = data


def _note(memory: ScanMemory, cells: tuple[_Cell, ...], data: bytes, received: Micros) -> None:
    for point, part, decode in cells:
        value, q = decode(data[part])
        memory.note(point, value, q, received)


def _failed(group: _Group, block: _Block, error: FieldError, now: Micros) -> None:
    """Make the points of one request bad, and complete the error with what only the driver knows."""
    block.failures += 1
    block.forget()
    error.device, error.count, error.last_good = group.device, block.failures, group.last_good
    q = bad(_REASONS[type(error)])
    for cell in block.cells:
        group.memory.note(cell.point, None, q, now)


def _unread(group: _Group, block: _Block, now: Micros) -> None:
    """The unit is silent, so the rest was not asked: it would cost its neighbours one time-out for each request."""
    block.failures += 1
    block.forget()
    for cell in block.cells:
        group.memory.note(cell.point, None, bad(Reason.COMM), now)


def _silent_behind_gateway(error: DeviceRefused, asked: Question) -> DeviceSilent:
    silent = DeviceSilent(
        error.what + asked.unsure, endpoint=error.endpoint, device=error.device, request=error.request, raw=error.raw
    )
    silent.last_good = error.last_good
    return silent


def _counts_as_answer(error: FieldError) -> bool:
    return isinstance(error, DeviceRefused) and error.exception_code not in GATEWAY


def _beyond_a_gap(block: _Block, error: FieldError) -> bool:
    """Tell whether the refusal may be due to an address that no point uses."""
    return block.request.bridged and isinstance(error, DeviceRefused) and error.exception_code == 2


def _without_gaps(group: _Group, block: _Block) -> list[_Block]:
    """Replace a refused request for good by those that read no gaps."""
    at = group.blocks.index(block)
    blocks = [group.block(request) for request in unbridged(block.request, group.limits)]
    for each in blocks:
        each.doubtful = block.doubtful
    group.blocks[at : at + 1] = blocks
    group.first = 0
    return blocks
