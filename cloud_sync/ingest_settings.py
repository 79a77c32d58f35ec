"""What the ingest is told from outside: its lanes, its times, and who listens to it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from cloud_sync.ingest_records import IngestLimits
from cloud_sync.store.base import StoredTransition
from sitekeeper.model.clock import MS, SECOND, Micros

Lane = Literal["urgent", "bulk"]
TOPICS: dict[Lane, tuple[str, ...]] = {
    "urgent": ("status", "catalogue", "alarms", "alarms-volatile", "events"),
    "bulk": ("samples",),
}


class Listener(Protocol):
    """Who wants to know what came in. Called on the event loop; must return at once."""

    def applied(self, transitions: Sequence[StoredTransition]) -> None:
        """These transitions are committed, and new."""

    def heard(self, site: str, *, online: bool) -> None:
        """A site gave a sign of life, or (`online` false) its last will says that it is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSettings:
    """Times in microseconds.

    Attributes:
        linger, quiet: samples wait for company before they are committed: at most `linger`, and no longer than `quiet`
            after the last one came.
        ack_every: between two repeats of an office acknowledgement that the site has not answered.
        retry, retry_most: after a failed commit; the pauses double, each shortened by up to a half by chance.
        receive: take messages in. Else others do, and this one only sends: acknowledgements and commands.
        group: name of the shared subscription of all that write to one store; the broker deals messages out to them.
        alone_without: where the broker speaks no MQTT 5, and so knows no shared subscription, do it alone; else refuse.
        acks: repeat the office's acknowledgements; one of all that write to a store does.
    """

    receive: bool = True
    group: str = ""
    alone_without: bool = True
    acks: bool = True

    linger: Micros = 200 * MS
    quiet: Micros = 20 * MS
    ack_every: Micros = 5 * SECOND
    retry: Micros = 1 * SECOND
    retry_most: Micros = 5 * SECOND
    backoff_first: Micros = 250 * MS
    backoff_most: Micros = 2 * SECOND  # the sites are back within 5 s, and find nobody if we are not
    limits: IngestLimits = field(default_factory=IngestLimits)
