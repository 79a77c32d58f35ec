"""What comes down from the office: receipts, requests, acknowledgements, commands. Parsed here, obeyed elsewhere.

Everything that comes back enters a site through this file and, for acknowledgements, through one `Door`. Commands are
handed on unopened: who may open them is decided by their signature (`OrderDesk`).
"""

from dataclasses import dataclass
from typing import Protocol

from cloud_sync import wire
from cloud_sync.wire import Receipt, Request
from sitekeeper.model.command import Ack
from sitekeeper.model.errors import FormatError


@dataclass(frozen=True, slots=True)
class SealedOrder:
    """A command as it came: nothing in it may be believed yet (`sitekeeper.order`)."""

    payload: bytes


Down = Receipt | Request | Ack | SealedOrder

KINDS: tuple[wire.DownKind, ...] = ("receipt", "request", "ack")
"""Topics to subscribe to, each below `down/`; `command` too, by a site that takes commands."""


class Door(Protocol):
    """The site's one guarded entrance, as far as the office uses it."""

    async def acknowledge(self, ack: Ack) -> None:
        """Acknowledge the occurrence for the office, with `ack.id` in the transition that comes of it.

        Raises:
            Refused: it may not or need not be done, for example `already-acknowledged`. The office repeats an
                acknowledgement until it sees what became of the occurrence, so nobody needs to be told.
            StorageError: it could not be recorded; the office will repeat it.
        """


class OrderDesk(Protocol):
    """Where a site takes commands of its office: `edge.commands.orders.Orders`."""

    def nonce(self) -> str:
        """Return a fresh word for the next status, which a command has to quote."""

    def take(self, payload: bytes, *, retained: bool) -> None:
        """Carry the command out, or refuse it and tell why. Returns at once."""


def parse(topic: str, payload: bytes, *, site: str) -> Down:
    """Return what a message from the office says.

    Raises:
        FormatError: not for this site, of an unknown kind, or not what it claims to be.
    """
    of, direction, kind = wire.parse_topic(topic)
    if of != site or direction != "down":
        raise FormatError(f"message on {topic[:200]!r} is not for site {site!r}")
    match kind:
        case "receipt":
            return wire.decode_receipt(payload)
        case "request":
            return wire.decode_request(payload)
        case "ack":
            return wire.decode_ack(payload)
        case "command":
            return SealedOrder(payload)
        case _:
            raise FormatError(f"unknown kind of message: {kind[:40]!r}")
