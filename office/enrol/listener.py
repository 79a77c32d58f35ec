"""The enrolment listener: HTTPS for three paths and nothing else, in threads, because keys and files block.

A small part of HTTP/1.1 (RFC 9112): one request a connection, a length that is given, no chunks. What does not fit is
answered 400 and closed. Bounded: `WORKERS` conversations at once, each of at most `PATIENCE_S` seconds, head and body
of at most 16 KiB. TLS 1.2 at least. Who joins has no certificate, so none is demanded; one that is shown must come from
our authority and be valid now. Every refusal leaves a line in the log.
"""

import contextlib
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog

from office.enrol.authority import Authority
from office.enrol.desk import Desk
from sitekeeper import enrolment
from sitekeeper.certificates import Facts, facts
from sitekeeper.enrolment import Join, Refusal, Renew
from sitekeeper.model.errors import FormatError, Refused, StorageError

log = structlog.get_logger()

WORKERS: Final = 16
WAITING: Final = 256
"""Connections taken and waiting for a worker; beyond it they are closed at once."""
PATIENCE_S: Final = 10.0
_LOOK_S: Final = 0.5
_STATUS: Final = {200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 429: "Too Many Requests",
                  500: "Internal Server Error"}  # fmt: skip
_BY_REASON: Final = {"throttled": 429, "not-found": 404, "bad-request": 400, "failed": 500}


_Asked = TypeVar("_Asked", Join, Renew)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    method: str
    path: str
    body: bytes


