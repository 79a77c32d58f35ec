"""Operations about links whose devices speak unasked: what of it could not be used."""

from collections.abc import AsyncIterator
from functools import partial

from drivers.rejecting import Rejecting
from edge.operations.gateway import Gateway, Item, not_found
from edge.socket_api import Operation
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import Refused


def operations(gateway: Gateway) -> dict[str, Operation]:
    """Return `mqtt.rejected`."""
    return {"mqtt.rejected": partial(_rejected, gateway)}


async def _rejected(gateway: Gateway, actor: Actor, args: Item) -> AsyncIterator[Item]:
    """Yield what was rejected on one link, or on all: the last first, alike ones once with their number."""
    if actor.role not in {"technician", "engineer"}:
        raise Refused("not-permitted", f"{actor.role} may not see messages of devices")
    wanted = args.get("link") or None
    if wanted is not None and wanted not in gateway.site.links:
        raise not_found("link", str(wanted), gateway.site.links)
    for link, driver in gateway.drivers.items():
        if not isinstance(driver, Rejecting):
            if link == wanted:
                raise Refused("usage", f"{link}: only on links of the kind mqtt do devices speak unasked")
            continue
        for row in driver.unusable() if wanted in (None, link) else ():
            item = {name: value for name, value in row.items() if name not in {"since", "last"}}
            yield {"link": link, **item, "since": gateway.when(row["since"]), "last": gateway.when(row["last"])}
