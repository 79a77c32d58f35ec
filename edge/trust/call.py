"""Calls to the office's enrolment listener, over HTTPS; they block, for 10 s at most each. Decoding is strict."""

import http.client
import ssl
from typing import Final

from edge.trust import tls
from edge.trust.folder import BUILT, TrustFolder
from sitekeeper import certificates, enrolment
from sitekeeper.enrolment import Code, Issued, Join, Refusal, Renew
from sitekeeper.model.clock import Micros
from sitekeeper.model.errors import FormatError, PeerUnreachable, Refused

TIMEOUT_S: Final = 10.0


def join(code: Code, now: Micros) -> tuple[bytes, Issued]:
    """Make a key and have the office sign it; return the key, which goes nowhere else, and what the office gave.

    Args:
        now: what the clock shows.

    Raises:
        Refused: the office says no, or is not the one in the code. PeerUnreachable: it does not answer.
    """
    status, authority = _ask(code.host, code.port, tls.unverified(), "GET", enrolment.CA_PATH, b"")
    if status != 200 or not _is(authority, code.fingerprint):
        raise Refused("wrong-office", f"{code.host}:{code.port} is not the office that made this code")
    context = tls.for_joining(authority, BUILT, now)
    key = certificates.new_key()
    request = certificates.request(key, code.site).decode()
    asked = Join(site=code.site, secret=code.secret.hex(), request=request)
    issued = _issued(code.host, code.port, context, enrolment.JOIN_PATH, asked)
    if not _is(issued.authority.encode(), code.fingerprint):
        raise Refused("wrong-office", "the office answers with another authority than its own")
    return key, _checked(issued, key, code.site)


def renew(folder: TrustFolder, now: Micros) -> tuple[bytes, Issued]:
    """Make the next key and have the office sign it; the present certificate says who asks.

    Raises:
        Refused: the office says no, or our files cannot be used. PeerUnreachable: it does not answer.
        StorageError: our files cannot be used.
    """
    office = folder.office()
    context = tls.for_gateway(folder, now)
    key = certificates.new_key()
    asked = Renew(request=certificates.request(key, office.site).decode())
    issued = _issued(office.host, office.port, context, enrolment.RENEW_PATH, asked)
    return key, _checked(issued, key, office.site)


def _issued(host: str, port: int, context: ssl.SSLContext, path: str, asked: Join | Renew) -> Issued:
    where = f"{host}:{port}"
    status, body = _ask(host, port, context, "POST", path, enrolment.encode(asked))
    try:
        if status == 200:
            return enrolment.decode(body, Issued)
        refusal = enrolment.decode(body, Refusal)
    except FormatError as error:
        raise PeerUnreachable(where, f"answers {status} with something else: {error}") from None
    if status >= 500 or status == 429:
        raise PeerUnreachable(where, refusal.detail or refusal.reason)
    raise Refused(refusal.reason, refusal.detail)


def _ask(host: str, port: int, context: ssl.SSLContext, method: str, path: str, body: bytes) -> tuple[int, bytes]:
    line = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)
    try:
        line.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = line.getresponse()
        content = answer.read(enrolment.MAX_BODY + 1)
    except ssl.SSLCertVerificationError as error:
        raise Refused("not-verified", f"{host}:{port}: {error.verify_message or error}") from None
    except (OSError, http.client.HTTPException) as error:
        raise PeerUnreachable(f"{host}:{port}", str(error) or type(error).__name__) from None
    finally:
        line.close()
    return answer.status, content


def _is(authority: bytes, fingerprint: bytes) -> bool:
    try:
        return certificates.facts(authority).fingerprint[: len(fingerprint)] == fingerprint
    except FormatError:
        return False


def _checked(issued: Issued, key: bytes, site: str) -> Issued:
    """Return what was issued if it is what was asked for: it is about to replace what works."""
    try:
        name = certificates.facts(issued.certificate.encode()).name
        fits = certificates.belong(issued.certificate.encode(), key)
    except FormatError as error:
        raise Refused("bad-answer", str(error)) from None
    if not fits or name != site:
        raise Refused("bad-answer", f"the office signed something else: {name!r} instead of {site!r}")
    return issued
