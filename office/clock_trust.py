"""Is the office's wall clock synchronised? Asks the kernel, as `edge/clock_trust.py` does for the gateway.

Neither room may import the other, and `sitekeeper` asks no kernel. Under `ProtectClock=`, which the unit has, the
kernel may not be asked; then the file counts that systemd-timesyncd touches when it has set the clock.
"""

import ctypes
from pathlib import Path
from typing import Final

_TIMEX_BYTES: Final = 256
"""More than `struct timex` has on any Linux; nothing is read back."""
_TIME_ERROR: Final = 5
"""Return value of adjtimex(2): the clock is not synchronised."""
TIMESYNCD: Final = Path("/run/systemd/timesync/synchronized")
"""Exists once the clock has been synchronised since the start of the machine (systemd-timesyncd.service(8))."""

_libc = ctypes.CDLL(None)


def synchronised() -> bool:
    """Tell whether the wall clock is synchronised; not where nobody can tell."""
    state: int = _libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return TIMESYNCD.exists() if state < 0 else state != _TIME_ERROR
