"""GW01: nothing heard from a site for too long. Pure: who was heard when, and what follows from the time now.

The office cannot ask the site, so it raises this alarm itself, as it does others (`own_alarms`). Time is the office's
monotonic clock; a fresh start gives every known site the full limit again, because the office was not listening before.
"""

from collections.abc import Iterable
from typing import Final

from sitekeeper.model.alarm import ACTIVE, AlarmRecord, alarm_key
from sitekeeper.model.clock import SECOND, Micros

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
        self._told = set(self._silent)
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

    def listens(self, now: Micros, *, hears: bool) -> None:
        """Note whether the office could hear. While it cannot, no site is to blame, and each gets the full limit anew.

        Who has to be called then is called by the office's own alarms, GW15 and GW16.
        """
        if hears:
            return
        for site in self._heard.keys() - self._silent:
            self._heard[site] = now

    def forget(self, sites: Iterable[str]) -> None:
        """Expect nothing of these sites any more: the office has revoked them. One that is heard again is a new one."""
        for site in sites:
            self._heard.pop(site, None)
            self._silent.discard(site)

    def advance(self, now: Micros) -> list[str]:
        """Return the sites that have just become silent, each once."""
        fresh = [s for s, at in self._heard.items() if s not in self._silent and now - at >= self._limit]
        self._silent.update(fresh)
        return fresh

    def untold(self) -> list[tuple[str, bool]]:
        """Return the sites whose alarm does not stand as it should, each with whether it is silent."""
        return [(site, site in self._silent) for site in sorted(self._silent ^ self._told)]

    def told(self, site: str, *, silent: bool) -> None:
        """Note that the alarm of a site is stored as raised, or as cleared."""
        (self._told.add if silent else self._told.discard)(site)

    def next_deadline(self) -> Micros | None:
        """Return the monotonic time at which the next site would become silent; None if none can."""
        return min((at + self._limit for s, at in self._heard.items() if s not in self._silent), default=None)


def is_active(record: AlarmRecord | None) -> bool:
    """Tell whether a stored alarm stands as true."""
    return record is not None and record.standing in ACTIVE
