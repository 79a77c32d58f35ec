"""A record made of changes: the flow of a gateway on a clock moved by hand, into a real outbox, without a driver."""

from collections.abc import Iterable, Mapping

from edge.flowside import flow
from edge.outbox import Outbox
from edge.settings.values import Site
from sitekeeper import catalogue
from sitekeeper.model.clock import ManualClock, Micros, Moment
from sitekeeper.model.quality import GOOD
from sitekeeper.model.sample import Sample, Value

Change = tuple[Micros, Mapping[str, Value]]
"""Time since the start, and points with what they became."""


def record(site: Site, changes: Iterable[Change], length: Micros) -> None:
    """Write the outbox of a site: what was measured, and what its rules made of it."""
    clock, elapsed = ManualClock(), 0
    payload = catalogue.encode(site.catalogue)
    outbox = Outbox.open(site.outbox.path, site=site.id, clock=clock, inline=True, own=payload)
    outbox.put_catalogue(payload)
    pipeline = flow(
        site, outbox, clock, catalogue.catalogue_hash(payload), boot="b1", tell=lambda _: True, wake=lambda: None
    ).pipeline
    handles = {point.id: point.handle for point in site.points}
    for at, values in (*changes, (length, {})):
        clock.advance(at - elapsed)
        elapsed = at
        now = Moment(wall=clock.wall(), mono=clock.monotonic(), trusted=True)
        samples = [Sample(handles[point], now.mono, value, GOOD) for point, value in values.items()]
        pipeline._flow(samples, now)
    pipeline.stop()
    outbox.close()
