"""What a probe of an MQTT broker says and makes of what it hears. Pure.

The probe speaks MQTT 3.1.1 itself, clean session and QoS 0: it leaves nothing behind on the broker, and sees the very
step at which a connection fails, which a library reports as one and the same "connection lost". Of what is published it
keeps sizes and the names of members, never a value: those may be card numbers.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

REFUSALS: Final[dict[int, str]] = {
    1: "it does not speak MQTT 3.1.1",
    2: "it does not accept our client id",
    3: "it is not available at the moment",
    4: "wrong user name or password",
    5: "not authorised",
}
"""Return codes of CONNACK (MQTT 3.1.1, table 3.1)."""
CONNACK, PUBLISH, SUBACK = 2, 3, 9
"""Packet types (MQTT 3.1.1, table 2.1)."""
MOST_TOPICS: Final = 2_000
"""Topics that are kept; more are counted."""
MOST_BYTES: Final = 4 << 20
"""Of one packet; a longer one ends the probe."""
_KEPT: Final = 1 << 16
"""Bytes of a payload up to which it is looked into."""
_MOST_MEMBERS: Final = 20
_MOST_LINES: Final = 100
"""Of the draft of a profile."""


def connect(client_id: str, user: str | None, password: str | None, keepalive: int) -> bytes:
    """Return a CONNECT packet with a clean session."""
    flags = 0x02 | (0x80 if user is not None else 0) | (0x40 if password is not None else 0)
    texts = [client_id, *(each for each in (user, password) if each is not None)]
    body = _text("MQTT") + bytes([4, flags]) + keepalive.to_bytes(2) + b"".join(map(_text, texts))
    return b"\x10" + _length(len(body)) + body


def subscribe(topic: str) -> bytes:
    """Return a SUBSCRIBE packet with QoS 0."""
    body = b"\0\1" + _text(topic) + b"\0"
    return b"\x82" + _length(len(body)) + body


DISCONNECT: Final = b"\xe0\0"


def _text(value: str) -> bytes:
    data = value.encode()
    if len(data) > 0xFFFF:
        raise ValueError("a text of more than 65535 bytes")
    return len(data).to_bytes(2) + data


def _length(value: int) -> bytes:
    data = bytearray()
    while True:
        value, digit = divmod(value, 128)
        data.append(digit | (0x80 if value else 0))
        if not value:
            return bytes(data)


@dataclass(frozen=True, slots=True)
class Message:
    """A PUBLISH as it came."""

    topic: str
    payload: bytes
    retained: bool


def published(flags: int, body: bytes) -> Message | None:
    """Return the message in a PUBLISH packet; None if it cannot be read."""
    size = int.from_bytes(body[:2])
    at = 2 + size + (2 if flags & 0x06 else 0)
    if len(body) < at:
        return None
    try:
        topic = body[2 : 2 + size].decode()
    except UnicodeDecodeError:
        return None
    return Message(topic, body[at:], bool(flags & 0x01))


@dataclass(slots=True)
class Topic:
    """What was heard on one topic. `members`: names at the top of a JSON object, once each."""

    messages: int = 0
    retained: int = 0
    smallest: int = 0
    largest: int = 0
    json: bool = True
    members: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Controller:
    """A controller of doors that speaks our canon."""

    site: str
    name: str
    doors: set[int] = field(default_factory=set)
    online: bool | None = None
    events: int = 0


_CANON: Final = re.compile(r"sp/([^/]+)/access/([^/]+)/(event|status|door/([0-9]{1,4}))")


class Heard:
    """Everything that was heard, by topic; `beyond` counts messages on topics that were not kept."""

    def __init__(self) -> None:
        self.topics: dict[str, Topic] = {}
        self.controllers: dict[tuple[str, str], Controller] = {}
        self.beyond = 0

    def take(self, message: Message) -> None:
        topic = self.topics.get(message.topic)
        if topic is None:
            if len(self.topics) >= MOST_TOPICS:
                self.beyond += 1
                return
            topic = self.topics[message.topic] = Topic(smallest=len(message.payload))
        topic.messages += 1
        topic.retained += message.retained
        topic.smallest = min(topic.smallest, len(message.payload))
        topic.largest = max(topic.largest, len(message.payload))
        value = _json(message.payload)
        topic.json = topic.json and value is not _NONE
        if isinstance(value, dict):
            known = set(topic.members)
            topic.members += [mask(str(key)) for key in value if mask(str(key)) not in known][:_MOST_MEMBERS]
            del topic.members[_MOST_MEMBERS:]
        self._canon(message.topic, value)

    def _canon(self, topic: str, value: object) -> None:
        match = _CANON.fullmatch(topic)
        if match is None or not isinstance(value, dict):
            return
        site, name, what, door = match.groups()
        controller = self.controllers.setdefault((site, name), Controller(site, name))
        if what == "status":
            controller.online = value.get("online") is True
        elif what == "event":
            controller.events += 1
            door = value.get("door")
        if isinstance(door, int | str) and str(door).isdecimal() and int(door) > 0:
            controller.doors.add(int(door))


_NONE: Final = object()


def _json(payload: bytes) -> object:
    """Return the value, or `_NONE` if it is no JSON, or too long to look into."""
    if len(payload) > _KEPT:
        return _NONE
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return _NONE


_PERSONAL: Final = re.compile(r"[^/\s]+@[^/\s]+|(?=(?:[a-fA-F]*[0-9]){3})[0-9a-fA-F]{8,}")


def mask(written: str) -> str:
    """Return a topic or name in which what may be a card, a telephone or an address of a person is cut to its end.

    Names of controllers in our canon stay: they are numbers of devices, and needed to set one up. What cannot be shown,
    or would command a terminal, is a dot.
    """
    written = "".join(each if each.isprintable() else "." for each in written)
    if _CANON.fullmatch(written):
        return written
    return _PERSONAL.sub(lambda match: "…" + match[0][-2:], written)


def points_yaml(topics: Mapping[str, Topic]) -> str:
    """Return where the members of foreign messages are, as a profile would have them; empty if there are none.

    Topics that differ in one level and say the same are one device each: that level becomes a parameter of `with:`.
    """
    shapes: dict[tuple[str, ...], list[str]] = {}
    found = {name: each for name, each in topics.items() if each.members and _CANON.fullmatch(name) is None}
    for name, topic in found.items():
        shapes.setdefault((str(name.count("/")), *topic.members), []).append(name)
    lines: list[str] = []
    for (_, *members), names in sorted(shapes.items(), key=lambda each: each[1]):
        shown = mask(_shared(names)).replace('"', "")
        states = all(topics[name].retained for name in names)
        lines += ["", f"# {len(names)} x, {'retained: a state' if states else 'not retained: a state or an event'}"]
        lines += [f'# {{topic: "{shown}", json: {json.dumps(_quoted(member))}}}' for member in members]
        if len(lines) > _MOST_LINES:
            break
    return "\n".join(["points:  # under the names of the class", *lines[1:], ""]) if lines else ""


def _shared(names: list[str]) -> str:
    """Return the topic, or the pattern of several that differ in one level only; else the first."""
    levels = list(zip(*(name.split("/") for name in names), strict=True))
    different = [at for at, words in enumerate(levels) if len(set(words)) > 1]
    parts = names[0].split("/")
    if len(different) == 1:
        parts[different[0]] = "+{serial}"
    return "/".join(parts)


def _quoted(member: str) -> str:
    """Return a member's name as a path has it."""
    return member if re.fullmatch(r"[A-Za-z0-9_-]+", member) else json.dumps(member, ensure_ascii=False)


def site_yaml(link: Mapping[str, object], controllers: Iterable[Controller]) -> str:
    """Return the link and one device for each door; empty if no controller has shown a door."""
    several = [each for each in sorted(controllers, key=lambda one: (one.site, one.name)) if each.doors]
    rows = [
        f"  - {{id: {_door_id(each, door, alone=len(several) == 1)}, profile: mqtt-door, link: access, "
        f"with: {{site: {json.dumps(each.site)}, controller: {json.dumps(each.name)}, door: {door}}}}}"
        for each in several
        for door in sorted(each.doors)
    ]
    if not rows:
        return ""
    keys = json.dumps(dict(link), ensure_ascii=False)
    return "\n".join(["links:", f"  access: {keys}", "devices:", *rows, ""])


def _door_id(controller: Controller, door: int, *, alone: bool) -> str:
    if alone:
        return f"door-{door}"
    word = re.sub(r"[^a-z0-9]+", "-", f"{controller.site}-{controller.name}".lower()).strip("-")[:40].strip("-")
    return f"door-{word}-{door}"
