"""What was last heard of each point, and whether its device is still there. Pure; time comes as an argument.

A broker answers for devices that died long ago, so being connected says nothing: a device answers as long as its
availability topic does not say otherwise and anything of it came within `max_silence`. What the broker has retained is
a state, but no match for what was said since, and no sign of life of now: it gives a device `max_silence` to say
something itself, once and not with every reconnection, and not even that if the message is older by the device's own
time. What the broker had queued while we were away is, if it is old by that time, neither.
"""

from collections.abc import Callable, Sequence
from typing import Final

from drivers.base import DeviceRead, PointRead, ReadGroup, Scan, ScanMemory
from drivers.lookup import find
from drivers.mqtt.last import NOT_YET, REFUSED, UNREADABLE, Cell, Device, Group, Messages, Status
from drivers.mqtt.moments import zone_of
from drivers.mqtt.options import MqttDevice, Place, PointFrom, State
from drivers.mqtt.parse import FIRST, Unreadable, masked
from drivers.mqtt.paths import Content, When, where
from drivers.mqtt.payload import decoder
from drivers.mqtt.rejected import Rejected
from drivers.mqtt.topics import Captures, Router, filter_of, overlap
from sitekeeper.model.clock import Micros, Moment
from sitekeeper.model.errors import DeviceRefused, DeviceSilent, FieldError, ReplyMismatch
from sitekeeper.model.quality import Reason, bad

MOST_ERRORS: Final = 8
"""Topics of one scan group whose last fault is kept."""

_WRONG: Final = {
    bad(Reason.UNMAPPED): ("no-meaning", " has no meaning there"),
    bad(Reason.OUT_OF_RANGE): ("out-of-range", " is out of range"),
}
"""Values that a profile gives no meaning; that a device says it has none is no fault."""


