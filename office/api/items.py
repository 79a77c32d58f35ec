"""Facts as JSON items: plain names and numbers, times RFC 3339 in UTC. Pure."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from cloud_sync.store.base import Push
from cloud_sync.store.history import EventRow, Step
from cloud_sync.store.quarantine import QuarantineRow
from cloud_sync.store.reader import LedgerRow
from office.console.fleet import SiteDay
from office.facts import AlarmFacts, SiteFacts, ValueFacts
from office.ledger import sums
from office.trend import Trend
from sitekeeper.alarm_quality import Kpi, plain
from sitekeeper.catalogue import CatalogueDevice
from sitekeeper.model.alarm import Hold
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.quality import words
from sitekeeper.model.sample import Value

Item = dict[str, Any]


def rfc3339(wall: Micros | None) -> str | None:
    """Return a wall time in UTC, to the millisecond."""
    if wall is None:
        return None
    return datetime.fromtimestamp(wall / SECOND, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(written: str) -> Micros:
    """Return the wall time in an RFC 3339 text.

    Raises:
        ValueError: it is none, or has no offset.
    """
    moment = datetime.fromisoformat(written)
    if moment.tzinfo is None:
        msg = f"{written!r} has no offset from UTC"
        raise ValueError(msg)
    return round(moment.timestamp() * SECOND)


def site(facts: SiteFacts) -> Item:
    """Return a site."""
    row = facts.row
    return {
        "id": row.site,
        "names": row.names,
        "timezone": row.timezone,
        "live": facts.live,
        "online": row.online,
        "last_heard": rfc3339(row.last_seen) if row.last_seen else None,
        "version": row.version,
        "clock_trusted": row.clock_trusted,
        "revoked": rfc3339(facts.revoked),
        "unknown_since": rfc3339(facts.unknown),
        "unsent": row.unsent,
        "buffer_hours": None if facts.room is None else facts.room.hours,
        "buffer_told": None if facts.room is None else rfc3339(facts.room.told),
        "buffer_full_at": None if facts.room is None else rfc3339(facts.room.full_at),
        "devices": len(facts.known.devices),
        "worst": facts.worst or None,
        "held": facts.held,
        "open": {priority: facts.open(priority) for priority in sorted({p for p, _ in facts.counts})},
    }


def device(row: CatalogueDevice) -> Item:
    """Return a device."""
    return {
        "id": row.id,
        "class": row.cls,
        "profile": row.profile,
        "names": row.names,
        "zone": row.zone,
        "tags": list(row.tags),
        "asset": msgspec.to_builtins(row.asset),
    }


def value(facts: ValueFacts) -> Item:
    """Return a point as it stands; a value that is not live is still told, as not live."""
    point, latest = facts.point, facts.latest
    return {
        "id": point.id,
        "device": point.device,
        "type": point.type,
        "unit": point.unit,
        "members": list(point.members),
        "names": point.names,
        "value": None if latest is None else typed(point.type, latest.value),
        "quality": None if latest is None else quality(latest.q),
        "since": None if latest is None else rfc3339(latest.at),
        "confirmed": rfc3339(facts.confirmed),
        "live": facts.live,
    }


def typed(kind: str, stored: Value) -> Value:
    """Return a stored value as its point's type says; the store holds booleans as 0 and 1."""
    return bool(stored) if kind == "bool" and stored is not None else stored


def quality(q: int) -> str:
    """Return a packed quality in words; one of a newer version as its number."""
    try:
        return words(q)
    except ValueError:
        return f"q{q}"


def alarm(facts: AlarmFacts) -> Item:
    """Return an alarm."""
    record = facts.record
    return {
        "id": record.occurrence,
        "key": record.key,
        "site": facts.site,
        "device": facts.device,
        "rule": record.rule,
        "priority": record.priority,
        "state": record.state,
        "latched": record.latched,
        "mode": record.mode,
        "raised": rfc3339(record.raised),
        "changed": rfc3339(record.changed),
        **corrected(facts.corrected),
        "volatile": facts.cause is not None and facts.cause.transition.volatile,
        "standing": record.standing,
        "shelved": hold(record.shelved),
        "suppressed_by": [by for by in record.veils if by.rpartition("/")[2] not in facts.known.hidden],
        "out_of_service": hold(record.permit),
        "acked_by": record.acked_by,
        "ack_pending_by": facts.pending.who if facts.pending is not None else None,
        "detail": facts.cause.transition.detail if facts.cause is not None else "",
        "pushes": [push(one) for one in facts.pushes],
        "site_live": facts.live,
    }


