"""What every driver is, whatever its protocol: what it is asked to read, what it gives back, and how it fails.

A driver owns one link and the devices on it. It never retries, never reconnects and never reports by silence:
`Driver.read` gives one outcome for every point, and raises only when the whole link failed. When to read, when to
back off and when to open again is the poller's business. What a device sends unasked comes through `Listener.listen`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import msgspec

from sitekeeper.model.clock import Clock, Micros
from sitekeeper.model.errors import FieldError
from sitekeeper.model.event import PersonalKind
from sitekeeper.model.point import PointType
from sitekeeper.model.quality import Q
from sitekeeper.model.sample import Value

if TYPE_CHECKING:
    from concurrent.futures import Future

    from pydantic import BaseModel

    from drivers.broker import Brokers
    from drivers.memory import Memory


class Outcome(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What came of reading one point.

    Attributes:
        index: the point's position in `ReadGroup.points`.
        received: monotonic time of the answer that carried it, or at which the failure was known.
        value: in the point's unit; None goes with bad quality only.
        q: packed quality byte.
        source: wall time given by the device itself, if it gives one.
    """

    index: int
    received: Micros
    value: Value
    q: Q
    source: Micros | None = None


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """One reading of one scan group. The outcomes hold good whether or not the whole group answered.

    Attributes:
        group: id of the scan group. device: id of its device.
        asked: monotonic time at which the first request was sent.
        received: monotonic time of the last answer; without any, of the moment at which silence was certain.
        outcomes: every point whose value or quality differs from the previous scan of this group, in order of
            index. A point that is not listed is as it was then, and that is confirmed by this scan.
        complete: every point is listed: the first scan after `open`, and the one after any scan not answered.
        answered: every request got a reply that belongs to it. An exception reply counts, unless it says that the
            device behind a gateway did not answer (Modbus codes 10 and 11).
        errors: what went wrong, one for each request that failed; empty in the usual case.
        told: the device said it unasked, between two readings: of points that are not listed it confirms nothing.
    """

    group: str
    device: str
    asked: Micros
    received: Micros
    outcomes: list[Outcome]
    complete: bool
    answered: bool
    errors: tuple[FieldError, ...] = ()
    told: bool = False


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a device told once: a card read, a plate read. Never coalesced.

    Attributes:
        device: its device; empty for one that no device of this site claims, told for its sequence only.
        name: the event's name in its class, for example `read.event`.
        received: monotonic time of receipt.
        fields: as the class declares them; personal identifiers are pseudonyms already.
        sequence: the teller's own counter; None if it has none. source: wall time given by the device, if any.
        counter: whose counter that is, unique on the site: doors of one controller share one.
        buffered: the device itself says that it could not tell it in time.
        behind: how far the clock that gave `source` is behind ours, negative if ahead; None if that is not known.
    """

    device: str
    name: str
    received: Micros
    fields: dict[str, Value]
    sequence: int | None = None
    counter: str = ""
    source: Micros | None = None
    buffered: bool = False
    behind: Micros | None = None


class Account(msgspec.Struct, frozen=True):
    """What the site has of one counter: the highest number, and the ranges below it that never came, in order."""

    last: int
    missing: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EventField:
    """One field of an event: its type by the class, and what kind of personal identifier it is (empty: none)."""

    name: str
    type: PointType
    members: tuple[str, ...] = ()
    personal: "PersonalKind | Literal['']" = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRead:
    """One event to listen for. `address` is what `DriverKind.bind_event` returned for it."""

    name: str
    fields: tuple[EventField, ...]
    address: object


@dataclass(frozen=True, slots=True, kw_only=True)
class PointRead:
    """One point to read.

    Attributes:
        handle: its place in the catalogue. name: its name within the device.
        type, unit, members: as its class says; `members` are the words of an enumeration.
        address: what `DriverKind.bind` returned for it.
    """

    handle: int
    name: str
    type: PointType
    address: object
    unit: str = ""
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadGroup:
    """Points of one device that are read together every `period`; outcomes refer to `points` by index."""

    id: str
    device: str
    period: Micros
    points: tuple[PointRead, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRead:
    """One device on the link. `options` is an instance of the kind's `device_model`."""

    id: str
    options: "BaseModel"
    groups: tuple[ReadGroup, ...]
    events: tuple[EventRead, ...] = ()


