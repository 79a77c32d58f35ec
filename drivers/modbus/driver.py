"""Modbus devices on one link: asks what the plan says, and has an outcome for every point.

A write is read back by the next scan like any other change.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from drivers.base import DeviceRead, Scan
from drivers.captured import Words
from drivers.frames import Frame, Frames, Take
from drivers.lookup import find
from drivers.memory import Memory
from drivers.modbus import explain
from drivers.modbus.blocks import Group, Target, Unit, captured, prepare, targets
from drivers.modbus.devices import Devices
from drivers.modbus.identifying import Identifying
from drivers.modbus.link import Link
from drivers.modbus.plan import Request
from drivers.modbus.request import Question, command, question
from drivers.modbus.scanning import Scanning
from drivers.modbus.spoken import describe
from sitekeeper.model.clock import Clock, Micros
from sitekeeper.model.errors import DeviceRefused, DeviceSilent, FieldError
from sitekeeper.model.sample import Value

MASK: Final = 22
ILLEGAL_FUNCTION: Final = 1
TARGET_SILENT: Final = 11
"""The exception by which a gateway says that it passed the request on and got no answer: it may have been obeyed."""
ACKNOWLEDGED: Final = 5
"""The exception by which a device says that it has accepted a command that takes it long."""


class ModbusDriver:
    """A `drivers.base.Driver` for all devices on one Modbus link."""

    def __init__(self, link: Link, devices: Sequence[DeviceRead], clock: Clock, memory: Memory | None = None) -> None:
        self._link = link
        self._clock = clock
        self._turn = asyncio.Lock()
        self._rewriting = asyncio.Lock()
        self._maskless: set[str] = set()
        if link.room:
            link.frames = Frames(link.room, clock.wall)
        prepared = (prepare(device, numbered=link.numbered) for device in devices)
        self._groups = {group.group.id: group for groups in prepared for group in groups}
        self._devices = Devices(self._groups.values(), clock, memory)
        self._identifying = Identifying(link, clock, self._devices.identities)
        self._targets = dict(found for group in self._groups.values() for found in targets(group))

    async def open(self) -> None:
        for group in self._groups.values():
            group.opened()
        await self._link.open()
        self._identifying.opened()

    async def write(self, device: str, point: str, value: Value, priority: int) -> None:  # noqa: ARG002 - Modbus has none
        """As `Driver.write`; it takes its turn between two requests of a scan, and is never sent twice."""
        target = find(f"{device}/{point}", self._targets, "a point that can be written:")
        if value is None:
            raise ValueError("a Modbus register holds what was last written: there is nothing to give up")
        chunk, unit = target.encode(value), target.group.unit
        rewrites = target.function == MASK and target.point.rewrite
        if not rewrites or unit.device not in self._maskless:
            try:
                await self._command(target, command(unit.number, target.function, target.address, chunk))
            except DeviceRefused as error:
                if target.function != MASK or error.exception_code != ILLEGAL_FUNCTION:
                    raise
                if not rewrites:
                    error.what += "; it has no mask write, and one bit is not written otherwise without rewrite: true"
                    raise
                self._maskless.add(unit.device)
            else:
                return
        async with self._rewriting:
            await self._rewrite(target, chunk)

    async def _command(self, target: Target, asked: Question) -> None:
        group = target.group
        try:
            await self._link.ask(asked, group.unit.pause)
        except FieldError as error:
            self._doubt(asked, error)
            error.device, error.last_good = group.unit.device, group.last_good
            if isinstance(error, DeviceRefused) and error.exception_code == ACKNOWLEDGED:
                return
            if isinstance(error, DeviceRefused) and error.exception_code == TARGET_SILENT:
                raise _silent_behind_gateway(error, asked) from None
            raise

    async def _rewrite(self, target: Target, masks: bytes) -> None:
        """Read the register and write it back with one bit changed, where the profile says that nobody else writes it.

        On a serial line the answer may be a late one of the same shape, so it is asked for twice, like one in doubt.
        """
        unit, (keep, wanted) = target.group.unit, (int.from_bytes(part) for part in (masks[:2], masks[2:]))
        asked = question(unit.number, "holding", target.address, 1)
        try:
            for _ in range(1 if self._link.numbered else 2):
                stands = int.from_bytes(await self._link.ask(asked, unit.pause))
        except FieldError as error:
            self._doubt(asked, error)
            error.device, error.last_good = unit.device, target.group.last_good
            raise
        register = stands & keep | wanted & ~keep
        await self._command(target, command(unit.number, 6, target.address, register.to_bytes(2)))

    def _doubt(self, asked: Question, error: FieldError) -> None:
        """Have what looks like the late answer to `asked` confirmed by a second one: unit, function and length."""
        if self._link.numbered or isinstance(error, DeviceRefused):
            return
        for group in self._groups.values():
            for block in group.blocks:
                block.doubtful = block.doubtful or block.question.expected == asked.expected

    async def close(self) -> None:
        self._link.close()

    @property
    def hushed(self) -> Micros:
        """As `edge.poller.Hushing`: how long the line was left silent so far, because of requests that had failed."""
        return self._link.hushed

    def requests(self, group_id: str) -> tuple[Request, ...]:
        """Return the requests by which a group is read as things stand."""
        return tuple(self._group(group_id).requests())

    async def read(self, group_id: str) -> Scan:
        group = self._group(group_id)
        async with self._turn:
            return await self._read(group)

    def _group(self, group_id: str) -> Group:
        return find(group_id, self._groups, "scan group")

    async def _read(self, group: Group) -> Scan:
        unit = group.unit
        # Before a reading, never after it: what was read would be held back, and dated later, while nobody answers.
        if unit.answers and self._identifying.due(unit.number):
            await self._identify(unit)
        scan = await Scanning(self._link, group, self._clock, self._doubt).run()
        unit.answers = scan.answered
        self._devices.learned(unit)
        return scan

    async def _identify(self, unit: Unit) -> None:
        if await self._identifying.turn(unit.number, unit.pause, partial(self._devices.save, unit)):
            self._devices.changed(unit.number)

    # Frames, for people: `drivers.frames.Tapped`

    @property
    def wire(self) -> str:
        return "modbus-tcp" if self._link.numbered else "modbus-rtu"

    def tap(self, take: Take) -> list[Frame]:
        frames = self._link.frames = self._link.frames or Frames(0, self._clock.wall)
        frames.add(take)
        return frames.past()

    def untap(self, take: Take) -> None:
        if self._link.frames is not None:
            self._link.frames.remove(take)
            if not self._link.frames.wanted:
                self._link.frames = None

    def describe(self, frame: Frame, before: Frame | None) -> Mapping[str, object]:
        asked = b"" if frame.sent or before is None else before.data
        return describe(frame.data, asked, numbered=self._link.numbered)

    async def captured(self, device: str) -> Words:
        """As `Captured.captured`; nothing is asked."""
        return Words(captured(group for group in self._groups.values() if group.unit.device == device))

    async def identity(self, device: str) -> Mapping[str, str]:
        """As `Identified.identity`; nothing is asked."""
        unit = next((group.unit for group in self._groups.values() if group.unit.device == device), None)
        return {} if unit is None else self._devices.identity(unit)

    def report(self, device: str) -> Mapping[str, object]:
        """As `Reporter.report`: the plan in words, what it follows from, and what the unit says that it is."""
        groups = [group for group in self._groups.values() if group.unit.device == device]
        if not groups:
            return {}
        unit = groups[0].unit
        return {
            "identity": self._devices.identity(unit),
            "limits": explain.limits(unit),
            "refused": explain.learned(unit, self._clock.monotonic()),
            "requests": explain.requests(groups),
        }


def _silent_behind_gateway(error: DeviceRefused, asked: Question) -> DeviceSilent:
    silent = DeviceSilent(
        error.what + asked.unsure, endpoint=error.endpoint, device=error.device, request=error.request, raw=error.raw
    )
    silent.last_good = error.last_good
    return silent