class States:
    """The states of all points of one link.

    Args:
        endpoint: the broker, as errors name it. hidden: tells whether payloads of a topic may name people.
        rejected: where what has no meaning is put aside.
    """

    def __init__(
        self,
        devices: Sequence[DeviceRead],
        endpoint: str,
        hidden: Callable[[str], bool],
        rejected: Rejected | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._hidden = hidden
        self._rejected = Rejected(hidden) if rejected is None else rejected
        self._devices: dict[str, Device] = {}
        self._groups: dict[str, Group] = {}
        self._router: Router[Messages] = Router()
        self._all: list[Messages] = []
        self._unheard = 0
        for read in devices:
            assert isinstance(read.options, MqttDevice)
            device = Device(read.id, read.options)
            self._devices[read.id] = device
            self._add_signs(device)
            for group in read.groups:
                self._add(device, group)

    def _add_signs(self, device: Device) -> None:
        """Add what shows a device to be there, beside its points and events."""
        options = device.options
        signs: list[State] = [each for each in (options.clock, options.sequence) if each is not None]
        for sign in (*signs, *options.alive):
            kind = self._kind(sign, device)
            if sign is options.clock:
                kind.time = where(options.clock.json_path), zone_of(options.zone) if options.zone else None
        if options.availability is not None:
            path = where(options.availability.json_path or "$text")
            self._kind(options.availability, device).status = Status(device, options.availability, path)
            device.topic = options.availability.topic

    def _kind(self, source: State, device: Device, group: "Group | None" = None) -> Messages:
        made = Messages(device, source.topic, When(source.when), group)
        device.topic = device.topic or source.topic
        self._all.append(made)
        self._router.add(source.topic, made)
        return made

    def _add(self, device: Device, read: ReadGroup) -> None:
        group = Group(device, ScanMemory(read), [NOT_YET] * len(read.points))
        device.groups.append(group)
        self._groups[read.id] = group
        kinds: dict[tuple[str, str], Messages] = {}
        for index, point in enumerate(read.points):
            assert isinstance(point.address, Place)
            for source in (point.address.point, *point.address.point.also):
                key = source.topic, repr(source.when)
                kind = kinds.get(key) or self._kind(source, device, group)
                kinds[key] = kind
                kind.cells.append(_cell(index, point, source, device))

    @property
    def topics(self) -> list[str]:
        """What must be subscribed to."""
        return self._router.filters

    @property
    def all_heard(self) -> bool:
        """Whether every kind of message has been heard since `forget`."""
        return self._unheard == 0

    def forget(self) -> None:
        """Know nothing, as at the start: nobody can say what was missed."""
        for device in self._devices.values():
            device.available = device.heard = device.old = None
            device.kept = False
            device.refused.clear()
        for group in self._groups.values():
            group.values = [NOT_YET] * len(group.values)
            group.errors.clear()
            group.live = 0
            group.memory.forget()
        for kind in self._all:
            kind.heard = False
        self._unheard = len(self._all)

    def refused(self, subscription: str, code: int, why: str, others: Sequence[str] = ()) -> None:
        """The broker does not let us read there: a fault of each device whose messages come from there.

        Args:
            others: further devices that miss something by it.
        """
        kinds = [each for each in self._all if overlap(subscription, filter_of(each.topic))]
        for device in {each.device.id for each in kinds} | {*others}:
            self._devices[device].refused[subscription] = DeviceRefused(
                why, exception_code=code, endpoint=self._endpoint, device=device, request=f"subscribe {subscription}"
            )
        for group, index in _cells(kinds):
            group.values[index] = REFUSED
            group.live &= ~(1 << index)

    def allowed(self, subscription: str) -> None:
        """The broker lets us read there after all; what it kept may have come before it said so."""
        for device in self._devices.values():
            device.refused.pop(subscription, None)
        for group, index in _cells([each for each in self._all if overlap(subscription, filter_of(each.topic))]):
            if group.values[index] == REFUSED:
                group.values[index] = NOT_YET

    def kinds(self, device_id: str) -> int:
        """Return how many kinds of messages a device has. Raises NotFound if there is no such device."""
        device = find(device_id, self._devices, "device")
        return sum(each.device is device for each in self._all)

    def kinds_of(self, device_id: str, topic: str, content: Content) -> tuple[int, ...]:
        """Return by number which kinds of a device's messages one is; none if it is not of that device."""
        mine = {id(kind) for kind, captures in self._router.find(topic) if kind.when.holds(content, captures)}
        ours = [each for each in self._all if each.device.id == device_id]
        return tuple(at for at, each in enumerate(ours) if id(each) in mine)

    def topics_of(self, device_id: str) -> list[str]:
        """Return the subscriptions that a device's states need."""
        return [filter_of(each.topic) for each in self._all if each.device.id == device_id]

    def waited(self, device_id: str, now: Moment, told: Micros | None) -> bool:
        """Tell whether a message is so old, by the wall time that it gives itself, that it is no sign of life."""
        return self._devices[device_id].waited(now, told)

    def alive(self, device_id: str, now: Micros) -> list[str]:
        """Take note that something of a device was heard; return its groups if that is news."""
        device = self._devices[device_id]
        was_silent = device.why_silent(now)
        device.sign(now)
        back = was_silent and not device.why_silent(now)
        return [group.memory.group.id for group in device.groups] if back else []

    def take(
        self, topic: str, payload: bytes | Content, now: Moment, *, retained: bool = False, queued: bool = True
    ) -> list[str] | None:
        """Take a message and return the scan groups for which it changed something; None of its faults is raised.

        None: it is of no device of ours.

        Args:
            queued: the broker may have kept it while we were away: if it is old, it is neither a state nor a sign of
                life. What cannot have waited is of now, however wrong the device's clock.
        """
        content = Content.of(payload)
        mine = [each for each in self._router.find(topic) if each[0].when.holds(content, each[1])]
        if not mine:
            return None
        silent = {kind.device.id: kind.device.why_silent(now.mono) for kind, _ in mine}
        old = self._take_signs(mine, content, now, retained=retained, queued=queued)
        changed: dict[str, None] = {}
        for kind, captures in mine:
            self._unheard -= not kind.heard
            kind.heard = True
            if kind.device.id in old:
                continue
            if kind.status is not None:
                self._hear(kind.status, topic, content, captures, now.mono)
            if kind.group is not None and self._apply(kind, topic, content, captures, now.mono, retained=retained):
                changed[kind.group.memory.group.id] = None
        for kind, _ in mine:
            if bool(silent[kind.device.id]) != bool(kind.device.why_silent(now.mono)):
                changed |= dict.fromkeys(group.memory.group.id for group in kind.device.groups)
        return list(changed)

    def _take_signs(
        self, mine: list[tuple[Messages, Captures]], content: Content, now: Moment, *, retained: bool, queued: bool
    ) -> set[str]:
        """Take note of whom a message shows to be there; return the devices for which it waited too long.

        One that was retained or queued is judged by the time that it gives itself.
        """
        told: dict[str, Micros | None] = {}
        if retained or queued:
            for kind, captures in mine:
                told[kind.device.id] = told.get(kind.device.id) or kind.told(content, captures)
        old: set[str] = set()
        for kind, _ in mine:
            device = kind.device
            waited = not retained and device.waited(now, told.get(device.id))
            if waited:
                old.add(device.id)
            if retained or waited:
                device.remembered(now, told[device.id])
            else:
                device.sign(now.mono)
        return old

    def _hear(self, status: Status, topic: str, content: Content, captures: Captures, now: Micros) -> None:
        """Take what the availability topic says; what it does not say clearly is not online."""
        try:
            status.device.available = status.online(content, captures)
        except Unreadable as error:
            status.device.available = False
            self._rejected.note(
                topic, content.payload, error.code, str(error), now, device=status.device.id, subject="availability"
            )

    def _apply(
        self, kind: Messages, topic: str, content: Content, captures: Captures, now: Micros, *, retained: bool
    ) -> bool:
        """Give points their values by one message; tell whether any is news."""
        group, news = kind.group, False
        assert group is not None
        wrong: dict[str, tuple[str, str]] = {}  # what is wrong with which point, or with all of it
        for cell in kind.cells:
            fault = "", "", ""
            try:
                heard = cell.read(content, captures)
                fault = cell.name, *_WRONG.get(heard[1], ("", ""))
            except Unreadable as error:
                heard = UNREADABLE
                all_of_it = content.fault is not None and cell.path.in_json
                fault = "" if all_of_it else cell.name, error.code, f": {error}"
            if group.keeps(cell.index, heard, retained=retained):
                continue
            if fault[1]:
                wrong[fault[0]] = fault[1:]
            news = news or heard[:2] != group.values[cell.index][:2]
            group.values[cell.index] = heard
            if not retained:
                group.live |= 1 << cell.index
        for name, (code, why) in wrong.items():
            self._rejected.note(
                topic, content.payload, code, why.lstrip(": "), now, device=group.device.id, subject=name
            )
        before = group.errors.pop(topic, None)
        if wrong:
            while len(group.errors) >= MOST_ERRORS:
                del group.errors[next(iter(group.errors))]
            words = [f"{name}{why}" if name else why.lstrip(": ") for name, (_, why) in wrong.items()]
            group.errors[topic] = self._error(group.device, topic, content.payload, words, before)
        return news

    def _error(
        self, device: Device, topic: str, payload: bytes, wrong: list[str], before: FieldError | None
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
            errors = (*group.errors.values(), *device.refused.values())
            return group.memory.finish(now.mono, answered=True, errors=errors)
        device.silences += 1
        error = DeviceSilent(
            silent, endpoint=self._endpoint, device=device.id, request=f"topic {device.topic}" if device.topic else "",
            count=device.silences, last_good=device.last_good,
        )  # fmt: skip
        return group.memory.finish(now.mono, answered=False, errors=(error, *device.refused.values()))


def _cells(kinds: Sequence[Messages]) -> list[tuple[Group, int]]:
    """Return the points of kinds of messages, with their groups."""
    return [(kind.group, cell.index) for kind in kinds if kind.group is not None for cell in kind.cells]


def _cell(index: int, point: PointRead, source: PointFrom, device: Device) -> Cell:
    path = where(source.json_path or "$text")
    decode = decoder(source, point.type, point.members, raw_text=path.root != "json")
    zone = zone_of(device.options.zone) if device.options.zone else None
    return Cell(index, point.name, path, decode, where(source.source) if source.source else None, zone)
