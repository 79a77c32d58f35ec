"""What systemd is told of the gateway: ready, stopping, how it stands, and that it lives (sd_notify(3)).

No timer feeds the watchdog. A flow of the pipeline that has come to its end does (`App._flowed`), if a sign of life is
due; and where nothing else flows, the ticker sends the pipeline one tick when it is due, which goes the whole way: time
passes for staleness and rules, and what is due is sealed. So a loop that is blocked, a flow that does not return and a
writer that died end in a restart. A full disk does not, since a restart would not mend it: it is shown in the status.
`office/service.py` is the same for the office, as the two know nothing of each other; one test holds them both.
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
