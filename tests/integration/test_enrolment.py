"""Joining, and who is refused: at the enrolment listener, and at a mosquitto with the files that the office wrote."""

import asyncio
import base64
import contextlib
import datetime as dt
import http.client
import os
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from structlog.testing import capture_logs

from cloud_sync.mqtt import BrokerSettings, connector
from cloud_sync.session import NOT_AUTHORISED, Session
from cloud_sync.wire import down_topic, up_topic
from edge.trust import call
from edge.trust.folder import TrustFolder
from office.enrol.desk import Desk
from sitekeeper import certificates, enrolment
from sitekeeper.certificates import Signer
from sitekeeper.enrolment import Join, Renew, parse_code
from sitekeeper.model.clock import DAY, MINUTE, SystemClock
from sitekeeper.model.errors import PeerUnreachable, Refused
from tests.fixtures.enrolled import HOST, EnrolledOffice, join
from tests.sk import SK

pytestmark = pytest.mark.slow


@pytest.fixture
def office(tmp_path: Path) -> Iterator[EnrolledOffice]:
    """An office whose listener is open."""
    office = EnrolledOffice(tmp_path)
    listener = office.listener()
    listener.open()
    try:
        yield office
    finally:
        listener.close()


def box(office: EnrolledOffice, site: str) -> TrustFolder:
    """Let a box join; return its folder."""
    code = office.desk.invite(site)
    place = TrustFolder(office.folder / "boxes" / site)
    place.prepare()
    place.begin(code, *call.join(code, SystemClock().wall()))
    return place


# S2


def test_only_the_request_leaves_the_box(office: EnrolledOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every byte that a joining and renewing box says is looked through: its private key is in none, in no form."""
    said = bytearray()
    send = http.client.HTTPConnection.send
    monkeypatch.setattr(http.client.HTTPConnection, "send", lambda line, data: (said.extend(data), send(line, data))[1])
    place = box(office, "hq")
    keys = [(place.path / "gateway.pem").read_bytes()]
    key, issued = call.renew(place, SystemClock().wall())
    place.keep(key, issued)
    keys.append((place.path / "gateway.pem").read_bytes())
    assert bytes(said).count(b"BEGIN CERTIFICATE REQUEST") == 2
    assert b"PRIVATE" not in said
    for pem in keys:
        number = load_pem_private_key(pem, None).private_numbers().private_value.to_bytes(32, "big")
        for form in (number, number.hex().encode(), base64.b64encode(number).rstrip(b"=")[:-1]):
            assert form not in said
    assert keys[0] != keys[1], "each certificate has a key of its own"


def test_the_key_is_for_its_owner_alone(office: EnrolledOffice) -> None:
    """0600 from the first moment, and a folder that others may not enter."""
    place = box(office, "hq")
    assert stat.S_IMODE((place.path / "gateway.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(place.path.stat().st_mode) == 0o700
    assert [each.name for each in place.path.iterdir() if each.name.startswith(".")] == []


def test_sk_join_and_the_office_s_list(office: EnrolledOffice, tmp_path: Path) -> None:
    """The whole of it as two people do it; the code works once, and site.yaml is told of the broker once."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "site.yaml").write_text("site: {id: hq, timezone: Asia/Hong_Kong}\n")
    code = office.sk("site", "add", "hq").out.strip()
    assert office.sk("site", "list").table()[0]["state"] == "invited"
    done = join(code, site)
    line = f'office: {{broker: "mqtts://{HOST}:{office.broker_port}"}}'
    assert (done.code, done.err) == (0, "")
    assert (site / "site.yaml").read_text().endswith(f"\n{line}\n")
    assert office.sk("site", "list").table()[0]["state"] == "joined"
    again = join(code, site)
    assert (again.code, "bad-code" in again.err) == (1, True)
    other = join(office.sk("site", "add", "elsewhere").out.strip(), site)
    assert (other.code, "wrong-site" in other.err) == (1, True)
    secret = parse_code(code).secret
    kept = b"".join(each.read_bytes() for each in office.trust.rglob("*") if each.is_file())
    assert secret not in kept
    assert secret.hex().encode() not in kept


def test_another_office_at_the_address_learns_nothing(office: EnrolledOffice, tmp_path: Path) -> None:
    """A code names one authority: whoever else answers there, with certificates of its own, never hears the secret."""
    (tmp_path / "other").mkdir()
    other = EnrolledOffice(tmp_path / "other")
    code = parse_code(str(other.desk.invite("hq")).replace(f":{other.port}/", f":{office.port}/"))
    with capture_logs() as logs, pytest.raises(Refused, match="wrong-office"):
        call.join(code, SystemClock().wall())
    assert logs == []


def test_a_replaced_box_joins_again_and_the_old_one_is_out(office: EnrolledOffice) -> None:
    """The old certificate does not renew any more once the new box has its own."""
    old = box(office, "hq")
    kept = TrustFolder(old.path.rename(office.folder / "old"))
    new = box(office, "hq")
    with pytest.raises(Refused, match="revoked"):
        call.renew(kept, SystemClock().wall())
    new.keep(*call.renew(new, SystemClock().wall()))


# S5

RENEW = """
import sys, time
from pathlib import Path
from edge.trust import call
from edge.trust.folder import TrustFolder
call.renew(TrustFolder(Path(sys.argv[1])), time.time_ns() // 1_000)
print(time.gmtime().tm_year)
"""


def test_a_box_whose_clock_shows_2000_joins_and_renews(office: EnrolledOffice, tmp_path: Path) -> None:
    """Its TLS is verified by the floor: our office passes, one with another authority does not."""
    if shutil.which("faketime") is None:
        pytest.skip("faketime is not installed")
    code = str(office.desk.invite("hq"))
    at_2000, path = ["faketime", "2000-01-01 00:00:00"], {"PATH": os.environ["PATH"]}
    for written, outcome in ((code[:-9] + "aaaa-aaaa", 1), (code, 0)):
        words = [*at_2000, *SK, "join", written, "--site", str(tmp_path / "box")]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=path)
        assert done.returncode == outcome, done.stderr
    words = [*at_2000, sys.executable, "-c", RENEW, str(tmp_path / "box/trust")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=path)
    assert done.stdout.strip() in {"1999", "2000"}, done.stderr


