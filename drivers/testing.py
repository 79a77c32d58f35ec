"""A driver without a protocol: values are set, faults are injected, and what was read and written is on record.

Part of the product, so that rules, pollers and sites of others can be tried without a socket or a patch. It keeps the
contract of `drivers.base` and passes the same suite as the real drivers.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from drivers.base import (
    DeviceRead,
    Driver,
    EventField,
    Heard,
    PointRead,
    ReadGroup,
    Scan,
    ScanMemory,
    Services,
    Sink,
)
from sitekeeper.model.clock import Clock, Micros
from sitekeeper.model.errors import DeviceRefused, DeviceSilent, FieldError, LinkDown, NotFound
from sitekeeper.model.point import PointType
from sitekeeper.model.quality import GOOD, Q, Reason, bad
from sitekeeper.model.sample import Value
from sitekeeper.profile import Written

LOG_LIMIT: Final = 10_000
"""Readings, and writes, kept on record; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One call of `read`: when, which group, and whether the link failed it."""

    at: Micros
    group: str
    link_down: bool


@dataclass(frozen=True, slots=True)
class Writing:
    """One write that was taken: when, what, and at which priority."""

    at: Micros
    point_id: str
    value: Value
    priority: int


class FakeDriver:
    """A `drivers.base.Driver` that reads from a table; what is written to a point is then read from it.

    Attributes:
        log: what was read, oldest first. writes: what was written. opened: how often `open` succeeded.
    """

    def __init__(self, devices: Sequence[DeviceRead], clock: Clock) -> None:
        self.log: deque[Reading] = deque(maxlen=LOG_LIMIT)
        self.writes: deque[Writing] = deque(maxlen=LOG_LIMIT)
        self.opened = 0
        self._clock = clock
        self._memories = {group.id: ScanMemory(group) for device in devices for group in device.groups}
        self._now: dict[str, tuple[Value, Q]] = {}
        self._points = {
            f"{memory.group.device}/{p.name}" for memory in self._memories.values() for p in memory.group.points
        }
        self._idle: set[str] = set()
        self._denied: set[str] = set()
        self._silent: dict[str, int] = {}
        self._cut = False
        self._is_open = False

    # What a test does to it

    def set(self, point_id: str, value: Value) -> None:
        """Let `<device>/<point>` be `value`, good."""
        self._now[point_id] = (value, GOOD)

    def refuse(self, point_id: str, reason: Reason = Reason.REFUSED) -> None:
        """Let `<device>/<point>` be bad for `reason` until it is set again; the device answers all the same."""
        self._now[point_id] = (None, bad(reason))

    def deny(self, point_id: str) -> None:
        """Let writes to `<device>/<point>` be refused."""
        self._denied.add(point_id)

    def disobey(self, point_id: str) -> None:
        """Let writes to `<device>/<point>` be taken and have no effect."""
        self._idle.add(point_id)

    def silence(self, device: str) -> None:
        """Let a device not answer until `restore`."""
        self._silent[device] = 0

    def restore(self, device: str) -> None:
        self._silent.pop(device, None)

    def cut(self) -> None:
        """Let the link be down, and fail to open, until `mend`."""
        self._cut = True
        self._is_open = False

    def mend(self) -> None:
        """Let the link be able to open again."""
        self._cut = False

    # The driver

    async def open(self) -> None:
        if self._cut:
            raise LinkDown("cut by the test", endpoint="fake")
        for memory in self._memories.values():
            memory.forget()
        self.opened += 1
        self._is_open = True

    async def read(self, group_id: str) -> Scan:
        if group_id not in self._memories:
            raise NotFound(f"scan group {group_id!r}")
        now = self._clock.monotonic()
        self.log.append(Reading(now, group_id, not self._is_open))
        if not self._is_open:
            raise LinkDown("cut by the test" if self._cut else "not open", endpoint="fake")
        memory = self._memories[group_id]
        memory.begin(now)
        errors: list[FieldError] = []
        silent = memory.group.device in self._silent
        if silent:
            errors.append(self._silence(memory.group.device))
        for index, point in enumerate(memory.group.points):
            value, q = (None, bad(Reason.COMM)) if silent else self._value(memory.group, point)
            memory.note(index, value, q, now)
            if q == bad(Reason.REFUSED):
                errors.append(_refusal(memory.group.device, point.name))
        return memory.finish(now, answered=not silent, errors=errors)

    async def write(self, device: str, point: str, value: Value, priority: int) -> None:
        point_id = f"{device}/{point}"
        if point_id not in self._points:
            raise NotFound(f"point {point_id!r}")
        if not self._is_open:
            raise LinkDown("cut by the test" if self._cut else "not open", endpoint="fake")
        if device in self._silent:
            raise self._silence(device)
        if point_id in self._denied:
            raise _refusal(device, point)
        self.writes.append(Writing(self._clock.monotonic(), point_id, value, priority))
        if point_id not in self._idle and value is not None:
            self.set(point_id, value)

    async def close(self) -> None:
        self._is_open = False

    def _value(self, group: ReadGroup, point: PointRead) -> tuple[Value, Q]:
        return self._now.get(f"{group.device}/{point.name}", (None, bad(Reason.NOT_YET)))

    def _silence(self, device: str) -> DeviceSilent:
        self._silent[device] += 1
        return DeviceSilent("silenced by the test", endpoint="fake", device=device, count=self._silent[device])


class FakeTeller(FakeDriver):
    """A fake whose devices also speak unasked: `drivers.base.Listener`.

    Attributes:
        listening: how often somebody began to listen.
    """

    def __init__(self, devices: Sequence[DeviceRead], clock: Clock) -> None:
        super().__init__(devices, clock)
        self.listening = 0
        self._sink: Sink | None = None
        self._ended: asyncio.Future[None] | None = None

    def tell(self, *heard: Heard) -> "Future[None]":
        """Let devices say this now; the future is the sink's. Somebody must be listening."""
        assert self._sink is not None
        return self._sink.heard(heard)

    def hang_up(self) -> None:
        """Let listening fail, as a link does that dies while nobody reads."""
        self.cut()
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(LinkDown("cut by the test", endpoint="fake"))

    async def listen(self, sink: Sink) -> None:
        self._ended = asyncio.get_running_loop().create_future()
        self._sink, self.listening = sink, self.listening + 1
        try:
            await self._ended
        finally:
            self._sink = None


