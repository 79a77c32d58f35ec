"""Operations about rules at work: how one stands on a device and why, and having it forget what it has learned."""

from collections.abc import AsyncIterator
from functools import partial

from edge.commands.audit import DONE, AuditRow, encode
from edge.operations import audience
from edge.operations.alarms import asked_note, durable
from edge.operations.gateway import Gateway, Item, not_found, text
from edge.rules.decide import Progress
from edge.rules.explaining import Explained, Part, explain
from edge.socket_api import Operation
from sitekeeper.model.alarm import AlarmState, alarm_key
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import NotFound, Refused
from sitekeeper.model.quality import words

FORGET = "rule.forget"
MAY_FORGET = frozenset({"technician", "engineer"})


def operations(gateway: Gateway) -> dict[str, Operation]:
    """Return `rule.explain` and `rule.forget`."""
    return {"rule.explain": partial(_explain, gateway), FORGET: partial(_forget, gateway)}


async def _explain(gateway: Gateway, _actor: Actor, args: Item) -> AsyncIterator[Item]:
    for device in _devices(gateway, args):
        instance = gateway.pipeline.instance(text(args, "rule"), device)
        if instance is not None:
            yield _told(gateway, explain(instance, gateway.clock.monotonic()), instance.plan.mode)


async def _forget(gateway: Gateway, actor: Actor, args: Item) -> AsyncIterator[Item]:
    rule, device = text(args, "rule"), text(args, "device")
    _devices(gateway, args)
    allowed = actor.role in MAY_FORGET and actor.origin == "site"
    refusal = "" if allowed else "not-permitted"
    now = gateway.clock.wall()
    row = AuditRow(
        now, gateway.clock.trusted(), actor.name, actor.role, actor.origin, FORGET, f"{device}/{rule}",
        refusal or DONE, asked_note(gateway, args),
    )  # fmt: skip
    if refusal:
        gateway.pipeline.noted(audit=(encode(row),))
        raise Refused(refusal, f"{actor.name} is {actor.role}")
    if gateway.pipeline.forget(rule, device, encode(row)) is None:
        raise Refused("nothing-learned", f"{rule} learns nothing of {device}")
    await durable(gateway, None)
    yield {"rule": rule, "device": device, "forgotten": True}


def _devices(gateway: Gateway, args: Item) -> list[str]:
    """Return the devices that are meant.

    Raises:
        NotFound: no such rule or device, or the rule does not apply there; it says what the device lacks.
        Refused: `not-run`, the rule is switched off.
    """
    rule, device = text(args, "rule"), args.get("device")
    rules, hidden = gateway.site.rules, audience.hidden(gateway, args)
    known = [one.id for one in rules.rules if one.id not in hidden]
    if rule not in known:
        raise not_found("rule", rule, known)
    plans = [plan for plan in rules.plans if plan.rule.id == rule and device in (None, plan.device.id)]
    if not plans:
        lacks = {one.device: one.needs for one in rules.not_applicable if one.rule == rule}
        devices = [*gateway.site.devices, *(own.id for own in gateway.site.own)]
        if device is not None and device not in devices:
            raise not_found("device", str(device), devices)
        where = device or next(iter(lacks), "")
        raise NotFound(f"{rule} does not apply to {where or 'any device here'}" + _lack(lacks.get(where, "")))
    if all(plan.mode == "off" for plan in plans):
        raise Refused("not-run", f"{rule} is in mode off")
    return [plan.device.id for plan in plans]


def _lack(needs: str) -> str:
    return f": it has no {needs}" if needs else ""


def _told(gateway: Gateway, found: Explained, mode: str) -> Item:
    record = gateway.pipeline.book.record(alarm_key(gateway.site.id, found.device, found.rule))
    now = gateway.clock.monotonic()
    return {
        "rule": found.rule,
        "device": found.device,
        "state": found.state,
        "alarm": str(AlarmState.NORMAL if record is None else record.state),
        "priority": found.priority,
        "mode": mode or "live",
        "veiled": [] if record is None else list(record.veils),
        "levels": [
            {"priority": level.priority, "wait": _wait(level.wait, now), "when": _maybe(level.when, now)}
            for level in found.levels
        ],
        "off": None if found.off is None else _wait(found.off, now),
        "when": _part(found.when, now),
        "unless": _maybe(found.unless, now),
        "reset": _maybe(found.reset, now),
        "limits": dict(found.limits),
    }


def _maybe(part: Part | None, now: Micros) -> Item | None:
    return None if part is None else _part(part, now)


def _part(part: Part, now: Micros) -> Item:
    return {
        "text": part.text,
        "value": part.value,
        "quality": None if part.q is None else words(part.q),
        "wait": None if part.wait is None else _wait(part.wait, now),
        "again_in_s": _until(part.again, now),
        "devices": None if part.tally is None else dict(zip(("true", "false", "unknown"), part.tally, strict=True)),
        "seen": part.seen,
        "children": [_part(child, now) for child in part.children],
    }


def _wait(wait: Progress, now: Micros) -> Item:
    shown, of = round(wait.shown / SECOND, 3), round(wait.of / SECOND, 3)
    return {"shown_s": shown, "of_s": of, "due_in_s": _until(wait.due, now), "reached": wait.reached}


def _until(due: Micros | None, now: Micros) -> float | None:
    return None if due is None else round(max(0, due - now) / SECOND, 3)
