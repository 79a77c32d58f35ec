"""A device on a broker in a dump: its messages, and what is masked of them.

Of a message only that passes which a point that may be shown reads, and what must stand in it for it to be read at all:
what its profile names. All else is not there, for a message may hold anything: the last card, a name, an address. Of a
topic a level passes that the profile names; of one with a wildcard a person may be the name.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

from drivers.base import PointRead
from drivers.captured import Message, Messages
from drivers.mqtt.moments import zone_of
from drivers.mqtt.options import MqttDevice, Place, PointFrom, State
from drivers.mqtt.parse import Unreadable, same
from drivers.mqtt.paths import Content, Having, Index, Name, When, Where, moment_at, where
from drivers.mqtt.payload import decoder
from drivers.mqtt.states import States
from drivers.mqtt.topics import Captures, Router
from edge.dump.taken import Read, Taken
from edge.settings.values import Device
from sitekeeper.model.clock import SECOND, Moment
from sitekeeper.model.quality import Reason, bad, is_good
from sitekeeper.model.sample import Sample

_MASKED: Final = "masked"
_NOW: Final = Moment(mono=SECOND, wall=0, trusted=False)
_LONGEST: Final = 200
"""Characters of a raw value that are shown."""

Steps = tuple[str | int, ...]
"""Names of members and numbers of elements, from the top of a JSON value to one place in it."""


def taken(device: Device, points: Sequence[PointRead], said: Messages, hidden: frozenset[str] | None) -> Taken:
    """Return what of a device goes into the file; `hidden`: the points that are masked, None if nothing is."""
    heard = list(said.heard) if hidden is None else list(_passing(device, points, said.heard, hidden))
    states = States([device.read], "", hidden=lambda _: True)
    for message in heard:
        states.take(message.topic, message.payload, _NOW, queued=False)
    found: dict[str, tuple[Any, int]] = {}
    for group in device.read.groups:
        for outcome in states.scan(group.id, _NOW).outcomes:
            found[group.points[outcome.index].name] = outcome.value, outcome.q
    samples: list[Read] = [(p, _sample(p, *found.get(p.name, (None, bad(Reason.NOT_YET))))) for p in points]
    missing = sorted(p.name for p in points if not any(True for _ in _places(p, said.heard)))
    return Taken({"states": [[each.topic, _body(each.payload)] for each in heard]}, samples, missing)


def raw(point: PointRead, said: Messages) -> list[str]:
    """Return what the last message that tells one point has there; nothing if none was heard."""
    found: list[str] = []
    for content, captures, source in _places(point, said.heard):
        try:
            there = content.at(where(source.json_path or "$text"), captures)
        except Unreadable:
            continue
        if not isinstance(there, dict | list):
            found = [json.dumps(there, ensure_ascii=False)[:_LONGEST]]
    return found


def _sample(point: PointRead, value: Any, q: int) -> Sample | None:
    return None if q == bad(Reason.NOT_YET) else Sample(point.handle, SECOND, value, q)


def _sources(point: PointRead) -> tuple[PointFrom, ...]:
    assert isinstance(point.address, Place)
    return point.address.point, *point.address.point.also


def _places(point: PointRead, heard: Iterable[Message]) -> Iterator[tuple[Content, Captures, PointFrom]]:
    """Yield the messages that tell a point, with what the point takes from them."""
    routed: Router[PointFrom] = Router()
    for source in _sources(point):
        routed.add(source.topic, source)
    for message in heard:
        content = Content(message.payload)
        for source, captures in routed.find(message.topic):
            if When(source.when).holds(content, captures):
                yield content, captures, source


def _body(payload: bytes) -> Any:
    """Return a message as the file has it: what is an object or a list as that, all else as its text."""
    with suppress(ValueError, RecursionError):
        found = json.loads(payload.decode())
        if isinstance(found, dict | list):
            return found
    return payload.decode(errors="replace")


# --- what passes


def _passing(
    device: Device, points: Sequence[PointRead], heard: Iterable[Message], hidden: frozenset[str]
) -> Iterator[Message]:
    for message in heard:
        kept = _Kept(device, Content(message.payload))
        for point in points:
            for source in _sources(point):
                kept.point(message.topic, point, source, shown=point.name not in hidden)
        kept.signs(message.topic)
        if kept.pattern is not None:
            yield Message(kept.topic(message.topic), kept.payload(), message.retained)


class _Kept:
    """What of one message passes. `pattern`: the topic as the profile has it; None if it has none."""

    def __init__(self, device: Device, content: Content) -> None:
        assert isinstance(device.read.options, MqttDevice)
        self._options, self._content = device.read.options, content
        self._places: dict[Steps, object] = {}
        self._text: str | None = None
        self._levels: set[str] = set()
        self.pattern: str | None = None

    def point(self, topic: str, point: PointRead, source: PointFrom, *, shown: bool) -> None:
        captures = self._claims(topic, source)
        if captures is None or not shown:
            return
        path = where(source.json_path or "$text")
        decode = decoder(source, point.type, point.members, raw_text=path.root != "json")
        with suppress(Unreadable):
            there = self._content.at(path, captures)
            if not isinstance(there, dict | list) and is_good(decode(there)[1]):
                self._keep(path, there)
        if source.source is not None:
            self._moment(where(source.source))

    def signs(self, topic: str) -> None:
        """Keep whether it is there, and its clock."""
        told, clock = self._options.availability, self._options.clock
        if clock is not None and self._claims(topic, clock) is not None:
            self._moment(where(clock.json_path))
        captures = None if told is None else self._claims(topic, told)
        if told is not None and captures is not None:
            wanted = told.online if isinstance(told.online, list) else [told.online]
            path = where(told.json_path or "$text")
            with suppress(Unreadable):
                there = self._content.at(path, captures)
                words = {str(each).lower() if isinstance(each, bool) else str(each) for each in wanted}
                if isinstance(there, bool) or str(there) in words:
                    self._keep(path, there)

    def _claims(self, topic: str, source: State) -> Captures | None:
        routed: Router[State] = Router()
        routed.add(source.topic, source)
        for _, captures in routed.find(topic):
            if When(source.when).holds(self._content, captures):
                self.pattern = self.pattern or source.topic
                for written in source.when:  # it has what the profile wants there
                    with suppress(Unreadable):
                        self._keep(where(written), self._content.at(where(written), captures))
                return captures
        return None

    def _moment(self, path: Where) -> None:
        zone = self._options.zone
        if path.in_json and moment_at(self._content, path, zone_of(zone) if zone else None) is not None:
            self._keep(path, self._content.at(path))

    def _keep(self, path: Where, there: object) -> None:
        if path.root == "text":
            self._text = str(there)
        elif path.root == "topic":
            self._levels.add(f"+{path.level}")
        else:
            self._places |= dict(_concrete(self._content.tree(), path))

    def topic(self, topic: str) -> str:
        """Return the topic; what stands there for a wildcard is masked, unless a point that may be shown is that."""
        levels, written = topic.split("/"), (self.pattern or "").split("/")
        return "/".join(
            level if at < len(written) and written[at] in {level, f"+={level}", *self._levels} else _MASKED
            for at, level in enumerate(levels)
        )

    def payload(self) -> bytes:
        if self._text is not None:
            return self._text.encode()
        top = self._tree()
        if isinstance(top, dict | list) or self._places:
            return json.dumps(_pruned(top, (), self._places), ensure_ascii=False).encode()
        return b""

    def _tree(self) -> object:
        try:
            return self._content.tree()
        except Unreadable:
            return None


def _concrete(found: object, path: Where) -> Iterator[tuple[Steps, object]]:
    """Yield where exactly a path leads to, and the member by which an element of a list is found."""
    steps: Steps = ()
    for step in path.steps:
        if isinstance(found, list):
            match step:
                case Having(name, value):
                    at = next(
                        n for n, each in enumerate(found) if isinstance(each, dict) and same(value, each.get(name))
                    )
                    yield (*steps, at, name), found[at][name]
                case Index(number):
                    at = number % len(found)
                case Name(name):
                    at = int(name) % len(found)
            steps, found = (*steps, at), found[at]
        elif isinstance(found, dict) and isinstance(step, Name):
            steps, found = (*steps, step.name), found[step.name]
        else:
            return
    yield steps, found


def _pruned(found: object, at: Steps, kept: dict[Steps, object]) -> object:
    """Return a JSON value with nothing in it but what is kept; of a list every element has its place."""
    if at in kept:
        return kept[at]
    inside = {steps[len(at)] for steps in kept if steps[: len(at)] == at and len(steps) > len(at)}
    if isinstance(found, dict):
        return {name: _pruned(each, (*at, name), kept) for name, each in found.items() if name in inside}
    if isinstance(found, list):
        return [_pruned(each, (*at, n), kept) if n in inside else None for n, each in enumerate(found)]
    return None
