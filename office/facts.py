"""What the office knows of sites, alarms and points, gathered from the store for pages and API; no words, no HTML.

The functions read and may block: they are run in a reading thread. A thing is `live` only while all that stands behind
it is recent; what is not known to be live is shown as stale, never the other way round.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cloud_sync.store.base import Push, StoredTransition
from cloud_sync.store.heads import Word
from cloud_sync.store.history import HistoryReader
from cloud_sync.store.reader import LatestRow, SiteRow
from office.own_alarms import OFFICE, own_names
from sitekeeper.catalogue import Catalogue, CatalogueDevice, CataloguePoint, CatalogueRule
from sitekeeper.model.alarm import HELD_BACK, AlarmRecord, AlarmState, split_key
from sitekeeper.model.clock import HOUR, SECOND, Micros
from sitekeeper.model.command import Ack
from sitekeeper.model.errors import NotFound
from sitekeeper.model.quality import is_good

HEARD_WITHIN: Final[Micros] = 15 * SECOND
"""A site says something every 10 s; one that has missed that is not live."""
VOUCHED_WITHIN: Final[Micros] = 90 * SECOND
"""A gateway vouches for its points at least every 60 s, changed or not; 90 s allow for the way and a slow commit."""
OPEN: Final = tuple(state.value for state in AlarmState if state not in {AlarmState.NORMAL, *HELD_BACK})
HELD: Final = tuple(sorted(state.value for state in HELD_BACK))
PRIORITIES: Final = ("P1", "P2", "P3", "P4")
PAGE: Final = 200
"""Alarms on one page."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """A site's newest catalogue, indexed."""

    hash: str | None
    catalogue: Catalogue
    zone: ZoneInfo
    devices: dict[str, CatalogueDevice]
    rules: dict[str, CatalogueRule]
    points: dict[str, list[CataloguePoint]]
    groups: dict[str, list[str]]


class Catalogues:
    """What stands beside the store: catalogues by site, decoded once each, and who is revoked.

    Args:
        revoked: the sites that the office has revoked, with the wall time since when.
        unknown: since when the office cannot know how any site is (GW15 stands); None while it can.
    """

    def __init__(
        self, revoked: Callable[[], Mapping[str, Micros]] = dict, unknown: Callable[[], Micros | None] = lambda: None
    ) -> None:
        self._known: dict[str, Known] = {}  # one entry a site; a large one takes tens of milliseconds to decode
        self.revoked = revoked
        self.unknown = unknown

    def get(self, reader: HistoryReader, row: SiteRow) -> Known:
        """Return what is known of the site; without a catalogue only its id."""
        known = self._known.get(row.site)
        if known is None or known.hash != row.catalogue:
            found = reader.catalogue(row.site) if row.catalogue is not None else None
            known = _indexed(found or Catalogue(site=row.site), row.catalogue)
            self._known[row.site] = known
        return known


