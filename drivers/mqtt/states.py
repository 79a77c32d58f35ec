"""What was last heard of each point, and whether its device is still there. Pure; time comes as an argument.

A broker answers for devices that died long ago, so being connected says nothing: a device answers as long as its
availability topic does not say otherwise and anything of it came within `max_silence`. What the broker has retained is
a state, but no sign of life of now: it gives a device `max_silence` to say something itself, once and not with every
reconnection, and not even that if the message is older by the device's own time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Final

from drivers.base import DeviceRead, PointRead, ReadGroup, Scan, ScanMemory
from drivers.lookup import find
from drivers.mqtt.moments import zone_of
from drivers.mqtt.options import Availability, MqttDevice, OneOrMore, Place, PointFrom, State
from drivers.mqtt.parse import FIRST, Scalar, Unreadable, any_of, masked
from drivers.mqtt.paths import Content, When, Where, moment_at, where
from drivers.mqtt.payload import Decoder, decoder
from drivers.mqtt.rejected import Rejected
from drivers.mqtt.topics import Captures, Router, filter_of, overlap
from sitekeeper.durations import duration_text
from sitekeeper.model.clock import MINUTE, Micros, Moment
from sitekeeper.model.errors import DeviceRefused, DeviceSilent, FieldError, ReplyMismatch
from sitekeeper.model.quality import Q, Reason, bad
from sitekeeper.model.sample import Value

Last = tuple[Value, Q, Micros | None]
"""Value, quality and source time."""

NOT_YET: Final[Last] = (None, bad(Reason.NOT_YET), None)
UNREADABLE: Final[Last] = (None, bad(Reason.MISMATCH), None)
MOST_ERRORS: Final = 8
"""Topics of one scan group whose last fault is kept."""

_WRONG: Final = {
    bad(Reason.UNMAPPED): ("no-meaning", " has no meaning there"),
    bad(Reason.OUT_OF_RANGE): ("out-of-range", " is out of range"),
}
"""Values that a profile gives no meaning; that a device says it has none is no fault."""


@dataclass(slots=True)
class _Device:
    id: str
    options: MqttDevice
    groups: "list[_Group]" = field(default_factory=list)
    available: bool | None = None
    heard: Micros | None = None
    """Monotonic time of the last message that was not retained, on this connection."""
    grace: Micros | None = None
    """Monotonic time of the first retained one since it was last heard on any connection."""
    kept: bool = False
    """One came on this connection."""
    refused: dict[str, DeviceRefused] = field(default_factory=dict)
    """By subscription: why it is not let to us."""
    old: Micros | None = None
    """Age of a retained message that is too old to be a sign of life."""
    silences: int = 0
    last_good: Micros | None = None
    topic: str = ""
    """Where it says that it is there: its availability topic, or else where its first point is told."""

    def why_silent(self, now: Micros) -> str:
        """Return why it does not answer; empty if it does."""
        if self.available is False:
            return "offline, says its availability topic"
        silence = self.options.max_silence
        since = self.heard if self.heard is not None else self.grace if self.kept else None
        if since is None and self.old is not None:
            return f"nothing heard but what the broker kept, {duration_text(self.old // MINUTE * MINUTE)} old"
        if since is None:
            return "nothing heard since the link was opened"
        kept = "" if self.heard is not None else " but what the broker kept"
        return f"nothing heard for {duration_text(silence)}{kept}" if now - since > silence else ""

    def sign(self, now: Micros) -> None:
        """Take note of a sign of life."""
        self.heard, self.grace, self.old = now, None, None

    def remembered(self, now: Moment, told: Micros | None) -> None:
        """Take note of a retained message; `told`: the wall time that it gives itself."""
        age = None if told is None or not now.trusted else now.wall - told
        if age is not None and age > max(self.options.max_silence, MINUTE):
            self.old = age
        elif self.heard is None:
            self.kept = True
            self.grace = now.mono if self.grace is None else self.grace


@dataclass(slots=True)
class _Group:
    device: _Device
    memory: ScanMemory
    values: list[Last]
    errors: dict[str, FieldError] = field(default_factory=dict)
    """By topic: what is wrong with the last message there."""


@dataclass(slots=True)
class _Cell:
    """One point: which part of a message it is, and what makes its value."""

    index: int
    name: str
    path: Where
    decode: Decoder
    source: Where | None
    zone: tzinfo | None

    def read(self, content: Content, captures: Captures) -> Last:
        value, q = self.decode(content.at(self.path, captures))
        return value, q, moment_at(content, self.source, self.zone)


@dataclass(slots=True)
class _Status:
    """What an availability topic says of one device."""

    device: _Device
    availability: Availability
    path: Where

    def online(self, content: Content, captures: Captures) -> bool:
        """Tell whether it says so clearly. Raises Unreadable."""
        want, have = self.availability.online, content.at(self.path, captures)
        if self.path.root == "text":  # a word by nature: 1 and "1" look alike, and true is `true`
            return have in {str(each).lower() if isinstance(each, bool) else str(each) for each in _several(want)}
        return any_of(want, have)


@dataclass(slots=True)
class _Messages:
    """One kind of message of one device: what of it is of interest."""

    device: _Device
    topic: str
    when: When
    group: "_Group | None" = None
    cells: list[_Cell] = field(default_factory=list)
    status: _Status | None = None
    time: tuple[Where, tzinfo | None] | None = None
    heard: bool = False

    def told(self, content: Content, captures: Captures) -> Micros | None:
        """Return the wall time that a message gives itself, if it does."""
        places = [self.time] if self.time else [(cell.source, cell.zone) for cell in self.cells]
        found = (moment_at(content, path, zone, captures) for path, zone in places if path is not None)
        return next((each for each in found if each is not None), None)


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
        self._devices: dict[str, _Device] = {}
        self._groups: dict[str, _Group] = {}
        self._router: Router[_Messages] = Router()
        self._all: list[_Messages] = []
        self._unheard = 0
        for read in devices:
            assert isinstance(read.options, MqttDevice)
            device = _Device(read.id, read.options)
            self._devices[read.id] = device
            self._add_signs(device)
            for group in read.groups:
                self._add(device, group)

    def _add_signs(self, device: _Device) -> None:
        """Add what shows a device to be there, beside its points and events."""
        options = device.options
        signs: list[State] = [each for each in (options.clock, options.sequence) if each is not None]
        for sign in (*signs, *options.alive):
            kind = self._kind(sign, device)
            if sign is options.clock:
                kind.time = where(options.clock.json_path), zone_of(options.zone) if options.zone else None
        if options.availability is not None:
            path = where(options.availability.json_path or "$text")
            self._kind(options.availability, device).status = _Status(device, options.availability, path)
            device.topic = options.availability.topic

    def _kind(self, source: State, device: _Device, group: "_Group | None" = None) -> _Messages:
        made = _Messages(device, source.topic, When(source.when), group)
        device.topic = device.topic or source.topic
        self._all.append(made)
        self._router.add(source.topic, made)
        return made

    def _add(self, device: _Device, read: ReadGroup) -> None:
        group = _Group(device, ScanMemory(read), [NOT_YET] * len(read.points))
        device.groups.append(group)
        self._groups[read.id] = group
        kinds: dict[tuple[str, str], _Messages] = {}
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
        self._fill(kinds, (None, bad(Reason.REFUSED), None))

    def allowed(self, subscription: str) -> None:
        """The broker lets us read there after all."""
        for device in self._devices.values():
            device.refused.pop(subscription, None)
        self._fill([each for each in self._all if overlap(subscription, filter_of(each.topic))], NOT_YET)

    def _fill(self, kinds: list["_Messages"], last: Last) -> None:
        for kind in kinds:
            for cell in kind.cells:
                assert kind.group is not None
                kind.group.values[cell.index] = last

    def alive(self, device_id: str, now: Micros) -> list[str]:
        """Take note that something of a device was heard; return its groups if that is news."""
        device = self._devices[device_id]
        was_silent = device.why_silent(now)
        device.sign(now)
        back = was_silent and not device.why_silent(now)
        return [group.memory.group.id for group in device.groups] if back else []

    def take(self, topic: str, payload: bytes | Content, now: Moment, *, retained: bool = False) -> list[str] | None:
        """Take a message and return the scan groups for which it changed something; None of its faults is raised.

        None: it is of no device of ours.
        """
        content = Content.of(payload)
        mine = [each for each in self._router.find(topic) if each[0].when.holds(content, each[1])]
        if not mine:
            return None
        silent = {kind.device.id: kind.device.why_silent(now.mono) for kind, _ in mine}
        self._take_signs(mine, content, now, retained=retained)
        changed: dict[str, None] = {}
        for kind, captures in mine:
            self._unheard -= not kind.heard
            kind.heard = True
            if kind.status is not None:
                self._hear(kind.status, topic, content, captures, now.mono)
            if kind.group is not None and self._apply(kind.group, kind.cells, topic, content, captures, now.mono):
                changed[kind.group.memory.group.id] = None
        for kind, _ in mine:
            if bool(silent[kind.device.id]) != bool(kind.device.why_silent(now.mono)):
                changed |= dict.fromkeys(group.memory.group.id for group in kind.device.groups)
        return list(changed)

    def _take_signs(
        self, mine: list[tuple[_Messages, Captures]], content: Content, now: Moment, *, retained: bool
    ) -> None:
        """Take note of whom a message shows to be there; one that was retained by the time that it gives itself."""
        if not retained:
            for kind, _ in mine:
                kind.device.sign(now.mono)
            return
        told: dict[str, Micros | None] = {}
        for kind, captures in mine:
            told[kind.device.id] = told.get(kind.device.id) or kind.told(content, captures)
        for kind, _ in mine:
            kind.device.remembered(now, told[kind.device.id])

    def _hear(self, status: _Status, topic: str, content: Content, captures: Captures, now: Micros) -> None:
        """Take what the availability topic says; what it does not say clearly is not online."""
        try:
            status.device.available = status.online(content, captures)
        except Unreadable as error:
            status.device.available = False
            self._rejected.note(
                topic, content.payload, error.code, str(error), now, device=status.device.id, subject="availability"
            )

    def _apply(
        self, group: _Group, cells: list[_Cell], topic: str, content: Content, captures: Captures, now: Micros
    ) -> bool:
        """Give points their values by one message; tell whether any is news."""
        news = False
        wrong: dict[str, tuple[str, str]] = {}  # what is wrong with which point, or with all of it
        for cell in cells:
            try:
                heard = cell.read(content, captures)
                if heard[1] in _WRONG:
                    wrong[cell.name] = _WRONG[heard[1]]
            except Unreadable as error:
                heard = UNREADABLE
                all_of_it = content.fault is not None and cell.path.in_json
                wrong["" if all_of_it else cell.name] = error.code, f": {error}"
            news = news or heard[:2] != group.values[cell.index][:2]
            group.values[cell.index] = heard
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
            errors = (*group.errors.values(), *device.refused.values())
            return group.memory.finish(now.mono, answered=True, errors=errors)
        device.silences += 1
        error = DeviceSilent(
            silent, endpoint=self._endpoint, device=device.id, request=f"topic {device.topic}" if device.topic else "",
            count=device.silences, last_good=device.last_good,
        )  # fmt: skip
        return group.memory.finish(now.mono, answered=False, errors=(error, *device.refused.values()))


def _cell(index: int, point: PointRead, source: PointFrom, device: _Device) -> _Cell:
    path = where(source.json_path or "$text")
    decode = decoder(source, point.type, point.members, raw_text=path.root != "json")
    zone = zone_of(device.options.zone) if device.options.zone else None
    return _Cell(index, point.name, path, decode, where(source.source) if source.source else None, zone)


def _several(want: OneOrMore) -> list[Scalar]:
    return want if isinstance(want, list) else [want]
