"""How the way to an endpoint is opened: a TCP connection, with TLS or without, or a serial line that nobody else has.

Beside `link` the only file that knows pymodbus, of which it takes the asyncio transport of a serial line.
"""

import asyncio
import errno
import fcntl
import os
import ssl
import termios
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from drivers.modbus.options import AnyLink, RtuLink, TcpLink
from drivers.tls import Tls

BY_ID: Final = Path("/dev/serial/by-id")
"""Where udev names serial adapters by maker and serial number."""

_UNDER_WAY: Final[set[str]] = set()
"""Ports that are being opened just now."""

Protocols = Callable[[], asyncio.BaseProtocol]
Opened = tuple[asyncio.BaseTransport, asyncio.BaseProtocol]


def opener(options: AnyLink, protocols: Protocols) -> Callable[[], Awaitable[Opened]]:
    """Return what opens the way each time it is called; it raises OSError, with the reason as `why` tells it."""
    if isinstance(options, RtuLink):
        return lambda: _serial(options, protocols)
    return lambda: _tcp(options.host, _port(options), options.tls if isinstance(options, TcpLink) else None, protocols)


def why(error: OSError) -> str:
    """Return the reason in words; asyncio's own sentences repeat the address."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(error.reason or str(error)).lower().replace('_', ' ')}"
    number = error.errno or 0  # of name look-ups it is negative, of several addresses there is none
    return os.strerror(number).lower() if number > 0 else error.strerror or str(error)


def _port(options: Any) -> int:
    return options.port_number if isinstance(options, TcpLink) else options.port


async def _tcp(host: str, port: int, tls: Tls | None, protocols: Protocols) -> Opened:
    loop = asyncio.get_running_loop()
    context = None if tls is None else await asyncio.to_thread(_context, tls)
    try:
        return await loop.create_connection(protocols, host, port, ssl=context)
    except UnicodeError as error:  # a host that cannot be a name
        raise OSError(str(error)) from error


def _context(tls: Tls) -> ssl.SSLContext:
    for file in filter(None, (tls.ca, tls.certificate, tls.key)):
        if not os.access(file, os.R_OK):
            raise OSError(f"{file} cannot be read")
    context = ssl.create_default_context(cafile=tls.ca)
    # Python 3.13 adds it: authorities that sites make themselves often lack what it asks for
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if tls.certificate:
        context.load_cert_chain(tls.certificate, tls.key)
    return context


async def _serial(options: RtuLink, protocols: Protocols) -> Any:
    """Open the line in a thread, for an adapter that hangs holds up whoever opens it; one thread for each, at most."""
    port = options.port
    if port in _UNDER_WAY:
        raise OSError(f"the adapter at {port} hangs: an earlier attempt to open it has not come back yet")
    loop, protocol = asyncio.get_running_loop(), protocols()
    _UNDER_WAY.add(port)
    opening = loop.run_in_executor(None, _line, options, protocol, loop)
    opening.add_done_callback(lambda _: _UNDER_WAY.discard(port))
    try:
        line = await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close)
        raise
    except OSError as error:
        raise OSError(_why_not(port, error)) from error
    except termios.error as error:
        raise OSError(f"{port} takes no {options.baudrate} {options.framing}: {error.args[-1]}") from error
    line.setup()
    return line, protocol


def _line(options: RtuLink, protocol: asyncio.BaseProtocol, loop: asyncio.AbstractEventLoop) -> Any:
    from pymodbus.transport.serialtransport import SerialTransport

    bits, parity, stop = tuple(options.framing)
    line = SerialTransport(loop, protocol, options.port, options.baudrate, int(bits), parity, int(stop), 0)
    try:
        # The library's lock holds off only who asks for it, this one every open of whoever is not root.
        fcntl.ioctl(line.sync_serial.fileno(), termios.TIOCEXCL)
    except OSError:
        line.sync_serial.close()
        raise
    return line


def _close(opened: "asyncio.Future[Any]") -> None:
    """Close what was opened after nobody waited for it any more."""
    if not opened.cancelled() and opened.exception() is None:
        opened.result().close()


def _why_not(port: str, error: OSError) -> str:
    match error.errno:
        case errno.ENOENT:
            there = ", ".join(str(each) for each in sorted(BY_ID.glob("*"))) or "none"
            return f"there is no {port}; serial adapters plugged in: {there}"
        case errno.EAGAIN | errno.EBUSY:
            return f"another program has {port} open"
        case errno.EACCES:
            return f"{port} may not be opened by this user; the group dialout may"
    return f"{port} cannot be opened: {error.strerror or error}"
