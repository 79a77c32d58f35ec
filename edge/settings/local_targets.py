"""From `local:` to targets that can be told: every point is there and may be written by the gateway itself."""

from drivers import registry
from edge.commands import guard
from edge.local.plan import Fits, LocalPlan, Output, Post
from edge.settings.section_local import LocalSection, LocalWriteSection
from edge.settings.values import Site
from edge.settings.written import Origin
from sitekeeper.faults import Faults, nearest
from sitekeeper.model.command import SECURITY, Write


def local_plan(section: LocalSection, site: Site, where: Origin, faults: Faults) -> LocalPlan:
    """Return who is told on site; what cannot be is a fault.

    Args:
        where: the `local:` of the site file.
    """
    fits, outputs, posts = {}, {}, {}
    for index, target in enumerate(section.targets):
        here = where.within("targets", index)
        if target.id in fits:
            faults.add(here.place(("id",)), "twice-told", hint="take-away", name=target.id)
            continue
        fits[target.id] = Fits(priorities=frozenset(target.priorities), audience=target.audience or "")
        if target.webhook is not None:
            posts[target.id] = Post(target.webhook.url, target.webhook.secret or "")
        elif target.write is not None:
            writes = _writes(target.write, site, here.within("write"), faults)
            if writes:
                outputs[target.id] = Output(writes[0], target.on, *writes[1:])
    return LocalPlan(after=section.after, repeat=section.repeat, fits=fits, outputs=outputs, posts=posts)


def _writes(section: LocalWriteSection, site: Site, where: Origin, faults: Faults) -> tuple[Write, ...]:
    """Return the write and, if there is one, that which ends it; nothing if the gateway may not write that there."""
    device, _, name = section.point.partition("/")
    found = site.devices.get(device)
    if found is None or name not in found.writables:
        known = {f"{each.id}/{point}" for each in site.devices.values() for point in each.writables}
        faults.add(where.place(("point",)), "not-written", near=nearest(section.point, known), name=section.point)
        return ()
    allowed, point = found.writables[name], next(each for each in site.points if each.id == section.point)
    values = [value for value in (section.value, section.then) if value is not None]
    for value in values:
        if "linkage" not in allowed.by or allowed.pulse or not guard.takes(point, allowed, value):
            faults.add(where.place(), "not-told-so", name=section.point, text=str(value))
            return ()
    stays = allowed.rest is None and registry.kind(site.links[found.link].kind).family != guard.WITH_PRIORITIES
    if stays and section.then is None:
        faults.add(where.place(), "stays-told", hint="give-then", name=section.point)
    return tuple(Write(device, name, value, SECURITY) for value in values)
