"""Scan groups as they are read: planned requests with their last answers, and what an answer says of which point. Pure.

An answer is compared as a whole with the last one; if equal, that is all. If not, only points whose own bytes changed
are decoded.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import compress
from typing import Final, Literal, NamedTuple

from drivers.base import DeviceRead, ReadGroup, ScanMemory
from drivers.modbus.codec import Decoder, decoder
from drivers.modbus.encoder import Encoder, encoder
from drivers.modbus.learned import Learned, Run
from drivers.modbus.options import ModbusDevice, ModbusPoint
from drivers.modbus.plan import Limits, Request, Span, plan
from drivers.modbus.request import Question, question
from sitekeeper.model.clock import Micros
from sitekeeper.model.errors import DeviceRefused, DeviceSilent, FieldError, ReplyMismatch
from sitekeeper.model.quality import Q, Reason, bad

_REASONS: Final[tuple[tuple[type[FieldError], Reason], ...]] = (
    (DeviceRefused, Reason.REFUSED),
    (DeviceSilent, Reason.COMM),
    (ReplyMismatch, Reason.MISMATCH),
)


class Cell(NamedTuple):
    """A point within a reply, and which bytes are its own."""

    point: int
    part: slice
    decode: Decoder


@dataclass(slots=True)
class Block:
    """A planned request with its last answer. `at` has for each byte of an answer the points that it belongs to.

    Attributes:
        failures: times in a row without a right answer. refusals: times in a row refused as it is, or cut short before
            it was proven. cut: times in a row cut short since then. silences: times in a row asked for in vain.
        contrary: times in a row that it failed while one of its points alone was answered before and after it.
        told: why it failed last, for people; empty if it did not.
        doubtful: its next answer may be a late one of just the right shape, so it is asked twice.
        proven: it has been answered rightly since it was planned.
    """

    request: Request
    question: Question
    cells: tuple[Cell, ...]
    at: tuple[tuple[Cell, ...], ...]
    last: bytes = b""
    failures: int = 0
    refusals: int = 0
    silences: int = 0
    cut: int = 0
    contrary: int = 0
    doubtful: bool = False
    proven: bool = False
    told: str = ""

    def forget(self) -> None:
        """Have the next answer decoded whole."""
        self.last = b""

    @property
    def points(self) -> int:
        """Its points, one bit each."""
        return sum(1 << point for point in {cell.point for cell in self.cells})


@dataclass(slots=True)
class Unit:
    """A device, and what is known of what it takes.

    `numbered`: see `Framing`. `answers`: it answered its last reading. `unsaved`: points were answered for the first
    time, which is not kept yet.
    """

    device: str
    number: int
    numbered: bool
    pause: Micros
    limits: Limits
    identify: bool
    learned: Learned = field(default_factory=Learned)
    answers: bool = False
    unsaved: bool = False


@dataclass(slots=True)
class Group:
    """A scan group as it is read. `first` is the block to begin with, so that a mute one cannot starve the others.

    `planned` is the version of `Unit.learned` that the blocks follow from, `of` the unit by it, `settled` the version
    at which no larger request was worth trying any more. `fresh`: it has not been read since the link was opened.
    `had`: the points that the unit has answered at least once, one bit each.
    """

    unit: Unit
    group: ReadGroup
    memory: ScanMemory
    spans: list[Span]
    blocks: list[Block] = field(default_factory=list)
    planned: int = -1
    of: int = 0
    settled: int = -1
    fresh: bool = True
    first: int = 0
    had: int = 0
    last_good: Micros | None = None

    def plan(self) -> None:
        """Follow what has been learned since the last time; blocks that stay as they are keep what they know."""
        learned = self.unit.learned
        if self.planned == learned.version:
            return
        before, same = self.blocks, self.of == learned.unit
        known = {block.request: block for block in before} if same else {}
        self.blocks = [known.get(request) or self.block(request) for request in self.requests()]
        self.had = self.had if same else 0
        for block in self.blocks:
            block.forget()  # meanwhile its points may have been read by other requests
        for block in self.blocks if before and not self.unit.numbered else ():
            block.doubtful = True  # the late answer to a request of an earlier plan may look like that of one of these
        self.planned, self.of, self.first = learned.version, learned.unit, 0

    def opened(self) -> None:
        """The link has been opened: nothing read before it stands."""
        self.memory.forget()
        self.fresh, self.unit.answers = True, False

    def answered(self) -> list[Span]:
        """Return where the points lie that were answered at least once."""
        return [span for span in self.spans if self.had >> span.index & 1 and self.of == self.unit.learned.unit]

    def answered_before(self, runs: Iterable[Run]) -> None:
        """Take up which points were answered before a restart."""
        known = list(runs)
        for span in self.spans:
            place = Run(span.table, span.address, span.size)
            self.had |= any(run.holds(place) for run in known) << span.index

    def turns(self) -> list[Block]:
        """Return the blocks from `first` on, but those that were answered last time before the silent ones."""
        if len(self.blocks) == 1:
            return self.blocks[:]
        turned = self.blocks[self.first :] + self.blocks[: self.first]
        return sorted(turned, key=lambda block: (block.silences > 0, block.failures > 0))

    def requests(self) -> list[Request]:
        return plan(self.spans, self.unit.limits, self.unit.learned)

    def block(self, request: Request) -> Block:
        asked = question(self.unit.number, request.table, request.address, request.count)
        cells = tuple(_cell(self.group, request, span) for span in request.spans)
        return Block(request, asked, cells, _by_byte(cells, asked.expected.size))


class Target(NamedTuple):
    """A point that can be written."""

    group: Group
    point: ModbusPoint
    function: Literal[5, 6, 15, 16, 22]
    address: int
    encode: Encoder


def prepare(device: DeviceRead, *, numbered: bool) -> list[Group]:
    """Return the device's groups, planned by what its profile says."""
    options = device.options
    assert isinstance(options, ModbusDevice)
    limits = Limits(max_registers=options.max_registers, max_bits=options.max_bits, gaps=options.gaps)
    unit = Unit(device.id, options.unit, numbered, options.pause, limits, options.identify)
    groups = [Group(unit, read, ScanMemory(read), _spans(read)) for read in device.groups]
    for group in groups:
        group.plan()
    return groups


