"""Which group of a link is read next, and when. Pure: it is told what came of each reading, and the time.

Groups whose devices answer have the link: of those that are due the urgent ones first, then by their deadlines, which
are the ends of their periods. If more is asked than the link can give, the urgent ones keep their periods as far as
that goes, and the others share what is left evenly (`lane`). Devices that may not answer are tried when nothing else is
due, or when they have waited for that long enough (`doubts`). One request at a time, and a turn that is over is over.
"""

import random
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from edge.bus.back_off import BackOff
from edge.bus.doubts import KNOWN_SILENT, SHARE, Doubts
from edge.bus.lane import NEVER, Lane
from edge.bus.usage import Mark, Meter, Usage
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.point import ScanGroup

SPREAD: Final[Micros] = SECOND // 10
"""The first readings of all groups lie within this time."""
TOGETHER: Final[Micros] = SECOND // 20
"""Groups become due at multiples of this, those of all links at the same ones: a machine that wakes for one reading has
the next ones for less."""
PATIENCE: Final[Micros] = SECOND
"""So long a device that did not answer waits for a moment at which nothing else is due."""

AFTER: Final = 2
"""After a turn in vain so many others may be longer because of it, as on a serial line that has to be silent first."""


class Turn(NamedTuple):
    """The group to read next, by its place, and when."""

    at: Micros
    group: int


