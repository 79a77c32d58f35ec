"""From messages to events: whose they are, what they say, and which sequence numbers are missing. Pure.

A card or a plate becomes a pseudonym here, first of all; what is kept of a message that could not be understood shows
its shape only. A retained message is an echo of something told before, so it is no event.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal

import msgspec

from drivers.base import DeviceRead, EventField, EventRead, Heard
from drivers.mqtt.asking import Asking, Request, matches
from drivers.mqtt.options import EventPlace, FieldFrom, MqttEvent
from drivers.mqtt.payload import (
    FIRST,
    Decoder,
    Unreadable,
    decoder,
    masked,
    moment_at,
    pick,
    same,
    tree,
)
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.event import PersonalKind, pseudonym
from sitekeeper.model.quality import is_good
from sitekeeper.model.sample import Value

DEAD_LETTERS: Final = 100
"""Messages kept that could not be understood; the oldest go first."""
SHOWN: Final = 5
"""Kinds of them that people are shown."""

_PLAIN: Final = FieldFrom.model_validate({"json": "x"})


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that could not be understood, and why. `first` are its first bytes, or their shape."""

    topic: str
    received: Micros
    why: str
    first: bytes


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
    """What a message on an event topic comes to. `devices`: those of which it is a sign of life."""

    devices: tuple[str, ...] = ()
    heard: tuple[Heard, ...] = ()
    request: Request | None = None


@dataclass(slots=True)
class _Claim:
    """One event of one device, ready to be recognised."""

    device: str
    name: str
    event: MqttEvent
    names: tuple[str, ...]
    fields: "list[_Field]"

    def mine(self, found: object) -> bool:
        try:
            return all(same(want, pick(found, path)) for path, want in self.event.when.items())
        except Unreadable:
            return False


@dataclass(slots=True)
class _Field:
    name: str
    path: str
    personal: PersonalKind | Literal[""]
    decode: Decoder


class Events:
    """All events of one link. `salt` hashes personal identifiers.

    Attributes:
        dead_letters: what could not be understood, oldest first. asking: what is missing.
    """

    def __init__(self, link: str, devices: Sequence[DeviceRead], salt: bytes) -> None:
        self.dead_letters: deque[DeadLetter] = deque(maxlen=DEAD_LETTERS)
        self.counts = EventCounts()
        self.asking = Asking(link, devices)
        self._salt = salt
        self._claims: dict[str, list[_Claim]] = {}
        for device in devices:
            for read in device.events:
                claim = _claim(device.id, read)
                self._claims.setdefault(claim.event.topic, []).append(claim)
        self._wild = [pattern for pattern in self._claims if "+" in pattern]

    @property
    def topics(self) -> list[str]:
        return list(self._claims)

    @property
    def personal(self) -> bool:
        """Whether any event has a personal identifier, so that a salt is needed."""
        return any(each.personal for claims in self._claims.values() for claim in claims for each in claim.fields)

    def hears(self, topic: str) -> bool:
        """Tell whether a topic, which may be a pattern, is one of events."""
        return bool(self._on(topic))

    def hidden(self, topic: str) -> bool:
        """Tell whether payloads of a topic may name people."""
        return any(each.personal for claim in self._on(topic) for each in claim.fields)

    def _on(self, topic: str) -> list[_Claim]:
        found = list(self._claims.get(topic, ()))
        for pattern in self._wild:
            if pattern != topic and matches(pattern, topic):
                found += self._claims[pattern]
        return found

    def take(self, topic: str, payload: bytes, now: Micros, *, retained: bool) -> Told | None:
        """Take a message; None if the topic is none of events. Whatever is in it, nothing is raised."""
        claims = self._on(topic)
        if not claims:
            return None
        if retained:
            self.counts.retained += 1
            return Told()
        devices = tuple(dict.fromkeys(claim.device for claim in claims))
        try:
            found = tree(payload)
            claim = next((each for each in claims if each.mine(found)), None)
            told = self._told(claim, claims, topic, found, now)
        except Unreadable as error:
            self._bury(topic, payload, str(error), now, hide=self.hidden(topic))
            return Told(devices)
        if claim is None:
            self.counts.strangers += 1
        return msgspec.structs.replace(told, devices=devices)

    def _told(self, claim: _Claim | None, claims: list[_Claim], topic: str, found: object, now: Micros) -> Told:
        """Return the event, or the bare sequence number of one that is not ours. Raises Unreadable."""
        event = (claim or next((each for each in claims if each.event.sequence), claims[0])).event
        sequence = _sequence(found, event.sequence)
        if claim is None and sequence is None:
            return Told()
        buffered = event.buffered is not None and _truth(found, event.buffered)
        counter = "" if sequence is None else self.asking.counter(event, topic)
        heard = Heard(
            device=claim.device if claim else "",
            name=claim.name if claim else "",
            received=now,
            fields=self._fields(claim, found) if claim else {},
            sequence=sequence,
            counter=counter,
            source=moment_at(found, event.source),
            buffered=buffered,
        )
        self.counts.told += claim is not None
        request = None if sequence is None else self.asking.heard(counter, sequence, buffered=buffered)
        return Told(heard=(heard,), request=request)

    def _fields(self, claim: _Claim, found: object) -> dict[str, Value]:
        """Return what the event says; a field that is missing, or has no meaning, is None."""
        fields: dict[str, Value] = dict.fromkeys(claim.names)
        for each in claim.fields:
            try:
                raw = pick(found, each.path)
            except Unreadable:
                continue
            if each.personal and isinstance(raw, int) and not isinstance(raw, bool):
                raw = str(raw)
            value, q = each.decode(raw)
            if raw is not None and not is_good(q):
                self.counts.unclear += 1
            if each.personal and isinstance(value, str):
                value = pseudonym(self._salt, each.personal, value) if value else None
            fields[each.name] = value
        return fields

    def buried(self, now: Micros) -> list[dict[str, object]]:
        """Return the last kinds of messages that could not be understood, newest first, without their content."""
        kinds: dict[tuple[str, str], list[Micros]] = {}
        for letter in reversed(self.dead_letters):
            kinds.setdefault((letter.topic, letter.why), []).append(letter.received)
        return [
            {"topic": topic, "why": why, "times": len(when), "s_ago": (now - when[0]) // SECOND}
            for (topic, why), when in islice(kinds.items(), SHOWN)
        ]

    def _bury(self, topic: str, payload: bytes, why: str, now: Micros, *, hide: bool) -> None:
        self.counts.dead += 1
        self.dead_letters.append(DeadLetter(topic, now, why, masked(payload) if hide else payload[:FIRST]))


def _claim(device: str, read: EventRead) -> _Claim:
    place = read.address
    assert isinstance(place, EventPlace)
    fields = [_field(each, place.event.fields[each.name]) for each in read.fields if each.name in place.event.fields]
    return _Claim(device, read.name, place.event, tuple(each.name for each in read.fields), fields)


def _field(declared: EventField, source: FieldFrom) -> _Field:
    personal = declared.personal
    decode = decoder(_PLAIN if personal else source, "text" if personal else declared.type, declared.members)
    return _Field(declared.name, source.json_path, personal, decode)


def _sequence(found: object, path: str | None) -> int | None:
    if path is None:
        return None
    raw = pick(found, path)
    if isinstance(raw, bool) or not isinstance(raw, int) or not 0 <= raw < 2**63:
        raise Unreadable(f"no sequence number at {path}")
    return raw


def _truth(found: object, path: str) -> bool:
    try:
        return pick(found, path) is True
    except Unreadable:
        return False
