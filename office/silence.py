"""GW01: nothing heard from a site for too long. Pure: who was heard when, and what follows from the time now.

The office cannot ask the site, so this is the one alarm that the office raises itself, by the same machine
(`sitekeeper.model.alarm`) and into the same tables as a site's own. Time is the office's monotonic clock; a fresh
start gives every known site the full limit again, because the office was not listening before.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from sitekeeper.model.alarm import (
    ACTIVE,
    AlarmRecord,
    AlarmState,
    Cause,
    Transition,
    alarm_key,
    next_state,
    occurrence_id,
)
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.command import Actor

RULE: Final = "GW01"
DEVICE: Final = "gateway"
LIMIT: Final[Micros] = 60 * SECOND


def silence_key(site: str) -> str:
    """Return the key of the site's silence alarm."""
    return alarm_key(site, DEVICE, RULE)


class Silence:
    """Who was heard, and who has been silent for longer than `limit`.

    A site never heard by this office, now or before, is not silent: it does not exist yet.

    Args:
        sites: sites that the store already knows.
        active: of these, the ones whose GW01 stands as true.
        now: monotonic time of the start.
    """

    def __init__(self, sites: Iterable[str], active: Iterable[str], now: Micros, limit: Micros = LIMIT) -> None:
        self._heard = dict.fromkeys(sites, now)
        self._silent = set(active)
        self._limit = limit

    def heard(self, site: str, now: Micros) -> bool:
        """Note a sign of life; tell whether it ends a silence."""
        self._heard[site] = now
        if site not in self._silent:
            return False
        self._silent.discard(site)
        return True

    def knows(self, site: str) -> bool:
        """Tell whether the site was ever heard, now or before."""
        return site in self._heard

    def advance(self, now: Micros) -> list[str]:
        """Return the sites that have just become silent, each once."""
        fresh = [s for s, at in self._heard.items() if s not in self._silent and now - at >= self._limit]
        self._silent.update(fresh)
        return fresh

    def next_deadline(self) -> Micros | None:
        """Return the monotonic time at which the next site would become silent; None if none can."""
        return min((at + self._limit for s, at in self._heard.items() if s not in self._silent), default=None)


def is_active(record: AlarmRecord | None) -> bool:
    """Tell whether a stored alarm stands as true."""
    return record is not None and record.state in ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceAlarm:
    """One site's GW01 as stored, and the moves it can make.

    Attributes:
        record: the stored alarm, None if there never was one.
        fresh_epoch: the epoch for a site that never had a GW01, `office-<random>`.
    """

    site: str
    record: AlarmRecord | None
    fresh_epoch: str

    @property
    def epoch(self) -> str:
        """Return the epoch under which the next move is stored: the record's own, so that its sequence gives order."""
        if self.record is None:
            return self.fresh_epoch
        return self.record.occurrence.partition("@")[2].rpartition("-")[0]

    def move(
        self,
        cause: Cause,
        *,
        sequence: int,
        at: Micros,
        mono: Micros,
        actor: Actor | None = None,
        note: str = "",
        detail: str = "",
        limits: Mapping[str, str] | None = None,
    ) -> Transition:
        """Return the transition that `cause` makes.

        Raises:
            Refused: there is no such move, for example a raise of what already stands.
        """
        source = AlarmState.NORMAL if self.record is None else self.record.state
        key = silence_key(self.site)
        if self.record is None or cause is Cause.RAISE:
            occurrence = occurrence_id(key, self.epoch, sequence)
        else:
            occurrence = self.record.occurrence
        return Transition(
            occurrence=occurrence,
            key=key,
            rule=RULE,
            source=source,
            target=next_state(source, cause, latched=False),
            cause=cause,
            priority="P2",
            at=at,
            mono=mono,
            latched=False,
            actor=actor,
            note=note,
            detail=detail,
            limits=dict(limits or {}),
        )
