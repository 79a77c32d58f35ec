"""A small Modbus server of our own: correct by default, and wrong in chosen ways when told (`faults`).

Modbus TCP, or RTU frames over TCP. Requests of one connection are answered in order, one after the other, also when
several arrive in one segment. What a reply says is in the journal before the reply leaves.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from simulators.faults import BELIEVABLE, Fault, FaultKind, Frame, Jam, Reset, Send, Step, Wait, crc, spoil
from simulators.identity import IDENTIFYING, identify
from simulators.journal import Journal
from simulators.maps import decode
from simulators.modbus_face import (
    BITS,
    ILLEGAL_FUNCTION,
    ILLEGAL_VALUE,
    MASK,
    READS,
    TARGET_SILENT,
    WRITES,
    Answer,
    Echo,
    Face,
    Refusal,
    Registers,
)
from sitekeeper.model.clock import SECOND, Clock, Micros

Framing = Literal["mbap", "rtu"]
IDLE: Final = 600.0
"""A connection that asks nothing, or takes no answer, for this long is closed; seconds."""
DEAF: Final = frozenset({FaultKind.FREEZE, FaultKind.EXCEPTION})
"""With such a fault a unit does not carry out what is written; with any other it does, whatever its answer."""
LONGEST: Final = 254
"""Bytes after the length field of an MBAP header: unit and PDU."""
ON: Final = 0xFF00
"""What switches a coil on; 0 switches it off."""
MOST_COILS, MOST_WRITTEN = 1968, 123
"""Of one write."""
LENGTHS: Final = {**dict.fromkeys(range(1, 7), 8), 17: 4, 22: 10, 43: 7}
"""Bytes of a serial request by its function, but for those that write several."""
PAUSE_S: Final = 1.0
"""So long may a serial request pause in its middle: a real device waits for 1.5 characters, a machine may be busy."""
QUIET_S: Final = 0.05
"""After so long without a byte the line is in step again."""
CONNECTIONS: Final = 64
"""More connections than this at once are reset on arrival."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A device on the link."""

    device: str
    face: Face


class _Cut(Exception):
    """The connection is to end; nothing more can be read from it in step."""


