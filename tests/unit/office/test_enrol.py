"""The enrolment desk without a network: codes, certificates, revoking, what the broker is told, the office's gate."""

import os
from pathlib import Path

import pytest

from cloud_sync.session import Delivery
from office.enrol import broker
from office.enrol.authority import OWN_LASTS, Authority
from office.enrol.desk import Desk, desk_of
from office.enrol.gate import KICK_EVERY, Gate
from office.enrol.registry import MAX_CERTIFICATES
from office.settings import EnrolSettings, OfficeSettings, load
from office.trust import command_key
from sitekeeper import certificates
from sitekeeper.enrolment import Issued, Join, Renew
from sitekeeper.model.clock import DAY, HOUR, SECOND, ManualClock
from sitekeeper.model.errors import ConfigError, NotFound, PeerUnreachable, Refused, StorageError

SOURCE = "192.0.2.1"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_795_435_200 * SECOND)


@pytest.fixture
def desk(tmp_path: Path, clock: ManualClock) -> Desk:
    desk = Desk(settings=EnrolSettings(hosts=["office.example"]), folder=tmp_path / "trust", local="h", clock=clock)
    assert desk.open()
    return desk


def request(site: str) -> str:
    return certificates.request(certificates.new_key(), site).decode()


def join(desk: Desk, site: str = "hq") -> Issued:
    code = desk.invite(site)
    return desk.join(Join(site=site, secret=code.secret.hex(), request=request(site)), SOURCE)


def serial(issued: Issued) -> str:
    return certificates.facts(issued.certificate.encode()).serial


def state(desk: Desk, site: str = "hq") -> str:
    return desk.registry.sites()[site].state(desk.clock.wall())


def test_a_code_works_once_and_for_an_hour(desk: Desk, clock: ManualClock) -> None:
    """Used, replaced by a newer one, or old, it is refused; nothing about the site changes by trying."""
    first, code = desk.invite("hq"), desk.invite("hq")
    asked = Join(site="hq", secret=code.secret.hex(), request=request("hq"))
    with pytest.raises(Refused, match="bad-code"):
        desk.join(Join(site="hq", secret=first.secret.hex(), request=request("hq")), SOURCE)
    assert state(desk) == "invited"
    desk.join(asked, SOURCE)
    assert state(desk) == "joined"
    with pytest.raises(Refused, match="bad-code"):
        desk.join(asked, SOURCE)
    late = desk.invite("hq")
    clock.advance(HOUR)
    with pytest.raises(Refused, match="expired-code"):
        desk.join(Join(site="hq", secret=late.secret.hex(), request=request("hq")), SOURCE)


def test_a_request_that_is_refused_does_not_use_the_code_up(desk: Desk) -> None:
    """A box that asked for the wrong name may ask again."""
    code = desk.invite("hq")
    with pytest.raises(Refused, match="wrong-name"):
        desk.join(Join(site="hq", secret=code.secret.hex(), request=request("annex")), SOURCE)
    desk.join(Join(site="hq", secret=code.secret.hex(), request=request("hq")), SOURCE)


