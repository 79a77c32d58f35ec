"""What a gateway watches of itself: does its disk take what it is given, is its clock right, is anything lost."""

from dataclasses import dataclass

from edge import announce, clock_watch, losses
from edge.alarms import AlarmBook
from edge.announce import Announcer, Tell
from edge.clock_watch import ClockWatch
from edge.losses import Losses
from edge.outbox import Outbox
from edge.own import DEVICE
from sitekeeper.model.alarm import ACTIVE, alarm_key
from sitekeeper.model.clock import Moment


@dataclass(frozen=True, slots=True)
class Watches:
    """The watches of one process, for `edge.pipeline` and for the status."""

    disk: Announcer
    clock: ClockWatch
    losses: Losses


def watches(site: str, book: AlarmBook, boot: str, start: Moment, *, tell: Tell, outbox: Outbox) -> Watches:
    """Return the watches of a gateway that starts now; what stands in its book from before goes on standing.

    Args:
        tell: see `announce.Announcer`.
    """

    def stands(rule: str) -> bool:
        record = book.record(alarm_key(site, DEVICE, rule))
        return record is not None and record.standing in ACTIVE

    return Watches(
        Announcer(tell, lambda: outbox.problem, standing=stands(announce.RULE)),
        ClockWatch(boot, start, standing=stands(clock_watch.RULE)),
        Losses(outbox.untold, outbox.epoch, start.mono, [r for r in (losses.DROPPED, losses.DAMAGED) if stands(r)]),
    )
