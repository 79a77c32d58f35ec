"""Operations about alarms: list, story, and the three moves that a person may make."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import msgspec

from edge.operations import audience, tellings
from edge.operations.gateway import Gateway, Item, not_found, rfc3339, text
from edge.outbox.reader import Reader
from edge.socket_api import Operation
from sitekeeper import story, texts
from sitekeeper.model.alarm import HELD_BACK, AlarmRecord, AlarmState, Transition, split_key
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import Refused, StorageError
from sitekeeper.model.veil import held_by

DURABLE_WITHIN_S = 8.0
"""How long a person waits for the disk before being told so; below the command line's own patience."""

NOTE_LIMIT = 500
"""Characters of a note; a block must be able to hold it."""


def operations(gateway: Gateway) -> dict[str, Operation]:
    """Return `alarm.list`, `alarm.show`, `alarm.ack`, `alarm.unack` and `alarm.clear`; moves answer once durable."""
    return {
        "alarm.list": partial(_every, gateway),
        "alarm.show": partial(_show, gateway),
        "alarm.ack": partial(_ack, gateway),
        "alarm.unack": partial(_unack, gateway),
        "alarm.clear": partial(_clear, gateway),
    }


async def _every(gateway: Gateway, _actor: Actor, args: Item) -> AsyncIterator[Item]:
    for record in sorted(audience.records(gateway, args), key=lambda r: (r.priority, -r.changed)):
        held = record.state in HELD_BACK
        if args.get("all") or (held if args.get("held") else record.state is not AlarmState.NORMAL and not held):
            yield _alarm(record) | {"delivered": _delivered(gateway, record)}


async def _show(gateway: Gateway, _actor: Actor, args: Item) -> AsyncIterator[Item]:
    record = find(gateway, args)
    moves = await asyncio.to_thread(_transitions, gateway.outbox_path, record.occurrence)
    names = story.labels(gateway.site.catalogue, record.key, str(args.get("lang", "en")))
    told = await asyncio.to_thread(tellings.of, gateway.outbox_path, record) if gateway.site.local.fits else []
    lines = [*story.story(moves, (), names), *tellings.lines(told, names), *_now(record, names.lang)] if moves else []
    shown = {"transitions": [named(move) for move in moves], "told": tellings.items(told)}
    yield {"alarm": _alarm(record), "story": lines} | shown


async def _ack(gateway: Gateway, actor: Actor, args: Item) -> AsyncIterator[Item]:
    occurrence, note = _asked(gateway, args)
    yield await durable(gateway, gateway.door.ack(occurrence, actor, note))


async def _unack(gateway: Gateway, actor: Actor, args: Item) -> AsyncIterator[Item]:
    occurrence, note = _asked(gateway, args)
    yield await durable(gateway, gateway.door.unack(occurrence, actor, note))


async def _clear(gateway: Gateway, actor: Actor, args: Item) -> AsyncIterator[Item]:
    occurrence, entered = _asked(gateway, args)
    _, device, rule = split_key(occurrence.partition("@")[0])
    false, allowed = gateway.pipeline.standing(rule, device)
    move = gateway.door.clear(occurrence, actor, entered, condition_false=false, reset_allowed=allowed)
    yield await durable(gateway, move)


def _asked(gateway: Gateway, args: Item) -> tuple[str, str]:
    """Return the occurrence and the note of a move. What cannot be stored is refused here, before anything moves.

    Raises:
        Refused, NotFound: as `find`; `usage` for a note that is too long.
        StorageError: the disk is behind.
    """
    return find(gateway, args).occurrence, asked_note(gateway, args)


def asked_note(gateway: Gateway, args: Item) -> str:
    """Return the note of a move, which can be stored now.

    Raises:
        Refused: `usage` for a note that is too long.
        StorageError: the disk is behind.
    """
    note = args.get("note") or ""
    if not isinstance(note, str) or len(note) > NOTE_LIMIT:
        reason = "usage"
        raise Refused(reason, f"a note is a text of at most {NOTE_LIMIT} characters")
    if gateway.outbox.behind("alarms"):
        raise StorageError(f"not done: {gateway.outbox.problem or 'the disk is too slow'}")
    return note


async def durable(gateway: Gateway, move: Transition | None) -> Item:
    """Wait until a move is durable; return what is told of it.

    Raises:
        StorageError: it is done, but not known to be durable.
    """
    try:
        await asyncio.wait_for(asyncio.wrap_future(gateway.pipeline.last_append), DURABLE_WITHIN_S)
    except TimeoutError:
        why = str(gateway.outbox.problem or "the disk is slow")
        raise StorageError(f"done, but not durable after {DURABLE_WITHIN_S:.0f} s: {why}", unknown=True) from None
    if move is None:
        return {}
    return {"state": move.target, "occurrence": move.occurrence, "by": move.actor.name if move.actor else ""}


def find(gateway: Gateway, args: Item) -> AlarmRecord:
    """Return the alarm that a person means by `id`: occurrence, key, `device/rule`, or the rule alone if that is clear.

    Raises:
        NotFound: there is none of which he may know. Refused: `usage`, `ambiguous`.
    """
    wanted, records = text(args, "id"), audience.records(gateway, args)
    found = [r for r in records if wanted in {r.occurrence, r.key}] or [
        r for r in records if r.state is not AlarmState.NORMAL and (r.key.endswith(f"/{wanted}") or r.rule == wanted)
    ]
    if not found:
        raise not_found("alarm", wanted, (r.key for r in records))
    if len(found) > 1:
        reason = "ambiguous"
        raise Refused(reason, f"{wanted!r} means {', '.join(r.key for r in found)}; name one")
    return found[0]


def _alarm(record: AlarmRecord) -> Item:
    item: Item = msgspec.to_builtins(record)
    times = {"raised": rfc3339(record.raised), "changed": rfc3339(record.changed)}
    return item | times | _held(record)


def _held(record: AlarmRecord) -> Item:
    """Say by whom an alarm is held back, until when and why; empty where it is not, or nobody knows until when."""
    by, until, why = held_by(record)
    return {"held_by": by, "until": rfc3339(until) if until else "", "why": why}


def _now(record: AlarmRecord, lang: str) -> list[str]:
    """Return the last line of the story of an alarm that is held back: by whom, until when, and why."""
    held = {name: value or "-" for name, value in _held(record).items()}
    return [texts.text("alarms.held-now", lang, state=record.state, **held)] if record.state in HELD_BACK else []


def _delivered(gateway: Gateway, record: AlarmRecord) -> bool | None:
    """Tell whether the office has acknowledged what raised the alarm; None if that stands in an earlier file."""
    epoch, _, sequence = record.occurrence.rpartition("@")[2].rpartition("-")
    if epoch != gateway.outbox.epoch or not sequence.isdecimal():
        return None
    return int(sequence) < gateway.outbox.unsent("alarms").oldest


def named(move: Transition) -> Item:
    """Return a transition with the names of its fields; on the wire it is an array."""
    actor = None if move.actor is None else msgspec.structs.asdict(move.actor)
    item: Item = msgspec.to_builtins(msgspec.structs.asdict(move) | {"actor": actor})
    return item


def _transitions(path: Path, occurrence: str) -> list[Transition]:
    with Reader(path) as reader:
        return reader.transitions(occurrence)
