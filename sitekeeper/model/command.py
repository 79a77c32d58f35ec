"""What may be asked of a site, by whom, and what came of it."""

from typing import Literal

import msgspec

from sitekeeper.model.clock import Micros

Role = Literal["viewer", "operator", "technician", "engineer", "office"]
"""Local roles by group of the Unix user; `office` is an acknowledgement that came down from the office."""

ROLE_RANK: dict[str, int] = {"viewer": 0, "office": 1, "operator": 1, "technician": 2, "engineer": 3}


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
