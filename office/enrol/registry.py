"""Who may join and who has: `sites.json` in the office's trust folder, shared by the office and its command line.

Every change is read, decided and written under the folder's lock. A code's secret is kept as a hash alone.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import msgspec

from office import trust
from sitekeeper import files
from sitekeeper.model.clock import Micros
from sitekeeper.model.errors import StorageError

FILE: Final = "sites.json"
MAX_SITES: Final = 10_000
MAX_CERTIFICATES: Final = 64
"""Of one site that have not ended. Beyond it another is given rarely; none is forgotten: it could not be revoked."""

State = Literal["invited", "joined", "revoked", "expiring", "expired"]


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """A code that was given out: the SHA-256 of its secret, and its end."""

    digest: str
    expires: Micros


class Issue(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate of a site; `revoked`: when, or 0."""

    serial: str
    begins: Micros
    ends: Micros
    revoked: Micros = 0


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One site. joined, revoked: when it last was, or 0; certificates: those that have not ended, oldest first.

    Attributes:
        revoked_by: the user who did it; empty where that was not written down.
    """

    invitation: Invitation | None = None
    joined: Micros = 0
    revoked: Micros = 0
    revoked_by: str = ""
    certificates: tuple[Issue, ...] = ()

    @property
    def present(self) -> Issue | None:
        """Its newest certificate that is not revoked."""
        return next((issue for issue in reversed(self.certificates) if not issue.revoked), None)

    @property
    def admitted(self) -> bool:
        """Whether the broker lets it in."""
        return bool(self.joined) and not self.revoked

    def state(self, now: Micros) -> State:
        """Return what a person wants to know of it first."""
        present = self.present
        if self.revoked and self.invitation is None:
            return "revoked"
        if not self.admitted or present is None:
            return "invited" if self.invitation is not None else "expired"
        if now >= present.ends:
            return "expired"
        return "expiring" if 3 * (present.ends - now) < present.ends - present.begins else "joined"


class _File(msgspec.Struct, frozen=True, kw_only=True):
    version: Literal[1] = 1
    sites: dict[str, Member] = {}


class Registry:
    """The sites, read again whenever another process has changed their file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FILE
        self._stamp: tuple[int, int] | None = None
        self._sites: dict[str, Member] = {}

    def sites(self) -> dict[str, Member]:
        """Return all sites by id.

        Raises:
            StorageError: the file cannot be read or is damaged.
        """
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StorageError(f"{self._path}: {error.strerror}") from None
        stamp = (found.st_mtime_ns, found.st_ino)
        if stamp != self._stamp:
            self._sites, self._stamp = self._read(), stamp
        return dict(self._sites)

    def change(self, site: str, decide: Callable[[Member | None], Member | None], now: Micros) -> dict[str, Member]:
        """Let `decide` say what becomes of a site, None for nothing; return all sites as they are then.

        Raises:
            StorageError: the file cannot be read or written. Also whatever `decide` raises; nothing is changed then.
        """
        with trust.locked(self._folder):
            sites = self._read()
            fresh = decide(sites.get(site))
            if fresh is None:
                sites.pop(site, None)
            else:
                sites[site] = _tidy(fresh, now)
            if len(sites) > MAX_SITES:
                raise StorageError(f"{self._path}: more than {MAX_SITES} sites")
            content = msgspec.json.format(msgspec.json.encode(_File(sites=sites)), indent=1)
            files.put(self._path, content, mode=files.PRIVATE)
        return sites

    def _read(self) -> dict[str, Member]:
        content = files.get(self._path, private=True)
        try:
            return {} if content is None else msgspec.json.decode(content, type=_File).sites
        except msgspec.MsgspecError as error:
            raise StorageError(f"{self._path}: {error}; restore it from a backup") from None


def digest(secret: bytes) -> str:
    """Return what is kept of a code's secret: 80 random bits need no slow hash."""
    return hashlib.sha256(secret).hexdigest()


def _tidy(member: Member, now: Micros) -> Member:
    """Forget certificates that have ended, the newest one excepted: it says when the site's time was over."""
    live = [issue for issue in member.certificates[:-1] if issue.ends > now]
    return msgspec.structs.replace(member, certificates=(*live, *member.certificates[-1:]))
