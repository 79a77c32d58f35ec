"""What the office knows of sites, alarms and points, gathered from the store for pages and API; no words, no HTML.

The functions read and may block: they are run in a reading thread. A thing is `live` only while all that stands behind
it is recent; what is not known to be live is shown as stale, never the other way round.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from msgspec import structs

from cloud_sync.store import bundles
from cloud_sync.store.base import Push, StoredTransition
from cloud_sync.store.heads import Word
from cloud_sync.store.history import EventRow, HistoryReader
from cloud_sync.store.orders import OrderRow
from cloud_sync.store.reader import LatestRow, SiteRow
from office.audience import going_on
from office.known import Catalogues, Known, indexed
from office.own_alarms import OFFICE, own_names
from sitekeeper.catalogue import Catalogue, CataloguePoint
from sitekeeper.model.alarm import HELD_BACK, AlarmRecord, AlarmState, split_key
from sitekeeper.model.clock import HOUR, SECOND, Micros
from sitekeeper.model.command import Ack
from sitekeeper.model.errors import NotFound
from sitekeeper.model.quality import is_good
from sitekeeper.order import ALARM_TARGETS

HEARD_WITHIN: Final[Micros] = 15 * SECOND
"""A site says something every 10 s; one that has missed that is not live."""
VOUCHED_WITHIN: Final[Micros] = 90 * SECOND
"""A gateway vouches for its points at least every 60 s, changed or not; 90 s allow for the way and a slow commit."""
OPEN: Final = tuple(state.value for state in AlarmState if state not in {AlarmState.NORMAL, *HELD_BACK})
HELD: Final = tuple(sorted(state.value for state in HELD_BACK))
PRIORITIES: Final = ("P1", "P2", "P3", "P4")
PAGE: Final = 200
"""Alarms on one page."""
DRILL_LASTS: Final[Micros] = 2 * HOUR
"""The longest drill."""
LOOKED_AT: Final = 200
"""Rows looked at for one answer of those in which something may be hidden, however few of them are wanted."""


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
        counts: open alarms by (priority, state). held: how many are held back.
        room: of its buffer; None if it does not tell.
        revoked: since when the office takes nothing of it any more; None if it does.
        unknown: since when the office, without its broker, cannot know how it is; None if it can.
    """

    row: SiteRow
    known: Known
    live: bool
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    held: int = 0
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
    for (site, priority, state), number in reader.alarm_counts(hidden=catalogues.hidden(reader)).items():
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
        counts={each: number for each, number in counts.items() if each[1] not in HELD},
        held=sum(number for (_, state), number in counts.items() if state in HELD),
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
    of_site = reader.alarm_counts(site, [each for each in catalogues.hidden(reader) if each.startswith(f"{site}/")])
    counts = {(priority, state): number for (_, priority, state), number in of_site.items()}
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
        hidden=catalogues.hidden(reader),
    )
    return _filled(reader, catalogues, now, records)


def last_alarm(
    reader: HistoryReader, catalogues: Catalogues, _now: Micros, sites: Collection[str] | None
) -> Micros | None:
    """Return when the newest alarm of all sites, or of some, was raised."""
    return reader.last_alarm_at(sites, catalogues.hidden(reader))


def events(
    reader: HistoryReader, known: Known, *, limit: int, device: str = "", after: int | None = None
) -> tuple[list[EventRow], int]:
    """Return events of a site as whoever asks may see them, and after which one to go on."""
    looked = max(limit, LOOKED_AT) if known.hidden else limit
    rows = reader.events(known.catalogue.site, device=device, after=after, limit=looked)
    shown = (known.shown(row.source_id, row.fields) for row in rows)
    kept = [structs.replace(row, fields=fields) for row, fields in zip(rows, shown, strict=True) if fields is not None]
    if after is None:
        return kept[-limit:], kept[-1].id if kept else 0
    return kept[:limit], going_on(rows, kept, after, limit=limit, looked=looked)


class Drill(NamedTuple):
    """A drill that is under way: who began it, and the devices that it is about, in the site's words."""

    who: str
    devices: str


def drill(reader: HistoryReader, site: str, now: Micros) -> Drill | None:
    """Return the drill that is under way at a site, by the newest word of its gateway about one.

    When that was is told by the site's clock, corrected where it was not to be believed.
    """
    newest = reader.drill_told(site)
    if newest is None or newest.fields.get("on") is not True:
        return None
    if now - (newest.at if newest.corrected is None else newest.corrected) > DRILL_LASTS:
        return None
    return Drill(str(newest.fields.get("who") or ""), str(newest.fields.get("devices") or ""))


def floods(reader: HistoryReader) -> frozenset[str]:
    """Return the sites of which more alarms come at present than people can take in."""
    return frozenset(digest.site for digest in bundles.lasting(reader.ask))


def orders(
    reader: HistoryReader, catalogues: Catalogues, _now: Micros, limit: int, sites: Sequence[str] | None
) -> list[OrderRow]:
    """Return the newest orders, the newest first, without those about alarms of which whoever asks is told nothing."""
    hidden = catalogues.hidden(reader)
    return [row for row in reader.orders(limit, sites) if not about(row, hidden)]


def one_order(reader: HistoryReader, catalogues: Catalogues, _now: Micros, id_: str) -> OrderRow | None:
    """Return an order, None if there is none that whoever asks may know of."""
    row = reader.order(id_)
    return None if row is None or about(row, catalogues.hidden(reader)) else row


def about(row: OrderRow, hidden: Collection[str]) -> bool:
    """Tell whether an order concerns an alarm of one of these rules, `<site>/<rule>` each."""
    return row.target in ALARM_TARGETS and f"{row.site}/{row.value.rpartition('/')[2]}" in hidden


def one_alarm(reader: HistoryReader, catalogues: Catalogues, now: Micros, occurrence: str) -> AlarmFacts:
    """Return the alarm of an occurrence, as it stands if it is the newest of its key.

    Raises:
        NotFound: there is no such occurrence, or whoever asks is not to know of it.
    """
    record = reader.alarm(occurrence)
    never = record is None or (record.occurrence != occurrence and not reader.story(occurrence))
    if record is None or never or catalogues.hides(reader, record.key):
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
                else indexed(Catalogue(site=site, names=own_names(site)), None),
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
