"""A door with a lock, a contact, a reader and people: a behaviour on a clock that is moved from outside. No I/O.

What truly happened goes to `tell`; what the door's electronics notice goes to `event`, as a controller of the domain
brief's section 4.1 would record it. Cards are plain ten-digit numbers on purpose: whoever reads them must hash them,
and a test can search every store for the numbers of the journal.
"""

import random
from functools import partial
from typing import Final, Literal

from simulators.behaviour import Behaviour, Tell, nobody
from sitekeeper.model.clock import MS, SECOND, Micros

PULSE: Final[Micros] = 5 * SECOND
"""How long a grant unlocks."""
REACH: Final[Micros] = 800 * MS
"""From the grant to the hand on the door."""
PASSAGE: Final[Micros] = 3 * SECOND
"""How long a person keeps it open."""
HELD_LIMIT: Final[Micros] = 30 * SECOND
"""Open for longer than this after a grant is too long."""
HOLDERS: Final = 200
"""How many cards there are."""

SWIPE, NO_RIGHTS, EXIT_BUTTON, OPENED, CLOSED, POWER_ON, TOO_LONG, FORCED, FIRE = 1, 6, 20, 23, 24, 28, 37, 38, 39
"""Reasons of events, as UHPPOTE boards number them (domain brief 4.1)."""

DoorAlarm = Literal["normal", "too_long", "forced"]
Direction = Literal["in", "out"]


