"""How long a site waits for the office's receipt of samples, and how many blocks it sends meanwhile: pure.

Both follow the time that receipts take, counted from the broker's answer. An office that serves hundreds of sites with
a backlog is slow, not gone: what it has already is not to be sent again, and more of it only makes the queue longer.

The patience is that of RFC 6298: smoothed time plus four times its variation, doubled by each silence until a receipt
was measured again. By Karn's rule only blocks that were sent once are measured: of another the receipt may answer an
earlier copy. The window grows by one with each brisk receipt and is halved by a slow one, once per such time.
"""

from dataclasses import dataclass, field
from typing import Final

from cloud_sync.uplink_records import BlockId, UplinkLimits
from sitekeeper.block import Stream
from sitekeeper.model.clock import SECOND, Micros

FIRST_WINDOW: Final = 4
BRISK: Final[Micros] = 2 * SECOND
SLOW: Final[Micros] = 5 * SECOND
REMEMBERED: Final = 1_024
"""Blocks sent more than once that are remembered as such; the oldest go first."""


@dataclass(slots=True)
class Tempo:
    """Outlives connections: the office is the same.

    Attributes:
        window: how many blocks of samples may be without a receipt.
        patience: how long to wait for one; between `receipt_timeout` and `receipt_most`.
    """

    limits: UplinkLimits
    window: int = FIRST_WINDOW
    patience: Micros = 0
    _smooth: float = -1.0
    _varies: float = 0.0
    _slowed_at: Micros = 0
    _heard_at: Micros = 0
    _reached: Micros = 0
    _twice: dict[BlockId, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.window = min(self.window, self.limits.window)
        self.patience = self.limits.receipt_timeout

    def again(self, block: BlockId) -> None:
        """Take note that a block goes, or may go, more than once: how long its receipt takes says nothing."""
        if block[0] == "samples":
            self._twice[block] = None
        if len(self._twice) > REMEMBERED:
            del self._twice[next(iter(self._twice))]

    def done(self, stream: Stream, start: int, end: int) -> None:
        """These blocks will not be sent any more."""
        for block in [one for one in self._twice if one[0] == stream and start <= one[1] <= end]:
            del self._twice[block]

    def receipted(self, block: BlockId, since: Micros | None, now: Micros) -> None:
        """A block has its receipt; the broker had it `since` then, if it said so."""
        if block[0] != "samples":
            return
        self._heard_at = now
        if block in self._twice or since is None:
            if self._smooth < BRISK:
                self._grow()
            return
        self._reached = max(self._reached, since)
        took = max(0, now - since)
        self._measure(took)
        if took > SLOW:
            if since >= self._slowed_at:
                self.window = max(1, self.window // 2)
                self._slowed_at = now
        elif took < BRISK:
            self._grow()

    def due(self, since: Micros) -> Micros:
        """Return when a block that the broker has since then is overdue, as far as receipts tell until now.

        Those of a site come in its order: where nothing sent later has one, the office is not past this block yet, and
        the time begins with the latest receipt.
        """
        return (since if since < self._reached else max(since, self._heard_at)) + self.patience

    def silence(self) -> None:
        """No receipt came in time. Whoever is late once is waited for longer the next time."""
        self.window = 1
        self.patience = min(2 * self.patience, max(self.limits.receipt_most, self.limits.receipt_timeout))

    def _grow(self) -> None:
        self.window = min(self.window + 1, self.limits.window)

    def _measure(self, took: Micros) -> None:
        if self._smooth < 0:
            self._smooth, self._varies = float(took), took / 2
        else:
            self._varies += (abs(self._smooth - took) - self._varies) / 4
            self._smooth += (took - self._smooth) / 8
        wanted = int(self._smooth + 4 * self._varies)
        least = self.limits.receipt_timeout
        self.patience = min(max(wanted, least), max(self.limits.receipt_most, least))
