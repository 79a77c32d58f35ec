"""What systemd is told of the office: ready, stopping, how it stands, and that it lives (sd_notify(3)).

No timer feeds the watchdog. The loop that looks for silent sites does, after each turn, if a sign of life is due and
the ingest's committing has come round lately (`Ingest.last_turn`). A store that refuses is tried again and shown in the
status; a commit that does not return ends in a restart. `edge/service.py` is the same for the gateway.
"""

import contextlib
import socket
from collections.abc import Mapping
from typing import Final

from sitekeeper.model.clock import MINUTE, Micros

NEVER: Final[Micros] = 2**62


class Service:
    """The service manager's ear. Without a `NOTIFY_SOCKET` nobody listens and nothing is said or ever due.

    Attributes:
        every: how often a healthy daemon says so: twice in the time that the manager waits, as sd_watchdog_enabled(3)
            advises; half a minute if it does not watch.
        due: monotonic time of the next sign of life.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self.every: Micros = int(environment.get("WATCHDOG_USEC") or MINUTE) // 2
        self.due: Micros = 0 if self._address else NEVER

    def tell(self, *assignments: str) -> None:
        """Send assignments such as `READY=1`, in one datagram and without waiting."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        # A manager that is gone or deaf is no reason to stop: should it miss the watchdog, it restarts us itself.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outlet, contextlib.suppress(OSError):
            outlet.setblocking(False)
            outlet.sendto("\n".join(assignments).encode(), address)

    def feed(self, now: Micros, status: str, *, alive: bool) -> None:
        """Say how things stand; feed the watchdog only if `alive`."""
        self.due = now + self.every
        self.tell(*(["WATCHDOG=1"] if alive else []), "STATUS=" + " ".join(status.split()))