def alarm_quality(kpi: Kpi) -> Item:
    """Return the figures of alarm quality; lengths in seconds."""
    return plain(kpi) | {"start": rfc3339(kpi.start), "end": rfc3339(kpi.end)}


def hold(found: Hold | None) -> Item | None:
    """Return a shelf or a permit; `by` put it on the shelf, or answers for the work."""
    if found is None:
        return None
    return {"by": found.by, "until": rfc3339(found.until), "note": found.note, "permit": found.permit or None}


def corrected(found: tuple[Micros, bool] | None) -> Item:
    """Return what a time should have been, if the site's clock was not to be believed; null where it was."""
    at, settled = found or (None, True)
    return {"corrected": rfc3339(at), "corrected_is_estimate": not settled}


def push(row: Any) -> Item:
    """Return one push without the provider's secrets: a row of the push log."""
    return {
        "recipient": row.recipient,
        "channel": row.channel,
        "attempt": row.attempt,
        "state": row.state,
        "started": rfc3339(row.started),
        "latency_ms": row.latency_ms,
        "possible_repeat": row.possible_repeat,
    }


def event(row: EventRow) -> Item:
    """Return an event; whoever it is about stands in it as a pseudonym, which the site made."""
    device, _, name = row.source_id.partition("/")
    return {
        "id": row.id,
        "site": row.site,
        "device": device,
        "event": name,
        "at": rfc3339(row.at),
        **corrected(None if row.corrected is None else (row.corrected, not row.estimated)),
        "source_time": rfc3339(row.source),
        "sequence": row.device_sequence,
        "late": row.late,
        "fields": row.fields,
    }


def ledger(row: LedgerRow) -> Item:
    """Return the account of one scan group; lengths in seconds."""
    return {
        "scan_group": row.scan_group,
        "from": rfc3339(row.start),
        "to": rfc3339(row.end),
        "known_s": row.known / SECOND,
        "gap_s": row.gap / SECOND,
        "unexplained_s": row.unexplained / SECOND,
        "causes": {cause: length / SECOND for cause, length in row.causes.items()},
    }


def site_day(row: SiteDay) -> Item:
    """Return how a site's day stands."""
    site, count = row.site.row.site, row.count
    if count is None:
        return {"site": site, "counted": None}
    return sums(count.ledger, count.day, count.total, count.dropped) | {
        "state": row.state,
        "told_to": rfc3339(row.told),
        "counted": rfc3339(count.at),
    }


def quarantined(row: QuarantineRow) -> Item:
    """Return a message in quarantine, without its bytes."""
    return {
        "id": row.id,
        "site": row.site,
        "kind": row.kind,
        "epoch": row.epoch,
        "sequence": row.sequence,
        "digest": row.digest,
        "reason": row.reason,
        "detail": row.detail,
        "size": row.size,
        "times": row.times,
        "seen": rfc3339(row.seen),
        "replayed": rfc3339(row.replayed),
    }


def notification(row: Push) -> Item:
    """Return a row of the push log."""
    return {"id": row.id, "alarm": row.occurrence, "reason": row.reason, "finished": rfc3339(row.finished)} | push(row)


def trend(found: Trend) -> Item:
    """Return a trend; steps as columns, because there are hundreds."""
    asked = found.window
    return {
        "from": rfc3339(asked.start),
        "to": rfc3339(asked.end),
        "step_s": asked.step / SECOND,
        "steps": {
            "at": [one.at / SECOND for one in found.steps],
            **{name: [getattr(one, name) for one in found.steps] for name in Step.__struct_fields__[1:]},
            **({"mean": found.means} if found.means else {}),
        },
        "holes": [{"from": m.start / SECOND, "to": m.end / SECOND, "causes": m.what.split()} for m in found.holes],
        "bad": [{"from": m.start / SECOND, "to": m.end / SECOND, "quality": quality(int(m.what))} for m in found.bad],
        "alarms": [
            {
                "id": span.occurrence,
                "rule": span.rule,
                "priority": span.priority,
                "from": span.start / SECOND,
                "to": None if span.end is None else span.end / SECOND,
            }
            for span in found.alarms
        ],
    }


def encoded(item: Item) -> bytes:
    """Return an item as JSON; for large ones, which a thread encodes faster than the framework would."""
    return msgspec.json.encode(item)