# S3


def signer(office: EnrolledOffice) -> Signer:
    return Signer(certificate=(office.trust / "ca.pem").read_bytes(), key=(office.trust / "ca.key").read_bytes())


def other_authority() -> Signer:
    key, now = certificates.new_key(), SystemClock().wall()
    return Signer(certificate=certificates.authority(key, "Sitekeeper office", now - DAY, now + DAY), key=key)


def client(by: Signer, begins: int, ends: int, name: str = "hq") -> bytes:
    key, now = certificates.new_key(), SystemClock().wall()
    return key + by.client(certificates.request(key, name), name, now + begins, now + ends)


def self_signed() -> bytes:
    by = other_authority()
    return by.key + by.certificate


def weak(by: Signer) -> bytes:
    """A certificate of the right authority for RSA with 1,024 bits, which ours never signs."""
    key = rsa.generate_private_key(65_537, 1_024)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hq")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(x509.load_pem_x509_certificate(by.certificate).subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(load_pem_private_key(by.key, None), hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem + certificate.public_bytes(Encoding.PEM)


CERTIFICATES: dict[str, Callable[[EnrolledOffice], bytes]] = {
    "wrong authority": lambda _: client(other_authority(), -MINUTE, DAY),
    "expired": lambda office: client(signer(office), -DAY, -MINUTE),
    "not yet valid": lambda office: client(signer(office), MINUTE, DAY),
    "self-signed": lambda _: self_signed(),
    "weak key": lambda office: weak(signer(office)),
}


