"""Who is told on site, put together out of the settings and of what the outbox remembers."""

from collections.abc import Callable

from edge.commands.commander import Commander
from edge.local.machine import LocalTargets
from edge.local.shell import PREFIX, LocalShell, Posting
from edge.local.standing import standing
from edge.outbox import Outbox
from edge.pipeline import Pipeline
from edge.settings.values import Site
from sitekeeper.model.clock import Clock, Moment


def shell(
    site: Site,
    outbox: Outbox,
    pipeline: Pipeline,
    commander: Commander,
    connected: Callable[[], bool],
    post: Posting,
    clock: Clock,
) -> LocalShell:
    """Return the local targets of a gateway that starts now; of a site without any, one that has nothing to do.

    Args:
        connected: whether the office is.

    Raises:
        FormatError: what was saved cannot be read.
    """
    saved = {
        key.removeprefix(PREFIX): state
        for key, state in outbox.state().rule_state.items()
        if key.startswith(PREFIX) and site.local.fits
    }
    plan, audience = site.local, {row.id: row.audience for row in site.catalogue.rules if row.audience}
    records = pipeline.book.records() if plan.fits else ()
    newest, oldest = pipeline.sequence() - 1, outbox.unsent("alarms").oldest
    machine = LocalTargets(
        plan,
        audience=audience,
        now=Moment(wall=clock.wall(), mono=clock.monotonic(), trusted=clock.trusted()),
        standing=standing(records, outbox.epoch, oldest, newest, lambda sequence: outbox.read("alarms", sequence)),
        saved=saved,
    )
    local = LocalShell(
        machine,
        plan=plan,
        catalogue=site.catalogue,
        office=lambda: (connected(), outbox.unsent("alarms").oldest - 1),
        hands=commander,
        records=pipeline,
        post=post,
        clock=clock,
        begun=saved,
    )
    if plan.fits:
        pipeline.moved_watchers.add(local.moved)
    return local
