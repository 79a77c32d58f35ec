"""The alarms of one site as they stand, and the moves that verdicts, people and time make of them."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from edge.alarm_deadlines import Deadlines
from edge.alarm_moves import PERMIT, RuleFacts, begins, cause_of, mode_of, moved
from edge.rules.instance import Verdict
from sitekeeper.model.alarm import (
    ACTIVE,
    LATCHED,
    AlarmRecord,
    Cause,
    Priority,
    Transition,
    alarm_key,
    fold,
    occurrence_id,
)
from sitekeeper.model.clock import DAY, HOUR, Micros, Moment
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import NotFound, Refused
from sitekeeper.model.veil import SHELF, after, layers

_START: Final = Moment(mono=0, wall=0)


class AlarmBook:
    """Holds the record of every alarm ever raised here and turns verdicts and requests into transitions.

    A transition that was returned is already in the book: whoever asks for it makes it durable, or ends.

    Args:
        site: the site's id. epoch: of the outbox, part of every new occurrence.
        records: as saved with the last transitions.
        rules: the site's rules by `<device>/<rule>` (`alarm_moves.facts_of`).
        start: now.
    """

    def __init__(
        self,
        site: str,
        epoch: str,
        records: Iterable[AlarmRecord] = (),
        rules: Mapping[str, RuleFacts] | None = None,
        start: Moment = _START,
    ) -> None:
        self._site = site
        self._epoch = epoch
        self._records = {record.key: record for record in records}
        self._rules = rules or {}
        self.drilled: frozenset[str] = frozenset()
        """Devices on which a drill runs: what is raised there is part of it."""
        self._deadlines = Deadlines(self._rules)
        for record in self._records.values():
            self._deadlines.resume(record, start)

    def records(self) -> tuple[AlarmRecord, ...]:
        """Return every alarm as it stands, by key."""
        return tuple(self._records[key] for key in sorted(self._records))

    def record(self, key: str) -> AlarmRecord | None:
        return self._records.get(key)

    def key(self, verdict: Verdict) -> str:
        """Return the key of the alarm that a verdict is about."""
        return alarm_key(self._site, verdict.device, verdict.rule)

    def latched(self) -> frozenset[str]:
        """Return `<device>/<rule>` of the alarms that are over and wait for their reset."""
        return frozenset(
            record.key.partition("/")[2] for record in self._records.values() if record.standing in LATCHED
        )

    def all_keys(self) -> tuple[str, ...]:
        """Return the keys of all alarms that there are, raised or not."""
        return tuple(sorted({*self._records, *(f"{self._site}/{name}" for name in self._rules)}))

    # what rules decide

    def apply(self, verdict: Verdict, wall: Micros, sequence: int) -> Transition | None:
        """Return what a rule's verdict moves; None if it moves nothing.

        Args:
            verdict: from the engine.
            wall: wall time of the verdict.
            sequence: of the alarms block that will carry the transition; it names a new occurrence.
        """
        key = self.key(verdict)
        record = self._records.get(key)
        cause = cause_of(verdict, record)
        if cause is None:
            return None
        new = record is None or cause is Cause.RAISE
        return self._took(
            record,
            moved(
                record,
                cause,
                Moment(wall=wall, mono=verdict.at, trusted=True),
                key=key,
                occurrence=occurrence_id(key, self._epoch, sequence) if new or record is None else record.occurrence,
                latched=verdict.latched if new or record is None else record.latched,
                priority=verdict.priority,
                through=None if cause is Cause.CLEAR else verdict.through,
                detail=verdict.detail,
                values=verdict.values,
                limits=verdict.limits,
                revision=verdict.revision,
                mode=mode_of(verdict, record, cause, drill=self._practised(verdict.device, key)),
                parent=verdict.parent,
            ),
        )

    def veils(self, verdict: Verdict) -> list[tuple[str, Cause]]:
        """Return the alarms that a verdict begins to suppress, or no longer suppresses, each with its move."""
        if not verdict.veils:
            return []
        by = f"{verdict.device}/{verdict.rule}"
        if verdict.kind == "raise":
            keys = [alarm_key(self._site, *target) for target in verdict.veils]
            return [(key, Cause.SUPPRESS) for key in keys if self._known(key) and by not in self._veiled(key)]
        return self.unveiled(by) if verdict.kind == "clear" and verdict.until == "clear" else []

    def unveiled(self, by: str) -> list[tuple[str, Cause]]:
        """Return the alarms that `<device>/<rule>` suppresses, each with the move that ends it."""
        return [(record.key, Cause.UNSUPPRESS) for record in self.records() if by in record.veils]

    def stale(self, standing: Iterable[Verdict]) -> list[tuple[str, Cause, str]]:
        """Return what is suppressed, after a restart, by what is not `standing` any more: (alarm, move, by whom)."""
        wanted = {
            (alarm_key(self._site, *target), f"{verdict.device}/{verdict.rule}")
            for verdict in standing
            for target in verdict.veils
        }
        pairs = [(record.key, by) for record in self.records() for by in record.veils]
        return [(key, Cause.UNSUPPRESS, by) for key, by in pairs if (key, by) not in wanted]

    def cover(self, key: str, cause: Cause, by: str, now: Moment, sequence: int) -> Transition:
        """Suppress an alarm in the name of another one, or no longer: a move of `veils`."""
        return self._act(key, cause, now, sequence, by=by)

    def drills(self) -> list[str]:
        """Return the alarms that were raised in a drill and whose condition is still true."""
        return [record.key for record in self.records() if record.mode == "drill" and record.standing in ACTIVE]

    def serious(self, key: str, now: Moment) -> Transition:
        """Let an alarm of a drill be real from now on: it is announced again."""
        return self._act(key, Cause.REANNUNCIATE, now, 0, mode="")

    # what time does

    def due(self, now: Micros) -> list[tuple[str, Cause]]:
        """Return the alarms whose shelf or permit is over, or which are to be annunciated again; by time."""
        return self._deadlines.due(now)

    def next_deadline(self) -> Micros | None:
        """Return the monotonic time of the next one; None if time changes nothing."""
        return self._deadlines.next()

    def expire(self, key: str, cause: Cause, now: Moment) -> Transition:
        """Make a move that is `due`."""
        return self._act(key, cause, now, 0)

    # what people do

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
        _on_site(actor, "a reset is entered by somebody on site")
        record = self._current(occurrence)
        after(layers(record), Cause.RESET, latched=record.latched)
        if not condition_false:
            raise Refused("condition-still-true", "or not known to be false")
        if not reset_allowed:
            raise Refused("reset-not-yet", "what the rule asks for before a reset is not true")
        return self._asked(occurrence, Cause.RESET, actor, note, now, detail=note)

    def shelve(self, key: str, lasts: Micros, actor: Actor, reason: str, now: Moment, sequence: int) -> Transition:
        """Put an alarm on the shelf, or leave it there for `lasts` from now: out of sight, and back by itself.

        Raises:
            Refused: `protects-life`, `reason-needed`, `too-short`, `too-long`, or `not-shown` while it is suppressed or
                out of service.
            NotFound: there is no such alarm.
        """
        record, facts = self._there(key), self._facts(key)
        if self._life_safety(key):
            raise Refused("protects-life", "what protects life is never shelved")
        if not reason.strip():
            raise Refused("reason-needed", "say why")
        priority = facts.priority if facts is not None and begins(record, Cause.SHELVE) else _stands(record, None)[1]
        _within(lasts, SHELF[priority])
        return self._act(key, Cause.SHELVE, now, sequence, actor=actor, note=reason, until=now.wall + lasts)

    def unshelve(self, key: str, actor: Actor, note: str, now: Moment) -> Transition:
        """Take an alarm off the shelf.

        Raises:
            Refused: `not-shelved`. NotFound: as `shelve`.
        """
        return self._held(key, Cause.UNSHELVE, actor, note, now)

    def out(
        self, key: str, permit: str, owner: str, until: Micros, actor: Actor, note: str, now: Moment, sequence: int
    ) -> Transition:
        """Take an alarm out of service under a permit, until a wall time: while somebody works on the equipment.

        Raises:
            Refused: `site-only`, `protects-life`, `permit-needed` without its number and who answers for the work,
                `too-short` or `too-long`.
            NotFound: as `shelve`.
        """
        _on_site(actor, "an alarm is taken out of service by somebody on site")
        self._there(key)
        if self._life_safety(key):
            raise Refused("protects-life", "what protects life is never out of service")
        if not (permit.strip() and owner.strip()):
            raise Refused("permit-needed", "name the permit and who answers for the work")
        _within(until - now.wall, PERMIT)
        return self._act(key, Cause.OUT, now, sequence, actor=actor, note=note, detail=permit, by=owner, until=until)

    def back(self, key: str, actor: Actor, note: str, now: Moment) -> Transition:
        """Return an alarm to service.

        Raises:
            Refused: `site-only` or `not-out`. NotFound: as `shelve`.
        """
        _on_site(actor, "an alarm is returned to service by somebody on site")
        return self._held(key, Cause.RETURN, actor, note, now)

    def comment(self, key: str, actor: Actor, note: str, now: Moment) -> Transition:
        """Write something into an alarm's story.

        Raises:
            Refused: `empty`. NotFound: there is no such alarm, or nothing ever happened to it.
        """
        if not note.strip():
            raise Refused("empty", "there is nothing to note")
        return self._held(key, Cause.COMMENT, actor, note, now)

    def _held(self, key: str, cause: Cause, actor: Actor, note: str, now: Moment) -> Transition:
        """Make a move of an alarm that has a record."""
        if self._there(key) is None:
            raise Refused("not-active", f"nothing ever happened to {key}")
        return self._act(key, cause, now, 0, actor=actor, note=note)

    def _there(self, key: str) -> AlarmRecord | None:
        if not self._known(key):
            msg = f"no alarm {key!r}"
            raise NotFound(msg, near=self._near(key))
        return self._records.get(key)

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
        return self._act(record.key, cause, now, 0, actor=actor, note=note, ack_id=ack_id, detail=detail)

    def _act(self, key: str, cause: Cause, now: Moment, sequence: int, **fields: Any) -> Transition:
        """Make a move that gives an alarm no new priority."""
        record, facts = self._records.get(key), self._facts(key)
        new = begins(record, cause) and facts is not None
        latched, priority, mode, parent = _stands(record, None if record and not new else facts)
        occurrence = occurrence_id(key, self._epoch, sequence) if new or record is None else record.occurrence
        given: dict[str, Any] = {
            "occurrence": occurrence,
            "latched": latched,
            "priority": priority,
            "mode": mode,
            "parent": parent,
        }
        return self._took(record, moved(record, cause, now, key=key, **(given | fields)))

    def _took(self, before: AlarmRecord | None, transition: Transition) -> Transition:
        record = self._records[transition.key] = fold(before, transition)
        self._deadlines.moved(record, transition)
        return transition

    def _known(self, key: str) -> bool:
        return key in self._records or self._facts(key) is not None

    def _veiled(self, key: str) -> tuple[str, ...]:
        record = self._records.get(key)
        return () if record is None else record.veils

    def _facts(self, key: str) -> RuleFacts | None:
        return self._rules.get(key.partition("/")[2])

    def _practised(self, device: str, key: str) -> bool:
        """Tell whether a drill runs for an alarm: duress is never practised by the way."""
        facts = self._facts(key)
        return device in self.drilled and not (facts is not None and facts.audience)

    def _life_safety(self, key: str) -> bool:
        facts = self._facts(key)
        return facts is not None and facts.life_safety


def _stands(record: AlarmRecord | None, facts: RuleFacts | None) -> tuple[bool, Priority, str, str]:
    """Return latched, priority, mode and parent: of the rule where an occurrence begins, else of the record."""
    if facts is not None:
        return facts.latched, facts.priority, facts.mode, facts.parent
    if record is None:
        raise NotFound("no such alarm")
    return record.latched, record.priority, record.mode, record.parent


def _within(lasts: Micros, most: Micros) -> None:
    if lasts <= 0:
        raise Refused("too-short", "it would be over at once")
    if lasts > most:
        raise Refused("too-long", f"at most {most // DAY} days" if most >= DAY else f"at most {most // HOUR} h")


def _on_site(actor: Actor, why: str) -> None:
    if actor.origin != "site":
        raise Refused("site-only", why)


def encode(transitions: Iterable[Transition]) -> bytes:
    """Return transitions as bytes, the same for the same moves: what a replay is compared by."""
    return msgspec.msgpack.encode(list(transitions), order="deterministic")