class Closing(ssl.SSLSocket):
    """Closes itself after a handshake that failed; the MQTT library leaves that to chance."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def context(office: EnrolledOffice, own: Path | None = None) -> ssl.SSLContext:
    found = ssl.create_default_context(cafile=office.trust / "ca.pem")
    found.set_ciphers("DEFAULT:@SECLEVEL=0")  # so that it is the other end that refuses what is weak
    found.sslsocket_class = Closing
    if own is not None:
        found.load_cert_chain(own)
    return found


def old_tls(office: EnrolledOffice, own: Path) -> ssl.SSLContext:
    found = context(office, own)
    with warnings.catch_warnings(action="ignore"):  # that it is deprecated is why it is tried
        found.minimum_version, found.maximum_version = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1
    return found


def own(office: EnrolledOffice, case: str) -> Path:
    """Return a file with the key and certificate of a case."""
    path = office.folder / "own.pem"
    path.write_bytes(CERTIFICATES[case](office))
    return path


def ask(office: EnrolledOffice, how: ssl.SSLContext | None, site: str = "hq", host: str = HOST) -> int:
    """Ask for a renewal; return the status. An OSError is a refusal by TLS."""
    body = enrolment.encode(Renew(request=certificates.request(certificates.new_key(), site).decode()))
    if how is None:
        line: http.client.HTTPConnection = http.client.HTTPConnection(host, office.port, timeout=5)
    else:
        line = http.client.HTTPSConnection(host, office.port, timeout=5, context=how)
    try:
        line.request("POST", enrolment.RENEW_PATH, body)
        return line.getresponse().status
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from None
    finally:
        line.close()


def refused(office: EnrolledOffice, ask_: Callable[[], int]) -> str:
    """Ask, see that it is refused and that it left one line in the log; return the line's reason."""
    with capture_logs() as logs:
        try:
            status = ask_()
        except OSError:
            status = 0
        until = time.monotonic() + 5
        while not logs and time.monotonic() < until:
            time.sleep(0.01)
    assert status in {0, 403}
    assert [row["event"] for row in logs] == ["enrolment refused"]
    assert logs[0]["source"] == HOST
    return str(logs[0]["reason"])


def test_ten_of_ten_are_refused_by_the_listener(office: EnrolledOffice, tmp_path: Path) -> None:
    """Each leaves one line in the office's log; the same request with the site's own certificate is answered 200."""
    good = box(office, "hq").path / "gateway.pem"
    assert ask(office, context(office, good)) == 200
    found = {
        case: refused(office, lambda case=case: ask(office, context(office, own(office, case))))
        for case in CERTIFICATES
    }
    assert found == dict.fromkeys(CERTIFICATES, "tls")
    assert refused(office, lambda: ask(office, context(office))) == "no-certificate"
    assert refused(office, lambda: ask(office, context(office, good), site="other")) == "wrong-name"
    assert refused(office, lambda: ask(office, None)) == "tls"  # plain
    assert refused(office, lambda: ask(office, old_tls(office, good))) == "tls"
    office.desk.revoke("hq")
    assert refused(office, lambda: ask(office, context(office, good))) == "revoked"


async def call_broker(office: EnrolledOffice, how: ssl.SSLContext | None, host: str = HOST) -> Session:
    make = None if how is None else lambda: how
    settings = BrokerSettings(host=host, port=office.broker_port, protocol="5", timeout=3, context=make)
    return await connector(settings, "sitekeeper-probe")()


async def test_ten_of_ten_are_refused_by_the_broker(office: EnrolledOffice) -> None:
    """Nobody gets in but with a site's own certificate, and with it nobody but that site."""
    good = box(office, "hq").path / "gateway.pem"
    box(office, "annex")
    ways = {case: context(office, own(office, case)) for case in CERTIFICATES}
    ways |= {"none": context(office), "TLS 1.1": old_tls(office, good)}
    with office.broker:
        session = await call_broker(office, context(office, good))
        assert await session.publish(up_topic("annex", "samples"), b"x") == NOT_AUTHORISED  # wrong name
        await session.close()
        for case, how in [*ways.items(), ("plain", None)]:
            with pytest.raises((PeerUnreachable, Refused)):
                pytest.fail(f"{case}: {await call_broker(office, how)}")
        with pytest.raises((PeerUnreachable, Refused)):  # the server's name: it is good for 127.0.0.1, not for this one
            await call_broker(office, context(office, good), host="localhost")
        office.desk.revoke("hq")
        await asyncio.sleep(0.3)
        with pytest.raises((PeerUnreachable, Refused)):
            await call_broker(office, context(office, good))


