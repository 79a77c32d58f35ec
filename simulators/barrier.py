"""A parking lane: its barrier, loops and cars, as a behaviour on a clock that is moved from outside. No I/O.

A car stands on the arrival loop, is let in after a moment, drives under the boom over the safety loop and through the
photocell, and leaves over the exit loop. The boom closes by itself, never onto anything that a sensor sees. What
happens follows from the settings, the seed and the story alone, however finely the clock is moved.
"""

import random
from dataclasses import dataclass
from typing import Final, Literal

from simulators.behaviour import Behaviour, Tell, nobody
from sitekeeper.model.clock import MS, SECOND, Micros

TRAVEL: Final[Micros] = 3 * SECOND
"""Time of the boom from one end to the other."""
READING: Final[Micros] = 1500 * MS
"""From the car's arrival until the lane opens for it: its plate or card is read."""
ROLLS: Final[tuple[Micros, ...]] = (800 * MS, 700 * MS, 900 * MS, 800 * MS)
"""A car that may go reaches the safety loop, is off the arrival loop, is on the exit loop and off the safety loop, and
is gone; each that long after the one before."""
BACKWARDS: Final[Micros] = 1500 * MS
"""A car against the direction feels its way: from loop to loop it takes so long."""
SEEN: Final[Micros] = 3 * SECOND
"""How long the reversal is shown."""
AGAIN: Final[Micros] = SECOND
"""A boom that is due to close and may not looks again after so long."""
QUEUE: Final = 5
"""Cars that wait behind one another; another one drives on."""
JAMMED, REVERSED, NO_MAINS = 3, 7, 9
"""What the board gives as its last error: the motor does not turn, the boom met an obstacle, the supply failed."""

