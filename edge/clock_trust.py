"""Is the wall clock synchronised? Asks the kernel, as `timedatectl` does."""

import ctypes
import time
from typing import Final

_TIMEX_BYTES: Final = 256
"""More than `struct timex` has on any Linux; only its first field is written here, and nothing is read back."""
_TIME_ERROR: Final = 5
"""Return value of adjtimex(2): the clock is not synchronised (STA_UNSYNC, or an estimated error that is too large)."""
_ASK_EVERY_S: Final = 1.0

_libc = ctypes.CDLL(None)
_asked = [0.0, 0.0]


def synchronised() -> bool:
    """Tell whether the kernel holds the wall clock for synchronised; asked at most once a second.

    Where it may not be asked (a sandbox that forbids all clock calls, as systemd's ProtectClock=), nobody vouches for
    the clock, so it is not.
    """
    now = time.monotonic()
    if not _asked[0] or now - _asked[0] >= _ASK_EVERY_S:
        state = _libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
        _asked[:] = [now, float(0 <= state != _TIME_ERROR)]
    return bool(_asked[1])
