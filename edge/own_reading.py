"""Where the own points of a running gateway come from, and the task that reads them."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from drivers.base import Scan
from edge import calendar
from edge.bus import Usage
from edge.calendar import Read
from edge.latest import Latest
from edge.outbox import Outbox
from edge.own_points import Members, OwnPoint, OwnPoints, Reading, Share, known
from edge.poller import Poller
from edge.settings.own_devices import GATEWAY, TABLE, OwnDevice
from edge.settings.values import Site
from edge.tables import LOOK_EVERY, Tables
from sitekeeper.block import STREAMS, Stream, decode
from sitekeeper.model.clock import DAY, SECOND, Clock, Micros, Moment
from sitekeeper.model.errors import FormatError, StorageError
from sitekeeper.model.point import ONLINE, ScanGroup
from sitekeeper.model.sample import Sample, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a running gateway knows of itself; None where it does not know yet.

    Attributes:
        room: bytes free for the outbox. connected: whether there is a session with the office.
        audit: whether the audit stands. certificate_ends: wall time. tables: the site's.
    """

    room: Callable[[], int]
    connected: Callable[[], bool]
    audit: Callable[[], bool | None]
    certificate_ends: Callable[[], Micros | None]
    tables: Tables


def begun(outbox: Outbox, stream: Stream) -> Micros | None:
    """Return the wall time at which the oldest unsent block was begun; None if there is none, or it cannot be read."""
    oldest = outbox.unsent(stream)
    try:
        payload = outbox.read(stream, oldest.oldest) if oldest.blocks else None
        return None if payload is None else decode(payload).t0
    except (FormatError, StorageError):
        return None


class Queue:
    """How old is what the office lacks: the oldest block is read once."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._begun: dict[Stream, tuple[int, Micros | None]] = {}

    def age(self, now: Moment) -> float:
        """Return the age in seconds of the oldest unsent block; 0 if there is none."""
        return max((max(0, now.wall - at) / SECOND for s in STREAMS if (at := self._of(s)) is not None), default=0.0)

    def _of(self, stream: Stream) -> Micros | None:
        oldest = self._outbox.unsent(stream)
        if not oldest.blocks:
            return None
        if self._begun.get(stream, (0, None))[0] != oldest.oldest:
            self._begun[stream] = (oldest.oldest, begun(self._outbox, stream))
        return self._begun[stream][1]


def of_site(
    site: Site, latest: Latest, outbox: Outbox, pollers: Mapping[str, Poller], facts: Facts, now: Micros
) -> OwnPoints:
    """Return the own points of a site."""
    groups = {group.id: group for group in site.groups}
    found: list[tuple[ScanGroup, Sequence[OwnPoint]]] = []
    links: dict[int, str] = {}
    for own in site.own:
        if own.cls == GATEWAY:
            reads = _of_gateway(site, outbox, facts)
        else:
            online = {device: latest.find(f"{device}/{ONLINE}").handle for device in _on(site, own)}
            links |= dict.fromkeys(online.values(), own.group)
            reads = _of_link([_value(latest, handle) for handle in online.values()], pollers.get(own.link))
        found.append((groups[own.group], _in_order(site, groups[own.group], reads)))
    return OwnPoints(found, now=now, links=links)


def _on(site: Site, own: OwnDevice) -> list[str]:
    return [device.id for device in site.devices.values() if device.link == own.link]


def _value(latest: Latest, handle: int) -> Callable[[], Value]:
    def value() -> Value:
        sample = latest.get(handle)
        return None if sample is None else sample.value

    return value


def _in_order(site: Site, group: ScanGroup, reads: Mapping[str, OwnPoint]) -> list[OwnPoint]:
    return [reads[site.points[handle].name] for handle in group.handles]


def _of_gateway(site: Site, outbox: Outbox, facts: Facts) -> dict[str, OwnPoint]:
    queue = Queue(outbox)
    disabled = len({plan.rule.id for plan in site.rules.plans if plan.mode == "off"})

    def days(now: Moment) -> int | None:
        ends = facts.certificate_ends()
        return None if ends is None else (ends - now.wall) // DAY

    reads: dict[str, Read] = {
        "clock.trusted": lambda now: known(now.trusted),
        "disk.free": lambda _: known(float(facts.room())),
        "writer.behind": lambda _: known(any(outbox.behind(stream) for stream in STREAMS)),
        "audit.stands": lambda _: known(facts.audit()),
        "rules.disabled": lambda _: known(disabled),
        "queue.age": lambda now: known(queue.age(now)),
        "office.connected": lambda _: known(facts.connected()),
        "certificate.days": lambda now: known(days(now)),
        "tables.bad": lambda now: known(facts.tables.bad(now.wall)),
    }
    for name in site.tables:
        reads[f"{TABLE}{name}.age"] = lambda now, name=name: known(facts.tables.age(name, now.wall))
        reads[f"{TABLE}{name}.rows"] = lambda _, name=name: known(facts.tables.rows(name))
    of_calendar = {name: OwnPoint(read, following) for name, (read, following) in calendar.reads(site).items()}
    return {name: OwnPoint(read) for name, read in reads.items()} | of_calendar


def _of_link(online: Sequence[Callable[[], Value]], poller: Poller | None) -> dict[str, OwnPoint]:
    members = Members(online)
    share = Share(lambda: (0, 0) if poller is None else (poller.counts.scans, poller.counts.failed))

    def of_bus(figure: int) -> Read:
        def read(_: Moment) -> Reading:
            usage = None if poller is None else poller.usage()
            return known(None if usage is None else round(usage[figure], 2))

        return read

    bus = {f"bus.{name}": OwnPoint(of_bus(at)) for at, name in enumerate(Usage._fields)}
    return bus | {
        "devices": OwnPoint(members.count),
        "offline": OwnPoint(members.offline),
        "lost": OwnPoint(members.lost),
        "errors.share": OwnPoint(share.read),
        "messages.rejected": OwnPoint(lambda _: known(None if poller is None else poller.rejected())),
        "ids.doubled": OwnPoint(lambda _: known(None if poller is None else poller.doubled())),
    }


class OwnReader:
    """Reads the own points when they are due, until cancelled."""

    def __init__(self, own: OwnPoints, scanned: Callable[[Scan], None], clock: Clock) -> None:
        self._own, self._scanned, self._clock = own, scanned, clock
        self._wake = asyncio.Event()

    def seen(self, samples: Sequence[Sample]) -> None:
        """Take note of what flowed: `Pipeline.watchers`."""
        if self._own.seen(samples):
            self._wake.set()

    async def run(self) -> None:
        """Read what is due, wait, for ever."""
        while True:
            self._wake.clear()
            now = Moment(wall=self._clock.wall(), mono=self._clock.monotonic(), trusted=self._clock.trusted())
            for scan in self._own.scans(now):
                self._scanned(scan)
            due = self._own.next_deadline()
            wait = None if due is None else max(0, due - self._clock.monotonic()) / SECOND
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()


async def keep_tables(tables: Tables, *, inline: bool) -> None:
    """Look at the tables again and again, on a thread of its own unless `inline`, until cancelled."""
    while True:
        await asyncio.sleep(LOOK_EVERY / SECOND)
        if inline:
            tables.look()
        else:
            await asyncio.to_thread(tables.look)
