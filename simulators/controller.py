"""A door controller: numbers what its doors tell, keeps it, and knows what the broker has not taken yet. No I/O.

One counter for all its doors (domain brief 4.1). The store is a ring: when it is full the oldest event is overwritten,
and whoever asks for its number is told just that (reason 255), as UHPPOTE boards do.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from typing import Any, Final, Protocol

from simulators.access import POWER_ON, Entrance
from simulators.behaviour import Tell
from sitekeeper.model.clock import SECOND, Micros

CAPACITY: Final = 4_000
"""Events that the store holds."""
OVERWRITTEN: Final = 255
"""Reason told instead of an event that the ring has overwritten."""
BOOT: Final[Micros] = 3 * SECOND
"""How long a reboot keeps it from the network."""
MOST_ASKED: Final = 1_000
"""Events that one request may ask for; the rest of the range is left out."""
FIRMWARE, CARDS = "6.62", 118
ZONE: Final = timezone(timedelta(hours=8))
"""Of its own clock."""

Body = dict[str, Any]
Note = Callable[[Micros, int, int, Body], None]
"""Hears of each event when it happens: time, door, number of the counter's run, what is recorded."""


class Shown(Protocol):
    """What stands behind a controller: a door, or what tells of itself in the same way."""

    @property
    def now(self) -> Micros: ...
    @property
    def next(self) -> Micros | None: ...
    def advance(self, to: Micros) -> None: ...
    def shown(self) -> Mapping[str, object]:
        """Return its state as it is published, without its time."""


def _nobody(*_: object) -> None:
    """Listen to nothing."""


class Controller:
    """The controller. Add its doors, then `advance`.

    Args:
        serial: its own number. wall: the true wall time of a time of the story.
        note: hears of every event. tell: hears what truly happened to the controller itself.
    """

    def __init__(
        self,
        serial: int,
        *,
        wall: Callable[[Micros], Micros] = lambda at: at,
        capacity: int = CAPACITY,
        note: Note = _nobody,
        tell: Tell = _nobody,
    ) -> None:
        self.doors: dict[int, Shown] = {}
        self.last = 0
        self.runs = 1
        self.clock_error: Micros = 0
        self.off_until: Micros = 0
        self._serial, self._wall, self._capacity = serial, wall, capacity
        self._note, self._tell = note, tell
        self._kept: dict[int, tuple[Micros, Body]] = {}
        self._unsent: dict[int, None] = {}
        self._skipped: set[int] = set()
        self._fresh = 1

    def advance(self, to: Micros) -> None:
        """Let all doors live until `to`; what happens is numbered in the order in which it happens."""
        while (due := self.next) is not None and due <= to:
            for door in self.doors.values():
                door.advance(due)
        for door in self.doors.values():
            door.advance(to)

    @property
    def next(self) -> Micros | None:
        """When a door will do something by itself."""
        return min((door.next for door in self.doors.values() if door.next is not None), default=None)

    # --- what happens to it

    def happened(self, door: int, at: Micros, kind: str, more: Mapping[str, Any]) -> None:
        """Number and keep an event of a door; of door 0, its own."""
        self.last += 1
        body = {"seq": self.last, "ts": self.stamp(at), "door": door, "kind": kind, **more}
        if len(self._kept) >= self._capacity:
            self.overwrite(at, 1)
        self._kept[self.last] = at, body
        self._unsent[self.last] = None
        self._note(at, door, self.runs, body)

    def flood(self, door: int, events: int) -> None:
        """A reader goes mad: that many refused reads within one second."""
        entrance = self.doors[door]
        assert isinstance(entrance, Entrance)
        entrance.deny(events, every=SECOND // events)

    def skip(self, at: Micros, numbers: int = 1) -> None:
        """Lose sequence numbers: the counter goes on, and there is nothing behind them."""
        lost = range(self.last + 1, self.last + numbers + 1)
        self._skipped.update(lost)
        self.last += numbers
        self._tell(at, "sequence skipped", {"run": self.runs, "from": lost.start, "to": self.last})

    def overwrite(self, at: Micros, events: int) -> None:
        """Let the ring overwrite its oldest events; those that were never sent are lost."""
        gone = list(islice(self._kept, events))
        for seq in gone:
            del self._kept[seq]
            if self._unsent.pop(seq, 0) is None:
                self._tell(at, "unsent event overwritten", {"run": self.runs, "seq": seq})

    def reboot(self, at: Micros, *, restarts: bool) -> None:
        """Be off the network for `BOOT`; the counter goes on, or begins anew with an empty store."""
        if restarts:
            self.overwrite(at, len(self._kept))
            self._skipped.clear()
            self.last, self._fresh = 0, 1
            self.runs += 1
        self.off_until = at + BOOT
        self._tell(at, "rebooted", {"restarts": restarts})
        self.happened(0, at, "system", {"reason": POWER_ON})

    # --- what it says

    def connected(self) -> None:
        """From now on events are told at once; those that wait were `buffered`."""
        self._fresh = self.last + 1

    def unsent(self, most: int = 1) -> list[int]:
        """Return the numbers of the oldest events that the broker has not acknowledged."""
        return list(islice(self._unsent, most))

    def happened_at(self, seq: int) -> Micros:
        """Return when a kept event happened."""
        return self._kept[seq][0]

    def owes(self, seq: int, run: int) -> bool:
        """Tell whether an event of this run of the counter is still to be sent."""
        return run == self.runs and seq in self._unsent

    def acknowledged(self, seq: int, run: int) -> None:
        """The broker has an event of this run of the counter; it stays in the store for those who ask."""
        if run == self.runs:
            self._unsent.pop(seq, None)

    def sent(self) -> int:
        """Return the number up to which everything was sent."""
        return next(iter(self._unsent), self.last + 1) - 1

    def asked(self, first: int, last: int) -> list[int]:
        """Return the numbers of a range about which there is something to say, at most `MOST_ASKED`."""
        known = range(max(first, 1), min(last, self.last) + 1)[:MOST_ASKED]
        return [seq for seq in known if seq not in self._skipped]

    def message(self, seq: int, *, buffered: bool = False) -> Body:
        """Return an event as it is published; one that the ring has overwritten says just that, without a time."""
        head = {"v": 1, "device": self._serial}
        kept = self._kept.get(seq)
        if kept is None:
            gone = {"seq": seq, "door": 0, "kind": "system", "reason": OVERWRITTEN}
            return {**head, **gone, "buffered": True}
        return {**head, **kept[1], "buffered": buffered or seq < self._fresh}

    def status(self, at: Micros) -> Body:
        """Return its status; `last` never runs ahead of what was sent."""
        return {"online": True, "fw": FIRMWARE, "acl": CARDS, "last": self.sent(), "time": self.stamp(at)}

    def door_state(self, door: int) -> Body:
        """Return the state of a door, without its time."""
        return dict(self.doors[door].shown())

    def stamp(self, at: Micros) -> str:
        """Return a time of the story as its clock shows it."""
        return rfc3339(self._wall(at) + self.clock_error)


def rfc3339(wall: Micros) -> str:
    """Return a wall time in the controller's zone, in milliseconds."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=wall)
    return moment.astimezone(ZONE).isoformat(timespec="milliseconds")
