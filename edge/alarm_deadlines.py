"""When time itself moves an alarm: its shelf or its permit is over, or its acknowledgement is too old. Pure.

By the monotonic clock: a wall clock that is set back never prolongs a shelf. After a restart what is left is worked out
by the wall clock, and is never more than may be asked for at once.
"""

from collections.abc import Mapping
from typing import Final

from edge.alarm_moves import PERMIT, RuleFacts
from sitekeeper.model.alarm import AlarmRecord, AlarmState, Cause, Transition
from sitekeeper.model.clock import Micros, Moment
from sitekeeper.model.veil import SHELF

_UNKNOWN: Final = RuleFacts(priority="P4")
"""Of a rule that is gone: nothing of it is life safety, and nothing is annunciated again."""


class Deadlines:
    """The moves that time will make, by alarm and cause.

    Args:
        rules: by `<device>/<rule>`.
    """

    def __init__(self, rules: Mapping[str, RuleFacts]) -> None:
        self._rules = rules
        self._due: dict[tuple[str, Cause], Micros] = {}

    def due(self, now: Micros) -> list[tuple[str, Cause]]:
        """Return what is due at the monotonic time `now`, the earliest first."""
        return [each for at, each in sorted((at, each) for each, at in self._due.items()) if at <= now]

    def next(self) -> Micros | None:
        """Return the monotonic time of the earliest; None if there is none."""
        return min(self._due.values(), default=None)

    def moved(self, record: AlarmRecord, by: Transition) -> None:
        """Bring the deadlines of an alarm up to date after a move; a priority that rises shortens its shelf."""
        now = Moment(mono=by.mono, wall=by.at)
        self._set(record.key, Cause.SHELF_OVER, self._shelf(record, now), anew=by.cause is Cause.SHELVE)
        self._set(record.key, Cause.PERMIT_OVER, self._permit(record, now), anew=by.cause is Cause.OUT)
        self._set(record.key, Cause.REALARM, self._again(record, now), anew=by.cause is Cause.ACK)

    def resume(self, record: AlarmRecord, now: Moment) -> None:
        """Take up the deadlines of an alarm after a restart."""
        self._set(record.key, Cause.SHELF_OVER, self._shelf(record, now), anew=True)
        self._set(record.key, Cause.PERMIT_OVER, self._permit(record, now), anew=True)
        again = self._again(record, now)
        passed = max(now.wall - record.changed, 0)
        self._set(record.key, Cause.REALARM, None if again is None else max(again - passed, now.mono), anew=True)

    def _set(self, key: str, cause: Cause, at: Micros | None, *, anew: bool) -> None:
        known = self._due.get((key, cause))
        if at is None:
            self._due.pop((key, cause), None)
        elif known is None or anew or (cause is Cause.SHELF_OVER and at < known):
            self._due[key, cause] = at

    def _shelf(self, record: AlarmRecord, now: Moment) -> Micros | None:
        return None if record.shelved is None else self._end(record, record.shelved.until, SHELF[record.priority], now)

    def _permit(self, record: AlarmRecord, now: Moment) -> Micros | None:
        return None if record.permit is None else self._end(record, record.permit.until, PERMIT, now)

    def _end(self, record: AlarmRecord, until: Micros, most: Micros, now: Moment) -> Micros:
        """Return when something that lies over an alarm ends: life safety is never held back, so at once."""
        left = min(max(until - now.wall, 0), most)
        return now.mono + (0 if self._facts(record).life_safety else left)

    def _again(self, record: AlarmRecord, now: Moment) -> Micros | None:
        wait = self._facts(record).realarm
        return now.mono + wait if wait and record.state is AlarmState.ACKED else None

    def _facts(self, record: AlarmRecord) -> RuleFacts:
        return self._rules.get(record.key.partition("/")[2], _UNKNOWN)
