"""What a device last said, as it came over the wire, for whoever takes it away with him: `sk device dump`."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

Words = Mapping[str, Mapping[int, int]]
"""By table and address: a register's 16 bits, or one bit."""


@runtime_checkable
class Captured(Protocol):
    """A driver that keeps the last answers of its devices has this too."""

    def captured(self, device: str) -> Words:
        """Return what the device last said; what it did not say rightly the last time is not in it."""
