"""The alarms of one site as they stand, and the moves that verdicts and people make of them."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from edge.rules.instance import Verdict
from sitekeeper.model.alarm import (
    ACTIVE,
    AlarmRecord,
    AlarmState,
    Cause,
    Priority,
    Transition,
    alarm_key,
    fold,
    next_state,
    occurrence_id,
    split_key,
)
from sitekeeper.model.clock import Micros, Moment
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import NotFound, Refused
from sitekeeper.model.sample import Value

_LATCHED: Final = frozenset({AlarmState.LATCHED_UNACKED, AlarmState.LATCHED_ACKED})


class AlarmBook:
    """Holds the record of every alarm ever raised here and turns verdicts and requests into transitions.

    A transition that was returned is already in the book: whoever asks for it makes it durable, or ends.

    Args:
        site: the site's id. epoch: of the outbox, part of every new occurrence.
        records: as saved with the last transitions.
    """

    def __init__(self, site: str, epoch: str, records: Iterable[AlarmRecord] = ()) -> None:
        self._site = site
        self._epoch = epoch
        self._records = {record.key: record for record in records}

    def records(self) -> tuple[AlarmRecord, ...]:
        """Return every alarm as it stands, by key."""
        return tuple(self._records[key] for key in sorted(self._records))

    def record(self, key: str) -> AlarmRecord | None:
        return self._records.get(key)

    def apply(self, verdict: Verdict, wall: Micros, sequence: int) -> Transition | None:
        """Return what a rule's verdict moves; None if it moves nothing.

        Args:
            verdict: from the engine.
            wall: wall time of the verdict.
            sequence: of the alarms block that will carry the transition; it names a new occurrence.
        """
        key = alarm_key(self._site, verdict.device, verdict.rule)
        record = self._records.get(key)
        cause = _cause(verdict, record)
        if cause is None:
            return None
        new = record is None or cause is Cause.RAISE
        return self._move(
            record,
            cause,
            Moment(wall=wall, mono=verdict.at, trusted=True),
            key=key,
            occurrence=occurrence_id(key, self._epoch, sequence) if new or record is None else record.occurrence,
            latched=verdict.latched if new or record is None else record.latched,
            priority=verdict.priority,
            detail=verdict.detail,
            values=verdict.values,
            limits=verdict.limits,
            revision=verdict.revision,
            mode=verdict.mode,
        )

    def ack(self, occurrence: str, actor: Actor, note: str, ack_id: str, now: Moment) -> Transition:
        """Acknowledge an occurrence.

        Raises:
            Refused: `already-acknowledged`, `not-active`, or `superseded` by a newer occurrence of the same alarm.
            NotFound: there is no such alarm.
        """
        return self._asked(occurrence, Cause.ACK, actor, note, now, ack_id=ack_id)

    def unack(self, occurrence: str, actor: Actor, note: str, now: Moment) -> Transition:
        """Take an acknowledgement back.

        Raises:
            Refused, NotFound: as `ack`.
        """
        return self._asked(occurrence, Cause.UNACK, actor, note, now)

    def reset(
        self, occurrence: str, actor: Actor, note: str, now: Moment, *, condition_false: bool, reset_allowed: bool
    ) -> Transition:
        """Reset a latched alarm; `note` is what was found on site and becomes the transition's detail.

        Raises:
            Refused: `site-only`, `acknowledge-first`, `condition-still-true` (also while that is unknown),
                `reset-not-yet` while what the rule asks for is not true, or as `ack`.
            NotFound: as `ack`.
        """
        if actor.origin != "site":
            raise Refused("site-only", "a reset is entered by somebody on site")
        record = self._current(occurrence)
        next_state(record.state, Cause.RESET, latched=record.latched)
        if not condition_false:
            raise Refused("condition-still-true", "or not known to be false")
        if not reset_allowed:
            raise Refused("reset-not-yet", "what the rule asks for before a reset is not true")
        return self._asked(occurrence, Cause.RESET, actor, note, now, detail=note)

    def _current(self, occurrence: str) -> AlarmRecord:
        """Return the record of the alarm whose present occurrence this is."""
        key = occurrence.partition("@")[0]
        record = self._records.get(key)
        if record is None:
            msg = f"no alarm {occurrence!r}"
            raise NotFound(msg, near=self._near(key))
        if record.occurrence != occurrence:
            raise Refused("superseded", f"the present occurrence is {record.occurrence}")
        return record

    def _near(self, key: str) -> tuple[str, ...]:
        """Return occurrences of alarms of the same device or rule."""
        ends = set(key.split("/")[1:])
        return tuple(r.occurrence for r in self.records() if ends & set(r.key.split("/")[1:]))[:3]

    def _asked(
        self, occurrence: str, cause: Cause, actor: Actor, note: str, now: Moment, *, ack_id: str = "", detail: str = ""
    ) -> Transition:
        record = self._current(occurrence)
        return self._move(
            record,
            cause,
            now,
            key=record.key,
            occurrence=occurrence,
            latched=record.latched,
            priority=record.priority,
            actor=actor,
            note=note,
            ack_id=ack_id,
            detail=detail,
            mode=record.mode,
        )

    def _move(
        self,
        record: AlarmRecord | None,
        cause: Cause,
        now: Moment,
        *,
        key: str,
        occurrence: str,
        latched: bool,
        priority: Priority,
        mode: str,
        actor: Actor | None = None,
        note: str = "",
        ack_id: str = "",
        detail: str = "",
        values: Mapping[str, tuple[Value, int]] = {},
        limits: Mapping[str, str] = {},
        revision: str = "",
    ) -> Transition:
        source = AlarmState.NORMAL if record is None else record.state
        transition = Transition(
            occurrence=occurrence,
            key=key,
            rule=split_key(key)[2],
            source=source,
            target=next_state(source, cause, latched=latched),
            cause=cause,
            priority=priority,
            at=now.wall,
            mono=now.mono,
            latched=latched,
            actor=actor,
            note=note,
            detail=detail,
            values=dict(values),
            limits=dict(limits),
            revision=revision,
            ack_id=ack_id,
            mode="watch" if mode == "watch" else "",
        )
        self._records[key] = fold(record, transition)
        return transition


def _cause(verdict: Verdict, record: AlarmRecord | None) -> Cause | None:
    """Return what a verdict is for an alarm in this state."""
    state = AlarmState.NORMAL if record is None else record.state
    if verdict.kind == "clear":
        return Cause.CLEAR if state in ACTIVE else None
    if verdict.kind == "note":
        return None
    if record is not None and state in ACTIVE:
        if verdict.priority == record.priority:
            return None
        return Cause.REANNUNCIATE if verdict.priority < record.priority else Cause.LEVEL
    if verdict.kind == "level":
        return None
    return Cause.REANNUNCIATE if state in _LATCHED else Cause.RAISE


def encode(transitions: Iterable[Transition]) -> bytes:
    """Return transitions as bytes, the same for the same moves: what a replay is compared by."""
    return msgspec.msgpack.encode(list(transitions), order="deterministic")