Loop = Literal["arrival", "safety", "exit"]
Sensor = Literal["arrival", "safety", "exit", "photocell"]
Deed = Literal[
    "open", "close", "stop", "jam", "free", "break", "mend", "obstacle", "release", "engage", "hold", "unhold",
    "cabinet_open", "cabinet_shut", "chain_broken", "chain_whole",
]  # fmt: skip
"""What a story may do to a boom, see `Barrier.do`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSettings:
    """How the lane is built.

    Attributes:
        way: cars enter or leave the site. auto_close: seconds until the boom closes by itself; 0 for never.
        traffic: mean time between two cars; None for nobody but the story's.
    """

    way: Literal["in", "out"] = "in"
    auto_close: int = 5
    traffic: Micros | None = None
    operations: int = 48_310


class Barrier(Behaviour):
    """The lane. Read its properties after `advance`; `plan` puts an act of the story at its exact time."""

    def __init__(self, settings: LaneSettings, *, seed: int | str, tell: Tell = nobody) -> None:
        super().__init__(tell)
        self._way = settings.way
        self._traffic = settings.traffic
        self._random = random.Random(seed)  # noqa: S311 - a reproducible story, not a secret
        self._from = 0.0
        self._since: Micros = 0
        self._heading = 0
        self._halted = False
        self._on: set[Sensor] = set()
        self._stuck: dict[Sensor, Literal["occupied", "fault"]] = {}
        self._car: Literal["none", "waits", "rolls"] = "none"
        self._granted = False
        self._obstacle_waits = False
        self._followed = False
        self.jammed = False
        self.attached = True
        self.mains = True
        self.manual = False
        self.cabinet_open = False
        self.chain = True
        self.reversed = False
        self.hold_reason = 0
        self.auto_close = settings.auto_close
        self.last_error = 0
        self.operations = settings.operations
        self.vehicles = 0
        self.queue = 0
        if self._traffic is not None:
            self._next_car()

    # --- what can be seen

    @property
    def position(self) -> float:
        """Per cent; 100 is upright."""
        if self._heading == 0 or self.jammed:
            return self._from
        return max(0.0, min(100.0, self._from + self._heading * 100 * (self.now - self._since) / TRAVEL))

    @property
    def opening(self) -> bool:
        return self._heading > 0

    @property
    def closing(self) -> bool:
        return self._heading < 0

    @property
    def halted(self) -> bool:
        """It was stopped on its way, by command or because the supply failed."""
        return self._halted

    def sees(self, sensor: Sensor) -> bool:
        """Tell whether a loop or the photocell is occupied; a faulty one always is, to be safe."""
        return sensor in self._on or sensor in self._stuck

    def faulty(self, loop: Loop) -> bool:
        return self._stuck.get(loop) == "fault"

    @property
    def may_close(self) -> bool:
        """The board's own interlock: nothing under the boom, and a safety chain that works."""
        return not self.sees("safety") and not self.sees("photocell") and self.chain

    # --- what the board is told

    def open(self) -> None:
        """Open, and stay open for the automatic time."""
        if self.manual or not self.mains:
            return
        if self.position == 100:
            self._wait_to_close()
        elif self._heading <= 0:
            self.operations += 1
            self._move(1)

    def close(self) -> bool:
        """Close; False if the interlock refuses."""
        if not self.may_close:
            return False
        if self.position > 0 and self._can_close():
            self._move(-1)
        return True

    def stop(self) -> None:
        """Stop where it is."""
        self._halt()

    def hold(self, reason: int) -> None:
        """Open and stay open for a reason above 0; with 0 close by itself again."""
        if bool(reason) != bool(self.hold_reason):
            self.note("hold-open" if reason else "hold-open ended", **({"reason": reason} if reason else {}))
        self.hold_reason = reason
        if reason:
            self.open()
        elif self.position == 100:
            self._wait_to_close()

    # --- what a story may do

    def do(self, deed: Deed) -> None:
        """Let something happen to the boom; what breaks stays so until its opposite happens."""
        match deed:
            case "open":
                self.open()
            case "close":
                self.close()
            case "stop":
                self.stop()
            case "obstacle":
                self._obstacle_waits = True
                if self.closing:
                    self._agenda.after(0, "obstacle", self._hit)
            case "jam" | "free":
                self._jam(deed == "jam")
            case "break" | "mend":
                self._attach(deed == "mend")
            case "release" | "engage":
                self._release(deed == "release")
            case "hold" | "unhold":
                self.hold(int(deed == "hold"))
            case "cabinet_open" | "cabinet_shut":
                self.cabinet_open = deed == "cabinet_open"
                self.note("cabinet opened" if self.cabinet_open else "cabinet shut")
            case "chain_broken" | "chain_whole":
                self.chain = deed == "chain_whole"
                self.note("safety chain whole" if self.chain else "safety chain broken")
                self._presence()

    def set_mains(self, on: bool) -> None:
        """The supply fails, and the boom stays where it is; or it returns, and the boom opens if it was on its way."""
        if on == self.mains:
            return
        self.note("mains restored" if on else "mains failed")
        if not on:
            self._halt()
            self.last_error = NO_MAINS
        self.mains = on
        if on and (self.hold_reason or self.position > 0 or self._granted):
            self.open()

    def disturb(self, sensor: Sensor, state: Literal["works", "occupied", "fault"]) -> None:
        """A loop or the photocell stands as if occupied, is faulty, or works again."""
        self.note(f"{sensor} {state}")
        if state == "works":
            self._stuck.pop(sensor, None)
            self._wait_to_close()
        else:
            self._stuck[sensor] = state
            self._presence()

    def arrive(self, cars: int = 1) -> None:
        """Cars come, one behind the other."""
        self.queue = min(QUEUE, self.queue + cars)
        self._pull_up()

    def tailgate(self) -> None:
        """A car comes, and another follows it under the open boom without having asked."""
        self._followed = True
        self.arrive()

    def wrong_way(self) -> None:
        """A car comes against the direction; it passes if the boom is up, and else turns back at the exit loop."""
        self.note("vehicle against the direction")
        self._on.add("exit")
        passes = self.position == 100 or not self.attached
        steps = (self._under, self._backwards_off, self._backwards_up, self._backwards_gone)
        for number, step in enumerate(steps if passes else (self._turned,), 1):
            self._agenda.after(number * BACKWARDS, f"backwards {number}", step)

    # --- the boom's moves

    def _move(self, heading: int) -> None:
        self._from, self._since, self._heading, self._halted = self.position, self.now, heading, False
        self._agenda.cancel("close")
        if self.jammed:
            self._stand_jammed()
            return
        way = 100 - self._from if heading > 0 else self._from
        self._agenda.after(round(TRAVEL * way / 100), "end", self._ended)
        if heading < 0 and self._obstacle_waits:
            self._agenda.after(round(TRAVEL * way / 200), "obstacle", self._hit)

    def _halt(self) -> None:
        if self._heading == 0:
            return
        self._from, self._heading = self.position, 0
        self._halted = 0 < self._from < 100
        for name in ("end", "obstacle"):
            self._agenda.cancel(name)

    def _ended(self) -> None:
        self._from, self._heading = (100.0, 0) if self._heading > 0 else (0.0, 0)
        if self._from == 100:
            self._drive()
            self._wait_to_close()

    def _stand_jammed(self) -> None:
        self.last_error = JAMMED
        self.note("stuck opening" if self._heading > 0 else "stuck closing")

    def _jam(self, jammed: bool) -> None:
        self._from, self._since, self.jammed = self.position, self.now, jammed
        self.note("motor jammed" if jammed else "motor freed")
        if self._heading == 0:
            return
        if jammed:
            self._agenda.cancel("end")
            self._stand_jammed()
        else:
            self._move(self._heading)

    def _attach(self, whole: bool) -> None:
        self.attached = whole
        self.note("arm mended" if whole else "arm broken")
        self._drive()

    def _release(self, released: bool) -> None:
        self.manual = released
        self.note("manual release" if released else "motor engaged")
        self._halt()
        if released:  # somebody lifts the arm by hand
            self._from, self._halted = 100.0, False
            self._drive()
        else:
            self._wait_to_close()

    def _hit(self) -> None:
        self._obstacle_waits = False
        self.reversed, self.last_error = True, REVERSED
        self.note("obstacle")
        self._agenda.after(SEEN, "reversal seen", self._reversal_seen)
        self._reopen()

    def _reversal_seen(self) -> None:
        self.reversed = False

    def _reopen(self) -> None:
        self._agenda.cancel("obstacle")
        self._move(1)

    def _presence(self) -> None:
        """Something is under the boom, or the chain broke: a boom on its way down turns."""
        if self.closing and not self.jammed and not self.may_close:
            self._reopen()

    def _can_close(self) -> bool:
        return self.mains and not self.manual and not self.hold_reason and not self.closing

    def _wait_to_close(self) -> None:
        """Begin anew to wait for the automatic close."""
        if self.auto_close and self.position == 100:
            self._agenda.after(self.auto_close * SECOND, "close", self._close_by_itself)

    def _close_by_itself(self) -> None:
        if self.may_close and self._can_close():
            self._move(-1)
        elif not self.hold_reason and not self.manual:
            self._agenda.after(AGAIN, "close", self._close_by_itself)

    # --- cars

    def _next_car(self) -> None:
        assert self._traffic is not None
        gap = round(self._random.expovariate(1 / self._traffic))
        self._agenda.after(max(gap, 1), "car", self._comes)

    def _comes(self) -> None:
        self.arrive()
        self._next_car()

    def _pull_up(self) -> None:
        if self._car == "none" and self.queue:
            self.queue -= 1
            self._car = "waits"
            self._on.add("arrival")
            self.note("vehicle arrived")
            self._agenda.after(READING, "grant", self._grant)

    def _grant(self) -> None:
        self._granted = True
        self.open()
        self._drive()

    def _drive(self) -> None:
        """Let the waiting car go, if it may and the way is free: the boom is up, or there is none."""
        if self._car == "waits" and self._granted and (self.position == 100 or not self.attached):
            self._granted = False
            self._roll()

    def _roll(self) -> None:
        self._car, after = "rolls", 0
        for number, (roll, step) in enumerate(zip(ROLLS, (self._under, self._off, self._out, self._gone), strict=True)):
            after += roll
            self._agenda.after(after, f"roll {number}", step)

    def _under(self) -> None:
        self._on |= {"safety", "photocell"}
        self._presence()

    def _off(self) -> None:
        self._on.discard("arrival")

    def _out(self) -> None:
        self._on.add("exit")
        self._on -= {"safety", "photocell"}
        self._wait_to_close()

    def _gone(self) -> None:
        self._on.discard("exit")
        self._car = "none"
        self.vehicles += 1
        self.note("vehicle entered" if self._way == "in" else "vehicle left")
        if self._followed:
            self._followed = False
            self.note("vehicle followed through")
            self._roll()
        else:
            self._pull_up()

    def _turned(self) -> None:
        self._on.discard("exit")

    def _backwards_off(self) -> None:
        self._on.discard("exit")
        self._on.add("arrival")

    def _backwards_up(self) -> None:
        self._on -= {"safety", "photocell"}
        self._wait_to_close()

    def _backwards_gone(self) -> None:
        self._on.discard("arrival")
