"""From messages to events: whose they are, what they say, and which sequence numbers are missing. Pure.

A card or a plate becomes a pseudonym here, first of all. A retained message is an echo of something told before, so it
is no event.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Final, Literal

import msgspec

from drivers.base import DeviceRead, EventField, EventRead, Heard
from drivers.mqtt.asking import Asking, Request
from drivers.mqtt.moments import zone_of
from drivers.mqtt.options import EventPlace, FieldFrom, MqttDevice, MqttEvent
from drivers.mqtt.parse import Unreadable
from drivers.mqtt.paths import Content, When, Where, moment_at, where
from drivers.mqtt.payload import Decoder, decoder
from drivers.mqtt.rejected import Rejected
from drivers.mqtt.topics import Captures, Router, concrete, filter_of, matches, overlap
from sitekeeper.model.clock import Micros
from sitekeeper.model.event import PersonalKind, pseudonym
from sitekeeper.model.quality import is_good
from sitekeeper.model.sample import Value

_PLAIN: Final = FieldFrom.model_validate({"json": "x"})


@dataclass(slots=True)
class EventCounts:
    """What came since the start; shown to people, never used to judge.

    Attributes:
        told: events. strangers: messages of no device of ours. retained: ignored. dead: not understood. unclear:
            fields that had no meaning.
    """

    told: int = 0
    strangers: int = 0
    retained: int = 0
    dead: int = 0
    unclear: int = 0


class Told(msgspec.Struct, frozen=True):
    """What a message on an event topic comes to.

    Attributes:
        devices: those of which it is a sign of life: a topic may be one for all. rejected: it was put aside.
        source: when it was told by its own time, where it is none of our events.
    """

    devices: tuple[str, ...] = ()
    heard: tuple[Heard, ...] = ()
    request: Request | None = None
    rejected: bool = False
    source: Micros | None = None


@dataclass(slots=True)
class _Claim:
    """One event of one device, ready to be recognised."""

    device: str
    name: str
    event: MqttEvent
    when: When
    teller: When
    sequence: Where | None
    source: Where | None
    buffered: Where | None
    live: str
    zone: tzinfo | None
    names: tuple[str, ...]
    fields: "list[_Field]"

    @property
    def unmistakable(self) -> bool:
        """Whether a message is known to be this event without any of its fields."""
        return bool(self.when) or self.sequence is not None or not self.fields

    def mine(self, content: Content, captures: Captures) -> bool:
        return self.counts(content, captures) and self.when.holds(content, captures)

    def counts(self, content: Content, captures: Captures) -> bool:
        """Tell whether a message carries the counter of this event's teller."""
        return self.teller.holds(content, captures)

    def vouched_by(self, content: Content, captures: Captures) -> bool:
        """Tell whether a message shows its device to be there.

        It is of its teller; where none is named, a topic without wildcards with numbers is one teller's, else it must
        be of the device itself.
        """
        if self.teller or self.sequence is None or concrete(self.event.topic) is None:
            return (self.teller or self.when).holds(content, captures)
        try:
            return _sequence(content, captures, self.sequence) is not None
        except Unreadable:
            return False

    def late(self, topic: str, content: Content, captures: Captures) -> bool:
        """Tell whether the device itself says that it could not tell it in time."""
        if self.live and not matches(self.live, topic):
            return True
        try:
            return self.buffered is not None and content.at(self.buffered, captures) is True
        except Unreadable:
            return False


@dataclass(slots=True)
class _Field:
    name: str
    path: Where
    personal: PersonalKind | Literal[""]
    decode: Decoder


