"""Operations about the gateway as a whole: how it is, and how far the office has what it has."""

from collections.abc import AsyncIterator
from functools import partial

from edge import health
from edge.operations.gateway import Gateway, Item, rfc3339
from edge.socket_api import Operation
from sitekeeper import __version__
from sitekeeper.block import STREAMS
from sitekeeper.control import Problem
from sitekeeper.model.alarm import ACTIVE, UNACKED
from sitekeeper.model.clock import SECOND
from sitekeeper.model.command import Actor


def operations(gateway: Gateway) -> dict[str, Operation]:
    """Return `status` and `sync.status`."""
    return {"status": partial(_status, gateway), "sync.status": partial(_sync, gateway)}


async def _status(gateway: Gateway, _actor: Actor, _args: Item) -> AsyncIterator[Item]:
    facts, uplink = _facts(gateway), gateway.uplink()
    commands = gateway.commander.report()
    records = gateway.pipeline.book.records()
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
        },
        "office": uplink,
        "commands": commands,
        "events_missing": {name: len(ranges) for name, ranges in gateway.pipeline.occurrences.missing().items()},
        "problems": [*_commands(commands), *health.problems(facts)],
    }


def _commands(report: Item) -> list[Problem]:
    """Return a problem for each point that is not as somebody claims it: a door that a fire alarm did not free."""
    return [
        Problem(
            "command",
            f"{p['point']} for {p['by'] or 'nobody'}: {p['outcome']} ({p['reason']})",
            f"sk point read {p['point']}",
        )
        for p in report["unsettled"]
    ]


async def _sync(gateway: Gateway, _actor: Actor, _args: Item) -> AsyncIterator[Item]:
    yield {
        "epoch": gateway.outbox.epoch,
        "uplink": gateway.uplink(),
        "unsent": {stream: gateway.outbox.unsent(stream)._asdict() for stream in STREAMS},
    }


def _facts(gateway: Gateway) -> health.Facts:
    uplink, problem = gateway.uplink(), gateway.outbox.problem
    age = uplink["receipt_age_s"]
    samples = {device: gateway.online(device) for device in gateway.site.devices}
    return health.Facts(
        clock_trusted=gateway.clock.trusted(),
        writer_error=str(problem) if problem else "",
        office=uplink["state"],
        receipt_age=None if age is None else int(age * SECOND),
        unsent=sum(gateway.outbox.unsent(stream).blocks for stream in STREAMS),
        silent_devices=tuple(device for device, s in samples.items() if s is not None and s.value is not True),
        unacked=sum(record.state in UNACKED for record in gateway.pipeline.book.records()),
        uptime=gateway.clock.monotonic() - gateway.started,
    )
