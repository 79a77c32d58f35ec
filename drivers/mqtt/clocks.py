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
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Final

import msgspec

from drivers.base import DeviceRead, Heard
from drivers.mqtt.moments import zone_of
from drivers.mqtt.options import MqttDevice
from drivers.mqtt.paths import Content, When, Where, moment_at, where
from drivers.mqtt.topics import Router
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


@dataclass(slots=True)
class _Place:
    """Where one device, or one controller of several, tells its time."""

    when: When
    path: Where
    zone: tzinfo | None
    estimate: Estimate = field(default_factory=Estimate)


class Clocks:
    """The clocks of one link. Where a profile names no topic for it, the events of a counter serve themselves."""

    def __init__(self, devices: Sequence[DeviceRead]) -> None:
        self._router: Router[_Place] = Router()
        self._places: dict[str, _Place] = {}
        self._of_device: dict[str, Estimate] = {}
        self._of_counter: dict[str, Estimate] = {}
        for device in devices:
            assert isinstance(device.options, MqttDevice)
            told = device.options.clock
            if told is None:
                continue
            zone = zone_of(device.options.zone) if device.options.zone else None
            key = repr((told.topic, told.json_path, told.when, device.options.zone))
            if key not in self._places:  # doors of one controller share its clock
                self._places[key] = _Place(When(told.when), where(told.json_path), zone)
                self._router.add(told.topic, self._places[key])
            self._of_device[device.id] = self._places[key].estimate

    @property
    def topics(self) -> list[str]:
        return self._router.filters

    def opened(self) -> None:
        """The link was opened: nothing is compared with what came on an earlier connection."""
        for estimate in self._all():
            estimate.interrupted()

    def take(self, topic: str, payload: bytes | Content, now: Moment, *, retained: bool) -> None:
        """Take a message; a retained one tells no present time, and one that is not understood none at all."""
        found = () if retained else self._router.find(topic)
        content = Content.of(payload)
        for place, captures in found:
            if place.when.holds(content, captures):
                _compare(place.estimate, moment_at(content, place.path, place.zone, captures), now)

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
        return [*(place.estimate for place in self._places.values()), *self._of_counter.values()]


def _compare(estimate: Estimate, told: Micros | None, now: Moment) -> None:
    """Let a time that was told count, unless ours is worth nothing itself."""
    if told is not None and now.trusted:
        estimate.take(now.wall - told, now.mono)
