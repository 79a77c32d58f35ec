"""When a certificate is renewed, and when a person must hear that it could not be. Pure.

    begins ------------------- 2/3 ------------- 9/10 ------------- ends
             nothing to do      | renew, try again  | GW06 P2, and after the end
                                | and again; GW06   | nothing reaches the office
                                | P3 once it failed | any more

The time is the clock's, or the floor (`edge.trust.folder`) while the clock shows less.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from edge.own import Durable, Said, verdict
from edge.recorder import SealedBlock
from edge.trust.folder import Life
from sitekeeper.model.alarm import Priority
from sitekeeper.model.clock import HOUR, MINUTE, SECOND, Micros, Moment
from sitekeeper.model.sample import Value

RULE: Final = "GW06"
RENEWED: Final = "certificate_renewed"
Stage = Literal["good", "due", "late", "over"]
PRIORITY: Final[dict[Stage, Priority]] = {"due": "P3", "late": "P2", "over": "P2"}
LOOK: Final[Micros] = SECOND


def stage(life: Life, now: Micros) -> Stage:
    """Return how far a certificate's life has gone: `due` from two thirds on, `late` with a tenth left."""
    whole, left = life.ends - life.begins, life.ends - now
    if left <= 0:
        return "over"
    if 10 * left <= whole:
        return "late"
    return "due" if 3 * left <= whole else "good"


def next_try(life: Life, failures: int) -> Micros:
    """Return how long to wait after so many failures in a row: a minute, doubled to an hour, less for a short life."""
    most = min(HOUR, (life.ends - life.begins) // 40)
    return max(min(MINUTE << min(failures - 1, 10), most), SECOND // 5)


@dataclass(slots=True, kw_only=True)
class Standing:
    """How our certificate stands; the keeper writes it, watch and status read it.

    Attributes:
        problem: why it could not be renewed, empty if nothing is wrong. renewed: how often, since the start.
    """

    life: Life
    problem: str = ""
    renewed: int = 0
    floor: Micros = 0

    def stage(self, wall: Micros) -> Stage:
        """Return how far its life has gone when the clock shows `wall`."""
        return stage(self.life, max(wall, self.floor))


@dataclass(slots=True)
class CertificateWatch:
    """Tells of renewals as events, and GW06 while one that is due fails (`edge.own.Watch`).

    Attributes:
        raised: priority at which GW06 stands; None if it does not.
    """

    standing: Standing
    raised: Priority | None = None
    _told: int = field(default=0, init=False)
    _looked: Micros = field(default=0, init=False)

    def given(self, blocks: Sequence[SealedBlock], durable: Durable, now: Micros) -> None:
        """Nothing follows from an append."""

    def advance(self, now: Moment) -> Said:
        """Look how it stands; say what is to be told."""
        self._looked = now.mono
        events: list[tuple[str, dict[str, Value]]] = []
        if self.standing.renewed > self._told:
            self._told = self.standing.renewed
            events.append((RENEWED, {"begins": self.standing.life.begins, "ends": self.standing.life.ends}))
        found = self.standing.stage(now.wall)
        wanted = PRIORITY.get(found) if self.standing.problem or found == "over" else None
        if wanted == self.raised:
            return Said(events=events)
        before, self.raised = self.raised, wanted
        if wanted is None:
            return Said(events=events, verdicts=[verdict(RULE, "clear", now.mono, before or "P3")])
        kind: Literal["raise", "level"] = "raise" if before is None else "level"
        return Said(events=events, verdicts=[verdict(RULE, kind, now.mono, wanted, self.standing.problem)])

    def next_deadline(self) -> Micros:
        """Look once a second."""
        return self._looked + LOOK
