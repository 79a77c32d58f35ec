"""Devices of which it is not known that they answer, and when each is tried. Pure.

Waiting in vain is paid for: the next wait for that device comes nine times as long after it, so that a silent device
has at most a tenth of its link's time. Those that were silent twice in a row pay into one account, so that all of them
together have no more than that. What takes time from nobody is free: while no device of the link answers, only the
back-off counts. A device that answered until now is asked once more at its next turn, whatever others owe; one that
answers only now and then has that benefit when it has paid for the time before. Devices of which alarms are made pay
into an account of their own, of a quarter of the time, so that no number of dead meters keeps a lift waiting.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from edge.bus.lane import NEVER
from sitekeeper.model.clock import SECOND, Micros

KNOWN_SILENT: Final = 2
"""After so many scans in a row without an answer a device is silent, and its link need not be at fault."""
SHARE: Final = 10
"""A silent device has at most one part in so many of its link's time."""
SHARE_URGENT: Final = 4
"""All silent devices of which alarms are made have at most one part in so many together."""
MOST_OWED: Final[Micros] = 60 * SECOND
"""Many that fall silent at once keep one another waiting no longer than this, or than one of them alone would."""


@dataclass(slots=True)
class Doubt:
    """One device: failures in a row, the earliest time by its period and back-off, and whether it has to pay first."""

    after: Micros
    failures: int = 0
    pays: bool = False


class Doubts:
    """The doubtful devices of one link by name; `urgent`: those of which alarms are made."""

    __slots__ = ("_accounts", "_devices", "_nobody", "_owes", "_soonest", "_urgent")

    def __init__(self, urgent: Collection[str] = ()) -> None:
        self._urgent = urgent
        self._devices: dict[str, Doubt] = {}
        self._owes: dict[str, Micros] = {}
        self._accounts: dict[bool, Micros] = {False: 0, True: 0}  # of the ordinary, of the urgent
        self._nobody = False  # a device was waited for in vain while none answered
        self._soonest: tuple[Micros, str] | None = None

    def doubt(self, device: str, after: Micros) -> None:
        """Begin to doubt a device, which is not to be tried before `after`."""
        failures = self.failures(device)
        self._devices[device] = Doubt(after, failures, pays=failures >= KNOWN_SILENT)
        self._soonest = None

    def __contains__(self, device: str) -> bool:
        return device in self._devices

    def failures(self, device: str) -> int:
        """Return how often in a row a device has not answered."""
        return self._devices[device].failures if device in self._devices else 0

    def answered(self, device: str, *, first: bool) -> bool:
        """Forget the doubt; `first`: nobody else on the link answers. Tell whether there was one.

        After a time in which nobody answered nobody owes anything. A link that was opened anew is no such time.
        """
        if self._devices.pop(device, None) is None:
            return False
        if first and self._nobody:
            self._owes.clear()
            self._accounts = {False: 0, True: 0}
        self._nobody = False
        self._soonest = None
        return True

    def failed(self, device: str, asked: Micros, now: Micros, wait: Micros, *, others: bool) -> None:
        """Take note that a device was waited for in vain from `asked` to `now`; try it after `wait` at the earliest.

        Args:
            others: there are devices on the link that answer, whose time it was.
        """
        doubt = self._devices.setdefault(device, Doubt(now))
        doubt.failures += 1
        doubt.after = now + wait
        owed = self._owes.get(device, 0)
        doubt.pays = doubt.failures >= KNOWN_SILENT or owed > asked
        self._nobody = self._nobody or not others
        if others:
            self._owes[device] = max(owed, asked) + SHARE * (now - asked)
            if doubt.failures >= KNOWN_SILENT:
                urgent = device in self._urgent
                price = _share(urgent=urgent) * (now - asked)
                together = min(max(self._accounts[urgent], asked) + price, now + MOST_OWED)
                self._accounts[urgent] = max(together, asked + price)
        self._soonest = None

    def charge(self, device: str, time: Micros) -> None:
        """Have a device pay for time that others lost after it was waited for in vain."""
        if device in self._owes:
            self._owes[device] += SHARE * time
            if self.failures(device) >= KNOWN_SILENT:
                urgent = device in self._urgent
                self._accounts[urgent] += _share(urgent=urgent) * time
        self._soonest = None

    def soonest(self, *, free: bool) -> tuple[Micros, str]:
        """Return when which device is to be tried next; `free`: nobody answers on this link, so nobody has to pay."""
        if self._soonest is None:
            turns = ((*self._turn(name, doubt, free=free), name) for name, doubt in self._devices.items())
            at, _, device = min(turns, default=(NEVER, NEVER, ""))
            self._soonest = at, device
        return self._soonest

    def _turn(self, device: str, doubt: Doubt, *, free: bool) -> tuple[Micros, Micros]:
        """Return when a device is to be tried, and since when it waits for that."""
        if free or not doubt.pays:
            return doubt.after, doubt.after
        urgent, owed = device in self._urgent, self._owes.get(device, 0)
        if doubt.failures >= KNOWN_SILENT:
            owed = max(owed, self._accounts[urgent]) if urgent else self._accounts[urgent]
        return max(doubt.after, owed), doubt.after


def _share(*, urgent: bool) -> int:
    return SHARE_URGENT if urgent else SHARE
