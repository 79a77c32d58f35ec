"""Operations on what holds an alarm back: the shelf, the permit; and the note that anybody may write into its story."""

from collections.abc import AsyncIterator
from datetime import datetime, time, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from edge.operations import audience
from edge.operations.alarms import asked_note, durable, find
from edge.operations.gateway import Gateway, Item, rfc3339, text
from edge.socket_api import Operation
from sitekeeper.durations import parse_duration
from sitekeeper.model.alarm import Transition
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import NotFound, Refused

WORD_LIMIT = 100
"""Characters of a permit's number, and of a name."""


def operations(gateway: Gateway) -> dict[str, Operation]:
    """Return `alarm.shelve`, `alarm.unshelve`, `alarm.out`, `alarm.return` and `alarm.note`."""
    return {
        "alarm.shelve": partial(_shelve, gateway),
        "alarm.unshelve": partial(_unshelve, gateway),
        "alarm.out": partial(_out, gateway),
        "alarm.return": partial(_return, gateway),
        "alarm.note": partial(_note, gateway),
    }


async def _shelve(gateway: Gateway, actor: Actor, args: Item) -> AsyncIterator[Item]:
    key, note = _key(gateway, args), asked_note(gateway, args)
    yield await _done(gateway, gateway.door.shelve(key, span(text(args, "for")), actor, note))


async def _unshelve(gateway: Gateway, actor: Actor, args: Item) -> AsyncIterator[Item]:
    key, note = _key(gateway, args), asked_note(gateway, args)
    yield await _done(gateway, gateway.door.unshelve(key, actor, note))


async def _out(gateway: Gateway, actor: Actor, args: Item) -> AsyncIterator[Item]:
    key, note = _key(gateway, args), asked_note(gateway, args)
    permit, owner = _word(args, "permit"), _word(args, "owner")
    until = _time(text(args, "until"), gateway.site.catalogue.timezone)
    yield await _done(gateway, gateway.door.out(key, permit, owner, until, actor, note))


async def _return(gateway: Gateway, actor: Actor, args: Item) -> AsyncIterator[Item]:
    key, note = _key(gateway, args), asked_note(gateway, args)
    yield await _done(gateway, gateway.door.back(key, actor, note))


async def _note(gateway: Gateway, actor: Actor, args: Item) -> AsyncIterator[Item]:
    key, note = _key(gateway, args), asked_note(gateway, args)
    yield await _done(gateway, gateway.door.comment(key, actor, note))


async def _done(gateway: Gateway, move: Transition) -> Item:
    done = await durable(gateway, move)
    return done | {"until": rfc3339(move.until)} if move.until else done


def _key(gateway: Gateway, args: Item) -> str:
    """Return the alarm that a person means, as `find` does; one that is normal or was never raised by `device/rule`.

    Raises:
        Refused, NotFound: as `find`.
    """
    try:
        return find(gateway, args).key
    except NotFound:
        for key in audience.keys(gateway, args):
            if args["id"] in {key, key.partition("/")[2]}:
                return key
        raise


def span(said: str) -> Micros:
    """Return a written duration.

    Raises:
        Refused: `usage`, it is none.
    """
    try:
        return parse_duration(said)
    except ValueError as error:
        raise Refused("usage", str(error)) from None


def _word(args: Item, name: str) -> str:
    """Return a short text that may be missing: what is needed says the book."""
    value = args.get(name) or ""
    if not isinstance(value, str) or len(value) > WORD_LIMIT:
        raise Refused("usage", f"{name!r} is a text of at most {WORD_LIMIT} characters")
    return value


def _time(said: str, zone: str) -> Micros:
    """Return a wall time: a day means its end, a time without an offset that of the site."""
    try:
        moment = datetime.fromisoformat(said)
    except ValueError:
        raise Refused("usage", f"{said!r} is no time: 2026-12-01, or 2026-12-01T18:00") from None
    if len(said) <= len("2026-12-01"):
        moment = datetime.combine(moment.date() + timedelta(days=1), time())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    return round(moment.timestamp()) * SECOND
