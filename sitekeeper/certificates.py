"""X.509 certificates (RFC 5280) and keys as PEM, in and out: the authority's at the office, a gateway's own on its box.

Pure: times come in as microseconds and stand in certificates as whole seconds; nothing reads a file. All keys that we
make are EC P-256; what others hand us must be as strong (`check_request`). One of two doors to `cryptography`, the
other is `cloud_sync.signing`. Importing it costs 10 MB, so whoever may not need it imports it where it is used.
"""

import datetime as dt
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes, PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.errors import FormatError, Refused

MAX_REQUEST: Final = 4_096
"""Characters of a certificate signing request; one for P-256 has about 400."""
_WRONG: Final = (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature, x509.InvalidVersion)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a certificate says. `serial` in hex, `fingerprint` SHA-256."""

    name: str
    serial: str
    begins: Micros
    ends: Micros
    fingerprint: bytes


def new_key() -> bytes:
    """Return a fresh private key, P-256."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def new_signing_key() -> bytes:
    """Return a fresh private key for signing commands, Ed25519 (RFC 8032)."""
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def signing_public(key: bytes) -> bytes:
    """Return the public half of an Ed25519 key.

    Raises:
        FormatError: it is no such key.
    """
    private = _private(key)
    if not isinstance(private, Ed25519PrivateKey):
        raise FormatError("not an Ed25519 key")
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def request(key: bytes, name: str) -> bytes:
    """Return a certificate signing request (RFC 2986) for `name`, signed with `key`: all that leaves the box."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(name))
    return builder.sign(_ec(key), hashes.SHA256()).public_bytes(Encoding.PEM)


def check_request(pem: bytes, name: str) -> None:
    """Check that whoever made a request has its key, that the key is strong, and that it asks for `name`.

    Raises:
        Refused: `bad-request`, `weak-key` or `wrong-name`.
    """
    asked = _request(pem)
    try:
        key, valid, named = asked.public_key(), asked.is_signature_valid, asked.subject
    except _WRONG as error:
        raise _refused("bad-request", f"the request cannot be understood: {error}") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in {"secp256r1", "secp384r1", "secp521r1"}:
        raise _refused("weak-key", "only EC keys on P-256, P-384 or P-521 are signed")
    if not valid:
        raise _refused("bad-request", "the request is not signed with the key in it")
    if named != _name(name):
        raise _refused("wrong-name", f"the request is not for {name}")


def facts(pem: bytes) -> Facts:
    """Return what the first certificate in `pem` says.

    Raises:
        FormatError: there is none.
    """
    certificate = _certificate(pem)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Facts(
        name=str(names[0].value) if names else "",
        serial=f"{certificate.serial_number:x}",
        begins=_micros(certificate.not_valid_before_utc),
        ends=_micros(certificate.not_valid_after_utc),
        fingerprint=certificate.fingerprint(hashes.SHA256()),
    )


def belong(certificate: bytes, key: bytes) -> bool:
    """Tell whether a certificate is for this key.

    Raises:
        FormatError: one of them is not what it should be.
    """
    return _certificate(certificate).public_key() == _private(key).public_key()


def authority(key: bytes, name: str, begins: Micros, ends: Micros) -> bytes:
    """Return the certificate of an authority, signed by itself; it may sign no other authority."""
    private = _ec(key)
    public = private.public_key()
    usage = _usage(key_cert_sign=True, crl_sign=True)
    return (
        _builder(name, name, public, begins, ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(private, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """An authority's certificate and key, PEM."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Signer()"

    def client(self, asked: bytes, name: str, begins: Micros, ends: Micros) -> bytes:
        """Return a certificate with which the owner of a checked request may call a server as `name`."""
        return self._sign(_request(asked).public_key(), name, begins, ends, ExtendedKeyUsageOID.CLIENT_AUTH, ())

    def server(self, key: bytes, hosts: Sequence[str], begins: Micros, ends: Micros) -> bytes:
        """Return a certificate for a server at `hosts`, names or addresses."""
        public = _ec(key).public_key()
        return self._sign(public, hosts[0][:64], begins, ends, ExtendedKeyUsageOID.SERVER_AUTH, hosts)

    def revocations(self, serials: Iterable[tuple[str, Micros]], now: Micros, ends: Micros) -> bytes:
        """Return the list of what is revoked: (serial in hex, when), as `crlfile` of a broker."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(_certificate(self.certificate).subject)
            .last_update(_time(now))
            .next_update(_time(ends))
        )
        for serial, when in serials:
            row = x509.RevokedCertificateBuilder().serial_number(int(serial, 16)).revocation_date(_time(when)).build()
            builder = builder.add_revoked_certificate(row)
        return builder.sign(_ec(self.key), hashes.SHA256()).public_bytes(Encoding.PEM)

    def _sign(
        self,
        public: CertificatePublicKeyTypes,
        name: str,
        begins: int,
        ends: int,
        purpose: x509.ObjectIdentifier,
        hosts: Sequence[str],
    ) -> bytes:
        own = _certificate(self.certificate)
        issuer = own.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        builder = (
            _builder(name, str(issuer), public, begins, min(ends, _micros(own.not_valid_after_utc)))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(_issuer_key(own), critical=False)
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([_host(h) for h in hosts]), critical=False)
        return builder.sign(_ec(self.key), hashes.SHA256()).public_bytes(Encoding.PEM)


def _builder(
    name: str, issuer: str, public: CertificatePublicKeyTypes, begins: Micros, ends: Micros
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_time(begins))
        .not_valid_after(_time(ends))
    )


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _issuer_key(own: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    found = own.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(found.value)


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _time(at: Micros) -> dt.datetime:
    return dt.datetime.fromtimestamp(at // SECOND, dt.UTC)


def _micros(at: dt.datetime) -> Micros:
    return int(at.timestamp()) * SECOND


def _certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except _WRONG as error:
        raise FormatError(f"not a certificate: {error}") from None


def _request(pem: bytes) -> x509.CertificateSigningRequest:
    try:
        return x509.load_pem_x509_csr(pem)
    except _WRONG as error:
        raise _refused("bad-request", f"not a certificate signing request: {error}") from None


def _private(pem: bytes) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(pem, password=None)
    except _WRONG as error:
        raise FormatError(f"not a private key: {error}") from None


def _ec(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = _private(pem)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise FormatError("not an EC key")
    return key


def _refused(reason: str, detail: str) -> Refused:
    return Refused(reason, detail)
