"""The door: may this person do that, and was it asked before? Whatever comes of it is one row of the audit.

    role                    site                                                office
    viewer                  nothing                                             nothing
    operator, office        ack, unack, shelve, unshelve, note                  the same
    technician, engineer    these, and clear, out, return                       these; the others are `site-only`

What protects life is never shelved and never out of service; that the book itself refuses. A latched alarm is cleared
by somebody who stands before the machine and enters what was found there, for example `2 persons released`. Reasons of
refusals are stable words that the text catalogues translate.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final, Literal, Protocol

from msgspec import structs

from edge.commands.audit import DONE, AuditRow, encode
from sitekeeper.durations import duration_text
from sitekeeper.model.alarm import Transition
from sitekeeper.model.clock import Micros, Moment
from sitekeeper.model.command import Actor, Role
from sitekeeper.model.errors import NotFound, Refused

Operation = Literal["ack", "unack", "clear", "shelve", "unshelve", "out", "return", "note"]

_FROM_AFAR: Final[frozenset[Operation]] = frozenset({"ack", "unack", "shelve", "unshelve", "note"})

SITE_ONLY: Final[frozenset[Operation]] = frozenset({"clear", "out", "return"})

ALLOWED: Final[Mapping[Role, frozenset[Operation]]] = {
    "viewer": frozenset(),
    "office": _FROM_AFAR,
    "operator": _FROM_AFAR,
    "technician": _FROM_AFAR | SITE_ONLY,
    "engineer": _FROM_AFAR | SITE_ONLY,
}

REMEMBERED: Final = 4_096
"""Idempotency keys kept; the oldest go first. The office repeats the keys of open acknowledgements only."""


class Book(Protocol):
    """The alarms of the site: `edge.alarms.AlarmBook`. `Refused`: no such move now; `NotFound`: no such alarm."""

    def ack(self, occurrence: str, actor: Actor, note: str, ack_id: str, now: Moment) -> Transition: ...

    def unack(self, occurrence: str, actor: Actor, note: str, now: Moment) -> Transition: ...

    def reset(
        self, occurrence: str, actor: Actor, note: str, now: Moment, *, condition_false: bool, reset_allowed: bool
    ) -> Transition: ...

    def shelve(self, key: str, lasts: Micros, actor: Actor, reason: str, now: Moment, sequence: int) -> Transition: ...

    def unshelve(self, key: str, actor: Actor, note: str, now: Moment) -> Transition: ...

    def out(
        self, key: str, permit: str, owner: str, until: Micros, actor: Actor, note: str, now: Moment, sequence: int
    ) -> Transition: ...

    def back(self, key: str, actor: Actor, note: str, now: Moment) -> Transition: ...

    def comment(self, key: str, actor: Actor, note: str, now: Moment) -> Transition: ...


Record = Callable[[Transition | None, bytes], object]
"""Stores the transition, if there is one, and the audit row in one transaction of the outbox."""


class AlarmDoor:
    """Guards the alarms of one site. What it returns is done, but durable only after the commit of `record`.

    Args:
        record: called once per attempt, before the caller hears of its outcome.
        now: the present moment on both clocks.
        known: outcomes of earlier idempotency keys, oldest first (`audit.outcomes` of the outbox's audit tail).
        sequence: of the alarms block that the next move will be in.
    """

    def __init__(
        self,
        book: Book,
        record: Record,
        now: Callable[[], Moment],
        known: Mapping[str, str],
        sequence: Callable[[], int],
    ) -> None:
        self._book = book
        self._sequence = sequence
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

    # what holds an alarm back; `key` is the alarm's, whether or not it was ever raised

    def shelve(self, key: str, lasts: Micros, actor: Actor, reason: str) -> Transition:
        """Put an alarm on the shelf for as long as `lasts`.

        Raises:
            Refused: by role, or as `AlarmBook.shelve`. NotFound, StorageError: as `ack`.
        """
        now = self._now()
        row = _row(now, actor, "shelve", key, reason, value=duration_text(lasts) if lasts > 0 else "")
        return self._try(
            row, actor, "shelve", lambda: self._book.shelve(key, lasts, actor, reason, now, self._sequence())
        )

    def unshelve(self, key: str, actor: Actor, note: str = "") -> Transition:
        """Take an alarm off the shelf. Raises as `shelve`."""
        now = self._now()
        row = _row(now, actor, "unshelve", key, note)
        return self._try(row, actor, "unshelve", lambda: self._book.unshelve(key, actor, note, now))

    def out(self, key: str, permit: str, owner: str, until: Micros, actor: Actor, note: str = "") -> Transition:
        """Take an alarm out of service under a permit, until a wall time. Raises as `shelve`, also `site-only`."""
        now = self._now()

        def move() -> Transition:
            return self._book.out(key, permit, owner, until, actor, note, now, self._sequence())

        return self._try(_row(now, actor, "out", key, note, value=permit), actor, "out", move)

    def back(self, key: str, actor: Actor, note: str = "") -> Transition:
        """Return an alarm to service. Raises as `out`."""
        now = self._now()
        row = _row(now, actor, "return", key, note)
        return self._try(row, actor, "return", lambda: self._book.back(key, actor, note, now))

    def comment(self, key: str, actor: Actor, note: str) -> Transition:
        """Write something into an alarm's story. Raises as `shelve`; also `empty`."""
        now = self._now()
        return self._try(
            _row(now, actor, "note", key, note), actor, "note", lambda: self._book.comment(key, actor, note, now)
        )

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


def _row(
    now: Moment, actor: Actor, operation: Operation, target: str, note: str, ack_id: str = "", value: str = ""
) -> AuditRow:
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
        value=value,
    )


def _guard(actor: Actor, operation: Operation) -> None:
    if actor.origin == "office" and operation in SITE_ONLY:
        reason = "site-only"
        raise Refused(reason, f"{operation} needs somebody on site")
    if operation not in ALLOWED[actor.role]:
        reason = "not-permitted"
        raise Refused(reason, f"{actor.role} may not {operation}")
