"""What this machine has: its addresses with their networks, and who of its programs holds a port or a device file."""

import fcntl
import os
import socket
import struct
from collections.abc import Callable
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Final

_ADDRESS, _MASK = 0x8915, 0x891B
"""SIOCGIFADDR and SIOCGIFNETMASK of Linux."""
_PROC: Final = Path("/proc")


def networks() -> list[IPv4Interface]:
    """Return the IPv4 addresses of this machine's network interfaces with their networks, without loopback ones."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        for _, name in socket.if_nameindex():
            asked = struct.pack("256s", name.encode()[:15])
            try:
                address, mask = (fcntl.ioctl(asker, code, asked)[20:24] for code in (_ADDRESS, _MASK))
            except OSError:  # it has no address
                continue
            one = IPv4Interface(f"{socket.inet_ntoa(address)}/{socket.inet_ntoa(mask)}")
            found += [] if one.is_loopback else [one]
    return found


def holder_of_file(path: str) -> str:
    """Return which program has a file open, such as a serial port: `sk run (pid 812)`; empty if nobody we may see."""
    real = os.path.realpath(path)
    return _holder(lambda target: target == real)


def holder_of_port(port: int) -> str:
    """Return which program has a UDP port; empty if nobody that we may see into has it."""
    try:
        rows = [line.split() for line in (_PROC / "net/udp").read_text().splitlines()[1:]]
    except OSError:
        return ""
    sockets = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}")}
    return _holder(lambda target: target in sockets)


def _holder(is_it: Callable[[str], bool]) -> str:
    for process in _PROC.iterdir():
        if process.name.isdecimal() and int(process.name) != os.getpid() and _has(process, is_it):
            return f"{_name(process)} (pid {process.name})"
    return ""


def _has(process: Path, is_it: Callable[[str], bool]) -> bool:
    try:
        return any(is_it(str(each.readlink())) for each in (process / "fd").iterdir())
    except OSError:  # another user's, or gone meanwhile
        return False


def _name(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "a program"
    shown = [Path(word).name if number < 2 else word for number, word in enumerate(words) if word]
    return (
        " ".join(shown[1:3] if shown and shown[0].startswith("python") and len(shown) > 1 else shown[:2]) or "a program"
    )
