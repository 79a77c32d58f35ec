"""Which sequence numbers are missing, and the messages that ask for them. Pure.

Three things show that something is missing: a number that jumps, what the site's ledger still lacks once the link is
open, and a device that says it has told more than was heard. Nobody is pressed: a range is asked for once on each
connection and three times in the life of this process, and then left; it stays on record as missing.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from drivers.base import Account, DeviceRead
from drivers.mqtt.options import RANGE, EventPlace, MqttDevice, MqttEvent, RangeRequest
from drivers.mqtt.parse import Unreadable
from drivers.mqtt.paths import Content, When, Where, where
from drivers.mqtt.payload import filled
from drivers.mqtt.topics import Captures, Router, concrete
from sitekeeper.model.clock import SECOND, Micros

COUNTERS: Final = 1_000
"""Tellers whose last sequence number is kept; the oldest go first."""
MESSAGES: Final = 64
"""Most messages by which one range is asked for, where one asks for few events: the newest, then."""
WINDOW: Final = 512
"""A sequence number so far behind the last is that of a counter that began anew, not of a late message."""
TIMES: Final = 3
"""How often a range is asked for; what has not come then never will."""
GRACE: Final[Micros] = 5 * SECOND
"""How long events that a device says it has told may still be on their way."""
REMEMBERED: Final = 1_000
"""Requests that are remembered."""


class Request(msgspec.Struct, frozen=True):
    """A message to publish, asking for events that did not come; `more`: what is to be published after it."""

    topic: str
    payload: bytes
    more: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class _Asked:
    counter: str
    first: int
    last: int
    connection: int

    def covers(self, counter: str, first: int, last: int) -> bool:
        return self.counter == counter and self.first <= first and last <= self.last


@dataclass(frozen=True, slots=True)
class _Ahead:
    """A device says that it has told up to `last`, and since that monotonic time no more was heard than `have`."""

    last: int
    have: int
    since: Micros


@dataclass(slots=True)
class _Told:
    """Where a device, or a controller of several, says how much it has told."""

    when: When
    path: Where
    counters: list[str] = field(default_factory=list)


class Asking:
    """What is missing on one link, and where it can be asked for.

    Attributes:
        asked: requests made.
    """

    def __init__(self, link: str, devices: Sequence[DeviceRead]) -> None:
        self.asked = 0
        self._link = link
        self._last: dict[str, int] = {}
        self._requests: dict[str, RangeRequest] = {}
        self._of_device: dict[str, list[str]] = {}
        self._router: Router[_Told] = Router()
        self._told: dict[str, _Told] = {}
        self._ahead: dict[str, _Ahead] = {}
        self._asked: deque[_Asked] = deque(maxlen=REMEMBERED)
        self._connection = 0
        for device in devices:
            self._add(device)

    def _add(self, device: DeviceRead) -> None:
        assert isinstance(device.options, MqttDevice)
        mine: dict[str, None] = {}
        for read in device.events:
            assert isinstance(read.address, EventPlace)
            event = read.address.event
            if event.sequence is None:
                continue
            counter = self.counter(event, concrete(event.topic) or "")
            mine[counter] = None
            if event.request is not None:
                self._requests[counter] = event.request
        self._of_device[device.id] = list(mine)
        place = device.options.sequence
        if place is not None:
            key = repr(place)
            if key not in self._told:
                self._told[key] = _Told(When(place.when), where(place.json_path))
                self._router.add(place.topic, self._told[key])
            counters = self._told[key].counters
            counters += [each for each in mine if each not in counters]

    @property
    def topics(self) -> list[str]:
        """Where devices say how much they have told."""
        return self._router.filters

    def counter(self, event: MqttEvent, topic: str) -> str:
        """Return the name of the counter of an event that came on `topic`."""
        return f"{self._link}/{event.counter or topic}"

    def counters(self, device: str) -> list[str]:
        """Return the counters of a device's events."""
        return self._of_device[device]

    def opened(self) -> None:
        """The link was opened: what is still missing may be asked for once more."""
        self._connection += 1
        self._ahead.clear()

    def heard(self, counter: str, sequence: int, *, buffered: bool) -> Request | None:
        """Take note of a sequence number; return the request for those that it shows to be missing."""
        last = self._last.pop(counter, None)
        forward = last is None or sequence > last
        anew = last is not None and not buffered and (sequence <= 1 or sequence < last - WINDOW)
        self._last[counter] = sequence if last is None or forward or anew else last
        if len(self._last) > COUNTERS:
            del self._last[next(iter(self._last))]
        if anew:
            kept = [each for each in self._asked if each.counter != counter]
            self._asked = deque(kept, REMEMBERED)  # its numbers mean other events now
        return None if last is None else self._ask(counter, last + 1, sequence - 1)

    def resumed(self, accounts: Mapping[str, Account]) -> list[Request]:
        """Take what the site's ledger has; return requests for what it lacks."""
        found = []
        for counter, account in accounts.items():
            if self._request(counter) is not None:
                self._last.setdefault(counter, account.last)
                found += [self._ask(counter, first, last) for first, last in account.missing]
        return [each for each in found if each is not None]

    def take(self, topic: str, payload: bytes | Content, now: Micros) -> list[Request]:
        """Take a message that may say how much a device has told; return requests for what should have come by now."""
        found: list[Request | None] = []
        content = Content.of(payload)
        for told, captures in self._router.find(topic):
            last = _number(content, captures, told)
            if last is not None:
                found += [self._behind(counter, last, now) for counter in told.counters]
        return [each for each in found if each is not None]

    def _behind(self, counter: str, last: int, now: Micros) -> Request | None:
        ahead, have = self._ahead.pop(counter, None), self._last.get(counter)
        if have is None or last <= have:
            return None
        if ahead is None or ahead.have != have:  # as long as more comes, the rest may be on its way
            self._ahead[counter] = _Ahead(last, have, now)
            return None
        if now - ahead.since < GRACE:
            self._ahead[counter] = ahead
            return None
        return self._ask(counter, have + 1, ahead.last)

    def requests(self, counter: str) -> list[tuple[int, int]]:
        """Return the ranges that were asked for, once for each time."""
        return [(each.first, each.last) for each in self._asked if each.counter == counter]

    def _ask(self, counter: str, first: int, last: int) -> Request | None:
        """Return the request for a range; None if there is nothing to ask, no way to, or it was asked for enough."""
        request = self._request(counter)
        first = max(first, last - RANGE + 1)
        before = [each.connection for each in self._asked if each.covers(counter, first, last)]
        if request is None or first > last or self._connection in before or len(before) >= TIMES:
            return None
        self._asked.append(_Asked(counter, first, last, self._connection))
        self.asked += 1
        starts = range(max(first, last - request.most * MESSAGES + 1), last + 1, request.most)
        parts = ((start, min(start + request.most - 1, last)) for start in starts)
        bodies = [filled(request.json_body, {"$from": begin, "$to": end}) for begin, end in parts]
        payload, *more = map(msgspec.json.encode, bodies)
        return Request(request.topic, payload, tuple(more))

    def _request(self, counter: str) -> RangeRequest | None:
        return self._requests.get(counter)


def _number(content: Content, captures: Captures, told: _Told) -> int | None:
    if not told.when.holds(content, captures):
        return None
    try:
        found = content.at(told.path, captures)
    except Unreadable:
        return None
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 2**63 else None
