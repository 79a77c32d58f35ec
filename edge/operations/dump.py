"""Behind `sk device dump`: what a device said last, and what that means."""

from collections.abc import AsyncIterator
from functools import partial

from drivers.captured import Captured, Identified
from edge.operations.gateway import Gateway, Item, not_found, rfc3339, text
from edge.socket_api import Operation
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import Refused


def operations(gateway: Gateway) -> dict[str, Operation]:
    """Return `device.dump`."""
    return {"device.dump": partial(_dump, gateway)}


async def _dump(gateway: Gateway, actor: Actor, args: Item) -> AsyncIterator[Item]:
    """Yield the content of the file; no point is read for it."""
    from edge.dump import document  # which brings in a protocol, whether or not the site has devices of it

    if actor.role not in {"technician", "engineer"}:
        raise Refused("not-permitted", f"{actor.role} may not take away what a device says")
    wanted, show = text(args, "id"), args.get("show", [])
    if not isinstance(show, list) or not all(isinstance(name, str) for name in show):
        reason = "usage"
        raise Refused(reason, "'show' is a list of names of points")
    device = gateway.site.devices.get(wanted)
    if device is None:
        raise not_found("device", wanted, gateway.site.devices)
    driver = gateway.drivers.get(device.link)
    if driver is None or not isinstance(driver, Captured):
        raise Refused("no-dump", f"{wanted} is on {gateway.site.links[device.link].kind}")
    said = await driver.captured(wanted)
    if not said:
        raise Refused("nothing-heard", wanted)
    identity = await driver.identity(wanted) if isinstance(driver, Identified) else {}
    day = rfc3339(gateway.clock.wall())[:10]
    masked = args.get("masked") is not False
    yield document(gateway.site, device, said, identity, day=day, masked=masked, show=show)
