"""How a broker is reached: settings, TLS, and how long its answer to a publish is waited for. Knows no MQTT library."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from sitekeeper.model.errors import Refused

LARGE = 16 * 1024
SLOWEST_LINE = 4 * 1024
"""A message above LARGE bytes (a catalogue) may take longer: what a line of so many bytes a second needs for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """How to reach a broker.

    Attributes:
        protocol: `auto` tries 5 and falls back to 3.1.1 where the broker refuses it; a broker that stays silent
            instead (iotcore) must be told apart by the settings.
        timeout: seconds for the broker's answer to a connection or subscription, and at first to a publish.
        reach: seconds for the TCP connection. It is asked for at 0, 1 and 3 s, so what comes back is found soon.
        patience: seconds for the answer to a publish on a line that has shown itself slow; see `Line`.
        keepalive: seconds; after so long without traffic a ping is sent, and a broker that does not answer it for as
            long again is gone. The broker gives us up after one and a half times that.
        tls: speak TLS; with `ca_file` the broker's certificate must come from there, else from an authority that this
            machine trusts. cert_file, key_file: our own, where the broker asks for one.
        context: makes what TLS needs for each connection, instead of those; raises Refused if it cannot.
        session_expiry: seconds for which a persistent session outlives its connection (MQTT 5).
        receive_maximum: messages that the broker may have under way to us unacknowledged (MQTT 5).
        largest: bytes of a packet that the broker may send us (MQTT 5); it throws longer ones away.
        waiting: bytes of messages that may wait here to be taken; what comes beyond is dropped and counted. None: as
            many messages as there may be, whatever their size.
    """

    host: str
    port: int = 1883
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    username: str | None = None
    password: str | None = None
    tls: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    context: Callable[[], ssl.SSLContext] | None = None
    timeout: float = 5.0
    reach: float = 3.2
    patience: float = 12.0
    keepalive: int = 15
    session_expiry: int = 3_600
    receive_maximum: int = 64
    largest: int | None = None
    waiting: int | None = None


@dataclass(slots=True)
class Line:
    """How long to wait for the broker's answer to a publish; learnt, and kept over connections, because lines stay.

    A good line is given `timeout`, so that one that is half open is found soon. What answers slowly, or fell silent,
    is given up to `patience`: connecting anew would only make a bad line worse.
    """

    settings: BrokerSettings
    patience: float = field(init=False)

    def __post_init__(self) -> None:
        self.patience = self.settings.timeout

    def answered(self, took: float) -> None:
        """Learn from an answer: patience is three times the slowest one, which is forgotten by and by."""
        self._be(max(3 * took, 0.99 * self.patience))

    def silent(self) -> None:
        """Learn from an answer that did not come."""
        self._be(2 * self.patience)

    def _be(self, patience: float) -> None:
        self.patience = min(max(patience, self.settings.timeout), max(self.settings.patience, self.settings.timeout))


class _TlsSocket(ssl.SSLSocket):
    """Closes itself when it cannot come to terms with the other end; the library would leave that to chance."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def tls_context(settings: BrokerSettings) -> ssl.SSLContext | None:
    """Return what TLS needs, if it is spoken. Raises Refused if a file cannot be used."""
    if settings.context is not None:
        return settings.context()
    if not settings.tls and settings.ca_file is None:
        return None
    file = settings.ca_file or "the authorities of this machine"
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        # Python 3.13 adds it: authorities that sites make themselves often lack what it asks for
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if settings.cert_file is not None:
            file = settings.cert_file
            context.load_cert_chain(file, settings.key_file, password="")  # else it asks on the terminal
    except OSError as err:  # also what ssl raises
        why = f"{file}: {err.strerror or err}"
        raise Refused("tls-files", f"mqtt {settings.host}:{settings.port}: {why}") from None
    context.sslsocket_class = _TlsSocket
    return context
