"""Devices to which nothing may be written, and who forbids it: dangers that a switched contact would feed. Pure."""

from collections.abc import Sequence


class Bans:
    """What stands forbidden, by device."""

    def __init__(self) -> None:
        self._by: dict[str, set[str]] = {}

    def __contains__(self, device: object) -> bool:
        return device in self._by

    def __bool__(self) -> bool:
        return bool(self._by)

    def first(self, device: str) -> str:
        """Return who forbids it; of many, the first by name."""
        return min(self._by[device])

    def change(self, by: str, devices: Sequence[str]) -> tuple[list[str], list[str]]:
        """Let a claimant forbid these devices and no others; return (those that are free now, those named)."""
        freed = []
        for device in [each for each, who in self._by.items() if by in who and each not in devices]:
            self._by[device].discard(by)
            if not self._by[device]:
                del self._by[device]
                freed.append(device)
        for device in devices:
            self._by.setdefault(device, set()).add(by)
        return freed, list(devices)
