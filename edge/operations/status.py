"""Operations about the gateway as a whole: how it is, and how far the office has what it has."""

from collections.abc import AsyncIterator, Sequence
from functools import partial

from edge import health
from edge.operations import audience
from edge.operations.gateway import Gateway, Item, rfc3339
from edge.outbox.quarantine import kept
from edge.own_reading import begun
from edge.socket_api import Operation
from edge.trust import keeping
from sitekeeper import __version__
from sitekeeper.block import STREAMS, Stream
from sitekeeper.control import Problem
from sitekeeper.model.alarm import ACTIVE, UNACKED, AlarmRecord
from sitekeeper.model.clock import SECOND
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import Refused


def operations(gateway: Gateway) -> dict[str, Operation]:
    """Return `status`, `outbox.stats`, `sync.status` and `sync.retry`."""
    return {
        "status": partial(_status, gateway),
        "outbox.stats": partial(_outbox, gateway),
        "sync.status": partial(_sync, gateway),
        "sync.retry": partial(_retry, gateway),
    }


async def _status(gateway: Gateway, _actor: Actor, args: Item) -> AsyncIterator[Item]:
    records = audience.records(gateway, args)
    facts, uplink = _facts(gateway, records), gateway.uplink()
    commands = gateway.commander.report()
    online = [gateway.online(device) for device in gateway.site.devices]
    yield {
        "site": gateway.site.id,
        "version": __version__,
        "boot": gateway.boot,
        "at": rfc3339(gateway.clock.wall()),
        "uptime_s": facts.uptime // SECOND,
        "clock_trusted": facts.clock_trusted,
        "devices": {
            "all": len(online),
            "online": sum(sample is not None and sample.value is True for sample in online),
            "silent": list(facts.silent_devices),
        },
        "points": len(gateway.site.points),
        "alarms": {"active": sum(r.state in ACTIVE for r in records), "unacked": facts.unacked},
        "outbox": {
            "state": facts.writer_error or "ok",
            "epoch": gateway.outbox.epoch,
            "path": str(gateway.outbox_path),
            "unsent": {stream: gateway.outbox.unsent(stream).blocks for stream in STREAMS},
            "samples_dropped": gateway.pipeline.dropped,
            "alarms_volatile": facts.volatile,
            "no_room": str(gateway.outbox.short or ""),
            "hours": gateway.outbox.hours(),
            "dropped": _dropped(gateway),
            "quarantines": kept(gateway.outbox_path),
        },
        "audit": gateway.audit(),
        "office": uplink,
        "commands": commands,
        "drill": _drill(gateway),
        "told_on_site": _told(gateway, records),
        "events_missing": {name: len(ranges) for name, ranges in gateway.pipeline.occurrences.missing().items()},
        "problems": [*_commands(commands), *keeping.problems(uplink), *health.problems(facts)],
    }


def _drill(gateway: Gateway) -> Item | None:
    """Return where a drill runs, and until when; None if none does."""
    drill = gateway.drill.running
    return None if drill is None else {"where": drill.where, "until": rfc3339(drill.until), "who": drill.who}


def _told(gateway: Gateway, records: Sequence[AlarmRecord]) -> list[Item]:
    """Return who is being told on site of what the caller may know, because the office does not have it."""
    known = {record.occurrence for record in records}
    return [each | {"last": rfc3339(each["last"])} for each in gateway.local.facts() if each["occurrence"] in known]


def _commands(report: Item) -> list[Problem]:
    """Return a problem for each point that is not as somebody claims it: a door that a fire alarm did not free."""
    return [
        health.problem(
            "command",
            "command",
            f"sk point read {p['point']}",
            **{name: p[name] or "-" for name in ("point", "by", "outcome", "reason")},
        )
        for p in report["unsettled"]
    ]


def _dropped(gateway: Gateway) -> Item:
    """Return what was dropped for want of space, as far as is known, and since when nothing was."""
    blocks, records, last = gateway.outbox.losses()
    age = round((gateway.clock.wall() - last) / SECOND, 1) if blocks else None
    return {"blocks": blocks, "records": records, "last": rfc3339(last) if blocks else "", "age_s": age}


async def _outbox(gateway: Gateway, _actor: Actor, _args: Item) -> AsyncIterator[Item]:
    outbox = gateway.outbox
    depth, usage = outbox.depth(), outbox.usage()
    yield {
        "path": str(gateway.outbox_path),
        "epoch": outbox.epoch,
        "no_room": str(outbox.short or ""),
        "unsent": {stream: outbox.unsent(stream).blocks for stream in STREAMS},
        "salvaged": sum(last - first + 1 for found in outbox.salvaged().values() for first, last in found),
        "hours": outbox.hours(),
        "bytes_a_second": {"hour": round(depth.hour, 1), "minute": round(depth.minute, 1)},
        "bytes_waiting": depth.unsent,
        "bytes_that_may_wait": depth.capacity,
        **usage._asdict(),
    }


async def _sync(gateway: Gateway, _actor: Actor, _args: Item) -> AsyncIterator[Item]:
    yield {
        "epoch": gateway.outbox.epoch,
        "uplink": gateway.uplink(),
        "hours": gateway.outbox.hours(),
        "unsent": {stream: gateway.outbox.unsent(stream)._asdict() for stream in STREAMS},
        "oldest_age_s": {stream: _oldest_age(gateway, stream) for stream in STREAMS},
        "buffer_hours_left": gateway.outbox.depth().hours,
    }


async def _retry(gateway: Gateway, actor: Actor, _args: Item) -> AsyncIterator[Item]:
    if gateway.retry is None:
        reason = "no-office"
        raise Refused(reason, "this site has no office")
    if actor.role == "viewer":
        reason = "not-allowed"
        raise Refused(reason, f"{actor.role} may not retry")
    gateway.retry()
    yield {"state": gateway.uplink()["state"], "asked": True}


def _oldest_age(gateway: Gateway, stream: Stream) -> float | None:
    """Return the seconds since the oldest unsent block was begun; None if there is none, or it cannot be read."""
    at = begun(gateway.outbox, stream)
    return None if at is None else round(max(0, gateway.clock.wall() - at) / SECOND, 1)


def _facts(gateway: Gateway, alarms: Sequence[AlarmRecord]) -> health.Facts:
    uplink, problem = gateway.uplink(), gateway.outbox.problem
    age, taken_over, audit = uplink["receipt_age_s"], uplink.get("taken_over_age_s"), gateway.audit()
    samples = {device: gateway.online(device) for device in gateway.site.devices}
    return health.Facts(
        clock_trusted=gateway.clock.trusted(),
        writer_error=str(problem) if problem else "",
        volatile=gateway.watches.disk.volatile,
        office=uplink["state"],
        nobody=uplink.get("nobody_listens", False),
        revoked=uplink.get("revoked", False),
        receipt_age=None if age is None else int(age * SECOND),
        unsent=sum(gateway.outbox.unsent(stream).blocks for stream in STREAMS),
        silent_devices=tuple(device for device, s in samples.items() if s is not None and s.value is not True),
        unacked=sum(record.state in UNACKED for record in alarms),
        uptime=gateway.clock.monotonic() - gateway.started,
        taken_over=None if taken_over is None else int(taken_over * SECOND),
        boot=gateway.boot,
        audit_stands=audit["stands"],
        audit_kept=audit["kept"],
        audit_most=audit["most"],
    )
