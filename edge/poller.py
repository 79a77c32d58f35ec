"""One poller per link: reads each scan group at its period, one request at a time, and backs off what does not answer.

Times lie on a grid from the group's first reading on; a reading that comes too late skips the missed places and counts
them, so that a slow link gets behind openly and never piles up. This is the only layer that tries again. Devices that
also speak unasked are listened to beside that, as long as the link is open.
"""

import asyncio
import heapq
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from drivers.base import Account, Asker, Driver, Listener, Reporter, Scan, Sparing
from drivers.base import Sink as Hearer
from sitekeeper.model.clock import SECOND, Clock, Micros
from sitekeeper.model.errors import LinkDown
from sitekeeper.model.point import ScanGroup

log = structlog.get_logger()

ASK_AFTER: Final[Micros] = 5 * SECOND
"""How long after the link is open what never came is asked for: what the broker kept comes first, unasked."""

_RANDOM: Final = random.Random()  # noqa: S311 - spreads load, guards nothing; one for all, it is 2.5 KB

KNOWN_SILENT: Final = 2
"""After so many scans in a row without an answer a device is silent, and its link need not be at fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackOff:
    """How long to wait before trying again: doubled from `first` to at most `most`, less a random part of up to a half.

    A device that comes back is found within `most` plus one request, which is why it is short; within more where its
    driver is `Sparing`. `alone` is the most for a device that has its link to itself: asking it often takes time from
    nobody.
    """

    first: Micros = SECOND // 4
    most: Micros = 3 * SECOND // 2
    alone: Micros = 3 * SECOND // 4

    def wait(self, failures: int, rng: random.Random, *, alone: bool = False, spare: Micros = 0) -> Micros:
        """Return the wait after `failures` failures in a row (at least one); see `Sparing` for `spare`."""
        full: Micros = min(self.alone if alone else max(self.most, spare), self.first << min(failures - 1, 16))
        return full - int(full * rng.random() / 2)


class Sink(Hearer, Protocol):
    """Where readings and events go, and what is known of the link: the pipeline."""

    def link_failed(self, groups: tuple[str, ...], error: LinkDown) -> None: ...


@dataclass(slots=True)
class Counts:
    """What a poller has done since it started, for `sk device show` and the own point `errors.share`.

    `failed`: scans in which a request failed, but for those of devices that are known to be silent.
    """

    scans: int = 0
    failed: int = 0
    unanswered: int = 0
    missed: int = 0
    reconnects: int = 0


class Poller:
    """Owns one link and its driver until cancelled. `accounts` tells what the site's ledger has of counted events."""

    def __init__(
        self,
        link: str,
        driver: Driver,
        groups: tuple[ScanGroup, ...],
        sink: Sink,
        clock: Clock,
        *,
        accounts: Callable[[], Mapping[str, Account]] = dict,
        back_off: BackOff | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.link = link
        self.counts = Counts()
        self.last_error: str = ""
        self.last_errors: dict[str, str] = {}
        self._driver = driver
        self._groups = groups
        self._sink = sink
        self._clock = clock
        self._accounts = accounts
        self._back_off = back_off or BackOff()
        self._rng = rng or _RANDOM
        self._silent: dict[str, int] = {}
        self._alone = len({group.device for group in groups}) == 1
        self._failures = 0
        self._opened: Micros = clock.monotonic()
        self._gave_up: Micros = clock.monotonic()
        """When a device was last waited for in vain."""

    def report(self, device: str) -> Mapping[str, object]:
        """Return what the driver has to tell people of a device; nothing, if it has no more than points."""
        return self._driver.report(device) if isinstance(self._driver, Reporter) else {}

    async def run(self) -> None:
        """Keep the link open and its groups read, for ever."""
        while True:
            try:
                # A task of its own: a TaskGroup of Python 3.11 leaves `cancelling` wrong when one of its tasks fails.
                await asyncio.create_task(self._use(), name=f"link {self.link}")
            except LinkDown as error:
                _heed_the_end()
                self._lost(error)
            finally:
                await self._driver.close()
            await self._sleep(self._back_off.wait(self._failures, self._rng))

    async def _use(self) -> None:
        """Open the link and read until it fails."""
        await self._driver.open()
        _heed_the_end()
        self._opened = self._clock.monotonic()
        await self._serve()

    def _lost(self, error: LinkDown) -> None:
        self._failures += 1
        self.last_error = str(error)
        self.last_errors.clear()  # what a device said last is older news
        self.counts.reconnects += 1
        (log.warning if self._failures == 1 else log.debug)("link is down", link=self.link, error=str(error))
        self._sink.link_failed(tuple(group.id for group in self._groups), error)

    def _answered(self, now: Micros) -> None:
        """Forget earlier failures, once the link has held for a while: one that is cut again at once is not back."""
        if self._failures and now - self._opened >= self._back_off.most:
            log.info("link is back", link=self.link, failures=self._failures)
            self._failures = 0

    async def _serve(self) -> None:
        """Read, and listen to a driver that can be listened to, until either fails."""
        if not isinstance(self._driver, Listener):
            return await self._read_on()
        try:
            async with asyncio.TaskGroup() as tasks:
                # Listening begins first: an event that waits already comes before the state that it led to.
                tasks.create_task(self._driver.listen(self._sink), name=f"listener {self.link}")
                tasks.create_task(self._read_on(), name=f"reader {self.link}")
                if isinstance(self._driver, Asker):
                    tasks.create_task(self._ask(self._driver), name=f"asker {self.link}")
        except ExceptionGroup as failed:
            down, fault = failed.split(LinkDown)
            if fault is not None or down is None:
                raise
            raise down.exceptions[0] from None

    async def _ask(self, driver: Asker) -> None:
        await self._sleep(ASK_AFTER)
        driver.ask(self._accounts())

    async def _read_on(self) -> None:
        """Read every group at its period until the link fails."""
        start = self._clock.monotonic()
        spread = SECOND // 10 // max(1, len(self._groups))
        queue = [(start + i * spread, start + i * spread, i) for i in range(len(self._groups))]  # turn, due, group
        heapq.heapify(queue)
        while queue:
            turn, due, index = queue[0]
            if turn < self._gave_up and self._groups[index].device in self._silent:
                # Between two time-outs, every group that waits and whose device answers has its turn.
                heapq.heapreplace(queue, (self._gave_up, due, index))
                continue
            await self._sleep(due - self._clock.monotonic())
            scan = await self._driver.read(self._groups[index].id)
            self.counts.scans += 1
            if scan.errors:
                self.last_errors[scan.device] = str(scan.errors[-1])
                self.counts.failed += self._silent.get(scan.device, 0) < KNOWN_SILENT
            self._sink.scanned(scan)
            due = self._next(due, self._groups[index], scan)
            heapq.heapreplace(queue, (due, due, index))

    def _next(self, due: Micros, group: ScanGroup, scan: Scan) -> Micros:
        """Return when to read `group` again; a silent device waits longer each time, up to its back-off."""
        now = self._clock.monotonic()
        if not scan.answered:
            self.counts.unanswered += 1
            self._gave_up = now
            failures = self._silent[group.device] = self._silent.get(group.device, 0) + 1
            spare = self._driver.spare(group.device) if isinstance(self._driver, Sparing) else 0
            wait = self._back_off.wait(failures, self._rng, alone=self._alone, spare=spare)
            return now + (wait if self._alone else max(group.period, wait))
        self._silent.pop(group.device, None)
        self._answered(now)
        missed = max(0, (now - due) // group.period)
        self.counts.missed += missed
        return due + (missed + 1) * group.period

    async def _sleep(self, wait: Micros) -> None:
        if wait > 0:
            await asyncio.sleep(wait / SECOND)


def _heed_the_end() -> None:
    """Raise CancelledError if this task is to end.

    Libraries wait by `asyncio.wait_for`, which on Python 3.11 forgets a cancellation that comes together with what it
    waited for, and so does a TaskGroup one of whose tasks fails just then. `cancelling` still tells the truth.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
