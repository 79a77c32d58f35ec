"""A joined gateway's certificate without a network: when it is renewed, who hears of it, what a wrong clock changes."""

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from edge.alarms import AlarmBook
from edge.cli.join import _append
from edge.own import Said
from edge.settings.values import Site
from edge.trust import keeping, tls
from edge.trust.folder import BUILT, Life, TrustFolder
from edge.trust.keeper import Keeper, Renewable
from edge.trust.renewal import CertificateWatch, Standing, next_try, stage
from sitekeeper import certificates, files
from sitekeeper.certificates import Signer
from sitekeeper.enrolment import Code, Issued
from sitekeeper.model.clock import DAY, HOUR, MINUTE, SECOND, ManualClock, Micros, Moment
from sitekeeper.model.errors import PeerUnreachable, Refused, StorageError

NOW = BUILT + 30 * DAY
LIFE = Life(begins=NOW, ends=NOW + 90 * DAY)
CODE = Code(site="hq", host="office.example", port=8444, secret=bytes(10), fingerprint=bytes(20))


@pytest.mark.parametrize(
    ("after", "found"),
    [
        (0, "good"),
        (60 * DAY - 1, "good"),
        (60 * DAY, "due"),
        (81 * DAY - 1, "due"),
        (81 * DAY, "late"),
        (90 * DAY, "over"),
    ],
)
def test_a_life_has_four_stages(after: Micros, found: str) -> None:
    """Renewed from two thirds on; a tenth left is late."""
    assert stage(LIFE, NOW + after) == found


def test_tries_become_rarer_but_there_are_many() -> None:
    """From a minute to an hour; a certificate that lasts 20 s is tried for every half second."""
    assert [next_try(LIFE, n) for n in (1, 2, 7, 100)] == [MINUTE, 2 * MINUTE, HOUR, HOUR]
    assert next_try(Life(begins=0, ends=20 * SECOND), 1) == SECOND // 2


def say(watch: CertificateWatch, wall: Micros) -> list[tuple[str, str]]:
    said: Said = watch.advance(Moment(mono=wall - NOW, wall=wall))
    return [(verdict.kind, verdict.priority) for verdict in said.verdicts]


def test_gw06_stands_while_a_renewal_that_is_due_fails() -> None:
    """At a third left once it failed, higher with a tenth left, over when it worked: each said once."""
    standing = Standing(life=LIFE)
    watch = CertificateWatch(standing)
    assert say(watch, NOW + 60 * DAY) == []
    standing.problem = "office not reached"
    assert say(watch, NOW + 59 * DAY) == []
    assert say(watch, NOW + 60 * DAY) == [("raise", "P3")]
    assert say(watch, NOW + 61 * DAY) == []
    assert say(watch, NOW + 82 * DAY) == [("level", "P2")]
    assert say(watch, NOW + 91 * DAY) == []
    standing.life, standing.problem, standing.renewed = Life(begins=NOW + 91 * DAY, ends=NOW + 181 * DAY), "", 1
    said = watch.advance(Moment(mono=1, wall=NOW + 91 * DAY))
    assert [verdict.kind for verdict in said.verdicts] == ["clear"]
    assert [name for name, _ in said.events] == ["certificate_renewed"]
    assert watch.advance(Moment(mono=2, wall=NOW + 91 * DAY)) == Said(events=[])


def test_gw06_of_an_earlier_process_is_cleared() -> None:
    """What stands in the book is taken over."""
    watch = CertificateWatch(Standing(life=LIFE), raised="P3")
    assert say(watch, NOW) == [("clear", "P3")]


class Office:
    """Signs what a gateway asks for, by its own clock; or does not answer."""

    def __init__(self, clock: ManualClock) -> None:
        key = certificates.new_key()
        own = certificates.authority(key, "Office", NOW - DAY, NOW + 3_650 * DAY)
        self.signer, self.clock, self.away, self.asked = Signer(certificate=own, key=key), clock, False, 0

    def issue(self) -> tuple[bytes, Issued]:
        key, now = certificates.new_key(), self.clock.wall()
        pem = self.signer.client(certificates.request(key, "hq"), "hq", now, now + 90 * DAY)
        authority = self.signer.certificate.decode()
        return key, Issued(certificate=pem.decode(), authority=authority, broker="mqtts://b:1", command_key="key")

    def renew(self, _: TrustFolder, __: Micros) -> tuple[bytes, Issued]:
        self.asked += 1
        if self.away:
            raise PeerUnreachable("office", "no answer")
        return self.issue()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def office(clock: ManualClock) -> Office:
    return Office(clock)


@pytest.fixture
def folder(tmp_path: Path, office: Office) -> TrustFolder:
    place = TrustFolder(tmp_path / "trust")
    place.prepare()
    place.begin(CODE, *office.issue())
    return place


