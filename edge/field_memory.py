"""What drivers have learned of devices, kept in the outbox's state: a `drivers.base.Memory`."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from sitekeeper.model.errors import StorageError

PREFIX: Final = "~learned/"
"""Before the device's id, in the keys of the state."""

LARGEST: Final = 65_536
"""Most bytes kept of one device; beyond, nothing is, and it is learned anew after a restart."""


class FieldMemory:
    """Keeps a few bytes for each device of the site.

    Args:
        saved: the state as it was found at the start. devices: those of the site; what was kept of others is removed.
        note: makes state durable; None removes it. It raises StorageError while it cannot.
    """

    def __init__(
        self,
        saved: Mapping[str, bytes],
        devices: Iterable[str],
        note: Callable[[Mapping[str, bytes | None]], object],
    ) -> None:
        self._kept = {key: what for key, what in saved.items() if key.startswith(PREFIX)}
        self._note = note
        known = {PREFIX + device for device in devices}
        self._waiting: dict[str, bytes | None] = {key: None for key in self._kept if key not in known}

    def recall(self, device: str) -> bytes | None:
        return self._kept.get(PREFIX + device)

    def keep(self, device: str, what: bytes) -> None:
        """As `Memory.keep`. What cannot be stored now goes with the next that can."""
        key = PREFIX + device
        if len(what) > LARGEST or self._kept.get(key) == what:
            return
        self._kept[key] = self._waiting[key] = what
        try:
            self._note(self._waiting)
        except StorageError:
            return
        self._waiting = {}
