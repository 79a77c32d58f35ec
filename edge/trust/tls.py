"""TLS to the office as a gateway speaks it: verified always, also while the clock is wrong.

Certificates are judged by the clock, and a box without a battery starts in 1970 or 2000. While the clock shows less
than the floor (`TrustFolder.floor`), which cannot be true, the times in a certificate are judged by the floor instead:
one that had ended by then is refused. One that begins later is not, because it may be later. Chain and name are
verified as ever. Nothing here speaks to somebody it does not know, but for `unverified`, which fetches one public
certificate that is then held against a code.
"""

import ssl
from typing import Final

from edge.trust.folder import CA, GATEWAY, TrustFolder
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.errors import Refused, StorageError

NO_CHECK_TIME: Final = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, for which Python has no name."""


def for_gateway(folder: TrustFolder, now: Micros) -> ssl.SSLContext:
    """Return what a joined gateway calls broker and office with; `now` is what the clock shows.

    Raises:
        Refused: `tls-files`, a file cannot be used.
    """
    try:
        floor = folder.floor()
    except StorageError as error:
        raise _files(str(error)) from None
    context = _verified(floor, now)
    try:
        context.load_verify_locations(cafile=folder.path / CA)
        context.load_cert_chain(folder.path / GATEWAY, password="")  # else it asks on the terminal
    except OSError as error:
        raise _files(f"{folder.path}: {error.strerror or error}") from None
    return context


def for_joining(authority: bytes, floor: Micros, now: Micros) -> ssl.SSLContext:
    """Return what a box calls the office with that has nothing but the office's authority.

    Raises:
        Refused: `tls-files`, it is none.
    """
    context = _verified(floor, now)
    try:
        context.load_verify_locations(cadata=authority.decode("ascii"))
    except (OSError, ValueError) as error:
        raise _files(f"the office's authority: {error}") from None
    return context


def unverified() -> ssl.SSLContext:
    """Return what fetches a certificate from somebody not yet known. Nothing secret may be said over it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _verified(floor: Micros, now: Micros) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("DEFAULT:@SECLEVEL=2")
    if now < floor:
        context.verify_flags |= NO_CHECK_TIME
    context.sslsocket_class = _socket(floor if now < floor else None)
    return context


def _socket(floor: Micros | None) -> type[ssl.SSLSocket]:
    class Judged(ssl.SSLSocket):
        """Closes itself when it cannot come to terms, which libraries leave to chance; judges times by the floor."""

        def do_handshake(self, block: bool = False) -> None:
            try:
                super().do_handshake(block)
                if floor is not None:
                    _still_good(self, floor)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except OSError:
                self.close()
                raise

    return Judged


def _still_good(line: ssl.SSLSocket, floor: Micros) -> None:
    ends = str((line.getpeercert() or {}).get("notAfter", ""))
    if not ends or ssl.cert_time_to_seconds(ends) * SECOND < floor:
        raise ssl.SSLCertVerificationError(f"certificate has expired: it ended {ends or 'nobody knows when'}")


def _files(why: str) -> Refused:
    reason = "tls-files"
    return Refused(reason, why)
