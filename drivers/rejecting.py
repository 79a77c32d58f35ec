"""What a driver says of messages that came unasked and that it could not use. For people, and for one counter."""

from collections.abc import Sequence
from typing import Protocol, TypedDict, runtime_checkable

from sitekeeper.model.clock import Micros


class Unusable(TypedDict):
    """Messages that were rejected alike; nothing in it names a person.

    Attributes:
        reason: a stable word, see `drivers.mqtt.rejected.CODES`. device: empty if nobody knows whose they are.
        first: their first bytes, or only the shape of them. since, last: monotonic times.
    """

    topic: str
    reason: str
    device: str
    why: str
    times: int
    first: str
    since: Micros
    last: Micros


@runtime_checkable
class Rejecting(Protocol):
    """A driver whose devices speak unasked has this beside `Listener`."""

    def unusable(self) -> Sequence[Unusable]:
        """Return what could not become a value or an event, the last one first."""

    def unusable_total(self) -> int:
        """Return how many messages that were since the start, repeats and forgotten ones included."""