class Bus:
    """The turns of one link.

    Between `begin` and the end of the link, call `next`, wait, read that group, and call `done`, again and again;
    `broke` instead if the link failed just then. All times are monotonic.

    Args:
        groups: all that is read on the link, at least one. urgent: ids of the groups that go first.
    """

    __slots__ = (
        "_after", "_all", "_back_off", "_broke", "_doubts", "_groups", "_living", "_meter", "_of", "_ordinary", "_owed",
        "_price", "_rng", "_since", "_start", "_urgent", "_urgently", "_vainly", "busy", "vain",
    )  # fmt: skip

    def __init__(
        self,
        groups: Sequence[ScanGroup],
        *,
        urgent: Collection[str],
        back_off: BackOff,
        rng: random.Random,
        now: Micros,
    ) -> None:
        self._groups = groups
        self._urgently = bytes(group.id in urgent for group in groups)
        self._of: dict[str, tuple[int, ...]] = {}
        for index, group in enumerate(groups):
            self._of[group.device] = (*self._of.get(group.device, ()), index)
        self._all = len(self._of)
        self._back_off, self._rng = back_off, rng
        self._urgent, self._ordinary = Lane(groups), Lane(groups)
        self._doubts = Doubts({group.device for group in groups if group.id in urgent})
        self._living = 0  # devices that answered last time
        self._broke = ""  # the device at whose turn the link failed
        self._vainly = ""  # the one that was waited for in vain last
        self._after = 0  # turns that may still be longer because of it
        self._owed = 0  # turns that others have before the next device in doubt may press
        self._since: Micros = 0  # what urgent groups have used since an ordinary one had its turn
        self._price: Micros = 0  # what that turn took
        self.busy: Micros = 0
        self.vain: Micros = 0
        self.begin(now)

    def begin(self, now: Micros) -> None:
        """The link is open, and no device is sure to answer.

        First those of which alarms are made, last those that were silent before, and the one at whose turn it failed.
        """
        self._start, self._living, self._owed = now, 0, 0
        every = range(len(self._groups))
        for lane in (self._urgent, self._ordinary):
            lane.leave_out(every)
        for rank, device in enumerate(sorted(self._of, key=self._comes)):
            self._doubts.doubt(device, now + rank * (SPREAD // self._all) + (SPREAD if device == self._broke else 0))
        self._broke = ""
        self._meter = Meter(self._mark(now))

    def next(self, now: Micros) -> Turn:
        """Return whose turn it is; if nothing is due, whose it will be first."""
        tried, device = self._doubts.soonest(free=not self._living) if self._living < self._all else (NEVER, "")
        while True:
            urgent, ordinary = self._urgent.advance(now), self._ordinary.advance(now)
            if urgent or ordinary:
                if not self._owed and tried <= now and self._presses(tried, device, now):
                    return self._try(now, device)
                first = urgent and not (ordinary and self._starved(now))
                return Turn(now, (self._urgent if first else self._ordinary).take())
            if tried <= now:
                return self._try(now, device)
            now = min(tried, self._urgent.next_due(), self._ordinary.next_due())

    def done(self, group: int, asked: Micros, now: Micros, *, answered: bool, hushed: Micros = 0) -> None:
        """Take note of what came of a turn that lasted from `asked` to `now`.

        Args:
            hushed: how much of that the line was left silent because an earlier turn was in vain.
        """
        device = self._groups[group].device
        self.busy += now - asked
        if hushed:
            self.vain += hushed
            asked += hushed
            if self._after:
                self._doubts.charge(self._vainly, hushed)
        self._after = max(0, self._after - 1)
        if not answered:
            self.vain += now - asked
            self._vainly, self._after = device, AFTER
            self._failed(device, asked, now)
        elif self._living < self._all and self._doubts.answered(device, first=not self._living):
            self._found(device, group, asked, now)
        else:
            self._served(group, asked, now)
        if now >= self._meter.due:
            self._meter.mark(self._mark(now))

    def broke(self, group: int) -> None:
        """Take note that the link failed at the turn of a group: some break whenever one unit is asked."""
        self._broke = self._groups[group].device

    def silent(self, device: str) -> bool:
        """Tell whether a device is known not to answer."""
        return self._doubts.failures(device) >= KNOWN_SILENT

    def urgent(self, group: int) -> bool:
        """Tell whether a group goes first."""
        return bool(self._urgently[group])

    def missed(self) -> int:
        """Return how many turns did not come because the link had no time; those of silent devices do not count."""
        return int(self._urgent.lost + self._ordinary.lost)

    def usage(self, now: Micros) -> Usage | None:
        """Return how the link fares; None if it was opened just now."""
        self._urgent.advance(now)
        self._ordinary.advance(now)
        return self._meter.usage(self._mark(now))

    def _served(self, group: int, asked: Micros, now: Micros) -> None:
        self._owed = max(0, self._owed - 1)
        if self._urgently[group]:
            self._urgent.done(now)
            self._since += now - asked
        else:
            self._ordinary.done(now)
            self._since, self._price = 0, now - asked

    def _found(self, device: str, group: int, asked: Micros, now: Micros) -> None:
        """A device answers: the group asked has its next turn a period after, and all others of it are due."""
        self._living += 1
        for each in self._of[device]:
            due = asked + self._groups[each].period if each == group else max(now, self._place(each))
            (self._urgent if self._urgently[each] else self._ordinary).add(each, due - due % TOGETHER)

    def _failed(self, device: str, asked: Micros, now: Micros) -> None:
        groups = self._of[device]
        if device not in self._doubts:
            self._living -= 1
            self._urgent.leave_out(groups)
            self._ordinary.leave_out(groups)
        wait = self._back_off.wait(self._doubts.failures(device) + 1, self._rng, alone=self._all == 1)
        if self._all > 1:
            wait = max(wait, min(self._groups[each].period for each in groups))
        self._doubts.failed(device, asked, now, wait, others=self._living > 0)
        self._urgent.advance(now)
        self._ordinary.advance(now)
        self._owed = self._urgent.ready() + self._ordinary.ready()

    def _presses(self, tried: Micros, device: str, now: Micros) -> bool:
        """Tell whether a device in doubt has waited long enough; the first time it need not wait."""
        return tried + (PATIENCE if self._doubts.failures(device) else 0) <= now

    def _try(self, now: Micros, device: str) -> Turn:
        """Ask a device in doubt, another of its groups each time."""
        groups = self._of[device]
        return Turn(now, groups[self._doubts.failures(device) % len(groups)])

    def _starved(self, now: Micros) -> bool:
        """Tell whether urgent groups have left too little to the others: a tenth of the time is theirs in any case."""
        return self._ordinary.late(now) and self._since >= (SHARE - 1) * self._price

    def _comes(self, device: str) -> tuple[bool, bool]:
        """Return what a device's turn after an opening goes by; the smallest comes first."""
        return self.silent(device), not any(self._urgently[group] for group in self._of[device])

    def _place(self, group: int) -> Micros:
        """Return when a group is to be read first."""
        return self._start + group * (SPREAD // len(self._groups))

    def _mark(self, now: Micros) -> Mark:
        return Mark(now, self.busy, self.vain, self._ordinary.stood, self._urgent.stood)
