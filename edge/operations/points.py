"""Operations about points: as they stand, as they change, as they were."""

import asyncio
import fnmatch
from collections.abc import AsyncIterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from secrets import token_hex

from edge.commands.asked import Asked
from edge.operations.gateway import Gateway, Item, not_found, rfc3339, text
from edge.outbox.reader import HistoryRow, Reader
from edge.socket_api import Operation
from sitekeeper.durations import parse_duration
from sitekeeper.model.clock import Micros
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import Refused
from sitekeeper.model.event import PersonalKind
from sitekeeper.model.point import Point
from sitekeeper.model.quality import Reason, bad, is_good, words
from sitekeeper.model.sample import Sample

WATCH_BACKLOG = 1_000
"""Changes that wait for one watcher who reads slowly; beyond it the oldest are dropped, for him alone."""

REASON_LIMIT, KEY_LIMIT = 500, 64
"""Characters of a command's reason and of its key: a block and an audit row must hold them."""

DEFAULT_EXPIRY = "10s"
"""How long a person's command is good for, and a point is held by it, if nothing else is said."""

HISTORY_LIMIT = 100_000
"""Changes in one answer: a question must not cost the gateway its memory."""


def operations(gateway: Gateway) -> dict[str, Operation]:
    """Return `point.list`, `point.read`, `point.watch`, `point.history`, `point.write`, `point.approve`,
    `point.pseudonym`.
    """
    return {
        "point.list": partial(_every, gateway),
        "point.read": partial(_one, gateway),
        "point.watch": partial(_watch, gateway),
        "point.history": partial(_history, gateway),
        "point.write": partial(_write, gateway),
        "point.approve": partial(_approve, gateway),
        "point.pseudonym": partial(_pseudonym, gateway),
    }


async def _every(gateway: Gateway, _actor: Actor, args: Item) -> AsyncIterator[Item]:
    device = args.get("device")
    known = [*gateway.site.devices, *(own.id for own in gateway.site.own)]
    if device is not None and device not in known:
        raise not_found("device", str(device), known)
    for point, sample in gateway.pipeline.latest.all():
        if device is None or point.device == device:
            yield _point(gateway, point, sample)


async def _one(gateway: Gateway, _actor: Actor, args: Item) -> AsyncIterator[Item]:
    point = gateway.pipeline.latest.find(text(args, "id"))
    yield _point(gateway, point, gateway.pipeline.latest.get(point.handle))


async def _watch(gateway: Gateway, _actor: Actor, args: Item) -> AsyncIterator[Item]:
    pattern = text(args, "pattern")
    wanted = {p.handle: p for p in gateway.site.points if fnmatch.fnmatchcase(p.id, pattern)}
    if not wanted:
        raise not_found("point", pattern, (p.id for p in gateway.site.points))
    queue: asyncio.Queue[Sample] = asyncio.Queue(WATCH_BACKLOG)

    def take(samples: Sequence[Sample]) -> None:
        for sample in samples:
            if sample.handle in wanted:
                if queue.full():
                    queue.get_nowait()
                queue.put_nowait(sample)

    gateway.pipeline.watchers.add(take)
    try:
        while True:
            sample = await queue.get()
            yield _point(gateway, wanted[sample.handle], sample)
    finally:
        gateway.pipeline.watchers.discard(take)


async def _history(gateway: Gateway, _actor: Actor, args: Item) -> AsyncIterator[Item]:
    point = gateway.pipeline.latest.find(text(args, "id"))
    now = gateway.clock.wall()
    try:
        since = now - parse_duration(text(args, "since"))
    except ValueError as error:
        reason = "usage"
        raise Refused(reason, f"--since: {error}") from None
    for row in await asyncio.to_thread(_recorded, gateway.outbox_path, point.id, since, now):
        source = None if row.source is None else rfc3339(row.source)
        yield {"at": rfc3339(row.at), "value": row.value, "quality": words(row.q), "source": source}


