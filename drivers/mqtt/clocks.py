"""How far the clocks of those who tell are behind ours, from messages with their present time. Pure.

    apparent age of a message  =  how long it was on the way  +  how far its teller's clock is behind

One message cannot tell these two apart: after an absence a broker hands over what it kept, and every old message looks
like one of a slow clock. But what waited in a queue has waited less with every message, while a clock is wrong by the
same amount a while later. So an age is believed when another message says the same at least `APART` later on the same
connection, and then the smaller of the two: no way takes less than no time. A smaller age is believed at once.

A queue handed over for `APART` at just the pace at which it was filled cannot be told from a slow clock; a broker hands
over what it kept as fast as it is acknowledged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from drivers.base import DeviceRead, Heard
from drivers.mqtt.options import MqttDevice
from drivers.mqtt.payload import Unreadable, moment_at, tree
from sitekeeper.model.clock import SECOND, Micros, Moment

CLOSE: Final[Micros] = 2 * SECOND
"""Two ages that differ by no more are the same."""
APART: Final[Micros] = 8 * SECOND
"""How far apart two messages must come for their age to be believed; a status every 10 s is."""
COUNTERS: Final = 1_000
"""Tellers without a clock topic whose events are compared; the oldest go first."""


@dataclass(slots=True)
class Estimate:
    """How far one clock is behind ours.

    Attributes:
        behind: microseconds, negative if it is ahead; None as long as that is not known.
    """

    behind: Micros | None = None
    _trial: tuple[Micros, Micros] | None = None
    """An age not yet believed, and the monotonic time of its message."""

    def take(self, age: Micros, now: Micros) -> None:
        """Take the apparent age of a message that came at the monotonic time `now`."""
        if self.behind is not None and age <= self.behind + CLOSE:
            self.behind, self._trial = min(self.behind, age), None
        elif self._trial is None or abs(age - self._trial[0]) > CLOSE:
            self._trial = age, now
        elif now - self._trial[1] >= APART:
            self.behind, self._trial = min(age, self._trial[0]), None

    def interrupted(self) -> None:
        """The connection is a new one: what is known stays, what was only surmised does not."""
        self._trial = None


class Clocks:
    """The clocks of one link. Where a profile names no topic for it, the events of a counter serve themselves."""

    def __init__(self, devices: Sequence[DeviceRead]) -> None:
        self._places: dict[str, dict[str, Estimate]] = {}  # by topic and path
        self._of_device: dict[str, Estimate] = {}
        self._of_counter: dict[str, Estimate] = {}
        for device in devices:
            assert isinstance(device.options, MqttDevice)
            place = device.options.clock
            if place is not None:
                paths = self._places.setdefault(place.topic, {})
                self._of_device[device.id] = paths.setdefault(place.json_path, Estimate())

    @property
    def topics(self) -> list[str]:
        return list(self._places)

    def opened(self) -> None:
        """The link was opened: nothing is compared with what came on an earlier connection."""
        for estimate in self._all():
            estimate.interrupted()

    def take(self, topic: str, payload: bytes, now: Moment, *, retained: bool) -> None:
        """Take a message; a retained one tells no present time, and one that is not understood none at all."""
        paths = self._places.get(topic)
        if paths is None or retained:
            return
        try:
            found = tree(payload)
        except Unreadable:
            return
        for path, estimate in paths.items():
            _compare(estimate, moment_at(found, path), now)

    def stamped(self, heard: Heard, now: Moment) -> Heard:
        """Return an event that says how far the clock of its teller is behind, if that is known."""
        estimate = self._of_device.get(heard.device)
        if estimate is None and heard.device and heard.counter:
            estimate = self._of_counter.pop(heard.counter, None) or Estimate()
            self._of_counter[heard.counter] = estimate
            if len(self._of_counter) > COUNTERS:
                del self._of_counter[next(iter(self._of_counter))]
            if not heard.buffered:
                _compare(estimate, heard.source, now)
        if estimate is None or estimate.behind is None or not now.trusted:
            return heard
        return msgspec.structs.replace(heard, behind=estimate.behind)

    def behind(self, device: str, counters: Sequence[str]) -> Micros | None:
        """Return how far the clock of a device, or else of one of its counters, is behind; None if not known."""
        own = self._of_device.get(device)
        known = [own] if own else [self._of_counter[each] for each in counters if each in self._of_counter]
        return next((each.behind for each in known if each.behind is not None), None)

    def _all(self) -> list[Estimate]:
        return [*(each for paths in self._places.values() for each in paths.values()), *self._of_counter.values()]


def _compare(estimate: Estimate, told: Micros | None, now: Moment) -> None:
    """Let a time that was told count, unless ours is worth nothing itself."""
    if told is not None and now.trusted:
        estimate.take(now.wall - told, now.mono)