def targets(group: Group) -> Iterator[tuple[str, Target]]:
    """Return the group's points that can be written, by `device/point`."""
    for read in group.group.points:
        point = read.address
        assert isinstance(point, ModbusPoint)
        if point.write is not None:
            target = Target(group, point, point.write, point.address, encoder(point, read.type))
            yield f"{group.unit.device}/{read.name}", target


def _spans(group: ReadGroup) -> list[Span]:
    found = []
    for index, read in enumerate(group.points):
        assert isinstance(read.address, ModbusPoint)
        found.append(Span(read.address.table, read.address.address, read.address.size, index))
    return found


def _cell(group: ReadGroup, request: Request, span: Span) -> Cell:
    read = group.points[span.index]
    point = read.address
    assert isinstance(point, ModbusPoint)
    offset = span.address - request.address
    if point.bits:
        return Cell(span.index, slice(offset // 8, offset // 8 + 1), decoder(point, read.type, offset % 8))
    return Cell(span.index, slice(2 * offset, 2 * (offset + span.size)), decoder(point, read.type))


def _by_byte(cells: tuple[Cell, ...], size: int) -> tuple[tuple[Cell, ...], ...]:
    """Return for each byte of an answer the cells that it is part of: the same object for bytes of the same cells."""
    found: list[list[Cell]] = [[] for _ in range(size)]
    for cell in cells:
        for byte in range(cell.part.start, cell.part.stop):
            found[byte].append(cell)
    shared: dict[tuple[int, ...], tuple[Cell, ...]] = {}
    return tuple(shared.setdefault(tuple(cell.point for cell in those), tuple(those)) for those in found)


def note_answer(memory: ScanMemory, block: Block, data: bytes, received: Micros) -> None:
    """Note the points whose bytes are not those of the last answer.

    The bytes that differ are found in one go, so that a point which stands still costs nothing, not even a look at it:
    with many devices its objects would have to be fetched from memory each time.
    """
    if not block.last:
        _note(memory, block.cells, data, received)
    else:
        differing = int.from_bytes(data, "big") ^ int.from_bytes(block.last, "big")
        before: tuple[Cell, ...] = ()
        for byte in compress(range(len(data)), differing.to_bytes(len(data), "big")):
            cells = block.at[byte]
            if cells is not before:
                _note(memory, cells, data, received)
                before = cells
    block.last = data


def _note(memory: ScanMemory, cells: tuple[Cell, ...], data: bytes, received: Micros) -> None:
    for point, part, decode in cells:
        value, q = decode(data[part])
        memory.note(point, value, q, received)


def note_failure(group: Group, block: Block, error: FieldError, now: Micros) -> None:
    """Make the points of one request bad, and complete the error with what only the driver knows."""
    error.device, error.count, error.last_good = group.unit.device, block.failures, group.last_good
    reason = next(reason for kind, reason in _REASONS if isinstance(error, kind))
    _note_bad(group, block, bad(reason), now)


def note_unread(group: Group, block: Block, now: Micros) -> None:
    """The unit is silent, so the rest was not asked: it would cost its neighbours one time-out for each request."""
    block.failures += 1
    _note_bad(group, block, bad(Reason.COMM), now)


def note_refused(group: Group, block: Block, now: Micros) -> None:
    """Refused so often that it was not asked this time."""
    _note_bad(group, block, bad(Reason.REFUSED), now)


def _note_bad(group: Group, block: Block, q: Q, now: Micros) -> None:
    block.forget()
    for cell in block.cells:
        group.memory.note(cell.point, None, q, now)


def captured(groups: Iterable[Group]) -> dict[str, dict[int, int]]:
    """Return what the last answers held, by table and address: see `drivers.captured`."""
    found: dict[str, dict[int, int]] = {}
    for block in (block for group in groups for block in group.blocks if block.last):
        request, data, there = block.request, block.last, found.setdefault(block.request.table, {})
        bits = request.table in {"coil", "discrete"}
        for at in range(request.count):
            there[request.address + at] = (
                data[at // 8] >> at % 8 & 1 if bits else int.from_bytes(data[2 * at : 2 * at + 2])
            )
    return found