class ScanMemory:
    """What was last said about each point of one group, so that a scan repeats nothing. One place for all drivers.

    Between `begin` and `finish`, `note` every point that was read or that failed; while `complete` is true, all of
    them. A scan that was begun and never finished (cancelled, link lost) makes the next one complete.
    """

    def __init__(self, group: ReadGroup) -> None:
        self.group = group
        self._last: list[tuple[Value, Q] | None] = []
        self._outcomes: list[Outcome] = []
        self._asked: Micros | None = None
        self.forget()

    def forget(self) -> None:
        """Make the next scan a complete one."""
        self.complete, self._asked = True, None
        self._last = [None] * len(self.group.points)

    def begin(self, asked: Micros) -> None:
        if self._asked is not None:
            self.forget()
        self._asked = asked
        self._outcomes = []

    def note(self, index: int, value: Value, q: Q, received: Micros, source: Micros | None = None) -> None:
        """Say what came of point `index`; it is listed if that is news."""
        said = (value, q)
        if self._last[index] != said:
            self._last[index] = said
            self._outcomes.append(Outcome(index, received, value, q, source))

    def correct(self, index: int, value: Value, q: Q, received: Micros) -> None:
        """As `note`, in place of what this scan has listed of the point before."""
        if self._last[index] != (value, q):
            self._outcomes = [outcome for outcome in self._outcomes if outcome.index != index]
            self.note(index, value, q, received)

    def tell(self, said: Sequence[tuple[int, Value, Q]], received: Micros) -> Scan | None:
        """Return what a device said unasked, as a scan; None if it is no news, or the next scan says it all."""
        news = [Outcome(index, received, value, q) for index, value, q in said if self._last[index] != (value, q)]
        if self.complete or not news:
            return None
        for outcome in news:
            self._last[outcome.index] = (outcome.value, outcome.q)
        listed = {outcome.index for outcome in news}
        self._outcomes = [outcome for outcome in self._outcomes if outcome.index not in listed]
        return Scan(group=self.group.id, device=self.group.device, asked=received, received=received,
                    outcomes=news, complete=False, answered=True, told=True)  # fmt: skip

    def finish(self, received: Micros, *, answered: bool, errors: Sequence[FieldError] = ()) -> Scan:
        """Return the scan; after one that was not answered the next is complete."""
        self._outcomes.sort(key=lambda outcome: outcome.index)
        asked = received if self._asked is None else self._asked
        scan = Scan(group=self.group.id, device=self.group.device, asked=asked, received=received, answered=answered,
                    outcomes=self._outcomes, complete=self.complete, errors=tuple(errors))  # fmt: skip
        self.complete, self._asked = False, None
        if not answered:
            self.forget()
        return scan


class Driver(Protocol):
    """One link, open or not, and the devices on it. Calls from several tasks are served one after the other."""

    async def open(self) -> None:
        """Open the link; every group's next scan is complete.

        Raises:
            LinkDown: it could not be opened; says why.
        """

    async def read(self, group_id: str) -> Scan:
        """Read one scan group.

        Raises:
            LinkDown: the whole link failed, or is not open. Nothing on it can be read until `open` succeeds.
            NotFound: this link has no such group.
        """

    async def write(self, device: str, point: str, value: Value, priority: int) -> None:
        """Write one point, once, and return when the device has accepted it. Whether it obeys is read back elsewhere.

        Args:
            value: in the point's unit; None gives the command at `priority` up (BACnet; others refuse it).
            priority: 1 to 16, as in BACnet; protocols without priorities ignore it.

        Raises:
            LinkDown: the link is not open, or failed.
            DeviceSilent: no answer; whether it was carried out is unknown.
            DeviceRefused: the device said no. ReplyMismatch: what it confirmed is not what was written.
            NotFound: no such point, or one that this profile cannot write.
            ValueError: the point cannot hold this value.
        """

    async def close(self) -> None:
        """Close the link; a second time does nothing."""