class FrameServer:
    """Serves `units` by their numbers. `story` tells the faces' time, `clock` dates the journal.

    Args:
        units: what answers under which unit number; any other gets exception 11.
        port: 0 for a free one; it is kept through `refuse`.
    """

    def __init__(
        self,
        units: Mapping[int, Unit],
        *,
        clock: Clock,
        story: Callable[[], Micros],
        journal: Journal,
        host: str = "127.0.0.1",
        port: int = 0,
        framing: Framing = "mbap",
        link: str = "link",
    ) -> None:
        self.units = dict(units)
        self._clock, self._story, self._journal = clock, story, journal
        self.host, self.port = host, port
        self._framing, self._link = framing, link
        self._faults: dict[int, Fault] = {}
        self._frozen: dict[tuple[int, bytes], tuple[bytes, int | None]] = {}
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def start(self) -> int:
        """Listen, and return the port.

        Raises:
            OSError: the port is taken.
        """
        self._server = await asyncio.start_server(self._connection, self.host, self.port, reuse_address=True)
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def fault(self, unit: int, fault: Fault | None) -> None:
        """Switch a fault of one unit on, or with None off. Faults of the link are `refuse`'s."""
        self._faults.pop(unit, None)
        self._frozen = {key: value for key, value in self._frozen.items() if key[0] != unit}
        if fault is not None:
            self._faults[unit] = fault
        kind = "none" if fault is None else fault.kind.value
        self._journal.switched(self._clock.wall(), "device", self.units[unit].device, kind)

    async def refuse(self, on: bool) -> None:
        """Listen no more and reset what is connected; or listen again on the same port."""
        self._journal.switched(self._clock.wall(), "link", self._link, FaultKind.REFUSE.value if on else "none")
        if on:
            for writer in list(self._connections.values()):
                _reset(writer)
            await self.close()
        elif self._server is None:
            await self.start()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= CONNECTIONS:
            _reset(writer)
            return
        self._connections[task] = writer
        try:
            await self._serve(reader, writer)
        except (_Cut, asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            pass  # how connections end; the peer knows
        except asyncio.CancelledError:
            # `close` cancels; the stream machinery would report a handler that ends cancelled as an error
            writer.transport.abort()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()
            del self._connections[task]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        receive = _receive_mbap if self._framing == "mbap" else self._receive_rtu
        while True:
            async with asyncio.timeout(IDLE):
                request = await receive(reader)
            if request is not None:
                async with asyncio.timeout(IDLE):
                    await _perform(self._steps(request), reader, writer)

    async def _receive_rtu(self, reader: asyncio.StreamReader) -> Frame | None:
        """Return the next request; None if its checksum is wrong and the unit cares, or if it ends in the middle.

        After one of those the line is in step again once nothing came for a while, as on a real one.
        """
        body = await reader.readexactly(2)
        try:
            async with asyncio.timeout(PAUSE_S):
                body += await _rest_rtu(body[1], reader)
        except TimeoutError:
            return None
        unit = self.units.get(body[0])
        if len(body) < 4:
            return None
        if crc(body[:-2]) != body[-2:] and (unit is None or unit.face.checks_crc):
            await _until_quiet(reader)
            return None
        return Frame(transaction=0, unit=body[0], pdu=body[1:-2])

    def _steps(self, request: Frame) -> list[Step]:
        serial_line = self._framing == "rtu"
        unit = self.units.get(request.unit)
        if unit is None:
            silent = Frame(
                transaction=request.transaction,
                unit=request.unit,
                pdu=bytes([request.pdu[0] | 0x80, TARGET_SILENT]),
            )
            return [] if serial_line else spoil(None, silent)
        fault = self._take_fault(request.unit, unit.face, request.pdu[0])
        pdu = self._answer(request, unit, fault)
        if pdu is None:
            return []
        return spoil(fault, replace(request, pdu=pdu), serial_line=serial_line)

    def _answer(self, request: Frame, unit: Unit, fault: Fault | None) -> bytes | None:
        """Return the sound PDU, journalled; None for silence."""
        if request.pdu[0] in IDENTIFYING and unit.face.identity is not None:
            return identify(unit.face.identity, request.pdu)
        frozen = fault is not None and fault.kind is FaultKind.FREEZE
        key = (request.unit, request.pdu)
        if frozen and key in self._frozen:
            pdu, serial = self._frozen[key]
            self._journal.spoilt(self._clock.wall(), unit.device, serial, FaultKind.FREEZE.value)
            return pdu
        deaf = fault is not None and fault.kind in DEAF and request.pdu[0] in WRITES
        answer = Echo() if deaf else _ask(unit.face, request.pdu, self._story())
        if answer is None:
            return None
        pdu = _encode(request.pdu, answer)
        if isinstance(answer, Registers):
            self._write_down(unit, answer, fault)
            if frozen:
                self._frozen[key] = (pdu, answer.serial)
        elif not deaf:
            self._write_down_write(unit, answer)
        return pdu

    def _write_down_write(self, unit: Unit, answer: Refusal | Echo) -> None:
        written = decode(unit.face.map, answer.first, answer.words)
        if written and isinstance(answer, Echo):
            self._journal.wrote(self._clock.wall(), unit.device, written)
        elif written and isinstance(answer, Refusal):
            self._journal.refused(self._clock.wall(), unit.device, written, answer.code)

    def _write_down(self, unit: Unit, answer: Registers, fault: Fault | None) -> None:
        kind = None if fault is None or fault.kind is FaultKind.FREEZE else fault.kind
        if kind is None or kind in BELIEVABLE:
            points = decode(unit.face.map, answer.first, answer.words)
            self._journal.reply(self._clock.wall(), unit.device, answer.serial, points, kind.value if kind else "")
        else:
            self._journal.spoilt(self._clock.wall(), unit.device, answer.serial, kind.value)

    def _take_fault(self, unit: int, face: Face, function: int) -> Fault | None:
        """Return what is wrong with the answer to be given, and count it."""
        fault = self._faults.get(unit)
        if fault is not None and fault.kind is FaultKind.JAMMED and function in READS | face.writes:
            return None
        if fault is None or fault.times is None:
            return fault
        if fault.times <= 1:
            del self._faults[unit]
        else:
            self._faults[unit] = replace(fault, times=fault.times - 1)
        return fault


async def _receive_mbap(reader: asyncio.StreamReader) -> Frame:
    head = await reader.readexactly(7)
    transaction, protocol, length, unit = struct.unpack(">HHHB", head)
    if protocol != 0 or not 2 <= length <= LONGEST:
        raise _Cut
    return Frame(transaction=transaction, unit=unit, pdu=await reader.readexactly(length - 1))


async def _rest_rtu(function: int, reader: asyncio.StreamReader) -> bytes:
    """Return what follows unit and function: as much as the function has, of an unknown one all until it is quiet."""
    if function in {15, 16}:
        head = await reader.readexactly(5)
        return head + await reader.readexactly(head[4] + 2)
    if function in LENGTHS:
        return await reader.readexactly(LENGTHS[function] - 2)
    return await _until_quiet(reader)


async def _until_quiet(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until nothing has come for a while; the line ends with it if there is nothing more at all."""
    heard = b""
    while not reader.at_eof():
        try:
            async with asyncio.timeout(QUIET_S):
                heard += await reader.read(LONGEST)
        except TimeoutError:
            break
    return heard


def _ask(face: Face, pdu: bytes, at: Micros) -> Answer:
    function = pdu[0]
    if function not in READS | face.writes:
        return Refusal(ILLEGAL_FUNCTION)
    if function in {15, 16}:
        return _ask_several(face, pdu, at)
    if function == MASK:
        return _ask_mask(face, pdu, at)
    if len(pdu) != 5:
        return Refusal(ILLEGAL_VALUE)
    address, number = struct.unpack(">HH", pdu[1:])
    if function in READS:
        return face.read(function, address, number, at)
    if function == 5:
        if number not in {0, ON}:
            return Refusal(ILLEGAL_VALUE)
        number = int(number == ON)
    return face.write(function, address, (number,), at)


def _ask_several(face: Face, pdu: bytes, at: Micros) -> Answer:
    """Ask for a write of several (MODBUS Application Protocol 1.1b3, 6.11 and 6.12)."""
    function, content = pdu[0], pdu[6:]
    if len(pdu) < 6 or len(content) != pdu[5]:
        return Refusal(ILLEGAL_VALUE)
    address, count = struct.unpack(">HH", pdu[1:5])
    size, most = (-(-count // 8), MOST_COILS) if function == 15 else (2 * count, MOST_WRITTEN)
    if not 1 <= count <= most or len(content) != size:
        return Refusal(ILLEGAL_VALUE)
    if function == 15:
        values = tuple(content[place // 8] >> place % 8 & 1 for place in range(count))
    else:
        values = struct.unpack(f">{count}H", content)
    return face.write(function, address, values, at)


def _ask_mask(face: Face, pdu: bytes, at: Micros) -> Answer:
    """Ask for a masked write (6.16): the first mask keeps bits of the register, the second gives the others."""
    if len(pdu) != 7:
        return Refusal(ILLEGAL_VALUE)
    address, keep, wanted = struct.unpack(">HHH", pdu[1:])
    stands = face.read(3, address, 1, at)
    if not isinstance(stands, Registers):
        return stands
    return face.write(6, address, (stands.words[0] & keep | wanted & ~keep,), at)


def _encode(request: bytes, answer: Registers | Refusal | Echo) -> bytes:
    match answer:
        case Registers(words=words) if request[0] in BITS:
            packed = sum(bit << place for place, bit in enumerate(words)).to_bytes(-(-len(words) // 8), "little")
            return bytes([request[0], len(packed)]) + packed
        case Registers(words=words):
            return bytes([request[0], 2 * len(words)]) + struct.pack(f">{len(words)}H", *words)
        case Refusal(code=code):
            return bytes([request[0] | 0x80, code])
        case Echo():
            return request[: 7 if request[0] == MASK else 5]


async def _perform(steps: list[Step], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for step in steps:
        match step:
            case Send(content=content):
                writer.write(content)
                await writer.drain()
            case Wait(time=time):
                await asyncio.sleep(time / SECOND)
            case Reset():
                _reset(writer)
                raise _Cut
            case Jam():
                while await reader.read(LONGEST):
                    pass
                raise _Cut


def _reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with RST: lingering for zero seconds makes the close an abort."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
