"""What a unit has shown that it takes and refuses, so that nobody has to find it out with a calculator. Pure.

Known is which runs of addresses were refused, and the largest number that was answered. A run is believed to be
refused whenever it holds a refused one: an address that does not exist, a border between two areas, a size. So the
smallest refused runs are kept and nothing else; there are never more of them than points and gaps of the plan.

A belief is put to the test rarely, and ever more so: `due`. When one turns out to be wrong, all that were formed about
the same time go with it, for a device that starts refuses for a while what it has.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

from drivers.modbus.address import Table
from sitekeeper.model.clock import HOUR, MINUTE, SECOND, Micros

Kind = Literal["hole", "wide", "mute"]
"""What a refused run is: a single point or a gap; several points that are answered one by one; several that get no
answer at all, which costs a time-out."""

OFTEN: Final = 3
"""How often a refused point is asked again at once, before it is asked ever more rarely."""

FIRST: Final[Micros] = 2 * SECOND
RARELY: Final[dict[Kind, Micros]] = {"hole": 10 * MINUTE, "wide": 10 * MINUTE, "mute": 6 * HOUR}
"""The first wait before a belief is tested, and the longest; doubled each time in between."""

HAD: Final[Micros] = 15 * SECOND
"""The longest wait for a single point that was answered once: it is there, and only refused for a while."""
HAD_FOR: Final[Micros] = HOUR
"""The longest that such a while is held to be; then the point is asked as rarely as one that is not there."""

TOGETHER: Final[Micros] = 5 * MINUTE
"""Beliefs formed within so long of each other stand and fall together."""


@dataclass(frozen=True, slots=True, order=True)
class Run:
    """Consecutive addresses of a table."""

    table: Table
    address: int
    count: int

    @property
    def end(self) -> int:
        return self.address + self.count

    def holds(self, other: "Run") -> bool:
        return self.table == other.table and self.address <= other.address and other.end <= self.end


@dataclass(frozen=True, slots=True)
class Belief:
    """That a run is refused: since when (monotonic), how often it was tested in vain, and when to test it again.

    `had`: it was answered once, as part of something or alone.
    """

    kind: Kind
    since: Micros
    tests: int
    due: Micros
    had: bool = False


class Learned:
    """What is known of one unit. `version` rises with every change that makes another plan of the same points, `unit`
    with every one that may be another unit's.
    """

    def __init__(self) -> None:
        self.version = self.unit = 0
        self._refused: dict[Run, Belief] = {}
        self._taken: dict[Table, int] = {}

    @property
    def refused(self) -> tuple[tuple[Run, Belief], ...]:
        """Every refused run, in order."""
        return tuple(sorted(self._refused.items(), key=lambda item: item[0]))

    def __len__(self) -> int:
        return len(self._refused)

    def kind(self, run: Run) -> Kind:
        """Return what a refused run is.

        Raises:
            KeyError: it is not refused.
        """
        return self._refused[run].kind

    def blocks(self, run: Run) -> bool:
        """Tell whether a request for this run is believed to be refused. Its size alone is `most`'s matter."""
        return any(run.holds(each) for each in self._refused)

    def sizes(self, table: Table) -> tuple[int, int | None]:
        """Return the largest number that was answered, and the smallest that is too large; None: none is.

        Too large is what was refused though its parts are not, unless something larger was answered elsewhere.
        """
        wide = [run.count for run, belief in self._refused.items() if run.table == table and belief.kind != "hole"]
        refused, taken = min(wide, default=None), self._taken.get(table, 0)
        if refused is None or taken >= refused:
            return taken, None
        return max(taken, refused // 2), refused

    @property
    def mute(self) -> bool:
        """Whether it has kept silent to a request whose parts it answers."""
        return any(belief.kind == "mute" for belief in self._refused.values())

    def times(self, table: Table, count: int) -> int:
        """Return at how many places a request for so many was refused though its parts are not."""
        return sum(
            run.table == table and run.count == count and belief.kind != "hole" for run, belief in self._refused.items()
        )

    def most(self, table: Table) -> int:
        """Return the largest number that one request may ask for."""
        taken, refused = self.sizes(table)
        return 65536 if refused is None else taken

    def taken(self, table: Table) -> int:
        return self._taken.get(table, 0)

    def heard(self, run: Run) -> bool:
        """Note that a run was answered. True: that was not expected, and much has been forgotten."""
        before = self.sizes(run.table)
        self._taken[run.table] = max(run.count, self._taken.get(run.table, 0))
        wrong = self._refused.pop(run, None)
        if wrong is not None:
            for other, belief in list(self._refused.items()):
                if abs(belief.since - wrong.since) <= TOGETHER:
                    del self._refused[other]
            self._taken = {run.table: run.count}
        if wrong is not None or (before[1] is not None and self.sizes(run.table) != before):
            self.version += 1
        return wrong is not None

    def denied(self, run: Run, kind: Kind, now: Micros, *, had: bool = False) -> None:
        """Note that a run was refused, or was so once more; `had`: it was answered before."""
        known = self._refused.get(run)
        if known is not None:
            tests, had = known.tests + 1, known.had or had
            kind = "hole" if kind == "hole" else known.kind  # points may lie in the same run as a half of it
            wait = min(RARELY[kind], FIRST << min(max(tests - OFTEN, 0), 30))
            wait = min(wait, HAD) if had and now - known.since < HAD_FOR else wait
            self._refused[run] = replace(known, kind=kind, tests=tests, due=now + wait, had=had)
            return
        if kind != "hole" and self.blocks(run):
            return
        for other, belief in list(self._refused.items()):
            if belief.kind != "hole" and other.holds(run):
                del self._refused[other]
        self._refused[run] = Belief(kind, now, 1, now + FIRST, had)
        self.version += 1

    def rests(self, run: Run, now: Micros) -> bool:
        """Tell whether a run that was refused often enough is to be left alone for now."""
        belief = self._refused.get(run)
        return belief is not None and belief.tests >= OFTEN and now < belief.due

    def due(self, now: Micros) -> Run | None:
        """Return the run whose refusal is to be tested, the longest due first; None: none is."""
        waiting = [(belief.due, run) for run, belief in self._refused.items() if belief.due <= now]
        return min(waiting)[1] if waiting else None

    def put_off(self, run: Run, now: Micros) -> None:
        """Test this run later, for nothing was heard when it was asked for."""
        if run in self._refused:
            self._refused[run] = replace(self._refused[run], due=now + MINUTE)

    def no_more(self, table: Table) -> None:
        """Forget how many were answered at once: a request that was answered is refused now."""
        self._taken.pop(table, None)

    def forget(self) -> None:
        """Begin anew: this is another unit, or as good as one."""
        self.version, self.unit = self.version + 1, self.unit + 1
        self._refused, self._taken = {}, {}

    # What survives a restart: no times, for they are of another clock

    def kept(self) -> tuple[list[tuple[Table, int, int, Kind]], dict[Table, int]]:
        return [(run.table, run.address, run.count, belief.kind) for run, belief in self.refused], dict(self._taken)

    def restore(
        self,
        refused: Iterable[tuple[Table, int, int, Kind]],
        taken: dict[Table, int],
        now: Micros,
        had: Iterable[Run] = (),
    ) -> None:
        """Take up what `kept` told before a restart; it is tested as if just learned. `had`: see `Belief`."""
        answered = list(had)
        for run, kind in ((Run(table, address, count), kind) for table, address, count, kind in refused):
            known = kind == "hole" and any(each.holds(run) for each in answered)
            self._refused[run] = Belief(kind, now, OFTEN, now + FIRST, known)
        self._taken = dict(taken)
        self.version += 1
