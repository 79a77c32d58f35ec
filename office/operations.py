"""What can be asked of a running office on its local socket: alarms, their story, acknowledgements.

The same operations as on a site, with the same items, so that `sk alarm ... --office SOCKET` is the same command. Only
acknowledging is possible from here; what needs eyes on the equipment is refused as `site-only`.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

import msgspec

from cloud_sync.store.base import OfficeStore
from cloud_sync.store.reader import StoreReader
from office.audience import Audiences
from office.commands import Orders
from office.local_api import Operation
from office.notify.stages import OFFICE_EPOCH
from sitekeeper import story
from sitekeeper.audience import SECURITY_FLAG
from sitekeeper.model.alarm import HELD_BACK, AlarmRecord, AlarmState, Cause, Transition, next_state, split_key
from sitekeeper.model.clock import SECOND, Clock, Micros
from sitekeeper.model.command import ROLE_RANK, Ack, Actor
from sitekeeper.model.errors import NotFound, Refused
from sitekeeper.model.veil import held_by

Item = dict[str, Any]
AckHere = Callable[[AlarmRecord, Actor, str], Awaitable[Transition]]
"""Acknowledges an alarm that the office itself raised; returns its transition once it is stored."""
AckSent = Callable[[str, Ack], Awaitable[str]]
"""Stores an acknowledgement for a site and sends it; returns `pending` or `moot`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """The operations and what they need of the office."""

    store: OfficeStore
    reader: StoreReader
    clock: Clock
    ack_here: AckHere
    ack_sent: AckSent
    commands: Orders | None = None
    audiences: Audiences = field(default_factory=Audiences)

    def table(self) -> dict[str, Operation]:
        """Return the operations by name."""
        return {
            "alarm.list": self._list,
            "alarm.show": self._show,
            "alarm.ack": self._ack,
            "alarm.unack": self._site_only,
            "alarm.clear": self._site_only,
        }

    async def _list(self, actor: Actor, args: Mapping[str, Any]) -> AsyncIterator[Item]:  # noqa: ARG002
        """Tell the open alarms, with `all` those too that are over; `held` those that are held back, and no others."""
        pending = {one.ack.occurrence: one.ack for one in self.store.pending_acks()}
        every, held = bool(args.get("all")), bool(args.get("held"))
        for record in self._shown(args, self.reader.alarms(open_only=not every)):
            if every or (record.state in HELD_BACK) is held:
                yield _alarm(record, pending.get(record.occurrence))

    async def _show(self, actor: Actor, args: Mapping[str, Any]) -> AsyncIterator[Item]:  # noqa: ARG002
        wanted = _argument(args, "id")
        record = self._find(wanted, args)
        occurrence = wanted if "@" in wanted else record.occurrence
        moves = self.reader.story(occurrence)
        if not moves:
            raise NotFound(f"no record of {occurrence!r} at the office")
        names = story.labels(self.reader.catalogue(split_key(record.key)[0]), record.key, str(args.get("lang") or "en"))
        pushes, acks = self.reader.pushes(occurrence), self.reader.acks(occurrence)
        pending = next((Ack(a.id, a.occurrence, a.who, a.note, a.made) for a in acks if a.state == "pending"), None)
        lines = story.story([m.transition for m in moves], pushes, names, [m.decision for m in moves])
        if pending is not None:
            lines.insert(-1, story.pending_ack(pending, names))  # before how it stands now
        yield {
            "alarm": _alarm(record, pending),
            "story": lines,
            "transitions": [_named(m.transition) | {"decision": m.decision} for m in moves],
            "pushes": msgspec.to_builtins(pushes),
            "acks": msgspec.to_builtins(acks),
        }

    async def _ack(self, actor: Actor, args: Mapping[str, Any]) -> AsyncIterator[Item]:
        """Acknowledge. Once begun it is finished, shielded from a caller who hangs up: half of it is no order."""
        if ROLE_RANK[actor.role] < ROLE_RANK["operator"]:
            reason = "permission"
            raise Refused(reason, f"{actor.name} may look but not acknowledge; ask to join the operators' group")
        wanted, note = _argument(args, "id"), str(args.get("note") or "")[:500]
        record = self._find(wanted, args)
        if "@" in wanted and wanted != record.occurrence:
            reason = "older-occurrence"
            raise Refused(reason, f"the alarm has been raised again since: {record.occurrence}")
        next_state(record.state, Cause.ACK, latched=record.latched)  # refuses what cannot be acknowledged
        if "@" + OFFICE_EPOCH in record.occurrence:
            move = await asyncio.shield(self.ack_here(record, actor, note))
            yield {"state": move.target, "occurrence": move.occurrence, "by": actor.name, "ack": "done"}
            return
        first = next((a for a in self.reader.acks(record.occurrence) if a.state == "pending"), None)
        if first is not None:  # the first one wins
            yield {"state": record.state, "occurrence": record.occurrence, "by": first.who, "ack": "pending"}
            return
        ack = Ack(uuid.uuid4().hex, record.occurrence, actor.name, note, self.clock.wall())
        state = await asyncio.shield(self.ack_sent(split_key(record.key)[0], ack))
        yield {"state": record.state, "occurrence": record.occurrence, "by": actor.name, "ack": state}

    def _site_only(self, actor: Actor, args: Mapping[str, Any]) -> AsyncIterator[Item]:  # noqa: ARG002
        reason = "site-only"
        raise Refused(reason, "only somebody at the equipment can do that; ask the site")

    def _shown(self, args: Mapping[str, Any], records: Iterable[AlarmRecord]) -> list[AlarmRecord]:
        """Return those of the alarms that the caller may know of."""
        if args.get(SECURITY_FLAG) is True:
            return list(records)
        hidden: dict[str, frozenset[str]] = {}
        shown = []
        for record in records:
            site = split_key(record.key)[0]
            if site not in hidden:
                hidden[site] = self.audiences.of(self.reader, site)
            shown += [record] if record.rule not in hidden[site] else []
        return shown

    def _find(self, wanted: str, args: Mapping[str, Any]) -> AlarmRecord:
        """Return the alarm that a person means: occurrence, key, its end, or the rule alone if that is clear."""
        if (exact := self.reader.alarm(wanted)) is not None and self._shown(args, [exact]):
            return exact
        open_ones = self._shown(args, self.reader.alarms())
        found = [r for r in open_ones if r.key.endswith(f"/{wanted}") or r.rule == wanted]
        if not found:
            every = self._shown(args, self.reader.alarms(open_only=False))
            near = get_close_matches(wanted, [record.key for record in every], n=3)
            raise NotFound(f"no alarm {wanted!r} at the office", near=tuple(near))
        if len(found) > 1:
            reason = "ambiguous"
            raise Refused(reason, f"{wanted!r} means {', '.join(r.key for r in found)}; name one")
        return found[0]


def _alarm(record: AlarmRecord, pending: Ack | None) -> Item:
    item: Item = msgspec.to_builtins(record)
    by, until, why = held_by(record)
    item |= {"held_by": by, "until": rfc3339(until) if until else "", "why": why}
    times = {"raised": rfc3339(record.raised), "changed": rfc3339(record.changed)}
    if pending is None or record.state is AlarmState.NORMAL:
        return item | times | {"ack": ""}
    return item | times | {"ack": "pending", "acked_by": f"{pending.who} (pending)"}


def _named(move: Transition) -> Item:
    """Return a transition with the names of its fields; on the wire it is an array."""
    actor = None if move.actor is None else msgspec.structs.asdict(move.actor)
    item: Item = msgspec.to_builtins(msgspec.structs.asdict(move) | {"actor": actor})
    return item


def rfc3339(wall: Micros) -> str:
    """Return a wall time in UTC, to the millisecond."""
    return datetime.fromtimestamp(wall / SECOND, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _argument(args: Mapping[str, Any], key: str) -> str:
    value = args.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= 500:
        reason = "usage"
        raise Refused(reason, f"{key!r} is missing")
    return value
