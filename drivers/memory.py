"""What the gateway keeps for drivers over a restart: the narrow door to its state."""

from typing import Protocol


class Memory(Protocol):
    """Keeps over restarts what a driver has learned of its devices, and can learn anew if it should be lost."""

    def recall(self, device: str) -> bytes | None:
        """Return what was kept last; None: nothing."""

    def keep(self, device: str, what: bytes) -> None:
        """Keep this instead of what was kept before; durable soon, not at once."""