async def look(keeper: Keeper) -> None:
    """Let the keeper look once: it is cancelled when it sleeps."""
    task = asyncio.create_task(keeper.run())
    async with asyncio.timeout(10):
        while not _sleeps(task):
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _sleeps(task: asyncio.Task[None]) -> bool:
    awaited = getattr(task.get_coro(), "cr_await", None)
    return getattr(getattr(awaited, "cr_code", None), "co_name", "") == "sleep"


async def test_the_keeper_renews_when_it_is_due(folder: TrustFolder, clock: ManualClock, office: Office) -> None:
    """Key and certificate are replaced together, and the connection after them."""
    ended: list[Life] = []
    keeper = Keeper(folder, clock, renew=office.renew)

    async def reconnect() -> None:
        ended.append(folder.life())

    keeper.reconnect = reconnect
    before = (folder.path / "gateway.pem").read_bytes()
    await look(keeper)
    assert (office.asked, (folder.path / "gateway.pem").read_bytes()) == (0, before)
    clock.advance(60 * DAY)
    await look(keeper)
    after = (folder.path / "gateway.pem").read_bytes()
    assert certificates.belong(after, after)
    assert not certificates.belong(after, before)
    assert ended == [Life(begins=NOW + 60 * DAY, ends=NOW + 150 * DAY)] == [keeper.standing.life]


async def test_an_office_that_is_away_costs_nothing_but_a_warning(
    folder: TrustFolder, clock: ManualClock, office: Office
) -> None:
    """For 30 days: the certificate stays, the problem is told at once, and it is over with the first answer."""
    keeper = Keeper(folder, clock, renew=office.renew)
    office.away = True
    before = (folder.path / "gateway.pem").read_bytes()
    clock.advance(60 * DAY)
    for _ in range(29):
        await look(keeper)
        assert "no answer" in keeper.standing.problem
        clock.advance(DAY)
    assert office.asked == 29
    assert keeper.standing.stage(clock.wall()) == "late"
    assert (folder.path / "gateway.pem").read_bytes() == before
    office.away = False
    await look(keeper)
    assert (keeper.standing.problem, keeper.standing.stage(clock.wall())) == ("", "good")


async def test_a_bad_hour_of_a_time_server_is_over_with_the_next_certificate(
    folder: TrustFolder, clock: ManualClock, office: Office
) -> None:
    """A last good time far ahead makes the certificate look old; the new one says what the time is, and all is well."""
    folder.note(NOW + 30 * 365 * DAY)
    keeper = Keeper(folder, clock, renew=office.renew)
    assert keeper.standing.stage(clock.wall()) == "over"
    for _ in range(5):
        await look(keeper)
        clock.advance(SECOND)
    assert (office.asked, keeper.standing.stage(clock.wall())) == (1, "good")
    assert Keeper(folder, clock, renew=office.renew).standing.stage(clock.wall()) == "good"


async def test_a_certificate_that_is_old_at_once_is_asked_for_ever_more_rarely(
    folder: TrustFolder, clock: ManualClock
) -> None:
    """An office whose clock is behind is not asked twice a second, nor the uplink cut as often; GW06 says why."""
    behind = Office(ManualClock(NOW - 100 * DAY))
    keeper = Keeper(folder, clock, renew=behind.renew)
    clock.advance(61 * DAY)
    for _ in range(4):
        await look(keeper)
        clock.advance(SECOND)
    assert behind.asked == 1
    assert "clock" in keeper.standing.problem
    clock.advance(2 * MINUTE)
    await look(keeper)
    assert behind.asked == 2


async def test_the_session_ends_for_the_new_certificate() -> None:
    """Only the present one, and once; without one nothing happens."""

    class Session:
        closed = 0

        async def close(self) -> None:
            self.closed += 1

    sessions = [Session(), Session()]
    left: Iterator[Session] = iter(sessions)

    async def connect(will: None = None) -> Session:
        return next(left)

    link: Renewable[None, Session] = Renewable(connect)
    await link.end()
    await link()
    await link()
    await link.end()
    await link.end()
    assert [session.closed for session in sessions] == [0, 1]


# the clock (S5)


def test_time_cannot_be_before_the_floor(folder: TrustFolder) -> None:
    """This program, our certificate and the last good clock each say that it is later; none is ever taken back."""
    assert TrustFolder(folder.path.with_name("none")).floor() == BUILT
    assert folder.floor() == NOW
    folder.note(NOW + 9 * DAY)
    folder.note(NOW + 3 * DAY)
    assert folder.floor() == NOW + 9 * DAY
    folder.note(NOW + 3_000 * DAY)
    assert folder.floor() == folder.life().ends, "one bad hour of a time server is no reason to lock us out"
    files.put(folder.path / "last-good-time", b"\xff nonsense")
    assert folder.floor() == NOW