def test_a_disk_that_fails_does_not_use_the_code_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was issued and the code is still good; or the box has its certificate, and the broker hears later."""
    code = desk.invite("hq")
    asked = Join(site="hq", secret=code.secret.hex(), request=request("hq"))
    journal = desk.folder / "enrolment.log"
    journal.unlink()
    journal.mkdir()
    with pytest.raises(StorageError):
        desk.join(asked, SOURCE)
    journal.rmdir()

    def full(*_: object) -> bool:
        raise StorageError("broker/acl: no space left")

    monkeypatch.setattr(broker, "publish", full)
    assert desk.join(asked, SOURCE).certificate
    assert "no space left" in desk.told
    monkeypatch.undo()
    desk.refresh()
    assert b"user hq" in (desk.folder / "broker/acl").read_bytes()


def test_of_a_code_only_the_hash_is_kept(desk: Desk) -> None:
    """What lies in the folder does not let anybody join."""
    code = desk.invite("hq")
    kept = b"".join(path.read_bytes() for path in desk.folder.rglob("*") if path.is_file())
    assert code.secret not in kept
    assert code.secret.hex().encode() not in kept


def test_what_the_box_gets_fits_together(desk: Desk, clock: ManualClock) -> None:
    """Its certificate is the authority's work, lasts 90 days, and the key of commands is the office's own."""
    issued = join(desk)
    facts = certificates.facts(issued.certificate.encode())
    assert facts.name == "hq"
    assert facts.ends == clock.wall() + 90 * DAY
    assert facts.begins < clock.wall()
    assert issued.authority.encode() == desk.authority.certificate
    assert issued.broker == "mqtts://office.example:8883"
    assert issued.command_key.encode() == certificates.signing_public(command_key(desk.folder).read_bytes())


def test_renewing_leaves_the_present_certificate_good(desk: Desk) -> None:
    """An answer that got lost costs nothing: the same box asks again with what it has."""
    issued = join(desk)
    for _ in range(2):
        desk.renew(Renew(request=request("hq")), "hq", serial(issued), SOURCE)
    newest = desk.renew(Renew(request=request("hq")), "hq", serial(issued), SOURCE)
    assert desk.registry.sites()["hq"].present.serial == serial(newest)  # type: ignore[union-attr]
    assert (desk.folder / "broker/revoked.txt").read_text() == ""


def test_joining_again_revokes_what_the_old_box_had(desk: Desk) -> None:
    """It renews no more, stands in the broker's list, and the new one is in."""
    old, new = join(desk), join(desk)
    with pytest.raises(Refused, match="revoked"):
        desk.renew(Renew(request=request("hq")), "hq", serial(old), SOURCE)
    desk.renew(Renew(request=request("hq")), "hq", serial(new), SOURCE)
    assert (desk.folder / "broker/revoked.txt").read_text() == serial(old)


def test_no_certificate_slips_out_of_sight(desk: Desk, clock: ManualClock) -> None:
    """Who has a box's key and renews over and over gets few, is not shut out by it, and all are revoked at last."""
    own, asked = serial(join(desk)), Renew(request=request("hq"))
    issued = {own}
    for _ in range(3 * MAX_CERTIFICATES):
        clock.advance(HOUR)
        try:
            issued.add(serial(desk.renew(asked, "hq", own, SOURCE)))
        except Refused as refused:
            assert refused.reason == "throttled"  # noqa: PT017 - it is not always refused
    assert MAX_CERTIFICATES <= len(issued) < MAX_CERTIFICATES + 6
    clock.advance(2 * DAY)
    issued.add(serial(desk.renew(asked, "hq", own, SOURCE)))  # as a box whose disk takes it at last
    join(desk)
    listed = set((desk.folder / "broker/revoked.txt").read_text().split())
    assert issued == listed


def test_a_revoked_site_is_out_everywhere(desk: Desk) -> None:
    """No renewal, no code, no line in the access list; a new code makes it whole again."""
    issued = join(desk)
    join(desk, "annex")
    desk.invite("hq")
    desk.revoke("hq")
    assert state(desk) == "revoked"
    assert b"user hq" not in (desk.folder / "broker/acl").read_bytes()
    assert b"user annex" in (desk.folder / "broker/acl").read_bytes()
    with pytest.raises(Refused, match="revoked"):
        desk.renew(Renew(request=request("hq")), "hq", serial(issued), SOURCE)
    join(desk)
    assert state(desk) == "joined"
    assert b"user hq" in (desk.folder / "broker/acl").read_bytes()
    with pytest.raises(NotFound):
        desk.revoke("nowhere")


def test_a_certificate_of_one_site_renews_no_other(desk: Desk) -> None:
    """The serial must be the site's own."""
    issued = join(desk)
    join(desk, "annex")
    with pytest.raises(Refused, match="revoked"):
        desk.renew(Renew(request=request("annex")), "annex", serial(issued), SOURCE)


def test_the_state_follows_the_life_of_the_certificate(desk: Desk, clock: ManualClock) -> None:
    """From a third left on it expires, for a person to see; at its end it has."""
    join(desk)
    clock.advance(59 * DAY)
    assert state(desk) == "joined"
    clock.advance(2 * DAY)
    assert state(desk) == "expiring"
    clock.advance(30 * DAY)
    assert state(desk) == "expired"


def test_two_processes_see_each_other(desk: Desk, clock: ManualClock) -> None:
    """The office hears of what its command line did, and neither undoes the other's."""
    other = Desk(settings=desk.settings, folder=desk.folder, local="h", clock=clock)
    assert not other.open()
    join(desk)
    join(other, "annex")
    assert set(desk.registry.sites()) == {"hq", "annex"}
    other.revoke("hq")
    desk.tell_broker()
    assert b"user hq" not in (desk.folder / "broker/acl").read_bytes()


