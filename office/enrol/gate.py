"""Revoked sites at the office's own door: what they publish is not taken in, and their connections are ended.

The broker refuses them once it has read its files again; until then, or where nobody told it to, this is what makes
`sk office site revoke` work within seconds. What is passed over gets no receipt, so the box keeps it: if the same box
joins again, nothing is lost.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

import structlog

from cloud_sync.session import Connect, Delivery, Session, Will
from cloud_sync.wire import ROOT
from sitekeeper.model.clock import SECOND, Clock, Micros
from sitekeeper.model.errors import PeerUnreachable, Refused

log = structlog.get_logger()

KICK_EVERY: Final[Micros] = 10 * SECOND
"""A revoked site that is still heard is disconnected so often, not oftener."""
AT_ONCE: Final = 20
"""Sites that are disconnected in one go; the next ones a second later, so that news of who is revoked never waits."""
MAX_SEEN: Final = 10_000
_PREFIX: Final = f"{ROOT}/"

ConnectAs = Callable[[str], Connect]
"""Makes sessions at the broker under a client id: a second one with the same id ends the first (MQTT 5, 3.1.4)."""


class Gate:
    """Knows who is revoked, and when each site was heard last. `guard` wraps the connections of the ingest."""

    def __init__(self, clock: Clock, connect_as: ConnectAs) -> None:
        self.seen: dict[str, Micros] = {}
        self.ignored = 0
        self._clock = clock
        self._connect_as = connect_as
        self._revoked: frozenset[str] = frozenset()
        self._kicked: dict[str, Micros] = {}
        self._due: set[str] = set()

    def revoked(self, sites: frozenset[str]) -> bool:
        """Take in who is revoked now; tell whether that is news. New ones are to be kicked."""
        fresh = sites - self._revoked
        news = sites != self._revoked
        self._due |= fresh
        self._revoked = sites
        self._kicked = {site: at for site, at in self._kicked.items() if site in sites}
        return news

    @property
    def away(self) -> frozenset[str]:
        """Who is revoked: nothing is to be expected of them."""
        return self._revoked

    def passes(self, topic: str) -> bool:
        """Tell whether a message may be taken in."""
        if not topic.startswith(_PREFIX):
            return True
        site = topic[len(_PREFIX) :].partition("/")[0]
        if site not in self._revoked:
            if site in self.seen or len(self.seen) < MAX_SEEN:
                self.seen[site] = self._clock.wall()
            return True
        self.ignored += 1
        if self._clock.monotonic() - self._kicked.get(site, -KICK_EVERY) >= KICK_EVERY:
            self._due.add(site)
        return False

    async def kick(self) -> None:
        """End the connections of some who are due: take their place, and leave. A broker that is away ends it."""
        for _ in range(min(AT_ONCE, len(self._due))):
            site = self._due.pop()
            self._kicked[site] = self._clock.monotonic()
            try:
                session = await self._connect_as(f"sitekeeper-{site}")()
                await session.close()
            except PeerUnreachable as error:  # the next one would wait as long
                log.info("revoked site not disconnected yet", site=site, why=str(error))
                return
            except Refused as error:
                log.info("revoked site not disconnected yet", site=site, why=str(error))
            else:
                log.warning("revoked site disconnected", site=site)

    def guard(self, connect: Connect) -> Connect:
        """Return what makes guarded sessions."""

        async def guarded(will: Will | None = None) -> Session:
            return cast("Session", _Guarded(await connect(will), self))

        return guarded


class _Guarded:
    """A session that does not hand on what revoked sites publish; all else is the session's own."""

    def __init__(self, session: Session, gate: Gate) -> None:
        self._session, self._gate = session, gate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    async def receive(self) -> Delivery:
        while True:
            delivery = await self._session.receive()
            if self._gate.passes(delivery.topic):
                return delivery
            self._session.ack(delivery)
            await asyncio.sleep(0)  # a flood of them must not keep everybody else from working