async def _pseudonym(gateway: Gateway, actor: Actor, args: Item) -> AsyncIterator[Item]:
    """Yield how a card or a plate is called in events and in the site's tables."""
    if actor.role not in {"technician", "engineer"}:
        raise Refused("not-permitted", f"{actor.role} may not ask whose a pseudonym is")
    kinds: tuple[PersonalKind, ...] = ("card", "plate")
    kind = next((known for known in kinds if known == text(args, "kind")), None)
    if kind is None:
        raise Refused("usage", "a pseudonym is that of a card or a plate")
    yield {"kind": kind, "pseudonym": gateway.pseudonym(kind, text(args, "number"))}


async def _write(gateway: Gateway, actor: Actor, args: Item) -> AsyncIterator[Item]:
    """Yield what becomes of a command: that it is accepted or waits, and its outcome; or why it is refused."""
    asked, told = _asked(gateway, args), {"point": text(args, "id"), "value": text(args, "value")}
    try:
        answer = gateway.commander.ask(actor, asked)
    except Refused as refused:
        yield {**told, "outcome": "refused", "reason": refused.reason, "detail": refused.detail}
        return
    begun = "waiting" if gateway.commander.waits(asked.key) else "accepted"
    yield {**told, "outcome": begun, "reason": "", "detail": "", "key": asked.key}
    result = await asyncio.shield(answer)  # a caller who goes away does not take the command with him
    yield {**told, "outcome": result.outcome, "reason": result.reason, "detail": result.detail}


async def _approve(gateway: Gateway, actor: Actor, args: Item) -> AsyncIterator[Item]:
    """Yield what becomes of another person's command to which this one agrees, or why he may not."""
    told = {"key": text(args, "id")}
    try:
        answer = gateway.commander.approve(actor, told["key"])
    except Refused as refused:
        yield {**told, "outcome": "refused", "reason": refused.reason, "detail": refused.detail}
        return
    yield {**told, "outcome": "accepted", "reason": "", "detail": ""}
    result = await asyncio.shield(answer)
    yield {**told, "outcome": result.outcome, "reason": result.reason, "detail": result.detail}


def _asked(gateway: Gateway, args: Item) -> Asked:
    """Return a person's command.

    Raises:
        NotFound: there is no such point. Refused: `usage`.
    """
    point, reason, key = text(args, "id"), args.get("reason") or "", args.get("key") or token_hex(8)
    gateway.pipeline.latest.find(point)
    value = text(args, "value")
    if not isinstance(reason, str) or not isinstance(key, str) or len(key) > KEY_LIMIT:
        raise Refused("usage", f"reason and key are texts, and a key has at most {KEY_LIMIT} characters")
    if max(len(reason), len(value)) > REASON_LIMIT:
        raise Refused("usage", f"a reason, and a value, has at most {REASON_LIMIT} characters")
    try:
        lasts = parse_duration(str(args.get("expires") or DEFAULT_EXPIRY))
    except ValueError as error:
        raise Refused("usage", f"--expires: {error}") from None
    in_view = args.get("in_view") is True
    return Asked(point=point, value=value, reason=reason, lasts=lasts, key=key, in_view=in_view)


def _point(gateway: Gateway, point: Point, sample: Sample | None) -> Item:
    seen = sample or Sample(point.handle, 0, None, bad(Reason.NOT_YET))
    fresh = gateway.pipeline.changes.good_until(point.group) if point.group and is_good(seen.q) else None
    return {
        "id": point.id,
        "type": point.type,
        "unit": point.unit,
        "value": seen.value,
        "quality": words(seen.q),
        "age_s": gateway.age_s(max(seen.at, fresh or seen.at)) if sample else None,
        "at": gateway.when(seen.at) if sample else None,
    }


def _recorded(path: Path, point: str, since: Micros, until: Micros) -> list[HistoryRow]:
    with Reader(path) as reader:
        rows = list(islice(reader.history(point, since, until), HISTORY_LIMIT + 1))
    if len(rows) > HISTORY_LIMIT:
        reason = "usage"
        raise Refused(reason, f"more than {HISTORY_LIMIT} changes; ask for a shorter --since")
    return rows