class Entrance(Behaviour):
    """The door. Read its properties after `advance`.

    Args:
        traffic: mean time between two people; None for nobody.
        tell: hears what truly happened. event: hears what a controller would record: `read`, `rex`, `door`, `alarm`.
    """

    def __init__(
        self, *, seed: int | str, traffic: Micros | None = None, tell: Tell = nobody, event: Tell = nobody
    ) -> None:
        super().__init__(tell)
        self.open = False
        self.locked = True
        self.alarm: DoorAlarm = "normal"
        self.tampered = False
        self.asked = 0.0
        """Seconds of the remote unlocking that lasts."""
        self.jammed = False
        self.free = False
        self.fire = False
        self._random = random.Random(seed)  # noqa: S311 - a reproducible story, not a secret
        self._event = event
        self._traffic = traffic
        if traffic is not None:
            self._next_person()

    # --- what a controller, or a wire to it, may do

    def release(self, free: bool) -> None:
        """Unlock until further notice, or lock again; while the fire input is on, and for who was let in, not yet."""
        self.free = free
        self._lock_unless_let_in()
        self._excuse()

    def pulse(self, time: Micros = PULSE) -> None:
        """Unlock for a moment."""
        self.locked = self.locked and self.jammed
        self._agenda.after(time, "lock", self._lock)

    def unlock(self, seconds: float) -> None:
        """Unlock for so long because somebody far away asks for it."""
        self.asked = seconds
        self.note("unlocked from afar", seconds=round(seconds))
        self.pulse(round(seconds * SECOND))
        self._agenda.after(round(seconds * SECOND), "asked", self._asked_over)

    def fire_input(self, on: bool) -> None:
        """The wire from the fire panel unlocks for as long as it is on."""
        if on == self.fire:
            return
        self.fire = on
        self.note("fire input on" if on else "fire input off")
        self._lock_unless_let_in()
        self._excuse()
        if on:
            self._event(self.now, "alarm", {"reason": FIRE})

    # --- what people may do

    def enter(
        self,
        stay: Micros = PASSAGE,
        *,
        after: Micros = REACH,
        card: str = "",
        way: Direction = "in",
        duress: bool = False,
    ) -> None:
        """Somebody is granted entry, opens `after` that and lets the door go after `stay`.

        With `duress` everything is as always, but the read carries the flag.
        """
        self.note("granted", **({"duress": True} if duress else {}))
        read = {"granted": True, "reason": SWIPE, "dir": way, "cred": card or self._card()}
        self._event(self.now, "read", {**read, "duress": True} if duress else read)
        self._pass(after, stay)

    def deny(
        self, times: int = 1, *, every: Micros = SECOND, reason: int = NO_RIGHTS, card: str = "", way: Direction = "in"
    ) -> None:
        """Somebody presents a card that is refused, `times` times."""
        card = card or self._card()
        self._event(self.now, "read", {"granted": False, "reason": reason, "dir": way, "cred": card})
        if times > 1:
            again = partial(self.deny, times - 1, every=every, reason=reason, card=card, way=way)
            self._agenda.after(every, "deny", again)

    def leave(self, stay: Micros = PASSAGE, *, after: Micros = REACH) -> None:
        """Somebody presses the exit button, opens and lets the door go."""
        self.note("exit button")
        self._event(self.now, "rex", {"reason": EXIT_BUTTON})
        self._pass(after, stay)

    def crowd(self, people: int, every: Micros, stay: Micros = PASSAGE) -> None:
        """`people` enter one after another, a grant each."""
        self.enter(stay)
        if people > 1:
            self._agenda.after(every, "crowd", partial(self.crowd, people - 1, every, stay))

    def force(self) -> None:
        """Somebody opens without being granted to."""
        if self.locked and not self.open:
            self.note("door forced")
        self._opened()

    def hold(self, stay: Micros) -> None:
        """Somebody keeps the open door from closing for `stay` from now."""
        if self.open:
            self._agenda.after(stay, "close", self.shut)

    def shut(self) -> None:
        """The door falls shut."""
        if self.open:
            self._event(self.now, "door", {"state": "closed", "reason": CLOSED})
        self.open = False
        self.alarm = "normal"
        self._agenda.cancel("too long")

    def tail(self) -> None:
        """Somebody is granted entry, and while the lock is still free another pulls the door open once more."""
        self.enter(SECOND)
        self._agenda.after(REACH + 2 * SECOND, "tail", self._followed)

    def tamper(self, on: bool) -> None:
        """Take the cover off the reader, or put it on again."""
        self.tampered = on
        self.note("reader opened" if on else "reader closed")

    def jam(self, on: bool) -> None:
        """Let the bolt stay where it is, or move again and go where it should be."""
        self.jammed = on
        self.note("lock jammed" if on else "lock freed")
        if not on:
            self._lock_unless_let_in()

    def shown(self) -> dict[str, object]:
        """Return what a controller tells of it."""
        return {
            "state": "open" if self.open else "closed",
            "lock": "locked" if self.locked else "unlocked",
            "mode": "free" if self.free else "controlled",
            "tamper": self.tampered,
            "pulse": self.asked,
        }

    # --- how it goes on

    def _asked_over(self) -> None:
        self.asked = 0.0

    def _followed(self) -> None:
        self.note("followed through")
        self._opened()
        self._agenda.after(SECOND, "close", self.shut)

    def _pass(self, after: Micros, stay: Micros) -> None:
        self.pulse()
        if self.locked:  # jammed: nobody gets through
            return
        self._agenda.after(after, "open", self._opened)
        self._agenda.after(after + stay, "close", self.shut)

    def _opened(self) -> None:
        if self.open:
            return
        self.open = True
        self._event(self.now, "door", {"state": "open", "reason": OPENED})
        if self.locked:
            self.alarm = "forced"
            self._event(self.now, "alarm", {"reason": FORCED})
        elif not (self.free or self.fire):
            self._agenda.after(HELD_LIMIT, "too long", self._held)

    def _held(self) -> None:
        self.alarm = "too_long"
        self.note("door held open")
        self._event(self.now, "alarm", {"reason": TOO_LONG})

    def _lock_unless_let_in(self) -> None:
        """Whoever was let in a moment ago still gets through: the pulse runs out first."""
        if not self._agenda.pending("lock"):
            self._lock()

    def _lock(self) -> None:
        if not self.jammed:
            self.locked = not (self.free or self.fire)

    def _excuse(self) -> None:
        """A door that is unlocked until further notice may stay open."""
        if self.free or self.fire:
            self._agenda.cancel("too long")
            self.alarm = "normal" if self.alarm == "too_long" else self.alarm

    def _card(self) -> str:
        return str(1_008_538_000 + self._random.randrange(HOLDERS))

    def _next_person(self) -> None:
        assert self._traffic is not None
        gap = round(self._random.expovariate(1 / self._traffic))
        self._agenda.after(max(gap, 1), "person", self._person)

    def _person(self) -> None:
        if not self.open:
            chance = self._random.random()
            if chance < 0.75:
                self.enter()
            elif chance < 0.93:
                self.leave()
            else:
                self.deny()
        self._next_person()
