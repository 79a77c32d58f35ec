"""A door with a lock, a contact and people: a behaviour on a clock that is moved from outside. No I/O."""

import random
from collections.abc import Callable
from typing import Final, Literal

from simulators.agenda import Agenda
from simulators.lift import Tell
from sitekeeper.model.clock import MS, SECOND, Micros

PULSE: Final[Micros] = 5 * SECOND
"""How long a grant unlocks."""
REACH: Final[Micros] = 800 * MS
"""From the grant to the hand on the door."""
PASSAGE: Final[Micros] = 3 * SECOND
"""How long a person keeps it open."""
HELD_LIMIT: Final[Micros] = 30 * SECOND
"""Open for longer than this after a grant is too long."""

DoorAlarm = Literal["normal", "too_long", "forced"]


class Entrance:
    """The door. Read its properties after `advance`."""

    def __init__(
        self, *, seed: int | str, traffic: Micros | None = None, tell: Tell = lambda _at, _fact, _more: None
    ) -> None:
        self.open = False
        self.locked = True
        self.alarm: DoorAlarm = "normal"
        self.free = False
        self._agenda = Agenda()
        self._random = random.Random(seed)  # noqa: S311 - a reproducible story, not a secret
        self._tell = tell
        self._traffic = traffic
        if traffic is not None:
            self._next_person()

    @property
    def now(self) -> Micros:
        return self._agenda.now

    def advance(self, to: Micros) -> None:
        """Let the door live until `to`."""
        self._agenda.run(to)

    def plan(self, at: Micros, name: str, action: Callable[[], None]) -> None:
        """Do `action` at exactly `at`; `name` must be new."""
        self._agenda.at(at, name, action)

    # --- what a controller may do

    def release(self, free: bool) -> None:
        """Unlock until further notice, or lock again."""
        self.free = free
        self._agenda.cancel("lock")
        self.locked = not free

    def pulse(self, time: Micros = PULSE) -> None:
        """Unlock for a moment."""
        self.locked = False
        self._agenda.after(time, "lock", self._lock)

    # --- what people may do

    def enter(self, stay: Micros = PASSAGE) -> None:
        """Somebody is granted entry, opens and lets the door go after `stay`."""
        self._tell(self.now, "granted", {})
        self.pulse()
        self._agenda.after(REACH, "open", self._opened)
        self._agenda.after(REACH + stay, "close", self.shut)

    def force(self) -> None:
        """Somebody opens without being granted to."""
        self._tell(self.now, "door forced", {})
        self._opened()

    def shut(self) -> None:
        """The door falls shut."""
        self.open = False
        self.alarm = "normal"
        self._agenda.cancel("too long")

    def _opened(self) -> None:
        self.open = True
        if self.locked:
            self.alarm = "forced"
        elif not self.free:
            self._agenda.after(HELD_LIMIT, "too long", self._held)

    def _held(self) -> None:
        self.alarm = "too_long"
        self._tell(self.now, "door held open", {})

    def _lock(self) -> None:
        self.locked = not self.free

    def _next_person(self) -> None:
        assert self._traffic is not None
        gap = round(self._random.expovariate(1 / self._traffic))
        self._agenda.after(max(gap, 1), "person", self._person)

    def _person(self) -> None:
        if not self.open:
            self.enter()
        self._next_person()
