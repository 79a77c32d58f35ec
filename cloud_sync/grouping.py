"""How many bytes of samples one transaction takes in: as many as it can write while an alarm may wait. Pure.

An alarm that comes while samples are being written waits for that transaction, and so does the decision whom to tell.
How long one lasts hangs on the machine, its disk, and how many pages the samples lie on: it is measured, not guessed.
"""

from typing import Final

from sitekeeper.model.clock import MS, Micros

ALONE: Final[Micros] = 20 * MS
SHARED: Final[Micros] = 50 * MS
"""How long a transaction of samples may last: where one process does it all, and where several write beside each other
into a server that wants more to a transaction, and another may take the alarm."""
BEHIND: Final = 3
"""So many times longer where samples come faster than they can be written: in larger transactions more of them can."""
FIRST: Final = 8 * 1024
LEAST: Final = 1024
"""Bytes; a single block goes through whatever its size is."""


class Grouping:
    """Follows the duration of transactions: a longer one makes the next smaller at once, shorter ones slowly larger."""

    def __init__(self, most: int, patience: Micros) -> None:
        self._most, self._patience = most, patience
        self.size = min(most, FIRST)

    def took(self, size: int, duration: Micros, *, behind: bool) -> None:
        """Take note of a transaction of samples of `size` bytes; `behind` if another as large waits already."""
        patience = BEHIND * self._patience if behind else self._patience
        if duration > patience:
            self.size = max(min(LEAST, self._most), int(min(size, self.size) * max(0.5, patience / duration)))
        elif 2 * size > self.size and 3 * duration < 2 * patience:
            self.size = min(self._most, self.size * 5 // 4)