@pytest.mark.parametrize("shown", [946_684_800 * SECOND, NOW - 1, NOW + DAY])
def test_whatever_the_clock_shows_tls_is_verified(folder: TrustFolder, shown: Micros) -> None:
    """Chain and name always; only the times are judged by the floor instead of a clock that cannot be right."""
    context = tls.for_gateway(folder, shown)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert bool(context.verify_flags & tls.NO_CHECK_TIME) == (shown < folder.floor())


def handshake(office: Office, client: ssl.SSLContext, begins: Micros, ends: Micros, folder: Path) -> None:
    """Let `client` speak to a server of the office whose certificate lasts so; in memory, without a socket."""
    key = certificates.new_key()
    (folder / "server.pem").write_bytes(key + office.signer.server(key, ["office.example"], begins, ends))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname="office.example")
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for end in (ours, theirs):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    tls._still_good(ours, NOW)  # type: ignore[arg-type] - what the socket of such a context does then


def test_at_the_year_2000_the_office_is_judged_by_the_floor(
    folder: TrustFolder, office: Office, tmp_path: Path
) -> None:
    """Good: valid at the floor, or beginning later. Refused: ended before it, or from another authority."""
    early = 946_684_800 * SECOND
    handshake(office, tls.for_gateway(folder, early), NOW - DAY, NOW + DAY, tmp_path)
    handshake(office, tls.for_gateway(folder, early), NOW + DAY, NOW + 2 * DAY, tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        handshake(office, tls.for_gateway(folder, early), NOW - 2 * DAY, NOW - DAY, tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(Office(ManualClock(NOW)), tls.for_gateway(folder, early), NOW - DAY, NOW + DAY, tmp_path)


def test_a_clock_at_2000_does_not_put_a_renewal_off(folder: TrustFolder, clock: ManualClock) -> None:
    """The floor decides: a certificate that is due stays due."""
    folder.note(NOW + 70 * DAY)
    keeper = Keeper(folder, clock)
    assert keeper.standing.stage(946_684_800 * SECOND) == "due"


# files


def test_a_damaged_folder_says_what_to_do(folder: TrustFolder) -> None:
    """Join again; and no context is made from it."""
    files.put(folder.path / "gateway.pem", b"nonsense", mode=files.PRIVATE)
    with pytest.raises(StorageError, match="sk join"):
        folder.life()
    with pytest.raises(Refused, match="tls-files"):
        tls.for_gateway(folder, NOW)


def test_a_damaged_folder_does_not_stop_the_gateway(folder: TrustFolder, clock: ManualClock) -> None:
    """It records and tells on site all the same; nothing keeps a certificate that cannot be read."""
    site = cast("Site", SimpleNamespace(id="hq", office=SimpleNamespace(trust=folder.path)))
    book = AlarmBook("hq", "e1", {})
    assert keeping.keeper(site, book, clock) is not None
    files.put(folder.path / "gateway.pem", b"nonsense", mode=files.PRIVATE)
    assert keeping.keeper(site, book, clock) is None
    assert keeping.facts(None, clock) == {}


def test_the_status_says_why_and_until_when() -> None:
    """Only while a renewal that is due fails."""
    certificate = {"stage": "due", "ends": LIFE.ends, "renewed": 0, "problem": "no answer"}
    (problem,) = keeping.problems({"certificate": certificate})
    assert (problem.code, "no answer" in problem.message) == ("certificate", True)
    assert keeping.problems({"certificate": certificate | {"stage": "good"}}) == []
    assert keeping.problems({"certificate": certificate | {"problem": ""}}) == []
    assert keeping.problems({}) == []


def test_an_open_key_is_not_used(folder: TrustFolder) -> None:
    """Somebody else may have it."""
    (folder.path / "gateway.pem").chmod(0o640)
    with pytest.raises(Refused, match="chmod 0600"):
        tls.for_gateway(folder, NOW)


@pytest.mark.parametrize(
    ("before", "done"),
    [
        ("site: {id: hq}\n", True),
        ("site: {id: hq}", True),
        ("{site: {id: hq}}\n", False),
        ("site: {id: hq}\n...\n", False),
        ("site:\n  id: |\n    hq\n", True),
    ],
)
def test_a_line_is_added_only_where_it_means_what_it_says(tmp_path: Path, before: str, done: bool) -> None:
    """Otherwise site.yaml stays as it was."""
    path = tmp_path / "site.yaml"
    path.write_text(before)
    assert _append(path, 'office: {broker: "mqtts://b:8883"}') is done
    assert (path.read_text() != before) is done


def test_site_yaml_stays_whose_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may join for the gateway's user, who has to read the file afterwards."""
    path, given = tmp_path / "site.yaml", []
    path.write_text("site: {id: hq}\n")
    path.chmod(0o640)
    monkeypatch.setattr("os.fchown", lambda _, user, group: given.append((user, group)))
    assert _append(path, 'office: {broker: "mqtts://b:8883"}')
    assert given == [(path.stat().st_uid, path.stat().st_gid)]
    assert path.stat().st_mode & 0o777 == 0o640
