"""What went wrong with a connection to a broker, and what to do about it, in words. Pure."""

from typing import Final

_HUNG_UP: Final = 'both or neither of this port and this link must have TLS; an older broker needs protocol: "3.1.1"'

_REMEDIES: Final[tuple[tuple[str, str], ...]] = (
    ("bad-credentials", "check username and password of the link"),
    ("subscription to", "the broker's access list does not let this user read that"),
    ("hangs up when", "the broker's access list may not let this user read that"),
    ("not-authorised", "check username and password of the link, and the broker's access list"),
    ("unsupported-protocol", "try another protocol: 5 or 3.1.1"),
    ("tls-files", "check the files under tls of the link"),
    ("certificate has expired", "the broker's certificate has to be renewed; or this machine's clock is wrong"),
    ("certificate is not yet valid", "this machine's clock is wrong, or the broker's certificate is for later"),
    ("alert certificate expired", "our tls certificate has to be renewed; or the broker's clock is wrong"),
    ("alert certificate revoked", "the broker's authority has withdrawn our tls certificate: have a new one made"),
    ("alert bad certificate", "the broker does not take our tls certificate"),
    ("alert certificate unknown", "the broker does not take our tls certificate"),
    (
        "certificate_verify_failed",
        "the broker's certificate is not from the authority in tls ca, or is for another host",
    ),
    ("certificate required", "the broker asks for a certificate: give tls certificate and key"),
    ("handshake failure", "the broker asks for a certificate: give tls certificate and key"),
    ("unknown ca", "the broker does not know the authority of our tls certificate"),
    ("wrong_version_number", "the broker does not speak TLS on this port"),
    ("reset by peer", _HUNG_UP),
    ("hung up before", _HUNG_UP),
    ("connection refused", "no broker listens there: check host and port"),
    ("name or service not known", "no such host: check the name"),
)


def remedy(error: Exception) -> str:
    """Return what went wrong, and what to do about it where that is known."""
    what = str(error)
    found = next((cure for sign, cure in _REMEDIES if sign in what.lower()), "")
    return f"{what}; {found}" if found else what
