"""A sample: the state of one point from a time on. The hot path, so msgspec structs without garbage tracking."""

import msgspec

from sitekeeper.model.clock import Micros
from sitekeeper.model.quality import Q

Value = bool | int | float | str | None
"""What a point can hold. Enumerations travel as their member's word; None goes with bad quality only."""


class Sample(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One change of one point, as rules see it and as it is recorded.

    Attributes:
        handle: the point's place in the catalogue.
        at: monotonic time of receipt of the answer that carried it.
        value: the value in the point's unit; None if nothing usable was read.
        q: packed quality byte (`sitekeeper.model.quality`).
        source: wall time given by the device itself, if it gives one.
    """

    handle: int
    at: Micros
    value: Value
    q: Q
    source: Micros | None = None
