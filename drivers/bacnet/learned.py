"""What was learned of how much a BACnet device takes at once, and of which device: kept over a restart. Pure.

It holds for a device that says the same of itself as the one of which it was learned: maker, model and firmware.
Another one under the same instance, and another instance or address in the site file, begin anew.
"""

from typing import Final

import msgspec

from drivers.bacnet.message import Reference
from drivers.bacnet.names import PROPERTIES

WHO: Final = tuple(PROPERTIES[name] for name in ("vendor-identifier", "model-name", "firmware-revision"))
"""By which properties of its device object a device is known again."""

Who = tuple[bytes, ...]
"""Their values as they came; empty bytes for one that it has not."""


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    where: str
    who: tuple[bytes, ...]
    single: bool
    cuts: dict[str, list[Reference]]


class Learned:
    """Of one device.

    Args:
        where: its address and instance.

    Attributes:
        single: it does not know ReadPropertyMultiple. cuts: by scan group, where a request must end because one that
            went on had an answer too long for the device. who: of whom this is known; None: nobody has been asked.
        version: changes with each of these.
    """

    __slots__ = ("cuts", "single", "version", "where", "who")

    def __init__(self, where: str) -> None:
        self.where = where
        self.who: Who | None = None
        self.single = False
        self.cuts: dict[str, set[Reference]] = {}
        self.version = 0

    def __bool__(self) -> bool:
        return self.single or bool(self.cuts)

    def cut(self, group: str, before: Reference) -> None:
        """End a request of this scan group before this property."""
        self.cuts.setdefault(group, set()).add(before)
        self.version += 1

    def alone(self) -> None:
        """Ask for one property at a time."""
        self.single = True
        self.version += 1

    def forget(self) -> None:
        """Know nothing."""
        if self or self.who is not None:
            self.version += 1
        self.single, self.who = False, None
        self.cuts.clear()

    def pack(self) -> bytes:
        """Return what is to be kept."""
        cuts = {group: list(found) for group, found in self.cuts.items()}
        return msgspec.msgpack.encode(_Kept(self.where, self.who or (), self.single, cuts))

    def unpack(self, kept: bytes) -> None:
        """Take up what was kept, if it is of this device; what cannot be read was kept by another version."""
        try:
            found = msgspec.msgpack.decode(kept, type=_Kept)
        except msgspec.MsgspecError:
            return
        if found.where == self.where and found.who:
            self.who, self.single = found.who, found.single
            self.cuts = {group: set(cuts) for group, cuts in found.cuts.items()}
