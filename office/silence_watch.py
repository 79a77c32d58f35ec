"""Looks after GW01 (a site is silent) and GW15 (the office is without its broker), and tells both in the store."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from office.hearing import RULE as DEAF
from office.hearing import Hearing
from office.own_alarms import OFFICE, OwnAlarms
from office.silence import RULE as SILENCE
from office.silence import Silence, is_active
from sitekeeper.durations import duration_text
from sitekeeper.model.alarm import Cause
from sitekeeper.model.clock import SECOND, Clock, Micros
from sitekeeper.model.errors import StorageError
from sitekeeper.story import span
from sitekeeper.texts import Language, text

LOOK_EVERY: Final[Micros] = 2 * SECOND
"""Looked at this often even when no deadline is near."""
AGAIN_AFTER: Final[Micros] = SECOND
"""So soon it is told again what the store did not take."""

_logger = structlog.get_logger()


class Ways(Protocol):
    """What the ingest says of its ways; see `cloud_sync.ingest.Ingest`."""

    problem: str
    store_problem: str

    def whole(self) -> bool: ...


class SilenceWatch:
    """One office's. `run` works until it is cancelled.

    Args:
        away: why the store's database does not answer; empty if it does. While it does not, the broker soon holds
            back what nobody has taken in, so nothing heard says nothing.
        revoked: the sites of which nothing is expected any more.
    """

    def __init__(
        self,
        silence: Silence,
        own: OwnAlarms,
        ways: Ways,
        clock: Clock,
        after: Micros,
        language: Language,
        *,
        away: Callable[[], str],
        revoked: Callable[[], frozenset[str]],
    ) -> None:
        self._silence, self._own, self._ways, self._clock = silence, own, ways, clock
        self._after, self._language = after, language
        self._away, self._revoked = away, revoked
        self._deaf_told = is_active(own.record(OFFICE, DEAF))
        self.hearing = Hearing(after, stands=self._deaf_told)
        self._heard = False
        self._look = asyncio.Event()

    def look(self) -> None:
        """Have it looked at now."""
        self._look.set()

    def unknown_since(self) -> Micros | None:
        """Return since when (wall time) the office cannot know how its sites are; None while it can."""
        return self.hearing.since

    def blind_since(self) -> Micros | None:
        """Return the same only while GW15 stands: what is shown of a site does not change with every short loss."""
        return self.hearing.since if self.hearing.stands else None

    async def run(self) -> None:
        """Look until cancelled; a store that fails is told when it is well again."""
        while True:
            self._look.clear()
            self.turn()
            told = True
            try:
                await self._tell()
            except StorageError as error:  # the ingest says so too
                _logger.warning("silence of sites not told yet", why=str(error))
                told = False
            try:
                async with asyncio.timeout(self._pause(told=told) / SECOND):
                    await self._look.wait()
            except TimeoutError:
                continue

    def turn(self) -> None:
        """Judge how things stand now."""
        now, whole = self._clock.monotonic(), self._ways.whole()
        self.hearing.note(now, self._clock.wall(), hears=whole)
        heard = self.hearing.sure and not (self._away() or self._ways.store_problem)
        self._silence.listens(now, hears=heard and self._heard)  # the limit runs from the look that finds all well
        self._heard = heard
        self._silence.forget(self._revoked())
        for site in self._silence.advance(now):
            _logger.warning("site silent", site=site)

    def _pause(self, *, told: bool) -> Micros:
        now = self._clock.monotonic()
        deadlines = [self._silence.next_deadline(), self.hearing.next_look(now)]
        waits = [max(deadline - now, 0) for deadline in deadlines if deadline is not None]
        return min([LOOK_EVERY if told else AGAIN_AFTER, *waits])

    async def _tell(self) -> None:
        """Bring the stored alarms to what is so; GW15 first, because it says why the others are not there."""
        if self.hearing.stands != self._deaf_told:
            stands, lasted = self.hearing.stands, span(self._after, self._language)
            why = text("office.hearing.detail", self._language, span=lasted, why=self._ways.problem or "-")
            await self._move(OFFICE, DEAF, why if stands else "")
            self._deaf_told = stands
        for site, silent in self._silence.untold():
            why = text("office.silence.detail", self._language, span=span(self._after, self._language))
            await self._move(site, SILENCE, why if silent else "")
            self._silence.told(site, silent=silent)

    async def _move(self, site: str, rule: str, why: str) -> None:
        """Raise for a reason, or clear without one, unless it stands so already."""
        cause = Cause.RAISE if why else Cause.CLEAR
        await self._own.move(site, rule, cause, detail=why, limits={"silent_for": duration_text(self._after)})
