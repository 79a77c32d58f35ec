"""The two ways in which Modbus stands on a line, behind one face. Pure.

Towards the link everything is Modbus TCP; `Framing` says what really goes out, and finds in what comes in the one
answer that belongs to the request.
"""

from typing import Final, Protocol

from drivers.modbus import rtu
from drivers.modbus.options import AnyLink, TcpLink
from drivers.modbus.reply import HEAD, Expected, Wrong, examine

NOTHING: Final = b""


class Framing(Protocol):
    """One request after the other on one line.

    Attributes:
        numbered: answers tell which request they belong to. Where they do not, a late one may look like the right one.
    """

    @property
    def numbered(self) -> bool: ...

    def sent(self, tcp: bytes) -> bytes:
        """Take the next request as a frame of Modbus TCP and return what goes on the line."""

    def examine(self, buffer: bytes, expected: Expected) -> bytes | Wrong | None:
        """Return the answer as a frame of Modbus TCP, what is wrong, or None if it has not come (completely) yet."""

    def noise(self, buffer: bytes) -> bool:
        """Tell whether this, which came when nobody had asked, is no part of any answer."""


class Mbap:
    """Modbus TCP: `reply`."""

    numbered = True

    def __init__(self) -> None:
        self.transaction = NOTHING

    def sent(self, tcp: bytes) -> bytes:
        self.transaction = tcp[:2]
        return tcp

    def examine(self, buffer: bytes, expected: Expected) -> bytes | Wrong | None:
        return examine(buffer, self.transaction, expected)

    def noise(self, buffer: bytes) -> bool:  # noqa: ARG002 - there is none on TCP
        return False


class Rtu:
    """A serial line: `rtu`. `echo`: what we send comes back first.

    A line that has been seen to repeat what we send, though `echo` is not set, confirms no write: its repetition looks
    like a confirmation.
    """

    numbered = False

    def __init__(self, *, echo: bool) -> None:
        self._echo, self._head, self._sent = echo, NOTHING, NOTHING
        self._repeats = False

    def sent(self, tcp: bytes) -> bytes:
        self._head, self._sent = tcp[:4], rtu.frame(tcp[HEAD:])
        return self._sent

    def examine(self, buffer: bytes, expected: Expected) -> bytes | Wrong | None:
        rest = rtu.without_echo(buffer, self._sent) if self._echo else buffer
        if not isinstance(rest, bytes):
            return rest
        found = rtu.examine(rest, self._sent, expected)
        if expected.echo and self._repeats and isinstance(found, bytes) and rest == self._sent:
            return None
        if not expected.echo and found is not None:
            self._repeats = found == rtu.REPEATED
        return self._head + len(found).to_bytes(2) + found if isinstance(found, bytes) else found

    def noise(self, buffer: bytes) -> bool:
        return rtu.noise(buffer)


def framing(options: AnyLink) -> Framing:
    """Return how requests stand on this link."""
    return Mbap() if isinstance(options, TcpLink) else Rtu(echo=options.echo)
