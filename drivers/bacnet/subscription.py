"""One property that a device is to tell by itself: how it stands, and what is over by the passing of time. Pure.

idle ─read─▶ waiting ─ask─▶ unproven ─first notification─▶ alive ─half its life─▶ asked again ...
  ▲             ▲              │                             │
  │             │              └─ none came ─▶ refused       ├─ expired, or a change was not told ─▶ waiting
  └─ silent, restarted, closed                (polled; asked again an hour later)
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from drivers.bacnet.message import Reference
from drivers.bacnet.names import PROPERTIES
from drivers.bacnet.notice import SUBSCRIBE, SUBSCRIBE_PROPERTY
from sitekeeper.model.clock import SECOND, Micros

PROOF: Final[Micros] = 5 * SECOND
"""Within this time of the acknowledgement the first notification comes, or none ever will."""
UNTOLD: Final[Micros] = 3 * SECOND
"""So long after a reading found a change its notification may still be on its way."""


class State(StrEnum):
    """See the picture above. `IDLE`: the device has to be read first."""

    IDLE = "idle"
    WAITING = "waiting"
    UNPROVEN = "unproven"
    ALIVE = "alive"
    REFUSED = "refused"


class Wanted(NamedTuple):
    """A property that is to be told; `increment`: the smallest change of a real number, None: as the device has it."""

    reference: Reference
    increment: float | None = None


@dataclass(slots=True, eq=False)
class Subscription:
    """One property. `services`: the ways to subscribe it that are left, `due`: when to ask for it (again)."""

    reference: Reference
    increment: float | None
    services: tuple[int, ...]
    state: State = State.IDLE
    due: Micros | None = None
    asked: Micros = 0
    expires: Micros = 0
    told: bytes | None = None
    told_at: Micros | None = None
    proven: bool = False
    untold_since: Micros | None = None
    silences: int = 0
    untold: int = 0
    why: str = ""

    @property
    def deadline(self) -> Micros | None:
        """When it is over by itself."""
        match self.state:
            case State.UNPROVEN:
                return self.asked + PROOF
            case State.ALIVE:
                return self.expires if self.untold_since is None else min(self.expires, self.untold_since + UNTOLD)
            case _:
                return None


def ways(wanted: Wanted) -> tuple[int, ...]:
    """Subscribing an object tells its Present_Value; of any other property only some devices know what it tells."""
    if wanted.reference.property == PROPERTIES["present-value"] and wanted.increment is None:
        return (SUBSCRIBE,)
    return SUBSCRIBE_PROPERTY, SUBSCRIBE
