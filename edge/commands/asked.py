"""What a person asks of a point."""

from dataclasses import dataclass

from sitekeeper.model.clock import Micros
from sitekeeper.model.command import MANUAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person asks: a value for `<device>/<point>`, why, for how long, and the key by which it is done once.

    `in_view`: he says that he sees the place.
    """

    point: str
    value: str
    reason: str
    lasts: Micros
    key: str
    priority: int = MANUAL
    in_view: bool = False
