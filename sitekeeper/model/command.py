"""What may be asked of a site, by whom, and what came of it."""

from typing import Final, Literal

import msgspec

from sitekeeper.model.clock import Micros
from sitekeeper.model.sample import Value

Role = Literal["viewer", "operator", "technician", "engineer", "office", "linkage"]
"""Local roles by group of the Unix user; `office` is an acknowledgement from there, `linkage` a rule with `do:`.

A person who orders something from the office comes as `operator` at most, with the origin `office`."""

ROLE_RANK: dict[str, int] = {"viewer": 0, "office": 1, "operator": 1, "linkage": 1, "technician": 2, "engineer": 3}

LIFE_SAFETY: Final = 1
TESTS: Final = 5
MANUAL: Final = 8
SECURITY: Final = 10
DEFAULT: Final = 16
"""Places among the sixteen priorities of a command, as in BACnet (ANSI/ASHRAE 135-2020, 19.2): 1 wins over all.

1 is fire's and 2 that of other dangers to life, 5 what is under test, 8 a person's, 10
that of security and presence, 16 the weakest. `docs/commands.md`
has the whole table.
"""

Outcome = Literal["accepted", "confirmed", "refused", "timed_out", "unconfirmed", "released"]
"""What came of a command. `accepted`: it passed the guards and is being written. `timed_out`: the device did not take
it in time. `unconfirmed`: it was taken, but its effect was not read back. `released`: nobody claims the point now."""


class Write(msgspec.Struct, frozen=True, array_like=True):
    """What a rule wants of one point for as long as its condition holds."""

    device: str
    point: str
    value: Value
    priority: int


class Actor(msgspec.Struct, frozen=True, array_like=True):
    """Who asks: a user name, a role, and from where (`site` or `office`)."""

    name: str
    role: Role
    origin: Literal["site", "office"]


class Ack(msgspec.Struct, frozen=True):
    """An acknowledgement made at the office, repeated on its own topic until the site's transition returns.

    Attributes:
        id: idempotency key; the site carries it in the transition that it causes.
        occurrence: the occurrence acknowledged; an ack of an older occurrence does nothing.
        made: wall time at the office.
    """

    id: str
    occurrence: str
    who: str
    note: str
    made: Micros
