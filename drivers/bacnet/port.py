"""Whether a UDP port can be had, and why not, in words: the library would try for ever, or share it with a stranger."""

import errno
import os
import socket
from ipaddress import IPv4Interface
from typing import Final

from drivers.bacnet.options import IpLink

READY: Final = 2.0
"""Seconds within which the port must be open; the library itself would try for ever."""
NO_BROADCAST: Final = 31
"""Networks of so many bits and more have no broadcast address."""


def probe(options: IpLink) -> None:
    """Find out whether the port can be had.

    Raises:
        OSError: it is taken, or its address is not this machine's.
    """
    interface = IPv4Interface(options.address)
    wanted = [str(interface.ip)]
    if options.port and interface.network.prefixlen < NO_BROADCAST:
        wanted.append(str(interface.network.broadcast_address))
    for address in wanted:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.bind((address, options.port))


def reason(error: Exception) -> str:
    """Return why a port did not open, or was lost."""
    if isinstance(error, TimeoutError):
        return f"the port did not open within {READY:g} s"
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return "the port is in use by another program"
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number).lower() if number else str(error)
