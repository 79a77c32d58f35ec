"""What can go wrong, and a plan of it drawn from a seed. Swarm style: each seed leaves out a random half of the kinds.

A plan is a plain list, so that a failing one can be shrunk by leaving faults out.
"""

from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from sitekeeper.model.clock import HOUR, MS, SECOND, Micros

Kind = Literal[
    "cut", "down", "half_open", "swallow", "drop", "repeat", "swap", "slow",
    "broker_restart", "broker_forgets", "broker_set_back", "broker_repeats", "refused",
    "office_cut", "office_half_open", "office_drop", "office_swap", "office_killed", "office_trick", "office_full",
    "office_set_back", "office_clock", "no_bulk",
    "gateway_killed", "gateway_clock", "evict", "new_epoch", "salvaged", "disk_sick", "disk_dies", "twin", "far",
    "poison", "newer", "new_catalogue", "order_held",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What one kind is like.

    Attributes:
        most: how long it may last. grace: how long after its end alarms may still be late; None if they may not be
            late even while it lasts.
    """

    most: Micros
    grace: Micros | None


MOMENT: Final = 100 * MS
LATE: Final = 150 * SECOND
KINDS: Final[dict[Kind, About]] = {
    "cut": About(most=MOMENT, grace=0),
    "down": About(most=90 * SECOND, grace=0),
    "half_open": About(most=MOMENT, grace=LATE),
    "swallow": About(most=60 * SECOND, grace=LATE),
    "drop": About(most=60 * SECOND, grace=LATE),
    "repeat": About(most=60 * SECOND, grace=LATE),
    "swap": About(most=60 * SECOND, grace=LATE),
    "slow": About(most=60 * SECOND, grace=LATE),
    "broker_restart": About(most=10 * SECOND, grace=LATE),
    "broker_forgets": About(most=10 * SECOND, grace=LATE),
    "broker_set_back": About(most=60 * SECOND, grace=LATE),
    "broker_repeats": About(most=MOMENT, grace=LATE),
    "refused": About(most=60 * SECOND, grace=LATE),
    "office_cut": About(most=MOMENT, grace=LATE),
    "office_half_open": About(most=MOMENT, grace=LATE),
    "office_drop": About(most=60 * SECOND, grace=LATE),
    "office_swap": About(most=60 * SECOND, grace=LATE),
    "office_killed": About(most=MOMENT, grace=LATE),
    "office_trick": About(most=MOMENT, grace=LATE),
    "office_full": About(most=60 * SECOND, grace=LATE),
    "office_set_back": About(most=60 * SECOND, grace=LATE),
    "office_clock": About(most=MOMENT, grace=None),
    "no_bulk": About(most=90 * SECOND, grace=None),
    "gateway_killed": About(most=5 * SECOND, grace=0),
    "gateway_clock": About(most=MOMENT, grace=None),
    "evict": About(most=MOMENT, grace=None),
    "new_epoch": About(most=5 * SECOND, grace=0),
    "salvaged": About(most=5 * SECOND, grace=LATE),
    "disk_sick": About(most=60 * SECOND, grace=None),
    "disk_dies": About(most=60 * SECOND, grace=None),
    "twin": About(most=MOMENT, grace=None),
    "far": About(most=MOMENT, grace=None),
    "poison": About(most=MOMENT, grace=None),
    "newer": About(most=60 * SECOND, grace=None),
    "new_catalogue": About(most=5 * SECOND, grace=0),
    "order_held": About(most=60 * SECOND, grace=None),
}
LONGEST_CUT: Final = 72 * HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong; `size` is for the kind to use as it likes."""

    kind: Kind
    at: Micros
    lasts: Micros
    site: int
    size: int


def plan(random: Random, *, busy: Micros, sites: int) -> list[Fault]:
    """Draw the faults of one run, in the order of their time."""
    kinds = random.sample(list(KINDS), len(KINDS) // 2)
    faults = []
    for _ in range(random.randrange(2, 16)):
        kind = random.choice(kinds)
        lasts = random.randrange(MOMENT, KINDS[kind].most + 1)
        if kind == "down" and sites == 1 and random.random() < 0.1:
            lasts = random.randrange(HOUR, LONGEST_CUT)
        at = random.randrange(busy)
        faults.append(Fault(kind=kind, at=at, lasts=lasts, site=random.randrange(sites), size=random.randrange(2**31)))
    return sorted(faults, key=lambda fault: (fault.at, fault.kind))
