"""One poller per link: reads each scan group when its turn comes, one request at a time, and opens the link again.

Whose turn it is, is decided in `edge.bus`: a link that is asked for too much gets behind openly and evenly, and never
piles up; what does not answer takes little time from the others. This is the only layer that tries again. Devices that
also speak unasked are listened to beside that, as long as the link is open.
"""

import asyncio
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, runtime_checkable

import structlog

from drivers.base import Account, Asker, Driver, Listener, Reporter
from drivers.base import Sink as Hearer
from drivers.identifying import Identifying
from drivers.rejecting import Rejecting
from edge.bus import BackOff, Bus, Usage
from sitekeeper.model.clock import SECOND, Clock, Micros
from sitekeeper.model.errors import LinkDown
from sitekeeper.model.point import ScanGroup

log = structlog.get_logger()

ASK_AFTER: Final[Micros] = 5 * SECOND
"""How long after the link is open what never came is asked for: what the broker kept comes first, unasked."""

_RANDOM: Final = random.Random()  # noqa: S311 - spreads load, guards nothing; one for all, it is 2.5 KB


@runtime_checkable
class Hushing(Protocol):
    """A driver that leaves its line silent after a request that failed has this too: for how long so far."""

    @property
    def hushed(self) -> Micros: ...


class Sink(Hearer, Protocol):
    """Where readings and events go, and what is known of the link: the pipeline."""

    def link_failed(self, groups: tuple[str, ...], error: LinkDown) -> None: ...


@dataclass(slots=True)
class Counts:
    """What a poller has done since it started, for `sk device show` and the own point `errors.share`.

    `failed`: scans in which a request failed, but for those of devices that are known to be silent. `missed`: turns
    for which the link had no time.
    """

    scans: int = 0
    failed: int = 0
    unanswered: int = 0
    missed: int = 0
    reconnects: int = 0


class Pace(NamedTuple):
    """How a group is read: whether it goes first, and its achieved period; None while its device is silent."""

    urgent: bool
    achieved: Micros | None


class Poller:
    """Owns one link and its driver until cancelled.

    Args:
        accounts: tells what the site's ledger has of counted events. urgent: ids of the groups that go first.
    """

    def __init__(
        self,
        link: str,
        driver: Driver,
        groups: tuple[ScanGroup, ...],
        sink: Sink,
        clock: Clock,
        *,
        accounts: Callable[[], Mapping[str, Account]] = dict,
        urgent: Collection[str] = (),
        back_off: BackOff | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.link = link
        self._counts = Counts()
        self.last_error: str = ""
        self.last_errors: dict[str, str] = {}
        self._driver = driver
        self._groups = groups
        self._sink = sink
        self._clock = clock
        self._accounts = accounts
        self._back_off = back_off or BackOff()
        self._rng = rng or _RANDOM
        self._failures = 0
        self._last_good: Micros | None = None
        self._opened: Micros = clock.monotonic()
        self._up = False
        self._hushes = driver if isinstance(driver, Hushing) else None
        self._bus = Bus(groups, urgent=urgent, back_off=self._back_off, rng=self._rng, now=self._opened)

    @property
    def counts(self) -> Counts:
        """What has happened so far."""
        self._counts.missed = self._bus.missed()
        return self._counts

    def usage(self) -> Usage | None:
        """Return what the link's time went to lately; None while it is not open."""
        return self._bus.usage(self._clock.monotonic()) if self._up else None

    def pace(self, device: str) -> dict[str, Pace]:
        """Return how the groups of a device are read, by id; nothing while the link is not open."""
        usage, found = self.usage(), {}
        for index, group in enumerate(self._groups if usage is not None else ()):
            if group.device == device and usage is not None:
                urgent = self._bus.urgent(index)
                achieved = round(group.period * (usage.urgent if urgent else usage.stretch))
                found[group.id] = Pace(urgent, None if self._bus.silent(device) else achieved)
        return found

    def doubled(self) -> int | None:
        """Return how many devices of the link have a number that another claims too; None: they have none."""
        return self._driver.doubled() if isinstance(self._driver, Identifying) else None

    def rejected(self) -> int | None:
        """Return how many messages came unasked and could not be used; None: nobody speaks unasked here."""
        return self._driver.unusable_total() if isinstance(self._driver, Rejecting) else None

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
        self._bus.begin(self._opened)
        self._up = True
        await self._serve()

    def _lost(self, error: LinkDown) -> None:
        self._up = False
        error.last_good = error.last_good or self._last_good
        self._failures += 1
        self.last_error = str(error)
        self.last_errors.clear()  # what a device said last is older news
        self._counts.reconnects += 1
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
        """Read every group when its turn comes, until the link fails."""
        while self._groups:
            turn = self._bus.next(self._clock.monotonic())
            await self._sleep(turn.at - self._clock.monotonic())
            await self._read(turn.group)

    async def _read(self, index: int) -> None:
        asked, before = self._clock.monotonic(), 0 if self._hushes is None else self._hushes.hushed
        try:
            scan = await self._driver.read(self._groups[index].id)
        except LinkDown:
            self._bus.broke(index)
            raise
        now, counts = self._clock.monotonic(), self._counts
        counts.scans += 1
        counts.unanswered += not scan.answered
        if scan.errors:
            self.last_errors[scan.device] = str(scan.errors[-1])
            counts.failed += not self._bus.silent(scan.device)
        hushed = 0 if self._hushes is None else self._hushes.hushed - before
        self._bus.done(index, asked, now, answered=scan.answered, hushed=hushed)
        if scan.answered:
            self._last_good = self._clock.wall()
            self._answered(now)
        self._sink.scanned(scan)

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