class Sink(Protocol):
    """Where readings and events go: the pipeline."""

    def scanned(self, scan: Scan) -> None:
        """Take one reading."""

    def heard(self, heard: Sequence[Heard]) -> "Future[None]":
        """Take events; the future is resolved when they are durable, and only then may they be acknowledged.

        It fails with StorageError if they are not.
        """


@runtime_checkable
class Listener(Protocol):
    """A driver whose devices also speak unasked has this beside `Driver`; the poller runs it while the link is open."""

    async def listen(self, sink: Sink) -> None:
        """Give `sink` whatever comes, until cancelled.

        Raises:
            LinkDown: the link failed.
        """


@runtime_checkable
class Asker(Protocol):
    """A driver whose devices can be asked for events that did not come has this beside `Listener`."""

    def ask(self, accounts: Mapping[str, Account]) -> None:
        """Ask, without waiting, for what the ledger lacks (by `Heard.counter`, also of other links), after `open`."""


@runtime_checkable
class Reporter(Protocol):
    """A driver that knows more of a device than its points say has this too. It is for people, never for rules."""

    def report(self, device: str) -> Mapping[str, object]:
        """Return facts by name: plain values, or lists of such mappings; nothing that names a person.

        `counters`, where there is one, lists the counters of the device's events, for whoever keeps the ledger.
        """


class DriverKind(Protocol):
    """One protocol over one kind of link: what people may write for it, and how a driver is made from that.

    Attributes:
        name: the word after `driver:` of a link, for example `modbus-tcp`.
        family: kinds of one family read the same profiles.
        link_model, device_model, point_model: pydantic models of the keys that this kind adds to a link, to a device
            and to a profile's point; unknown keys are refused by them.
        marker_keys: keys of a profile's point that show it to be of this family.
    """

    @property
    def name(self) -> str: ...
    @property
    def family(self) -> str: ...
    @property
    def link_model(self) -> "type[BaseModel]": ...
    @property
    def device_model(self) -> "type[BaseModel]": ...
    @property
    def point_model(self) -> "type[BaseModel]": ...
    @property
    def marker_keys(self) -> frozenset[str]: ...

    def bind_device(self, options: "BaseModel", parameters: Mapping[str, int | str]) -> "BaseModel":
        """Return `DeviceRead.options` for one device: its keys with what they need of the device's `with:`.

        Args:
            options: an instance of `device_model`.

        Raises:
            ValueError: as `bind`; the message begins with the key.
        """

    def bind(
        self,
        point: "BaseModel",
        *,
        point_type: PointType,
        members: tuple[str, ...],
        parameters: Mapping[str, int | str],
    ) -> object:
        """Return `PointRead.address` for a profile's point on one device: expressions resolved, everything checked.

        Args:
            point: an instance of `point_model`.
            point_type: the point's type by its class. members: the words of its enumeration.
            parameters: the device's `with:`.

        Raises:
            ValueError: it cannot be read so; the message says what is wrong and what was expected.
        """

    def writable(self, address: object) -> bool:
        """Tell whether a point with this address can be written."""

    @property
    def event_model(self) -> "type[BaseModel] | None":
        """The pydantic model of the keys that this kind adds to a profile's event; None: it has no events."""

    def bind_event(
        self, event: "BaseModel", *, fields: tuple[EventField, ...], parameters: Mapping[str, int | str]
    ) -> object:
        """Return `EventRead.address` for a profile's event on one device.

        Args:
            event: an instance of `event_model`. fields: as the class declares them.

        Raises:
            ValueError: as `bind`.
        """

    def create(
        self, link_id: str, options: "BaseModel", devices: Sequence[DeviceRead], clock: Clock, services: "Services"
    ) -> Driver:
        """Return a driver, not yet open. `options` is an instance of `link_model`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the gateway lends to drivers.

    Attributes:
        brokers: makes connections to MQTT brokers; None where there are none, as in a probe of another protocol.
        salt: hashes personal identifiers (`sitekeeper.model.event.pseudonym`), at least 16 bytes.
        memory: keeps what drivers learn of devices; None: they begin anew with each start.
    """

    brokers: "Brokers | None" = None
    salt: bytes = field(default=b"", repr=False)
    memory: "Memory | None" = None
