"""The door: may this person do that, and was it asked before? Whatever comes of it is one row of the audit.

    role                    site                   office
    viewer                  nothing                nothing
    operator, office        ack, unack             ack, unack
    technician, engineer    ack, unack, clear      ack, unack; clear is `site-only`

A latched alarm is cleared by somebody who stands before the machine and enters what was found there, for example
`2 persons released`. Reasons of refusals are stable words that the text catalogues translate.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final, Literal, Protocol

from msgspec import structs

from edge.commands.audit import DONE, AuditRow, encode
from sitekeeper.model.alarm import Transition
from sitekeeper.model.clock import Moment
from sitekeeper.model.command import Actor, Role
from sitekeeper.model.errors import NotFound, Refused

Operation = Literal["ack", "unack", "clear"]

_ACKNOWLEDGE: Final[frozenset[Operation]] = frozenset({"ack", "unack"})

ALLOWED: Final[Mapping[Role, frozenset[Operation]]] = {
    "viewer": frozenset(),
    "office": _ACKNOWLEDGE,
    "operator": _ACKNOWLEDGE,
    "technician": _ACKNOWLEDGE | {"clear"},
    "engineer": _ACKNOWLEDGE | {"clear"},
}

SITE_ONLY: Final[frozenset[Operation]] = frozenset({"clear"})

REMEMBERED: Final = 4_096
"""Idempotency keys kept; the oldest go first. The office repeats the keys of open acknowledgements only."""


class Book(Protocol):
    """The alarms of the site: `edge.alarms.AlarmBook`. `Refused`: no such move now; `NotFound`: no such alarm."""

    def ack(self, occurrence: str, actor: Actor, note: str, ack_id: str, now: Moment) -> Transition: ...

    def unack(self, occurrence: str, actor: Actor, note: str, now: Moment) -> Transition: ...

    def reset(
        self, occurrence: str, actor: Actor, note: str, now: Moment, *, condition_false: bool, reset_allowed: bool
    ) -> Transition: ...


Record = Callable[[Transition | None, bytes], object]
"""Stores the transition, if there is one, and the audit row in one transaction of the outbox."""


class AlarmDoor:
    """Guards the alarms of one site. What it returns is done, but durable only after the commit of `record`.

    Args:
        record: called once per attempt, before the caller hears of its outcome.
        now: the present moment on both clocks.
        known: outcomes of earlier idempotency keys, oldest first (`audit.outcomes` of the outbox's audit tail).
    """

    def __init__(self, book: Book, record: Record, now: Callable[[], Moment], known: Mapping[str, str]) -> None:
        self._book = book
        self._record = record
        self._now = now
        self._known = OrderedDict(known)

    def ack(self, occurrence: str, actor: Actor, note: str = "", ack_id: str = "") -> Transition | None:
        """Acknowledge an occurrence. With an `ack_id` that was done before, return None and do nothing.

        Raises:
            Refused: by role or by the alarm's state; a key that was refused before gets the same answer, unrecorded.
            NotFound: there is no such alarm.
            StorageError: it could not be recorded.
        """
        if ack_id in self._known:
            if self._known[ack_id] != DONE:
                raise Refused(self._known[ack_id], f"{ack_id} was refused before")
            return None
        now = self._now()
        row = _row(now, actor, "ack", occurrence, note, ack_id)
        return self._try(row, actor, "ack", lambda: self._book.ack(occurrence, actor, note, ack_id, now))

    def unack(self, occurrence: str, actor: Actor, note: str = "") -> Transition:
        """Take a mistaken acknowledgement back.

        Raises:
            Refused, NotFound, StorageError: as `ack`.
        """
        now = self._now()
        row = _row(now, actor, "unack", occurrence, note)
        return self._try(row, actor, "unack", lambda: self._book.unack(occurrence, actor, note, now))

    def clear(
        self, occurrence: str, actor: Actor, entered: str, *, condition_false: bool, reset_allowed: bool
    ) -> Transition:
        """Reset a latched alarm with what was found and done on site.

        Args:
            condition_false: whether the rule's condition is known to be false now.
            reset_allowed: whether the rule's `reset_when` holds, or it has none.

        Raises:
            Refused: as `ack`; also `site-only`, and `entry-needed` if nothing was entered.
            NotFound, StorageError: as `ack`.
        """
        now = self._now()

        def reset() -> Transition:
            if not entered.strip():
                reason = "entry-needed"
                raise Refused(reason, "say what was found and done on site")
            return self._book.reset(
                occurrence, actor, entered, now, condition_false=condition_false, reset_allowed=reset_allowed
            )

        return self._try(_row(now, actor, "clear", occurrence, entered), actor, "clear", reset)

    def _try(self, row: AuditRow, actor: Actor, operation: Operation, move: Callable[[], Transition]) -> Transition:
        """Do `move` if the actor may, and record the attempt either way."""
        try:
            _guard(actor, operation)
            transition = move()
        except Refused as refused:
            self._note(None, row, refused.reason)
            raise
        except NotFound:
            self._note(None, row, "not-found")
            raise
        self._note(transition, row, DONE)
        return transition

    def _note(self, transition: Transition | None, row: AuditRow, outcome: str) -> None:
        self._record(transition, encode(structs.replace(row, outcome=outcome)))
        if row.ack_id:
            self._known[row.ack_id] = outcome
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)


def _row(now: Moment, actor: Actor, operation: Operation, target: str, note: str, ack_id: str = "") -> AuditRow:
    return AuditRow(
        at=now.wall,
        trusted=now.trusted,
        user=actor.name,
        role=actor.role,
        origin=actor.origin,
        operation=operation,
        target=target,
        note=note,
        ack_id=ack_id,
    )


def _guard(actor: Actor, operation: Operation) -> None:
    if actor.origin == "office" and operation in SITE_ONLY:
        reason = "site-only"
        raise Refused(reason, f"{operation} needs somebody on site")
    if operation not in ALLOWED[actor.role]:
        reason = "not-permitted"
        raise Refused(reason, f"{actor.role} may not {operation}")
