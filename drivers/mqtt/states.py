"""What was last heard of each point, and whether its device is still there. Pure; time comes as an argument.

A broker answers for devices that died long ago, so being connected says nothing: a device answers as long as its
availability topic does not say otherwise and anything of it came within `max_silence`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from drivers.base import DeviceRead, ReadGroup, Scan, ScanMemory
from drivers.lookup import find
from drivers.mqtt.options import MqttDevice, Place
from drivers.mqtt.payload import FIRST, Decoder, Unreadable, decoder, masked, moment_at, pick, plain, same, tree
from sitekeeper.durations import duration_text
from sitekeeper.model.clock import Micros, Moment
from sitekeeper.model.errors import DeviceSilent, FieldError, ReplyMismatch
from sitekeeper.model.quality import Q, Reason, bad, is_good
from sitekeeper.model.sample import Value

Last = tuple[Value, Q, Micros | None]
"""Value, quality and source time."""

NOT_YET: Final[Last] = (None, bad(Reason.NOT_YET), None)
UNREADABLE: Final[Last] = (None, bad(Reason.MISMATCH), None)


@dataclass(slots=True)
class _Device:
    id: str
    options: MqttDevice
    groups: "list[_Group]" = field(default_factory=list)
    available: bool | None = None
    heard: Micros | None = None
    """Monotonic time of the last message."""
    silences: int = 0
    last_good: Micros | None = None

    def why_silent(self, now: Micros) -> str:
        """Return why it does not answer; empty if it does."""
        if self.available is False:
            return "offline, says its availability topic"
        if self.heard is None:
            return "nothing heard since the link was opened"
        silence = self.options.max_silence
        return f"nothing heard for {duration_text(silence)}" if now - self.heard > silence else ""


@dataclass(slots=True)
class _Group:
    device: _Device
    memory: ScanMemory
    values: list[Last]
    errors: dict[str, FieldError] = field(default_factory=dict)
    """By topic: what is wrong with the last message there."""


@dataclass(slots=True)
class _Cell:
    """One point: which part of the payload it is, and what makes its value."""

    index: int
    place: Place
    decode: Decoder

    def read(self, payload: bytes, found: object) -> Last:
        point = self.place.point
        if point.json_path is None:
            return (*self.decode(plain(payload)), None)
        value, q = self.decode(pick(found, point.json_path))
        return value, q, moment_at(found, point.source)


@dataclass(slots=True)
class _Topic:
    groups: list[tuple[_Group, list[_Cell]]] = field(default_factory=list)
    available: list[_Device] = field(default_factory=list)
    heard: bool = False


class States:
    """The states of all points of one link.

    Args:
        endpoint: the broker, as errors name it. hidden: tells whether payloads of a topic may name people.
    """

    def __init__(self, devices: Sequence[DeviceRead], endpoint: str, hidden: Callable[[str], bool]) -> None:
        self._endpoint = endpoint
        self._hidden = hidden
        self._devices: dict[str, _Device] = {}
        self._groups: dict[str, _Group] = {}
        self._topics: dict[str, _Topic] = {}
        for read in devices:
            assert isinstance(read.options, MqttDevice)
            device = _Device(read.id, read.options)
            self._devices[read.id] = device
            if read.options.availability is not None:
                self._topics.setdefault(read.options.availability.topic, _Topic()).available.append(device)
            for group in read.groups:
                self._add(device, group)

    def _add(self, device: _Device, read: ReadGroup) -> None:
        group = _Group(device, ScanMemory(read), [NOT_YET] * len(read.points))
        device.groups.append(group)
        self._groups[read.id] = group
        by_topic: dict[str, list[_Cell]] = {}
        for index, point in enumerate(read.points):
            place = point.address
            assert isinstance(place, Place)
            raw_text = place.point.json_path is None
            cell = _Cell(index, place, decoder(place.point, point.type, point.members, raw_text=raw_text))
            by_topic.setdefault(place.point.topic, []).append(cell)
        for topic, cells in by_topic.items():
            self._topics.setdefault(topic, _Topic()).groups.append((group, cells))

    @property
    def topics(self) -> list[str]:
        return list(self._topics)

    @property
    def all_heard(self) -> bool:
        """Whether every topic has been heard since `forget`."""
        return all(topic.heard for topic in self._topics.values())

    def forget(self) -> None:
        """Know nothing, as at the start: nobody can say what was missed."""
        for device in self._devices.values():
            device.available = device.heard = None
        for group in self._groups.values():
            group.values = [NOT_YET] * len(group.values)
            group.errors.clear()
            group.memory.forget()
        for topic in self._topics.values():
            topic.heard = False

    def alive(self, device_id: str, now: Micros) -> list[str]:
        """Take note that something of a device was heard; return its groups if that is news."""
        device = self._devices[device_id]
        was_silent, device.heard = device.why_silent(now), now
        back = was_silent and not device.why_silent(now)
        return [group.memory.group.id for group in device.groups] if back else []

    def take(self, name: str, payload: bytes, now: Moment) -> list[str]:
        """Take a message and return the scan groups for which it changed something; None of its faults is raised."""
        topic = self._topics.get(name)
        if topic is None:
            return []
        topic.heard = True
        found, fault = _tree(topic, payload)
        changed: dict[str, None] = {}
        for device in topic.available:
            changed |= dict.fromkeys(self._hear(device, payload, found, now.mono))
        for group, cells in topic.groups:
            group_id = group.memory.group.id
            changed |= dict.fromkeys(self.alive(group.device.id, now.mono))
            if self._apply(group, cells, name, payload, found, fault):
                changed[group_id] = None
        return list(changed)

    def _hear(self, device: _Device, payload: bytes, found: object, now: Micros) -> list[str]:
        """Take what the availability topic says; what it does not say clearly is not online."""
        availability = device.options.availability
        assert availability is not None
        was_silent, device.heard = device.why_silent(now), now
        path, want = availability.json_path, availability.online
        try:
            if path is None:
                device.available = plain(payload) == (str(want).lower() if isinstance(want, bool) else str(want))
            else:
                device.available = same(want, pick(found, path))
        except Unreadable:
            device.available = False
        news = bool(was_silent) != bool(device.why_silent(now))
        return [group.memory.group.id for group in device.groups] if news else []

    def _apply(self, group: _Group, cells: list[_Cell], topic: str, payload: bytes, found: object, fault: str) -> bool:
        """Give points their values by one message; tell whether any is news."""
        news, wrong = False, []
        for cell in cells:
            name = group.memory.group.points[cell.index].name
            try:
                if fault and cell.place.point.json_path is not None:
                    raise Unreadable(fault)
                heard = cell.read(payload, found)
                if not is_good(heard[1]) and heard[1] != bad(Reason.DEVICE_FLAGGED):
                    wrong.append(f"{name} has no meaning there")
            except Unreadable as error:
                heard = UNREADABLE
                wrong.append(str(error) if fault else f"{name}: {error}")
            news = news or heard[:2] != group.values[cell.index][:2]
            group.values[cell.index] = heard
        before = group.errors.pop(topic, None)
        if wrong:
            group.errors[topic] = self._error(group.device, topic, payload, wrong, before)
        return news

    def _error(
        self, device: _Device, topic: str, payload: bytes, wrong: list[str], before: FieldError | None
    ) -> FieldError:
        return ReplyMismatch(
            "; ".join(dict.fromkeys(wrong[:3])),
            endpoint=self._endpoint,
            device=device.id,
            request=f"topic {topic}",
            raw=masked(payload) if self._hidden(topic) else payload[:FIRST],
            count=before.count + 1 if before else 1,
            last_good=device.last_good,
        )

    def scan(self, group_id: str, now: Moment) -> Scan:
        """Return a scan group as it stands.

        Raises:
            NotFound: there is none of that id.
        """
        group = find(group_id, self._groups, "scan group")
        device, silent = group.device, group.device.why_silent(now.mono)
        group.memory.begin(now.mono)
        for index, (value, q, source) in enumerate(group.values):
            if silent:
                group.memory.note(index, None, bad(Reason.COMM), now.mono)
            else:
                group.memory.note(index, value, q, now.mono, source)
        if not silent:
            device.silences, device.last_good = 0, now.wall
            return group.memory.finish(now.mono, answered=True, errors=tuple(group.errors.values()))
        device.silences += 1
        error = DeviceSilent(
            silent, endpoint=self._endpoint, device=device.id, count=device.silences, last_good=device.last_good
        )
        return group.memory.finish(now.mono, answered=False, errors=(error,))


def _tree(topic: _Topic, payload: bytes) -> tuple[object, str]:
    """Return the payload's JSON, or why there is none; not looked for where nobody wants any."""
    paths = [cell.place.point.json_path for _, cells in topic.groups for cell in cells]
    paths += [each.options.availability.json_path for each in topic.available if each.options.availability]
    if not any(paths):
        return None, ""
    try:
        return tree(payload), ""
    except Unreadable as error:
        return None, str(error)
