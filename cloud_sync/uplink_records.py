"""What goes into and comes out of `uplink_machine`, its bounds, and what it makes of a broker's reason codes."""

from dataclasses import dataclass
from typing import Final, Literal

from sitekeeper.block import Stream
from sitekeeper.model.clock import MINUTE, SECOND, Micros

SAMPLE_BYTES: Final = 5
"""What a sample costs in a full block, roughly; only the backfill rate uses it."""

BlockId = tuple[Stream, int]

NOBODY: Final = 16
"""The broker took a message that nobody gets (MQTT 5, section 3.4.2.1): the office is away and has no queue there."""

TAKEN_OVER: Final = 142
"""The broker has another one with our name (MQTT 5, section 3.14.2.1)."""

TOO_LARGE: Final = 149
"""The broker takes no message as large as this one."""

REFUSED: Final = 128
"""Reason codes from here on are refusals."""

Reaction = Literal["stream", "briefly", "block"]
REACTIONS: Final[dict[int, Reaction]] = {
    128: "briefly",  # unspecified error
    131: "briefly",  # implementation specific error
    135: "stream",  # not authorised: until somebody mends the access list
    144: "stream",  # topic name invalid
    145: "briefly",  # packet identifier in use: from a session that the broker still has
    TOO_LARGE: "block",  # packet too large: the next one may be smaller
    151: "briefly",  # quota exceeded: until the broker has room again
    153: "block",  # payload format invalid
}
"""What a refused publish holds back (MQTT 5, section 3.4.2.1): its whole stream for long or briefly, or this block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkLimits:
    """Times and bounds of the uplink; times in microseconds.

    Attributes:
        window, events_window: most blocks of samples and of events without a receipt.
        alarms_window: most alarms blocks without a receipt; the office applies them in their order whatever happens.
        receipt_timeout, receipt_most: the least and the most time that the office is given for a receipt of samples;
            `tempo` finds out how much it needs. Events are sent again after the least.
        alarm_timeout: an alarm that met no listener after a cut must not wait as long as samples may.
        alarm_again: between two attempts for an alarm while the office may just be coming back: in the first
            `settling` of a connection, and as long as the broker says that nobody listens.
        suspect_after: deaths of the connection in a row in which a block was alone under way.
        hold: how long a suspect or a refused stream is left aside; alarms never for longer than `alarm_hold`.
        brief_hold: the same, where the broker only needs a moment.
        least_bytes, most_bytes: between them is how many bytes may wait for the broker's answer; see `pace`.
    """

    window: int = 32
    alarms_window: int = 8
    events_window: int = 8
    receipt_timeout: Micros = 10 * SECOND
    receipt_most: Micros = 5 * MINUTE
    alarm_timeout: Micros = 2 * SECOND
    alarm_again: Micros = 1_500_000
    settling: Micros = 30 * SECOND
    resend_most: Micros = MINUTE
    probe_first: Micros = 1 * SECOND
    probe_most: Micros = 15 * SECOND
    probe_nobody: Micros = 2 * SECOND  # at most, while the broker itself says that nobody listens
    probes_per_connection: int = 4
    backfill_rate: int = 20_000
    suspect_after: int = 3
    hold: Micros = MINUTE
    alarm_hold: Micros = 5 * SECOND
    brief_hold: Micros = 5 * SECOND
    least_bytes: int = 2 * 1024
    most_bytes: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Send:
    """Read this block and publish it; tell `spent` its size, then `published` the broker's answer."""

    stream: Stream
    sequence: int


@dataclass(frozen=True, slots=True)
class Release:
    """The office has committed these closed ranges: the outbox may make history of them."""

    epoch: str
    ranges: list[tuple[Stream, int, int]]


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Close this connection and make a new one."""

    reason: str


Output = Send | Release | Reconnect


@dataclass(slots=True)
class InFlight:
    """A block that was sent and has no receipt. `since`: the broker has it since then; None if it has not answered."""

    due: Micros
    attempt: int
    since: Micros | None = None

    @property
    def answered(self) -> bool:
        """Tell whether the broker has it."""
        return self.since is not None
