"""From what rules decide, what time is up for and what is reset, to sealed blocks of moves of alarms.

Among the verdicts of one moment those that begin to suppress others come first and those that end it last: an alarm
that belongs under another one is never annunciated because it was quicker, and nothing rings in between.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from edge.alarms import AlarmBook
from edge.recorder import TRANSITIONS_AT_ONCE, Recorder, SealedBlock
from edge.rules.instance import Verdict
from sitekeeper.model.alarm import AlarmRecord, Cause, Transition
from sitekeeper.model.clock import Micros, Moment
from sitekeeper.model.event import Event

_RANK: Final = {"raise": 0, "clear": 2}


class Moves:
    """The moves of one site's alarms, in blocks of the recorder, each with the records that it changed."""

    def __init__(self, book: AlarmBook, recorder: Recorder) -> None:
        self._book, self._recorder = book, recorder

    def of(self, verdicts: Sequence[Verdict], now: Moment) -> tuple[list[SealedBlock], list[AlarmRecord]]:
        """Return what verdicts move; a note is an event."""
        batch = _Batch(self._book, self._recorder, now)
        for verdict in sorted(verdicts, key=_in_order):
            if verdict.kind == "note":
                batch.blocks += self._recorder.events([_note(verdict)], now)
                continue
            then = Moment(mono=verdict.at, wall=now.wall - (now.mono - verdict.at), trusted=True)
            if verdict.alarm:
                batch.decided(verdict, then.wall)
            by = f"{verdict.device}/{verdict.rule}"
            batch.covered(((key, cause, by) for key, cause in self._book.veils(verdict)), then)
        return batch.end()

    def due(self, now: Moment) -> tuple[list[SealedBlock], list[AlarmRecord]]:
        """Return what time moves by now."""
        batch = _Batch(self._book, self._recorder, now)
        for key, cause in self._book.due(now.mono):
            batch.room(key)
            batch.take(self._book.expire(key, cause, now))
        return batch.end()

    def serious(self, now: Moment) -> tuple[list[SealedBlock], list[AlarmRecord]]:
        """Return what the end of a drill moves: what is still true."""
        batch = _Batch(self._book, self._recorder, now)
        for key in self._book.drills():
            batch.room(key)
            batch.take(self._book.serious(key, now))
        return batch.end()

    def released(self, reset: Transition, now: Moment) -> tuple[list[SealedBlock], list[AlarmRecord]]:
        """Return what a reset moves besides itself: it suppresses nothing any more."""
        by = reset.key.partition("/")[2]
        return self._covered(((key, cause, by) for key, cause in self._book.unveiled(by)), now)

    def taken_up(self, standing: Sequence[Verdict], now: Moment) -> tuple[list[SealedBlock], list[AlarmRecord]]:
        """Return what a restart moves: suppressed is what the rules that stand now suppress, and nothing else."""
        lacking = [(key, c, f"{v.device}/{v.rule}") for v in standing for key, c in self._book.veils(v)]
        return self._covered([*lacking, *self._book.stale(standing)], now)

    def _covered(
        self, covers: Iterable[tuple[str, Cause, str]], now: Moment
    ) -> tuple[list[SealedBlock], list[AlarmRecord]]:
        batch = _Batch(self._book, self._recorder, now)
        batch.covered(covers, now)
        return batch.end()


class _Batch:
    """Moves on their way into blocks.

    A block's sequence names an occurrence: one block never holds two moves of one alarm.
    """

    def __init__(self, book: AlarmBook, recorder: Recorder, now: Moment) -> None:
        self.blocks: list[SealedBlock] = []
        self._book, self._recorder, self._now = book, recorder, now
        self._moves: dict[str, Transition] = {}
        self._keys: dict[str, None] = {}

    def decided(self, verdict: Verdict, wall: Micros) -> None:
        self.room(self._book.key(verdict))
        move = self._book.apply(verdict, wall, self._sequence())
        if move is not None:
            self.take(move)

    def covered(self, covers: Iterable[tuple[str, Cause, str]], then: Moment) -> None:
        for key, cause, by in covers:
            self.room(key)
            self.take(self._book.cover(key, cause, by, then, self._sequence()))

    def room(self, key: str) -> None:
        """Seal what there is if another move of this alarm does not go with it."""
        if key in self._moves or len(self._moves) == TRANSITIONS_AT_ONCE:
            self._seal()

    def take(self, move: Transition) -> None:
        self._moves[move.key] = move
        self._keys[move.key] = None

    def end(self) -> tuple[list[SealedBlock], list[AlarmRecord]]:
        if self._moves:
            self._seal()
        return self.blocks, [record for key in self._keys if (record := self._book.record(key)) is not None]

    def _sequence(self) -> int:
        return self._recorder.next_sequence("alarms")

    def _seal(self) -> None:
        self.blocks.append(self._recorder.transitions(tuple(self._moves.values()), self._now))
        self._moves = {}


def _in_order(verdict: Verdict) -> tuple[Micros, int]:
    return verdict.at, _RANK.get(verdict.kind, 1) if verdict.veils else 1


def _note(verdict: Verdict) -> Event:
    fields = {"rule": verdict.rule, "detail": verdict.detail, "priority": verdict.priority}
    return Event(source_id=f"{verdict.device}/note", at=verdict.at, fields=dict(fields))
