"""What the objects of a device last said, in octets, for people: see `drivers.captured`."""

from collections.abc import Iterable
from typing import Final

from drivers.bacnet.codec import decoder
from drivers.bacnet.groups import Group
from drivers.bacnet.message import Reference
from drivers.bacnet.names import DEVICE, PROPERTIES
from drivers.bacnet.options import BacnetPoint
from drivers.bacnet.station import Station
from drivers.captured import Octets
from sitekeeper.model.errors import DeviceSilent, ReplyMismatch

IDENTITY: Final = {"vendor": "vendor-name", "model": "model-name", "version": "firmware-revision"}
"""What is asked of the Device object: of its kind, nothing that somebody wrote for this one (names, places)."""


def captured(groups: Iterable[Group]) -> Octets:
    """Return what the last answers held, and what was told since."""
    return Octets({
        reference: part
        for group in groups
        for block in group.blocks
        for reference, part in zip(block.request.references, block.parts, strict=True)
        if isinstance(part, bytes)
    })  # fmt: skip


async def identity(station: Station) -> dict[str, str]:
    """Return what a device says of its kind; a question that stays without an answer is the last.

    Raises:
        LinkDown: the port is lost.
    """
    found: dict[str, str] = {}
    for name, written in IDENTITY.items() if station.met else ():
        reference = Reference(DEVICE, station.key[1], PROPERTIES[written])
        try:
            said = await station.property(reference)
        except (DeviceSilent, ReplyMismatch):
            break
        value = None if said is None else decoder(BacnetPoint(object=DEVICE, property=written), "text")(said)[0]
        if isinstance(value, str) and value:
            found[name] = value
    return found