async def test_a_site_can_do_nothing_elsewhere(office: EnrolledOffice) -> None:
    """Publishes to another site's topics are answered 135, a subscription there, or to all, brings nothing."""
    own_, other = (box(office, site).path / "gateway.pem" for site in ("hq", "annex"))
    with office.broker:
        hq = await call_broker(office, context(office, own_))
        settings = BrokerSettings(**office.settings.own_broker().model_dump(exclude={"client_id"}))
        centre = await connector(settings, "sitekeeper-office")()
        try:
            assert await hq.publish(up_topic("hq", "alarms"), b"x") < 128
            for topic in (up_topic("annex", "alarms"), down_topic("hq", "receipt"), down_topic("annex", "ack"), "else"):
                assert await hq.publish(topic, b"x") == NOT_AUTHORISED, topic
            for topic in (
                down_topic("annex", "receipt"),
                "sitekeeper/1/+/down/#",
                "#",
                "$share/g/sitekeeper/1/annex/#",
            ):
                await hq.subscribe(topic)
            await hq.subscribe(down_topic("hq", "receipt"))
            assert await centre.publish(down_topic("annex", "receipt"), b"theirs") < 128
            assert await centre.publish(down_topic("hq", "receipt"), b"ours") < 128
            assert await centre.publish(up_topic("hq", "alarms"), b"forged") == NOT_AUTHORISED
            heard = []
            while True:
                try:
                    async with asyncio.timeout(0.5):
                        heard.append(await hq.receive())
                except TimeoutError:
                    break
            assert {delivery.payload for delivery in heard} == {b"ours"}
        finally:
            await hq.close()
            await centre.close()
    assert other.exists()


# hostile callers of the listener


@pytest.mark.parametrize(
    "said",
    [
        b"\x16\x03\x01\x02\x00" + bytes(512),
        b"GET / HTTP/1.1\r\n\r\n",
        b"",
    ],
)
def test_a_caller_who_speaks_no_tls_is_hung_up_on(office: EnrolledOffice, said: bytes) -> None:
    """And the next one is served."""
    with socket.create_connection((HOST, office.port), timeout=5) as line:
        line.sendall(said)
        with contextlib.suppress(OSError):
            line.shutdown(socket.SHUT_WR)
            while line.recv(4_096):
                pass
    box(office, "hq")


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"POST /enrol/v1/join HTTP/1.1\r\nContent-Length: 16385\r\n\r\n", 400),
        (b"POST /enrol/v1/join HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", 400),
        (b"POST /enrol/v1/join HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /enrol/v1/join HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /enrol/v1/join HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 400),
        (b"POST /enrol/v1/join HTTP/1.1\r\nContent-Length: 2\r\n\r\n\xff\xfe", 400),
        (b"GET /enrol/v1/join HTTP/1.1\r\n\r\n", 404),
        (b"GET /../ca.key HTTP/1.1\r\n\r\n", 404),
        (b"GARBAGE\r\n\r\n", 400),
        (b"A" * 20_000, 400),
    ],
)
def test_what_is_no_request_is_refused(office: EnrolledOffice, said: bytes, status: int) -> None:
    """With a status of 4xx and a reason, within its limits, and nothing of the office's inside."""
    with (
        socket.create_connection((HOST, office.port), timeout=5) as plain,
        context(office).wrap_socket(plain, server_hostname=HOST) as line,
    ):
        line.sendall(said)
        answer = b""
        while more := line.recv(4_096):
            answer += more
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer
    assert b"Traceback" not in answer


def test_a_fault_of_our_own_is_in_the_log(office: EnrolledOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    """The box hears that nobody answered and tries again; the office's log has the fault, though a thread had it."""

    def fails(*_: object) -> None:
        raise ArithmeticError

    code = office.desk.invite("hq")
    monkeypatch.setattr(Desk, "join", fails)
    with capture_logs() as logs:
        with pytest.raises(PeerUnreachable):
            call.join(code, SystemClock().wall())
        until = time.monotonic() + 5
        while not any(line["event"] == "enrolment failed" for line in logs):
            assert time.monotonic() < until
            time.sleep(0.01)


def test_guessing_codes_is_throttled(office: EnrolledOffice) -> None:
    """After five wrong codes for a site from one place the right one has to wait too; another site has not."""
    code = office.desk.invite("hq")
    for guess in range(5):
        with pytest.raises(Refused, match="bad-code"):
            office.desk.join(Join(site="hq", secret=f"{guess:020x}", request="x"), "192.0.2.1")
    with pytest.raises(Refused, match="throttled"):
        office.desk.join(Join(site="hq", secret=code.secret.hex(), request="x"), "192.0.2.1")
    box(office, "annex")