def _refusal(device: str, point: str) -> DeviceRefused:
    return DeviceRefused(
        "refused by the test", exception_code=2, endpoint="fake", device=device, request=f"point {point}"
    )


class FakePoint(Written):
    """A profile's point for the fake: any text that names it."""

    fake: str = ""


class _Nothing(Written):
    """No keys."""


@dataclass(frozen=True, slots=True)
class FakeKind:
    """A `drivers.base.DriverKind`; hand it to who takes kinds, it is not in the registry's table."""

    name: str = "fake"
    family: str = "fake"
    link_model: type[BaseModel] = _Nothing
    device_model: type[BaseModel] = _Nothing
    point_model: type[BaseModel] = FakePoint
    marker_keys: frozenset[str] = frozenset({"fake"})
    event_model: type[BaseModel] | None = _Nothing

    def bind_device(self, options: BaseModel, parameters: Mapping[str, int | str]) -> BaseModel:  # noqa: ARG002
        return options

    def bind(
        self,
        point: BaseModel,
        *,
        point_type: PointType,  # noqa: ARG002 - the test sets values of the right type
        members: tuple[str, ...],  # noqa: ARG002
        parameters: Mapping[str, int | str],  # noqa: ARG002
    ) -> BaseModel:
        return point

    def writable(self, address: object) -> bool:  # noqa: ARG002 - any point takes a value
        return True

    def bind_event(
        self,
        event: BaseModel,
        *,
        fields: tuple[EventField, ...],  # noqa: ARG002 - the test tells the right fields
        parameters: Mapping[str, int | str],  # noqa: ARG002
    ) -> BaseModel:
        return event

    def create(
        self,
        link_id: str,  # noqa: ARG002
        options: BaseModel,  # noqa: ARG002
        devices: Sequence[DeviceRead],
        clock: Clock,
        services: Services,  # noqa: ARG002
    ) -> Driver:
        return FakeTeller(devices, clock)