class Events:
    """All events of one link. `salt` hashes personal identifiers.

    Attributes:
        rejected: what could not be understood. asking: what is missing.
    """

    def __init__(self, link: str, devices: Sequence[DeviceRead], salt: bytes) -> None:
        self.rejected = Rejected(self.hidden)
        self.counts = EventCounts()
        self.asking = Asking(link, devices)
        self._salt = salt
        self._router: Router[_Claim] = Router()
        self._claims: list[_Claim] = []
        for device in devices:
            for read in device.events:
                claim = _claim(device, read)
                self._claims.append(claim)
                self._router.add(claim.event.topic, claim)

    @property
    def topics(self) -> list[str]:
        """What must be subscribed to."""
        return self._router.filters

    @property
    def personal(self) -> bool:
        """Whether any event has a personal identifier, so that a salt is needed."""
        return any(each.personal for claim in self._claims for each in claim.fields)

    def hears(self, topic: str) -> bool:
        """Tell whether a topic is one of events."""
        return bool(self._router.find(topic))

    def hidden(self, topic: str) -> bool:
        """Tell whether payloads of a topic may name people."""
        return any(each.personal for claim, _ in self._router.find(topic) for each in claim.fields)

    def devices_on(self, subscription: str) -> list[str]:
        """Return the devices whose events a subscription brings."""
        return [each.device for each in self._claims if overlap(subscription, filter_of(each.event.topic))]

    def take(self, topic: str, payload: bytes | Content, now: Micros, *, retained: bool) -> Told | None:
        """Take a message; None if the topic is none of events. Whatever is in it, nothing is raised."""
        claims = self._router.find(topic)
        if not claims:
            return None
        content = Content.of(payload)
        if retained:
            self.counts.retained += 1
            self.rejected.note(topic, content.payload, "retained", "an event that the broker repeats is none", now)
            return Told(rejected=True)
        devices = tuple(
            dict.fromkeys(claim.device for claim, captures in claims if claim.vouched_by(content, captures))
        )
        try:
            found = next((each for each in claims if each[0].mine(content, each[1])), None)
            if found is not None:
                return self._told(*found, topic, content, now, devices)
            return self._of_a_stranger(claims, topic, content, now, devices)
        except Unreadable as error:
            self.counts.dead += 1
            whose = {claim.device for claim, _ in claims} if not devices else set(devices)
            device = whose.pop() if len(whose) == 1 else ""
            self.rejected.note(topic, content.payload, error.code, str(error), now, device=device)
            return Told(rejected=True)

    def _told(
        self, claim: _Claim, captures: Captures, topic: str, content: Content, now: Micros, devices: tuple[str, ...]
    ) -> Told:
        """Return the event. Raises Unreadable."""
        sequence = _sequence(content, captures, claim.sequence)
        buffered = claim.late(topic, content, captures)
        counter = "" if sequence is None else self.asking.counter(claim.event, topic)
        heard = Heard(
            device=claim.device,
            name=claim.name,
            received=now,
            fields=self._fields(claim, topic, content, captures, now),
            sequence=sequence,
            counter=counter,
            source=moment_at(content, claim.source, claim.zone, captures),
            buffered=buffered,
        )
        self.counts.told += 1
        request = None if sequence is None else self.asking.heard(counter, sequence, buffered=buffered)
        return Told(devices, (heard,), request)

    def _of_a_stranger(
        self,
        claims: Sequence[tuple[_Claim, Captures]],
        topic: str,
        content: Content,
        now: Micros,
        devices: tuple[str, ...],
    ) -> Told:
        """Return the bare sequence number of an event that is of no device of ours. Raises Unreadable."""
        counted = next(
            ((each, captures) for each, captures in claims if each.sequence and each.counts(content, captures)), None
        )
        if counted is None:
            content.check()
            self.counts.strangers += 1
            times = (moment_at(content, claim.source, claim.zone, captures) for claim, captures in claims)
            return Told(devices, source=next((each for each in times if each is not None), None))
        claim, captures = counted
        sequence = _sequence(content, captures, claim.sequence)
        assert sequence is not None
        buffered, counter = claim.late(topic, content, captures), self.asking.counter(claim.event, topic)
        source = moment_at(content, claim.source, claim.zone, captures)
        heard = Heard(
            device="", name="", received=now, fields={}, sequence=sequence, counter=counter, source=source,
            buffered=buffered,
        )  # fmt: skip
        self.counts.strangers += 1
        return Told(devices, (heard,), self.asking.heard(counter, sequence, buffered=buffered))

    def _fields(self, claim: _Claim, topic: str, content: Content, captures: Captures, now: Micros) -> dict[str, Value]:
        """Return what the event says; a field that is missing, or has no meaning, is None.

        Raises Unreadable if nothing in the message shows it to be this event.
        """
        fields: dict[str, Value] = dict.fromkeys(claim.names)
        found = False
        for each in claim.fields:
            try:
                raw = content.at(each.path, captures)
            except Unreadable:
                continue
            if each.personal and isinstance(raw, int) and not isinstance(raw, bool):
                raw = str(raw)
            value, q = each.decode(raw)
            if raw is not None and not is_good(q):
                self.counts.unclear += 1
                self.rejected.note(
                    topic, content.payload, "no-meaning", "has no meaning there; the event is told without it", now,
                    device=claim.device, subject=each.name,
                )  # fmt: skip
            if each.personal and isinstance(value, str):
                value = pseudonym(self._salt, each.personal, value) if value else None
            fields[each.name] = value
            found = True
        content.check()
        if not (found or claim.unmistakable):
            raise Unreadable("none of its fields is there", "missing")
        return fields


def _claim(device: DeviceRead, read: EventRead) -> _Claim:
    place, options = read.address, device.options
    assert isinstance(place, EventPlace)
    assert isinstance(options, MqttDevice)
    event = place.event
    return _Claim(
        device=device.id,
        name=read.name,
        event=event,
        when=When(event.when),
        teller=When(event.teller),
        sequence=_where(event.sequence),
        source=_where(event.source),
        buffered=_where(event.buffered),
        live=filter_of(event.live) if event.live else "",
        zone=zone_of(options.zone) if options.zone else None,
        names=tuple(each.name for each in read.fields),
        fields=[_field(each, event.fields[each.name]) for each in read.fields if each.name in event.fields],
    )


def _where(path: str | None) -> Where | None:
    return None if path is None else where(path)


def _field(declared: EventField, source: FieldFrom) -> _Field:
    personal, path = declared.personal, where(source.json_path)
    kind = "text" if personal else declared.type
    reading = _PLAIN if personal else source
    return _Field(declared.name, path, personal, decoder(reading, kind, declared.members, raw_text=not path.in_json))


def _sequence(content: Content, captures: Captures, path: Where | None) -> int | None:
    if path is None:
        return None
    raw = content.at(path, captures)
    if isinstance(raw, bool) or not isinstance(raw, int) or not 0 <= raw < 2**63:
        raise Unreadable(f"no sequence number at {path.text}", "no-number")
    return raw
