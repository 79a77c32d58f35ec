"""What goes into and comes out of `ingest_machine`: plain values."""

from dataclasses import dataclass

from cloud_sync.session import Delivery
from cloud_sync.store.base import NEAR, Entry, PutBlock, PutQuarantine, PutStatus, Transaction
from cloud_sync.wire import Held, Receipt, Request
from sitekeeper.model.clock import SECOND, Micros

Key = tuple[str, str]
"""(site, epoch)."""

ANSWERED = 0
"""The connection of a delivery that was acknowledged when it was parked: none has this number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestLimits:
    """Bounds of one transaction and of what is parked.

    Attributes:
        blocks, size: most blocks and most encoded bytes of one transaction; of samples fewer, where they take long.
        parked: most blocks parked, over all sites.
        ask_every: between two requests for the same thing.
        near: missing alarms, of those that the site has a receipt for, that new ones wait for at most.
        give_up: these, if the site does not send them, are waited for this long after the last one came; those of an
            earlier file as well.
    """

    blocks: int = 64
    size: int = 32 * 1024
    parked: int = 256
    ask_every: Micros = 5 * SECOND
    near: int = NEAR
    give_up: Micros = 30 * SECOND


@dataclass(frozen=True, slots=True)
class Arrival:
    """A delivery and the connection that it came on, so that it is acknowledged there and nowhere else."""

    lane: str
    connection: int
    delivery: Delivery


@dataclass(frozen=True, slots=True)
class Ask:
    """Publish this request on the site's `down/request`."""

    site: str
    request: Request


@dataclass(frozen=True, slots=True)
class Look:
    """Look whether the store has this catalogue by now, for blocks of `site`; the answer goes to `looked`."""

    site: str
    catalogue: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Publish this receipt on the site's `down/receipt`."""

    site: str
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Acknowledge this delivery to the broker."""

    arrival: Arrival


@dataclass(frozen=True, slots=True)
class Heard:
    """A site gave a sign of life; `online` is its own word, None if it was not a status."""

    site: str
    online: bool | None


@dataclass(slots=True)
class Ready:
    """An entry that can be committed, the delivery that brought it, and its bytes."""

    entry: Entry
    arrival: Arrival | None
    size: int


@dataclass(slots=True)
class Parked:
    """A block that waits for something else to come first."""

    put: PutBlock
    arrival: Arrival


Output = Ask | Answer | Acknowledge | Heard | Look


@dataclass(frozen=True, slots=True)
class Batch:
    """One transaction under way, with what it takes to answer for it.

    Attributes:
        bulk: bytes, if it is one of samples; else 0.
    """

    transaction: Transaction
    arrivals: tuple[Arrival | None, ...]
    bulk: int = 0


def words_after(entry: Entry, applied: str) -> list[Ask]:
    """Return what a site is to be told, beside receipts, once an entry is committed."""
    match entry:
        case PutQuarantine(reason=reason) if reason != "too-new" and applied != "overflow":
            return [Ask(entry.site, Request(quarantined=entry.digest))]
        case PutStatus(status=status, live=True) if status.online and status.links is not None:
            first, hashes = status.links.first, status.links.hashes
            return [Ask(status.site, Request(audit=Held(status.epoch, first + len(hashes) - 1, hashes[-1])))]
        case _:
            return []
