"""The tests of emergency lighting at work: readings and hours in, starts and results out.

Each plan is a machine of its own (`lamp_tests`). What came of a lamp's test is an event `<lamp>/test.event` and a row
of the audit, which is the log book; what a plan remembers is saved with it. The gateway starts and stops tests itself,
at the priority of what is under test: no rule and no person may.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, Protocol

from edge.calendar import Next, Read, reads
from edge.commands import lamp_log
from edge.commands.audit import DONE
from edge.commands.lamp_tests import KINDS, LOOK, PREFIX, Around, Arrangement, Deeds, Found, Kind, LampTests
from edge.settings.values import Site
from sitekeeper.model.alarm import ACTIVE, AlarmRecord
from sitekeeper.model.clock import HOUR, SECOND, Clock, Micros, Moment
from sitekeeper.model.command import ROLE_RANK, Actor, Write
from sitekeeper.model.errors import NotFound, Refused, StorageError
from sitekeeper.model.quality import is_good
from sitekeeper.model.sample import Sample, Value

STARTS: Final = "technician"
"""The least role of a person who may start a test."""

SLEEP: Final[Micros] = HOUR
"""The longest that nobody looks: clocks are set."""

DANGERS: Final = frozenset({"F01", "H02"})
"""Alarms that are a danger to life whether or not they write to anything of the site: fire, and gas."""

ROWS: Final = 100
"""Rows about what people asked for that wait for the disk; beyond it the oldest go."""


class Hands(Protocol):
    """What is needed of the commander."""

    def act(self, by: str, point: str, value: Value) -> "asyncio.Future[Any]": ...

    def hold(self, by: str, write: Write) -> None: ...

    def give_up(self, by: str) -> None: ...

    def endangered(self) -> bool: ...


class Records(Protocol):
    """What is needed of the pipeline; both raise StorageError when the store takes nothing."""

    def told(
        self, source_id: str, fields: Mapping[str, Value], *, audit: bytes, state: Mapping[str, bytes | None]
    ) -> "Future[None]": ...

    def noted(self, audit: Sequence[bytes] = (), state: Mapping[str, bytes | None] = {}) -> "Future[None]": ...


@dataclass(slots=True)
class _Plan:
    """One plan at work; `window` and `occupied` read its schedules."""

    machine: LampTests
    of_site: Arrangement
    window: tuple[Read, Next]
    occupied: tuple[Read, Next]
    lit: bool = False

    @property
    def by(self) -> str:
        """Who gives its pulses. What it holds is claimed under another name, so that giving up is not stopping."""
        return f"tests/{self.machine.plan.id}"

    def around(self, now: Moment, *, danger: bool) -> Around:
        """Return how it is there now; with people's hours the window closes too."""
        (open_, _), (occupied, _) = self.window[0](now), self.occupied[0](now)
        ends = [] if occupied else [self.occupied[1](now)]
        closes = min((end for end in (self.window[1](now), *ends) if end is not None), default=None)
        return Around(_known(open_), closes if open_ else None, _known(occupied), danger)


def endangers(records: Iterable[AlarmRecord]) -> bool:
    """Tell whether a danger stands among the alarms, held back from people's sight or not; a watched one is none."""
    return any(each.rule in DANGERS and each.mode != "watch" and each.standing in ACTIVE for each in records)


