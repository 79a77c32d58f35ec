"""Codes that people copy, messages that strangers send, certificates as they are made, files that are whole."""

import base64
import os
import string
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from sitekeeper import certificates, enrolment, files
from sitekeeper.certificates import Signer
from sitekeeper.enrolment import MAX_BODY, Code, Issued, Join, Refusal, Renew, parse_code
from sitekeeper.model.clock import DAY, HOUR, SECOND
from sitekeeper.model.errors import FormatError, Refused, StorageError

NOW = 1_795_435_200 * SECOND
IDS = st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?\Z")
HOSTS = st.sampled_from(["office.example", "192.0.2.7", "2001:db8::7"])


@settings(max_examples=30)
@given(IDS, HOSTS, st.integers(1, 65_535), st.binary(min_size=10, max_size=10), st.binary(min_size=20, max_size=20))
def test_a_code_comes_back_as_it_was(site: str, host: str, port: int, secret: bytes, mark: bytes) -> None:
    """Whatever stands in it, also with spaces where somebody broke the line."""
    code = Code(site=site, host=host, port=port, secret=secret, fingerprint=mark)
    assert parse_code(str(code)) == code
    assert parse_code(f" {str(code)[:-6]}\n  {str(code)[-6:]} ") == code


def test_a_code_does_not_show_its_secret() -> None:
    """Printing one for people who look for faults must not print what it is worth."""
    code = Code(site="hq", host="h", port=1, secret=b"0123456789", fingerprint=bytes(20))
    assert "0123456789" not in repr(code)


@pytest.mark.parametrize(
    "change", ["", "hq", "hq@h:1/", "hq@h:0/{}", "hq@h:70000/{}", "HQ@h:1/{}", "hq@h:1/{}x", "hq@h:1/{}aaaa"]
)
def test_what_is_no_code_is_refused(change: str) -> None:
    """Nothing half copied is tried."""
    letters = str(Code(site="hq", host="h", port=1, secret=bytes(10), fingerprint=bytes(20))).partition("/")[2]
    with pytest.raises(FormatError):
        parse_code(change.format(letters))


@settings(max_examples=50)
@given(st.text(string.printable, max_size=300))
def test_any_text_is_a_code_or_refused(written: str) -> None:
    """Nothing else is raised."""
    try:
        parse_code(written)
    except FormatError:
        return


@settings(max_examples=50)
@given(st.binary(max_size=400))
def test_any_bytes_are_a_message_or_refused(body: bytes) -> None:
    """Nothing else is raised, for each kind of message."""
    for kind in (Join, Renew, Issued, Refusal):
        try:
            enrolment.decode(body, kind)
        except FormatError:
            continue


def test_messages_have_bounds() -> None:
    """One byte too much, an unknown key, a secret of another length."""
    join = Join(site="hq", secret="0" * 20, request="x")
    assert enrolment.decode(enrolment.encode(join), Join) == join
    for body in (
        b'{"request": "' + b"x" * MAX_BODY + b'"}',
        b'{"request": "x", "more": 1}',
        b'{"request": "' + b"x" * 4_097 + b'"}',
        b"[" * 10_000,
    ):
        with pytest.raises(FormatError):
            enrolment.decode(body, Renew)
    with pytest.raises(FormatError):
        enrolment.decode(enrolment.encode(join).replace(b"0" * 20, b"0" * 19), Join)


@pytest.fixture(scope="module")
def signer() -> Signer:
    key = certificates.new_key()
    return Signer(certificate=certificates.authority(key, "Office", NOW - HOUR, NOW + 10 * DAY), key=key)


def test_a_site_s_certificate_says_who_and_how_long(signer: Signer) -> None:
    """It is for calling, not for serving or signing, and never outlives its authority."""
    key = certificates.new_key()
    pem = signer.client(certificates.request(key, "hq"), "hq", NOW, NOW + 100 * DAY)
    facts = certificates.facts(pem)
    assert (facts.name, facts.begins, facts.ends) == ("hq", NOW, NOW + 10 * DAY)
    assert certificates.belong(pem, key)
    assert not certificates.belong(pem, certificates.new_key())
    parsed = x509.load_pem_x509_certificate(pem)
    parsed.verify_directly_issued_by(x509.load_pem_x509_certificate(signer.certificate))
    extensions = parsed.extensions
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH
    ]


def test_revoked_serials_stand_in_the_list(signer: Signer) -> None:
    """Signed by the authority; an empty list is one too."""
    pem = signer.client(certificates.request(certificates.new_key(), "hq"), "hq", NOW, NOW + DAY)
    serial = certificates.facts(pem).serial
    listed = x509.load_pem_x509_crl(signer.revocations([(serial, NOW)], NOW, NOW + DAY))
    assert [f"{row.serial_number:x}" for row in listed] == [serial]
    assert listed.is_signature_valid(x509.load_pem_x509_certificate(signer.certificate).public_key())  # type: ignore[arg-type]
    assert len(x509.load_pem_x509_crl(signer.revocations([], NOW, NOW + DAY))) == 0


def request(key: "ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey", name: str) -> bytes:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    return x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256()).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (lambda: request(rsa.generate_private_key(65_537, 1_024), "hq"), "weak-key"),
        (lambda: request(ec.generate_private_key(ec.SECP224R1()), "hq"), "weak-key"),
        (lambda: request(ec.generate_private_key(ec.SECP256R1()), "annex"), "wrong-name"),
        (lambda: b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "bad-request"),
        (lambda: b"", "bad-request"),
    ],
)
def test_a_request_that_is_weak_or_for_another_is_refused(asked: object, reason: str) -> None:
    """Each with its own word."""
    with pytest.raises(Refused) as refused:
        certificates.check_request(asked(), "hq")  # type: ignore[operator]
    assert refused.value.reason == reason


REQUEST = base64.b64decode(b"".join(certificates.request(certificates.new_key(), "hq").splitlines()[1:-1]))


@settings(max_examples=100)
@given(st.integers(0, 230), st.integers(0, 255))
def test_a_damaged_request_is_refused_and_nothing_else(place: int, byte: int) -> None:
    """Whatever byte of it is changed: no other error comes out of the library."""
    body = bytearray(REQUEST)
    same = body[place % len(body)] == byte
    body[place % len(body)] = byte
    pem = b"-----BEGIN CERTIFICATE REQUEST-----\n" + base64.b64encode(body) + b"\n-----END CERTIFICATE REQUEST-----\n"
    reason = ""
    try:
        certificates.check_request(pem, "hq")
    except Refused as refused:
        reason = refused.reason
    assert reason in ({""} if same else {"bad-request", "weak-key", "wrong-name"})


def test_a_file_is_written_whole_with_its_mode(tmp_path: Path) -> None:
    """Nothing else is left beside it; a failure leaves the old one."""
    path = tmp_path / "key"
    files.put(path, b"one", mode=files.PRIVATE)
    files.put(path, b"two", mode=files.PRIVATE)
    assert (files.get(path, private=True), path.stat().st_mode & 0o777) == (b"two", 0o600)
    assert [each.name for each in tmp_path.iterdir()] == ["key"]
    assert files.get(tmp_path / "none") is None
    with pytest.raises(StorageError):
        files.put(tmp_path / "no/such/folder", b"")


def test_a_secret_that_others_may_read_is_not_taken(tmp_path: Path) -> None:
    """Nor is a folder, or a pipe that would never end."""
    open_ = tmp_path / "open"
    files.put(open_, b"x")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageError, match="chmod 0600"):
        files.get(open_, private=True)
    for other in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(StorageError):
            files.get(other)