class Listener:
    """Serves `desk` between `open` and `close`."""

    def __init__(self, desk: Desk, host: str, port: int) -> None:
        self._desk, self._host, self._port = desk, host, port
        self._one = threading.Lock()  # the desk answers one at a time: its files are written one at a time anyway
        self._room = threading.BoundedSemaphore(WORKERS + WAITING)
        self._over = threading.Event()

    def open(self) -> None:
        """Listen, and answer in threads from now on.

        Raises:
            Refused: `address`, it cannot be had. StorageError: our own certificate cannot be used.
        """
        self._context = tls(self._desk.authority)
        try:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            self._socket = socket.create_server((self._host, self._port), family=family, backlog=512)
        except OSError as error:
            reason = "address"
            raise Refused(reason, f"enrolment at {self._host}:{self._port}: {error.strerror or error}") from None
        self._socket.settimeout(_LOOK_S)
        self._pool = ThreadPoolExecutor(WORKERS, "enrol")
        self._accepting = threading.Thread(target=self._accept, name="enrol-accept")
        self._accepting.start()

    def renewed(self) -> None:
        """Use our own certificate as it is now for new connections."""
        self._context = tls(self._desk.authority)

    def close(self) -> None:
        """Stop; conversations that have begun are finished, which takes `PATIENCE_S` at most."""
        self._over.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self._accepting.join()
        self._socket.close()
        self._pool.shutdown(cancel_futures=False)

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                caller, address = self._socket.accept()
            except TimeoutError:
                continue
            except OSError as error:  # the end; or out of descriptors, or the caller is gone already
                if self._over.is_set():
                    return
                log.warning("enrolment cannot take a call", why=str(error))
                time.sleep(_LOOK_S)
                continue
            if not self._room.acquire(blocking=False):
                caller.close()
                continue
            self._pool.submit(self._serve, caller, str(address[0]))

    def _serve(self, caller: socket.socket, source: str) -> None:
        try:
            deadline = time.monotonic() + PATIENCE_S
            caller.settimeout(PATIENCE_S)
            with caller, self._context.wrap_socket(caller, server_side=True) as line:
                status, body = self._answer(line, source, deadline)
                reason = (
                    f"HTTP/1.1 {status} {_STATUS[status]}\r\nContent-Type: application/json\r\nConnection: close\r\n"
                )
                line.sendall(f"{reason}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                with contextlib.suppress(OSError):
                    line.unwrap()
        except OSError as error:  # ssl.SSLError is one: no TLS, too old, a certificate that is not ours
            log.warning("enrolment refused", source=source, reason="tls", detail=str(error)[:200])
        except Exception:  # a fault of ours: nobody asks this thread's future
            log.exception("enrolment failed", source=source)
            raise
        finally:
            self._room.release()

    def _answer(self, line: ssl.SSLSocket, source: str, deadline: float) -> tuple[int, bytes]:
        try:
            return 200, self._do(_read(line, deadline), line, source)
        except Refused as refused:
            log.warning("enrolment refused", source=source, reason=refused.reason, detail=refused.detail[:200])
            refusal = Refusal(reason=refused.reason, detail=refused.detail[:500])
        except StorageError as error:
            log.error("enrolment failed", source=source, why=str(error))  # noqa: TRY400 - the place says nothing
            refusal = Refusal(reason="failed", detail="the office cannot write its files; look there")
        return _BY_REASON.get(refusal.reason, 403), enrolment.encode(refusal)

    def _do(self, asked: _Request, line: ssl.SSLSocket, source: str) -> bytes:
        match asked.method, asked.path:
            case "GET", enrolment.CA_PATH:
                return self._desk.authority.certificate
            case "POST", enrolment.JOIN_PATH:
                join = _decode(asked.body, Join)
                with self._one:
                    issued = self._desk.join(join, source)
                log.info("site joined", site=join.site, source=source)
                if self._desk.told:
                    log.warning("broker does not know of it yet", site=join.site, next=self._desk.told)
            case "POST", enrolment.RENEW_PATH:
                own = _shown(line)
                with self._one:
                    issued = self._desk.renew(_decode(asked.body, Renew), own.name, own.serial, source)
                log.info("site renewed", site=own.name, source=source)
            case _:
                raise _refused("not-found", "nothing is here")
        return enrolment.encode(issued)


def tls(authority: Authority) -> ssl.SSLContext:
    """Return what the listener speaks: TLS 1.2 at least, OpenSSL's security level 2 (no RSA below 2,048 bits).

    Raises:
        StorageError: our own certificate cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("DEFAULT:@SECLEVEL=2")
    context.verify_mode = ssl.CERT_OPTIONAL
    try:
        context.load_cert_chain(authority.folder / "enrol.pem", authority.folder / "enrol.key")
        context.load_verify_locations(cadata=authority.certificate.decode())
    except OSError as error:
        raise StorageError(f"{authority.folder / 'enrol.pem'}: {error.strerror or error}") from None
    return context


def _shown(line: ssl.SSLSocket) -> Facts:
    shown = line.getpeercert(binary_form=True)
    if shown is None:
        raise _refused("no-certificate", "a certificate is renewed by whoever calls with it")
    return facts(ssl.DER_cert_to_PEM_cert(shown).encode())


def _read(line: ssl.SSLSocket, deadline: float) -> _Request:
    """Return one request.

    Raises:
        Refused: `bad-request`. OSError: the caller is too slow, or gone.
    """
    data = bytearray()
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += _more(line, deadline, len(data))
    first, *rows = bytes(data[:end]).decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[2] != "HTTP/1.1":
        raise _refused("bad-request", "HTTP/1.1 is expected")
    heads = [(name.strip().lower(), value.strip()) for name, _, value in (row.partition(":") for row in rows)]
    lengths = [value for name, value in heads if name == "content-length"]
    if any(name == "transfer-encoding" for name, _ in heads) or len(lengths) > 1:
        raise _refused("bad-request", "one length is expected")
    length = lengths[0] if lengths else "0"
    if not (length.isascii() and length.isdigit()) or len(length) > 6 or int(length) > enrolment.MAX_BODY:
        raise _refused("bad-request", "the body is too large")
    body = data[end + 4 :]
    while len(body) < int(length):
        body += _more(line, deadline, len(body))
    return _Request(method=words[0], path=words[1], body=bytes(body[: int(length)]))


def _more(line: ssl.SSLSocket, deadline: float, already: int) -> bytes:
    if already > enrolment.MAX_BODY:
        raise _refused("bad-request", "too much was sent")
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("took too long")
    line.settimeout(left)
    got = line.recv(4_096)
    if not got:
        raise ConnectionError("hung up")
    return got


def _decode(body: bytes, kind: type[_Asked]) -> _Asked:
    try:
        return enrolment.decode(body, kind)
    except FormatError as error:
        raise _refused("bad-request", str(error)) from None


def _refused(reason: str, detail: str) -> Refused:
    return Refused(reason, detail)
