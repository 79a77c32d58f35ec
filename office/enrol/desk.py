"""The enrolment desk: invites, lets join, renews, revokes. The office and its command line share it by its files.

A site has one valid way in at a time: a new code replaces the last one, joining again revokes what an earlier box had,
renewing leaves the present certificate good until it ends, so that an answer that got lost costs nothing.
"""

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from office import trust
from office.auth import Throttle
from office.enrol import broker
from office.enrol.authority import Authority
from office.enrol.registry import MAX_CERTIFICATES, Invitation, Issue, Member, Registry, digest
from office.settings import EnrolSettings, OfficeSettings
from sitekeeper import enrolment, files
from sitekeeper.enrolment import Code, Issued, Join, Renew
from sitekeeper.model.clock import HOUR, Clock, Micros
from sitekeeper.model.errors import NotFound, Refused, StorageError

CODE_LASTS: Final[Micros] = HOUR
TOLD: Final = "told.txt"
"""Which state of its files the broker was last told to read."""
JOURNAL: Final = "enrolment.log"
JOURNAL_BYTES: Final = 4 * 1024 * 1024
_NO_CODE: Final = "no such code: mistyped, used, or replaced by a newer one; ask for another: sk office site add"


@dataclass(slots=True, kw_only=True)
class Desk:
    """The desk. `open` it first.

    Attributes:
        local: by what name the office itself calls the broker; its certificate is good for that too.
    """

    settings: EnrolSettings
    folder: Path
    local: str
    clock: Clock
    authority: Authority = field(init=False)
    registry: Registry = field(init=False)
    told: str = field(default="", init=False)
    _throttle: Throttle = field(default_factory=Throttle, init=False)

    def __post_init__(self) -> None:
        self.authority, self.registry = Authority(self.folder), Registry(self.folder)

    def open(self) -> bool:
        """Make what lacks, renew what is old, tell the broker; tell whether the authority was made now.

        Raises:
            StorageError: the folder cannot be used.
        """
        made = self.authority.open(self.clock.wall())
        self.refresh()
        return made

    def refresh(self) -> bool:
        """Renew the office's own certificates if they are old; tell whether the enrolment listener's is another now."""
        now, hosts = self.clock.wall(), tuple(self.settings.hosts)
        at_broker = urlsplit(self.settings.broker_url()).hostname or hosts[0]
        listener = self.authority.own("enrol", hosts, now)
        self.authority.own("office", (), now)
        self.authority.own("broker", tuple(dict.fromkeys((at_broker, *hosts, self.local))), now)
        self.tell_broker()
        return listener

    def invite(self, site: str, lasts: Micros = CODE_LASTS) -> Code:
        """Return a code for a site, new or known; an earlier one is worthless from now on.

        Raises:
            StorageError: the file of the sites cannot be written.
        """
        now, secret = self.clock.wall(), secrets.token_bytes(enrolment.SECRET_BYTES)
        invitation = Invitation(digest=digest(secret), expires=now + lasts)
        self.registry.change(site, lambda m: msgspec.structs.replace(m or Member(), invitation=invitation), now)
        self._note("invited", site)
        mark = self.authority.facts.fingerprint[: enrolment.FINGERPRINT_BYTES]
        host, port = self.settings.hosts[0], self.settings.port
        return Code(site=site, host=host, port=port, secret=secret, fingerprint=mark)

    def join(self, asked: Join, source: str) -> Issued:
        """Let a box become the gateway of a site.

        Raises:
            Refused: `throttled`, `bad-code`, `expired-code`, or what is wrong with its request.
            StorageError: the files cannot be written; nothing was issued.
        """
        mono = self.clock.monotonic()
        if self._throttle.wait(asked.site, source, mono):
            raise _refused("throttled", "too many wrong codes from there; try again in a few minutes")
        self._throttle.failed(asked.site, source, mono)
        given, now = digest(bytes.fromhex(asked.secret)), self.clock.wall()
        certificate: list[bytes] = []

        def decide(member: Member | None) -> Member:
            invitation = member.invitation if member is not None else None
            if member is None or invitation is None or not hmac.compare_digest(invitation.digest, given):
                raise _refused("bad-code", _NO_CODE)
            if now >= invitation.expires:
                raise _refused("expired-code", "the code is too old; ask for another: sk office site add")
            certificate.append(self._issue(asked.request, asked.site, now))
            self._note("joined", asked.site, source)
            before = tuple(_revoked(issue, now) for issue in member.certificates)
            return Member(joined=now, certificates=(*before, self._entry(certificate[0])))

        self.registry.change(asked.site, decide, now)
        self._throttle.succeeded(asked.site, source)
        self._tell_broker_now_or_later()
        return self._issued(certificate[0])

    def renew(self, asked: Renew, site: str, serial: str, source: str) -> Issued:
        """Give a gateway, known by the certificate that it called with, its next one.

        Raises:
            Refused: `revoked`, `throttled`, or what is wrong with its request.
            StorageError: the files cannot be written; nothing was issued.
        """
        now = self.clock.wall()
        certificate: list[bytes] = []

        def decide(member: Member | None) -> Member:
            known = next((i for i in (member.certificates if member else ()) if i.serial == serial), None)
            if member is None or known is None or known.revoked or not member.admitted:
                raise _refused("revoked", "this certificate is good for nothing any more; join again")
            kept = self._room(member.certificates, serial, now)
            certificate.append(self._issue(asked.request, site, now))
            self._note("renewed", site, source)
            return msgspec.structs.replace(member, certificates=(*kept, self._entry(certificate[0])))

        self.registry.change(site, decide, now)
        self._tell_broker_now_or_later()
        return self._issued(certificate[0])

    def _room(self, issues: tuple[Issue, ...], own: str, now: Micros) -> tuple[Issue, ...]:
        """Return the certificates of a site with room for one more: of too many the oldest is revoked, but never `own`.

        Raises:
            Refused: `throttled`: there are many, and the newest is young.
        """
        if sum(issue.ends > now for issue in issues) < MAX_CERTIFICATES:
            return issues
        if now - issues[-1].begins < self.settings.certificates_last // MAX_CERTIFICATES:
            raise _refused("throttled", "this site has renewed too often; try again in a day or two")
        oldest = next((issue for issue in issues if not issue.revoked and issue.serial != own), None)
        return tuple(_revoked(issue, now) if issue is oldest else issue for issue in issues)

    def revoke(self, site: str, by: str = "") -> None:
        """Make a site's code and all its certificates worthless, in the name of `by`.

        Raises:
            NotFound: no such site. StorageError: the files cannot be written.
        """
        now = self.clock.wall()

        def decide(member: Member | None) -> Member:
            if member is None:
                raise NotFound(f"no site {site!r}", near=tuple(self.registry.sites())[:3])
            gone = tuple(_revoked(issue, now) for issue in member.certificates)
            fresh = member if member.revoked else msgspec.structs.replace(member, revoked=now, revoked_by=by)
            return msgspec.structs.replace(fresh, invitation=None, certificates=gone)

        self.registry.change(site, decide, now)
        self.tell_broker()
        self._note("revoked", site)

    def _note(self, what: str, site: str, source: str = "") -> None:
        """Put a line into the journal: who, what, when. One that is full is kept as the last one, so two are there."""
        by = source or f"uid {os.getuid()}"
        line = msgspec.json.encode({"at": self.clock.wall(), "what": what, "site": site, "by": by})
        path = self.folder / JOURNAL
        try:
            if path.exists() and path.stat().st_size > JOURNAL_BYTES:
                path.replace(path.with_name(f"{JOURNAL}.1"))
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, files.PRIVATE)
            with os.fdopen(descriptor, "wb") as file:
                file.write(line + b"\n")
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from None

    def _issue(self, request: str, site: str, now: Micros) -> bytes:
        return self.authority.site(request.encode(), site, now, self.settings.certificates_last)

    def _entry(self, certificate: bytes) -> Issue:
        from sitekeeper.certificates import facts

        known = facts(certificate)
        return Issue(serial=known.serial, begins=known.begins, ends=known.ends)

    def _issued(self, certificate: bytes) -> Issued:
        key = files.get(self.folder / trust.COMMAND_PUBLIC)
        if key is None:
            raise StorageError(f"{self.folder / trust.COMMAND_PUBLIC}: is not there")
        return Issued(
            certificate=certificate.decode(),
            authority=self.authority.certificate.decode(),
            broker=self.settings.broker_url(),
            command_key=key.decode(),
        )

    def _tell_broker_now_or_later(self) -> None:
        """Tell the broker after a code was used up: the box must get what it was given for it all the same."""
        try:
            self.tell_broker()
        except StorageError as error:
            self.told = f"{error}; it is tried again within the hour"

    def tell_broker(self) -> None:
        """Write the broker's files; have it read them if that changed anything. `told`: what a person must still do.

        The sites are read under the lock, so that of two processes the later one writes the later state.
        """
        folder = self.settings.broker_files(self.folder)
        with trust.locked(self.folder):
            sites, now = self.registry.sites(), self.clock.wall()
            gone = [(i.serial, i.revoked) for m in sites.values() for i in m.certificates if i.revoked and i.ends > now]
            contents = {
                "acl": broker.acl(site for site, member in sites.items() if member.admitted),
                "ca.pem": self.authority.certificate,
                "server.pem": files.get(self.folder / "broker.pem") or b"",
                "server.key": files.get(self.folder / "broker.key", private=True) or b"",
                "sitekeeper.conf": broker.conf(folder.absolute(), urlsplit(self.settings.broker_url()).port or 8883),
            }
            broker.publish(folder, contents)
            fresh = "\n".join(sorted(serial for serial, _ in gone)).encode()  # a list is never the same bytes twice
            if files.get(folder / "revoked.txt") != fresh or files.get(folder / "revoked.pem") is None:
                broker.publish(folder, {"revoked.pem": self.authority.revocations(gone, now)})
                broker.publish(folder, {"revoked.txt": fresh})
        mark = hashlib.sha256(b"\0".join((*contents.values(), fresh))).hexdigest().encode()
        if files.get(folder / TOLD) != mark:
            self.told = broker.reload(self.settings.broker_pid_file)
            broker.publish(folder, {TOLD: mark})  # last: after a death before it the broker is told once more


def desk_of(settings: OfficeSettings, clock: Clock) -> Desk:
    """Return the desk of an office that has one.

    Raises:
        Refused: its settings have no section `enrol`.
    """
    if settings.enrol is None:
        raise _refused("no-enrol", "office.yaml has no section `enrol`")
    folder = settings.enrol.trust_folder(Path(settings.store.path))
    return Desk(settings=settings.enrol, folder=folder, local=settings.broker.host, clock=clock)


def _revoked(issue: Issue, now: Micros) -> Issue:
    return issue if issue.revoked else msgspec.structs.replace(issue, revoked=now)


def _refused(reason: str, detail: str) -> Refused:
    return Refused(reason, detail)
