"""What a driver says of devices that it tells apart by a number of their own."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Identifying(Protocol):
    """A driver whose devices have numbers of their own, which must be unique on a network, has this too."""

    def doubled(self) -> int:
        """Return how many of this link's numbers, the gateway's own among them, somebody else claims too."""