def _indexed(catalogue: Catalogue, digest: str | None) -> Known:
    points: dict[str, list[CataloguePoint]] = {device.id: [] for device in catalogue.devices}
    for point in catalogue.points:
        points[point.device].append(point)
    groups: dict[str, list[str]] = {device.id: [] for device in catalogue.devices}
    for group in catalogue.groups:
        groups[group.device].append(group.id)
    try:
        zone = ZoneInfo(catalogue.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        zone = ZoneInfo("UTC")
    return Known(
        hash=digest,
        catalogue=catalogue,
        zone=zone,
        devices={device.id: device for device in catalogue.devices},
        rules={rule.id: rule for rule in catalogue.rules},
        points=points,
        groups=groups,
    )


@dataclass(frozen=True, kw_only=True)
class Room:
    """What is left of a site's buffer, as it told last.

    Attributes:
        hours: for how long without the office there is room, at its rate then. told: the office's wall time of that.
    """

    hours: float
    told: Micros

    @property
    def full_at(self) -> Micros:
        """Return when the oldest records would be dropped if the site sent nothing from then on."""
        return self.told + round(self.hours * HOUR)


@dataclass(frozen=True, kw_only=True)
class SiteFacts:
    """A site and how it stands.

    Attributes:
        counts: open alarms by (priority, state). room: of its buffer; None if it does not tell.
        revoked: since when the office takes nothing of it any more; None if it does.
        unknown: since when the office, without its broker, cannot know how it is; None if it can.
    """

    row: SiteRow
    known: Known
    live: bool
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    room: Room | None = None
    revoked: Micros | None = None
    unknown: Micros | None = None

    @property
    def waiting(self) -> int:
        """Return how many blocks wait on the site, as it told last."""
        return sum(self.row.unsent.values())

    def open(self, priority: str) -> int:
        """Return the open alarms of a priority."""
        return sum(number for (of, _), number in self.counts.items() if of == priority)

    @property
    def worst(self) -> str:
        """Return the most urgent priority that stands open, or nothing."""
        return min((priority for priority, _ in self.counts), default="")

    @property
    def rank(self) -> tuple[str, bool, str]:
        """Return what sorts the worst first: urgency, then silence, then the name."""
        return self.worst or "P9", self.live, self.row.site


def is_live(row: SiteRow, now: Micros) -> bool:
    """Tell whether the site was heard of late and its last will has not been read."""
    return row.online and now - row.last_seen <= HEARD_WITHIN


def all_sites(
    reader: HistoryReader, catalogues: Catalogues, now: Micros, only: Collection[str] | None = None
) -> list[SiteFacts]:
    """Return all sites, or those in `only`, the worst first."""
    counts: dict[str, dict[tuple[str, str], int]] = {}
    for (site, priority, state), number in reader.alarm_counts().items():
        counts.setdefault(site, {})[priority, state] = number
    words = {word.site: word for word in reader.words()}
    found = [
        _facts(row, catalogues.get(reader, row), now, counts.get(row.site, {}), words.get(row.site), catalogues)
        for row in reader.sites()
        if only is None or row.site in only
    ]
    return sorted(found, key=lambda site: site.rank)


def _facts(
    row: SiteRow,
    known: Known,
    now: Micros,
    counts: dict[tuple[str, str], int],
    word: Word | None,
    beside: Catalogues,
) -> SiteFacts:
    revoked, unknown = beside.revoked().get(row.site), beside.unknown()
    room = None if word is None or word.hours is None else Room(hours=word.hours, told=word.told)
    return SiteFacts(
        row=row,
        known=known,
        live=is_live(row, now) and revoked is None and unknown is None,
        counts=counts,
        room=room,
        revoked=revoked,
        unknown=unknown,
    )


def one_site(reader: HistoryReader, catalogues: Catalogues, now: Micros, site: str) -> SiteFacts:
    """Return one site.

    Raises:
        NotFound: the office has never heard of it.
    """
    row = next((row for row in reader.sites() if row.site == site), None)
    if row is None:
        raise NotFound(f"no site {site!r} at the office")
    counts = {(priority, state): number for (_, priority, state), number in reader.alarm_counts(site).items()}
    return _facts(row, catalogues.get(reader, row), now, counts, reader.word(site), catalogues)


@dataclass(frozen=True, kw_only=True)
class AlarmFacts:
    """An alarm as it stands.

    Attributes:
        cause: the move that announced it last. pending: an acknowledgement that its site has not answered.
        corrected: when `cause` truly was, where the site's clock was not to be believed, and whether that is settled
            (`cloud_sync.store.clocks`).
    """

    record: AlarmRecord
    known: Known
    live: bool
    cause: StoredTransition | None
    pending: Ack | None
    pushes: Sequence[Push]
    corrected: tuple[Micros, bool] | None = None

    @property
    def site(self) -> str:
        return split_key(self.record.key)[0]

    @property
    def device(self) -> str:
        return split_key(self.record.key)[1]


@dataclass(frozen=True, kw_only=True)
class AlarmFilter:
    """Which alarms are asked for; empty means all. `states` are the letters of the model.

    `sites`: those that the caller may see; None for all.
    """

    states: Sequence[str] = OPEN
    site: str = ""
    priority: str = ""
    device: str = ""
    skip: int = 0
    limit: int = PAGE
    sites: Collection[str] | None = None


def alarms(reader: HistoryReader, catalogues: Catalogues, now: Micros, wanted: AlarmFilter) -> list[AlarmFacts]:
    """Return a page of alarms, the most urgent first."""
    records = reader.alarm_page(
        limit=wanted.limit,
        skip=wanted.skip,
        states=wanted.states,
        site=wanted.site,
        priority=wanted.priority,
        device=wanted.device,
        sites=wanted.sites,
    )
    return _filled(reader, catalogues, now, records)


def one_alarm(reader: HistoryReader, catalogues: Catalogues, now: Micros, occurrence: str) -> AlarmFacts:
    """Return the alarm of an occurrence, as it stands if it is the newest of its key.

    Raises:
        NotFound: there is no such occurrence.
    """
    record = reader.alarm(occurrence)
    if record is None or (record.occurrence != occurrence and not reader.story(occurrence)):
        raise NotFound(f"no alarm {occurrence!r} at the office")
    return _filled(reader, catalogues, now, [record])[0]


def _filled(
    reader: HistoryReader, catalogues: Catalogues, now: Micros, records: Sequence[AlarmRecord]
) -> list[AlarmFacts]:
    occurrences = [record.occurrence for record in records]
    causes, pushes = reader.causes(occurrences), reader.pushes_of(occurrences)
    corrected = reader.corrections(causes.values())
    pending = {one.ack.occurrence: one.ack for one in reader.pending_acks()}
    rows, revoked = {row.site: row for row in reader.sites()}, catalogues.revoked()
    found = []
    for record in records:
        site, cause = split_key(record.key)[0], causes.get(record.occurrence)
        row = rows.get(site)
        found.append(
            AlarmFacts(
                record=record,
                known=catalogues.get(reader, row)
                if row
                else _indexed(Catalogue(site=site, names=own_names(site)), None),
                live=site == OFFICE or (row is not None and is_live(row, now) and site not in revoked),
                cause=cause,
                corrected=None if cause is None else corrected.get(cause.id),
                pending=pending.get(record.occurrence),
                pushes=pushes[record.occurrence],
            )
        )
    return found


@dataclass(frozen=True, kw_only=True)
class ValueFacts:
    """A point as it stands.

    Attributes:
        latest: its newest sample. confirmed: until when somebody vouches for it, or the time of the sample.
        live: good, and vouched for of late by a site that is heard.
    """

    point: CataloguePoint
    latest: LatestRow | None
    confirmed: Micros | None
    live: bool

    @property
    def name(self) -> str:
        return self.point.id.partition("/")[2]


def values(reader: HistoryReader, site: SiteFacts, now: Micros, device: str) -> dict[str, ValueFacts]:
    """Return the points of a device by name, in the catalogue's order.

    Raises:
        NotFound: the site's catalogue has no such device.
    """
    if device not in site.known.devices:
        raise NotFound(f"no device {device!r} at {site.row.site!r}", near=tuple(site.known.devices)[:3])
    return _values(reader, site, now, device, reader.latest(site.row.site, device))


def all_values(reader: HistoryReader, site: SiteFacts, now: Micros) -> dict[str, dict[str, ValueFacts]]:
    """Return the points of all devices of a site, by device and name."""
    latest: dict[str, list[LatestRow]] = {device: [] for device in site.known.devices}
    for row in reader.latest(site.row.site):
        latest.get(row.point.partition("/")[0], []).append(row)  # a device that is no longer there is left out
    return {device: _values(reader, site, now, device, rows) for device, rows in latest.items()}


def _values(
    reader: HistoryReader, site: SiteFacts, now: Micros, device: str, rows: Iterable[LatestRow]
) -> dict[str, ValueFacts]:
    latest = {row.point: row for row in rows}
    vouched = reader.covered_until(site.row.site, site.known.groups[device])
    found = [_value(point, latest.get(point.id), vouched, site.live, now) for point in site.known.points[device]]
    return {facts.name: facts for facts in found}


def _value(
    point: CataloguePoint, latest: LatestRow | None, vouched: dict[str, Micros], heard: bool, now: Micros
) -> ValueFacts:
    """Return the facts of one point; one that no scan reads is vouched for by its device's scans."""
    until = vouched.get(point.group) if point.group else max(vouched.values(), default=None)
    times = [at for at in (until, latest.at if latest is not None else None) if at is not None]
    confirmed = max(times, default=None)
    good = latest is not None and is_good(latest.q) and latest.value is not None
    fresh = confirmed is not None and now - confirmed <= VOUCHED_WITHIN
    return ValueFacts(point=point, latest=latest, confirmed=confirmed, live=good and fresh and heard)


def one_value(reader: HistoryReader, site: SiteFacts, now: Micros, device: str, point: str) -> ValueFacts:
    """Return one point.

    Raises:
        NotFound: there is no such device or point.
    """
    found = values(reader, site, now, device)
    if point not in found:
        raise NotFound(f"no point {device}/{point} at {site.row.site!r}", near=_near(found, point))
    return found[point]


def _near(known: Iterable[str], wanted: str) -> tuple[str, ...]:
    from difflib import get_close_matches

    return tuple(get_close_matches(wanted, list(known), n=3))
