"""Keeps the gateway's certificate young: renews it when it is due, and has the uplink connect with the new one.

The old certificate goes on until the new one is on the disk, and the connection until then too; what is under way
when it is changed is sent again on the next one, as after any loss of connection.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final, Generic, Protocol, TypeVar

import structlog

from edge.trust import call
from edge.trust.folder import TrustFolder
from edge.trust.renewal import CertificateWatch, Standing, next_try
from sitekeeper.enrolment import Issued
from sitekeeper.model.alarm import Priority
from sitekeeper.model.clock import HOUR, Clock, Micros
from sitekeeper.model.errors import PeerUnreachable, Refused, StorageError

log = structlog.get_logger()

LOOK_S: Final = 0.5
NOTE_EVERY: Final[Micros] = HOUR
"""How often the time of a trusted clock is kept."""

Renew = Callable[[TrustFolder, Micros], tuple[bytes, Issued]]


class Keeper:
    """Looks after one trust folder. `run` works until it is cancelled.

    Attributes:
        reconnect: ends the uplink's connection, so that it makes a new one.

    Args:
        standing: priority at which GW06 stands from an earlier process.
    """

    def __init__(
        self,
        folder: TrustFolder,
        clock: Clock,
        *,
        standing: Priority | None = None,
        renew: Renew = call.renew,
        random: Random | None = None,
    ) -> None:
        """Read the folder.

        Raises:
            StorageError: it cannot be used.
        """
        self.standing = Standing(life=folder.life(), floor=folder.floor())
        self.watch = CertificateWatch(self.standing, standing)
        self.reconnect: Callable[[], Awaitable[None]] | None = None
        self._folder, self._clock, self._renew = folder, clock, renew
        self._random = random or Random()  # noqa: S311 - jitter, not secrets
        self._failures = 0
        self._next: Micros = 0
        self._noted: Micros | None = None

    async def run(self) -> None:
        """Look twice a second whether something is to be done."""
        while True:
            now = self._clock.monotonic()
            if self.standing.stage(self._clock.wall()) != "good" and now >= self._next:
                await self._try()
            if self._clock.trusted() and (self._noted is None or now - self._noted >= NOTE_EVERY):
                self._noted = now
                await self._note()
            await asyncio.sleep(LOOK_S)

    async def _try(self) -> None:
        try:
            key, issued = await asyncio.to_thread(self._renew, self._folder, self._clock.wall())
            await asyncio.to_thread(self._folder.keep, key, issued)
            self.standing.life, self.standing.floor = self._folder.life(), self._folder.floor()
        except (PeerUnreachable, Refused, StorageError) as error:
            self._again_later(str(error))
            return
        self.standing.renewed += 1
        log.info("certificate renewed", ends=self.standing.life.ends)
        if self.standing.stage(self._clock.wall()) == "good":
            self._failures, self._next, self.standing.problem = 0, 0, ""
        else:
            self._again_later("the new certificate is old already: the office's clock, or ours, is wrong")
        if self.reconnect is not None:
            await self.reconnect()

    def _again_later(self, why: str) -> None:
        self._failures += 1
        wait = next_try(self.standing.life, self._failures)
        self._next = self._clock.monotonic() + int(self._random.uniform(0.5, 1.0) * wait)
        if why != self.standing.problem:
            log.warning("certificate not renewed", why=why)
        self.standing.problem = why

    async def _note(self) -> None:
        try:
            await asyncio.to_thread(self._folder.note, self._clock.wall())
        except StorageError as error:
            log.warning("time not kept", why=str(error))
        self.standing.floor = max(self.standing.floor, self.standing.life.begins)


class _Ends(Protocol):
    async def close(self) -> None: ...


_Will = TypeVar("_Will")
_Session = TypeVar("_Session", bound=_Ends)


class Renewable(Generic[_Will, _Session]):
    """A `cloud_sync.session.Connect` whose present session can be ended from outside; its will is not told."""

    def __init__(self, connect: Callable[[_Will | None], Awaitable[_Session]]) -> None:
        self._connect = connect
        self._session: _Session | None = None

    async def __call__(self, will: _Will | None = None) -> _Session:
        self._session = await self._connect(will)
        return self._session

    async def end(self) -> None:
        """End the present session, if there is one."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
