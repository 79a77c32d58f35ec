"""Sites, devices, points and their samples."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response

from cloud_sync.store.history import HistoryReader
from office import facts
from office.api import items
from office.console.parts import PartsNow, Who
from office.trend import read, window
from sitekeeper.durations import parse_duration
from sitekeeper.model.clock import HOUR, Micros
from sitekeeper.model.errors import Refused

Item = dict[str, Any]
EVENTS: Final = 200
"""Events of one answer."""
NEWEST: Final = 2**63 - 1
"""The largest id that the store can have."""

router = APIRouter(prefix="/api/v1/sites", tags=["sites"])


@router.get("")
async def sites(parts: PartsNow, session: Who) -> list[Item]:
    """All sites that the caller may see, the worst first."""
    found = await parts.pages.ask(lambda reader: facts.all_sites(*parts.sites(reader, session), session.sites))
    return [items.site(one) for one in found]


@router.get("/{site}")
async def one_site(parts: PartsNow, session: Who, site: str) -> Item:
    """One site."""
    return items.site(await parts.pages.ask(lambda reader: facts.one_site(*parts.sites(reader, session), site)))


@router.get("/{site}/devices")
async def devices(parts: PartsNow, session: Who, site: str) -> list[Item]:
    """The devices of a site."""
    found = await parts.pages.ask(lambda reader: facts.one_site(*parts.sites(reader, session), site))
    return [items.device(row) for row in found.known.devices.values()]


@router.get("/{site}/points")
async def points(
    parts: PartsNow, session: Who, site: str, device: Annotated[str, Query(max_length=200)] = ""
) -> list[Item]:
    """The points of a site, or of one device, each with its newest value."""

    def gather(reader: HistoryReader) -> list[Item]:
        found = facts.one_site(*parts.sites(reader, session), site)
        if device:
            return [items.value(value) for value in facts.values(reader, found, parts.now, device).values()]
        every = facts.all_values(reader, found, parts.now)
        return [items.value(value) for one in every.values() for value in one.values()]

    return await parts.pages.ask(gather)


@router.get("/{site}/points/{device}/{point}/latest")
async def latest(parts: PartsNow, session: Who, site: str, device: str, point: str) -> Item:
    """The newest value of a point, with its quality, and until when it is vouched for."""

    def gather(reader: HistoryReader) -> Item:
        found = facts.one_site(*parts.sites(reader, session), site)
        return items.value(facts.one_value(reader, found, parts.now, device, point))

    return await parts.pages.ask(gather)


@router.get("/{site}/points/{device}/{point}/samples")
async def samples(
    parts: PartsNow,
    session: Who,
    site: str,
    device: str,
    point: str,
    start: Annotated[str | None, Query(alias="from", max_length=40)] = None,
    end: Annotated[str | None, Query(alias="to", max_length=40)] = None,
    step: Annotated[str | None, Query(max_length=20)] = None,
) -> Response:
    """A point over time: lowest, highest and last value of each step; null where nothing is known.

    With `step` (`60s`, `1h`) also the mean, which weights each value by how long it stood, over the known time of its
    step. Without it the window has 600 steps and no mean.
    """
    until = asked_time(end) if end is not None else parts.now
    since = asked_time(start) if start is not None else until - HOUR
    asked = window(since, until, _duration(step))

    def gather(reader: HistoryReader) -> bytes:
        found = facts.one_site(*parts.sites(reader, session), site)
        value = facts.one_value(reader, found, parts.now, device, point)
        answer = items.trend(read(reader, found, value.point, asked, parts.now, means=step is not None))
        return items.encoded({"point": point, "unit": value.point.unit, **answer})

    return Response(await parts.trends.ask(gather), media_type="application/json")


@router.get("/{site}/events")
async def events(
    parts: PartsNow,
    session: Who,
    site: str,
    device: Annotated[str, Query(max_length=200)] = "",
    after: Annotated[int | None, Query(ge=0, le=NEWEST)] = None,
    limit: Annotated[int, Query(ge=1, le=EVENTS)] = EVENTS,
) -> Item:
    """Events in order of arrival: those after the one with the id `after`, without it the newest.

    `next` is the `after` of the next question.
    """

    def gather(reader: HistoryReader) -> Item:
        known = facts.one_site(*parts.sites(reader, session), site).known
        found, following = facts.events(reader, known, device=device, after=after, limit=limit)
        return {"events": [items.event(row) for row in found], "next": following}

    return await parts.pages.ask(gather)


def asked_time(written: str) -> Micros:
    """Return a time of a question. Raises Refused: `usage`, it is none."""
    try:
        return items.parse_time(written.replace(" ", "+"))  # a plus in an address means a blank
    except ValueError as error:
        reason = "usage"
        raise Refused(reason, str(error)) from None


def _duration(written: str | None) -> Micros | None:
    try:
        return None if written is None else parse_duration(written)
    except ValueError as error:
        reason = "usage"
        raise Refused(reason, str(error)) from None
