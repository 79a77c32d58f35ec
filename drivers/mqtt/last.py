"""What is remembered of one device on a broker: whether it is there, and what was last heard of its points. Pure."""

from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Final

from drivers.base import ScanMemory
from drivers.mqtt.options import Availability, MqttDevice, OneOrMore
from drivers.mqtt.parse import Scalar, any_of
from drivers.mqtt.paths import Content, When, Where, moment_at
from drivers.mqtt.payload import Decoder
from drivers.mqtt.topics import Captures
from sitekeeper.durations import duration_text
from sitekeeper.model.clock import DAY, MINUTE, Micros, Moment
from sitekeeper.model.errors import DeviceRefused, FieldError
from sitekeeper.model.quality import Q, Reason, bad
from sitekeeper.model.sample import Value

Last = tuple[Value, Q, Micros | None]
"""Value, quality and source time."""

NOT_YET: Final[Last] = (None, bad(Reason.NOT_YET), None)
LONGEST_WAIT: Final = 400 * DAY
"""A message that is older by its own time has not waited so long: its device's clock was never set."""
REFUSED: Final[Last] = (None, bad(Reason.REFUSED), None)
UNREADABLE: Final[Last] = (None, bad(Reason.MISMATCH), None)


@dataclass(slots=True)
class Device:
    """A device: who has said what of its being there."""

    id: str
    options: MqttDevice
    groups: "list[Group]" = field(default_factory=list)
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

    def age(self, now: Moment, told: Micros | None) -> Micros | None:
        """Return how old a message is by the wall time that it gives itself; None if that is no sign of age."""
        age = None if told is None or not now.trusted else now.wall - told
        return age if age is not None and age > max(self.options.max_silence, MINUTE) else None

    def waited(self, now: Moment, told: Micros | None) -> bool:
        """Tell whether a message waited at the broker for so long that it is no sign of life."""
        age = self.age(now, told)
        return age is not None and age < LONGEST_WAIT

    def remembered(self, now: Moment, told: Micros | None) -> None:
        """Take note of a message that the broker kept; `told`: the wall time that it gives itself."""
        age = self.age(now, told)
        if age is not None:
            self.old = age
        elif self.heard is None:
            self.kept = True
            self.grace = now.mono if self.grace is None else self.grace


@dataclass(slots=True)
class Group:
    """A scan group: the last value of each of its points."""

    device: Device
    memory: ScanMemory
    values: list[Last]
    errors: dict[str, FieldError] = field(default_factory=dict)
    """By topic: what is wrong with the last message there."""
    live: int = 0
    """A bit for each point that a message said which was not retained: what the broker kept is older."""

    def keeps(self, index: int, heard: Last, *, retained: bool) -> bool:
        """Tell whether a point stays as it is: what a broker kept of several messages comes in any order."""
        if not retained:
            return False
        told, had = heard[2], self.values[index][2]
        return bool(self.live >> index & 1) or (told is not None and had is not None and told < had)


@dataclass(slots=True)
class Cell:
    """One point: which part of a message it is, and what makes its value."""

    index: int
    name: str
    path: Where
    decode: Decoder
    source: Where | None
    zone: tzinfo | None

    def read(self, content: Content, captures: Captures) -> Last:
        value, q = self.decode(content.at(self.path, captures))
        return value, q, moment_at(content, self.source, self.zone, captures)


@dataclass(slots=True)
class Status:
    """What an availability topic says of one device."""

    device: Device
    availability: Availability
    path: Where

    def online(self, content: Content, captures: Captures) -> bool:
        """Tell whether it says so clearly. Raises Unreadable."""
        want, have = self.availability.online, content.at(self.path, captures)
        if self.path.root == "text":  # a word by nature: 1 and "1" look alike, and true is `true`
            return have in {str(each).lower() if isinstance(each, bool) else str(each) for each in _several(want)}
        return any_of(want, have)


@dataclass(slots=True)
class Messages:
    """One kind of message of one device: what of it is of interest."""

    device: Device
    topic: str
    when: When
    group: "Group | None" = None
    cells: list[Cell] = field(default_factory=list)
    status: Status | None = None
    time: tuple[Where, tzinfo | None] | None = None
    heard: bool = False

    def told(self, content: Content, captures: Captures) -> Micros | None:
        """Return the wall time that a message gives itself, if it does."""
        places = [self.time] if self.time else [(cell.source, cell.zone) for cell in self.cells]
        found = (moment_at(content, path, zone, captures) for path, zone in places if path is not None)
        return next((each for each in found if each is not None), None)


def _several(want: OneOrMore) -> list[Scalar]:
    return want if isinstance(want, list) else [want]