class LampShell:
    """All plans of one site.

    Args:
        alarmed: tells whether an alarm stands that is a danger to life; what the commander knows is asked besides.
        saved: states of an earlier process, of which those under `~tests/` are plans.

    Raises:
        FormatError: a saved state cannot be read.
    """

    def __init__(
        self,
        site: Site,
        hands: Hands,
        records: Records,
        *,
        alarmed: Callable[[], bool],
        saved: Mapping[str, bytes],
        clock: Clock,
    ) -> None:
        self._hands, self._records, self._alarmed, self._clock = hands, records, alarmed, clock
        hours = reads(site)
        self._plans = {
            each.plan.id: _Plan(
                LampTests(each.plan, saved.get(PREFIX + each.plan.id), self._now()),
                each,
                hours[f"schedule.{each.window}"],
                hours[f"schedule.{each.occupied}"],
            )
            for each in site.lamp_tests
        }
        plan_of = {lamp: plan for plan in self._plans.values() for lamp in plan.machine.plan.lamps}
        self._points = {
            point.handle: (plan_of[point.device], point.device, point.name)
            for point in site.points
            if point.device in plan_of
        }
        self._unsaved: dict[str, bytes | None] = {
            key: None for key in saved if key.startswith(PREFIX) and key.removeprefix(PREFIX) not in self._plans
        }
        self._untold: dict[tuple[str, Kind], tuple[Found, Moment]] = {}
        """What the store has not taken yet; of one lamp and kind the newest."""
        self._rows: deque[bytes] = deque(maxlen=ROWS)
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Look whenever something is due, was read, or may have become dangerous; ends only by cancellation."""
        while True:
            self._wake.clear()
            self.look()
            wait = (self._deadline() - self._clock.monotonic()) / SECOND
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(wait, 0)):
                    await self._wake.wait()

    def seen(self, samples: Sequence[Sample]) -> None:
        """Take readings of the lamps."""
        for sample in samples:
            if (point := self._points.get(sample.handle)) is not None:
                plan, lamp, name = point
                value = sample.value if is_good(sample.q) else None
                plan.machine.feed([(lamp, name, value)], self._now())
                self._wake.set()

    def decided(self) -> None:
        """Take note that rules have decided something: it may be a danger, or the end of one."""
        if any(plan.machine.running or plan.lit for plan in self._plans.values()):
            self._wake.set()

    def look(self) -> None:
        """Do what is due."""
        now, danger = self._now(), self._danger()
        for plan in self._plans.values():
            self._do(plan, plan.machine.advance(plan.around(now, danger=danger), now), now, danger=danger)

    def start(self, id_: str, kind: Kind, actor: Actor) -> tuple[str, ...]:
        """Start the tests of a plan because a person wants it; return the lamps of the first half.

        Raises:
            NotFound: there is no such plan. Refused: `not-permitted`, or by the machine; each is a row of the audit.
        """
        plan = self._plans.get(id_)
        if plan is None:
            raise NotFound(f"no plan {id_!r} here; there are: {', '.join(self._plans) or '-'}")
        now, danger = self._now(), self._danger()
        try:
            if ROLE_RANK[actor.role] < ROLE_RANK[STARTS]:
                raise Refused("not-permitted", f"a {STARTS} starts tests")
            deeds = plan.machine.start(kind, actor.name, plan.around(now, danger=danger), now)
        except Refused as refused:
            self._rows.append(lamp_log.asked(id_, kind, actor, refused.reason, now))
            self._tell()
            raise
        self._rows.append(lamp_log.asked(id_, kind, actor, DONE, now))
        self._do(plan, deeds, now, danger=danger)
        self._wake.set()
        return plan.machine.under_test

    def status(self) -> Iterator[dict[str, Any]]:
        """Yield how each kind of each plan stands; times are wall times, 0 for never."""
        now, danger = self._now(), self._danger()
        for id_, plan in self._plans.items():
            machine = plan.machine
            for kind in KINDS:
                running = machine.running == kind
                yield {
                    "plan": id_,
                    "kind": kind,
                    "lamps": len(machine.plan.lamps),
                    "state": "waiting" if not running else "testing" if machine.under_test else "between",
                    "under_test": list(machine.under_test) if running else [],
                    "due": machine.due(kind, now),
                    "why_not": machine.waits(kind, plan.around(now, danger=danger), now),
                }

    def _danger(self) -> bool:
        return self._hands.endangered() or self._alarmed()

    def _do(self, plan: _Plan, deeds: Deeds, now: Moment, *, danger: bool) -> None:
        """Save and tell first: a start whose plan is forgotten would be repeated."""
        self._untold |= {(found.lamp, found.kind): (found, now) for found in deeds.found}
        self._unsaved |= deeds.state
        self._tell()
        for act in deeds.acts:
            self._hands.act(plan.by, f"{act.lamp}/{act.point}", True)
        self._hold(plan, danger=danger)

    def _hold(self, plan: _Plan, *, danger: bool) -> None:
        """Hold the plan's luminaires at full light while lamps of it are under test, and on while there is a danger.

        Nobody's way out is darkened by that his danger has ended the test. Who writes for life safety outranks it.
        """
        by, wanted = f"{plan.by}/light", bool(plan.machine.under_test)
        if wanted and not plan.lit:
            for write in plan.of_site.lights:
                self._hands.hold(by, write)
        elif plan.lit and not wanted and not danger:
            self._hands.give_up(by)
        plan.lit = wanted or (plan.lit and danger)

    def _tell(self) -> None:
        """Record what came of tests, and what plans remember with the last of it; later, if the disk is behind."""
        with contextlib.suppress(StorageError):
            for key, (found, at) in tuple(self._untold.items()):
                last = len(self._untold) == 1
                self._records.told(
                    f"{found.lamp}/test.event",
                    lamp_log.fields(found),
                    audit=lamp_log.result(found, at),
                    state=self._unsaved if last else {},
                )
                del self._untold[key]
                if last:
                    self._unsaved = {}
            if self._unsaved or self._rows:
                self._records.noted(tuple(self._rows), self._unsaved)
                self._unsaved = {}
                self._rows.clear()

    def _deadline(self) -> Micros:
        """Return the monotonic time of the next look; what is held in a danger is looked at as what is under test."""
        ends = (plan.machine.next_deadline() for plan in self._plans.values())
        sleep = LOOK if any(plan.lit for plan in self._plans.values()) else SLEEP
        return min([end for end in ends if end is not None] + [self._clock.monotonic() + sleep])

    def _now(self) -> Moment:
        return Moment(wall=self._clock.wall(), mono=self._clock.monotonic(), trusted=self._clock.trusted())


def _known(value: Value) -> bool | None:
    return value if isinstance(value, bool) else None