def test_a_death_before_the_broker_was_told_is_made_good(
    desk: Desk, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files say that a site is revoked, and nobody has it read them: the next start does, and that once."""

    def killed(_: str | None) -> str:
        raise KeyboardInterrupt

    join(desk)
    monkeypatch.setattr(broker, "reload", killed)
    with pytest.raises(KeyboardInterrupt):
        desk.revoke("hq")
    told: list[str | None] = []
    monkeypatch.setattr(broker, "reload", lambda path: told.append(path) or "")
    for _ in range(2):
        Desk(settings=desk.settings, folder=desk.folder, local="h", clock=clock).open()
        assert len(told) == 1


def test_each_step_is_in_the_journal(desk: Desk) -> None:
    """Who, what, for which site; nothing secret."""
    issued = join(desk)
    desk.renew(Renew(request=request("hq")), "hq", serial(issued), SOURCE)
    desk.revoke("hq")
    lines = (desk.folder / "enrolment.log").read_text().splitlines()
    assert [line.partition('"what":"')[2].partition('"')[0] for line in lines] == [
        "invited",
        "joined",
        "renewed",
        "revoked",
    ]
    assert f'"by":"{SOURCE}"' in lines[1]
    assert f'"by":"uid {os.getuid()}"' in lines[3]


def test_the_office_s_own_certificates_stay_young(desk: Desk, clock: ManualClock) -> None:
    """At two thirds of their life they are made anew, and copied to the broker; before that they stay."""
    before = (desk.folder / "enrol.pem").read_bytes()
    desk.refresh()
    assert (desk.folder / "enrol.pem").read_bytes() == before
    clock.advance(OWN_LASTS * 2 // 3 + HOUR)
    assert desk.refresh()
    assert (desk.folder / "enrol.pem").read_bytes() != before
    assert (desk.folder / "broker/server.pem").read_bytes() == (desk.folder / "broker.pem").read_bytes()


def test_what_a_death_left_half_made_is_made_anew(desk: Desk, clock: ManualClock) -> None:
    """A new key beside the old certificate, no certificate, no authority's certificate beside its key."""
    for name in ("enrol.key", "broker.key"):
        (desk.folder / name).write_bytes(certificates.new_key())
    (desk.folder / "office.pem").unlink()
    assert desk.refresh()
    for key, certificate in (("enrol.key", "enrol.pem"), ("broker/server.key", "broker/server.pem")):
        assert certificates.belong((desk.folder / certificate).read_bytes(), (desk.folder / key).read_bytes())
    assert (desk.folder / "office.pem").exists()
    (desk.folder / "ca.pem").unlink()
    Authority(desk.folder).open(clock.wall())
    assert certificates.belong((desk.folder / "ca.pem").read_bytes(), (desk.folder / "ca.key").read_bytes())


def test_a_lost_or_open_key_stops_the_office(desk: Desk, clock: ManualClock) -> None:
    """It never makes a second authority beside a certificate that sites already trust."""
    key = desk.folder / "ca.key"
    key.chmod(0o640)
    with pytest.raises(StorageError, match="chmod"):
        Authority(desk.folder).open(clock.wall())
    key.unlink()
    with pytest.raises(StorageError, match="backup"):
        Authority(desk.folder).open(clock.wall())


def test_the_access_list_names_every_site_alone() -> None:
    """mosquitto's own words: a user, what it writes, what it reads."""
    assert broker.acl(["hq", "annex"]).decode().split("\n\n")[1:] == [
        "user annex\ntopic write sitekeeper/1/annex/up/#\ntopic read sitekeeper/1/annex/down/#",
        "user hq\ntopic write sitekeeper/1/hq/up/#\ntopic read sitekeeper/1/hq/down/#\n",
    ]


def test_only_a_mosquitto_is_told_to_reload(tmp_path: Path) -> None:
    """A number that belongs to somebody else, as after a restart of the machine, is left alone."""
    pid = tmp_path / "pid"
    assert "reload" in broker.reload(None)
    for content in (str(os.getpid()), "1", "0", "-1", "x", ""):
        pid.write_text(content)
        assert "reload" in broker.reload(str(pid)), content
    assert "reload" in broker.reload(str(tmp_path / "none"))


class Sessions:
    """Notes under which names somebody connected."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def connect_as(self, name: str):
        async def connect(will: object = None):
            self.names.append(name)
            raise PeerUnreachable("broker", "not here")

        return connect


async def test_the_gate_passes_over_the_revoked(clock: ManualClock) -> None:
    """And has them disconnected: once when they are revoked, and again while they are still heard."""
    sessions = Sessions()
    gate = Gate(clock, sessions.connect_as)
    assert gate.passes("sitekeeper/1/hq/up/samples")
    assert gate.seen == {"hq": clock.wall()}
    assert gate.revoked(frozenset({"hq"}))
    assert not gate.revoked(frozenset({"hq"}))
    assert not gate.passes("sitekeeper/1/hq/up/samples")
    assert gate.passes("sitekeeper/1/hq2/up/samples")
    assert gate.passes("else")
    await gate.kick()
    await gate.kick()
    assert not gate.passes("sitekeeper/1/hq/up/samples")
    await gate.kick()
    assert sessions.names == ["sitekeeper-hq"]
    clock.advance(KICK_EVERY)
    assert not gate.passes("sitekeeper/1/hq/up/samples")
    await gate.kick()
    assert sessions.names == ["sitekeeper-hq"] * 2
    gate.revoked(frozenset())
    assert gate.passes("sitekeeper/1/hq/up/samples")


async def test_a_broker_that_is_away_does_not_keep_the_gate_from_hearing_who_is_revoked(clock: ManualClock) -> None:
    """Each call to it takes seconds: one in a round, then it is looked again who is revoked."""
    sessions = Sessions()
    gate = Gate(clock, sessions.connect_as)
    gate.revoked(frozenset(f"site-{number}" for number in range(9)))
    await gate.kick()
    assert len(sessions.names) == 1
    for _ in range(9):
        await gate.kick()
    assert len(set(sessions.names)) == 9


async def test_a_guarded_session_hands_on_what_passes(clock: ManualClock) -> None:
    """What a revoked site says is acknowledged to the broker, so that it does not come again."""

    class Session:
        protocol = "5"

        def __init__(self) -> None:
            topics = ["sitekeeper/1/gone/up/alarms", "sitekeeper/1/hq/up/alarms"]
            self.left = [Delivery(topic=t, payload=b"", retained=False, mid=n, qos=1) for n, t in enumerate(topics)]
            self.acked: list[int] = []

        async def receive(self) -> Delivery:
            return self.left.pop(0)

        def ack(self, delivery: Delivery) -> None:
            self.acked.append(delivery.mid)

    inner = Session()

    async def connect(will: object = None):
        return inner

    gate = Gate(clock, Sessions().connect_as)
    gate.revoked(frozenset({"gone"}))
    session = await gate.guard(connect)()  # type: ignore[arg-type]
    assert (await session.receive()).topic == "sitekeeper/1/hq/up/alarms"
    assert (inner.acked, gate.ignored, session.protocol) == ([0], 1, "5")


def test_settings_of_enrolment(tmp_path: Path) -> None:
    """Files that are not named are the office's own; a broker without TLS is no broker for certificates."""
    base = "store: {path: /srv/office.db}\nbroker: {host: h, port: 8883, tls: true}\n"
    path = tmp_path / "office.yaml"
    path.write_text(base + "enrol: {hosts: [office.example]}\n")
    settings = load(path)
    assert settings.own_broker().ca_file == "/srv/trust/ca.pem"
    assert settings.own_broker().cert_file == settings.own_broker().key_file == "/srv/trust/office.pem"
    path.write_text(base + "enrol: {hosts: [office.example], broker: 'mqtt://office.example'}\n")
    with pytest.raises(ConfigError, match="mqtts"):
        load(path)
    path.write_text(base + "enrol: {host: h}\n")
    with pytest.raises(ConfigError, match="hosts"):
        load(path)


def test_an_office_without_enrolment_has_no_desk(clock: ManualClock) -> None:
    """And calls its broker as it is told to."""
    settings = OfficeSettings.model_validate({"store": {"path": "x"}, "broker": {"host": "h", "tls": True}})
    with pytest.raises(Refused, match="no-enrol"):
        desk_of(settings, clock)
    assert settings.own_broker().ca_file is None
