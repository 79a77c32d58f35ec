"""Who may use the console: accounts in a file, sessions in memory, and patience with wrong passwords.

Passwords are kept as scrypt hashes (RFC 7914) in a file that only the office's user may read. A session is known by
a random token, of which the office keeps the hash alone; it ends with the process, with its account, with a change of
its password, and when it was idle for too long. Programs have bearer tokens (RFC 6750) instead, each with a name and a
role; the file holds their hashes.
"""

import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from office import trust
from sitekeeper import files
from sitekeeper.model.clock import DAY, HOUR, SECOND, Micros
from sitekeeper.model.errors import NotFound, Refused, StorageError

ConsoleRole = Literal["viewer", "operator", "admin"]
RANK: Final[dict[ConsoleRole, int]] = {"viewer": 0, "operator": 1, "admin": 2}
FIRST_USER: Final = "admin"

COST: Final = (2**14, 8, 5)
"""scrypt's N, r and p: 16 MB and about 0.2 s, as OWASP's password storage page advises for N = 2^14."""
MAX_PASSWORD: Final = 256
"""Characters; longer ones are wrong without being hashed."""
_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""No letter that is read as another."""
_NAME: Final = re.compile(r"[\w.-]{1,64}")

IDLE: Final[Micros] = 12 * HOUR
LONGEST: Final[Micros] = 7 * DAY
MAX_SESSIONS: Final = 1_000
"""Of all users; beyond it the one that was idle longest ends."""

FREE_TRIES: Final = 5
LONGEST_WAIT: Final[Micros] = 300 * SECOND
SOURCE_TRIES: Final = 20
"""Wrong passwords from one place, whatever the account: more is one password tried on many names."""
SOURCE_WAIT: Final[Micros] = 30 * SECOND
"""The longest wait of a place as a whole; short, because a company may stand behind one address."""
SOURCE_FORGET: Final[Micros] = HOUR
MAX_TROUBLED: Final = 10_000
"""(account, source) pairs remembered; beyond it the oldest are forgotten."""

TOKEN_MARK: Final = "sitekeeper_"  # noqa: S105 - by which scanners for leaked secrets find one


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One account as the file has it; `salt` and `key` in hex. `sites`: those it may see; None for all.

    `security`: whether it may know of what only security may: alarms of duress.
    """

    role: ConsoleRole
    salt: str
    key: str
    cost: tuple[int, int, int]
    sites: tuple[str, ...] | None = None
    security: bool = False


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A bearer token as the file has it. `digest` is its SHA-256: 256 random bits need no slow hash.

    `sites`: those it may see; None for all. `security`: as of an account.
    """

    role: ConsoleRole
    digest: str
    sites: tuple[str, ...] | None = None
    security: bool = False


class _File(msgspec.Struct, frozen=True, kw_only=True):
    version: Literal[1] = 1
    users: dict[str, Account] = {}
    tokens: dict[str, Token] = {}


class Users:
    """The accounts, read again whenever another process (`sk office user`) has changed their file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._file = _File()

    def put(self, name: str, role: ConsoleRole, sites: Sequence[str] | None = None, *, security: bool = False) -> str:
        """Make or change an account, which sees these sites, or without `sites` all; return its new password.

        Raises:
            Refused: `usage`, not a name. StorageError: the file cannot be written.
        """
        _check_name(name)
        password = new_password()
        salt = secrets.token_bytes(16)
        key = _derive(password, salt, COST)
        account = Account(role=role, salt=salt.hex(), key=key.hex(), cost=COST, sites=_sites(sites), security=security)
        with self._held():
            self._write(self._file.users | {name: account}, self._file.tokens)
        return password

    def remove(self, name: str) -> None:
        """Remove an account; its sessions end.

        Raises:
            NotFound: there is no such account. StorageError: the file cannot be written.
        """
        with self._held():
            users = self._file.users
            if name not in users:
                raise NotFound(f"no account {name!r}", near=tuple(users)[:3])
            self._write({known: account for known, account in users.items() if known != name}, self._file.tokens)

    def all(self) -> dict[str, Account]:
        """Return the accounts by name."""
        self._refresh()
        return dict(self._file.users)

    def find(self, name: str) -> Account | None:
        """Return the account as it stands now."""
        self._refresh()
        return self._file.users.get(name)

    def add_token(
        self, name: str, role: ConsoleRole, sites: Sequence[str] | None = None, *, security: bool = False
    ) -> str:
        """Make a bearer token for a program, which sees these sites, or without `sites` all; it is returned only here.

        Raises:
            Refused: `usage`, not a name; `exists`, a token has it already. StorageError: the file cannot be written.
        """
        _check_name(name)
        token = TOKEN_MARK + secrets.token_urlsafe(32)
        made = Token(role=role, digest=_digest(token), sites=_sites(sites), security=security)
        with self._held():
            if name in self._file.tokens:
                reason = "exists"
                raise Refused(reason, f"there is a token {name!r}; revoke it first, or take another name")
            self._write(self._file.users, self._file.tokens | {name: made})
        return token

    def revoke_token(self, name: str) -> None:
        """Make a token worthless.

        Raises:
            NotFound: there is no such token. StorageError: the file cannot be written.
        """
        with self._held():
            tokens = self._file.tokens
            if name not in tokens:
                raise NotFound(f"no token {name!r}", near=tuple(tokens)[:3])
            self._write(self._file.users, {known: token for known, token in tokens.items() if known != name})

    def tokens(self) -> dict[str, Token]:
        """Return the tokens by name."""
        self._refresh()
        return dict(self._file.tokens)

    def bearer(self, token: str) -> "Session | None":
        """Return what a program with this token may do; None if nobody has it."""
        self._refresh()
        digest = _digest(token)
        for name, known in self._file.tokens.items():
            if hmac.compare_digest(known.digest, digest):
                sites = None if known.sites is None else frozenset(known.sites)
                return Session(
                    user=f"token {name}", role=known.role, csrf="", key=digest, begun=0, used=0, bearer=True,
                    sites=sites, security=known.security,
                )  # fmt: skip
        return None

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Hold the file against other processes that change it: what one of them revokes the other must not restore."""
        files.folder(self._path.parent, mode=0o755)
        with trust.locked(self._path.parent):
            self._refresh()
            yield

    def _refresh(self) -> None:
        try:
            found = self._path.stat() if self._path.exists() else None
            stamp = (found.st_mtime_ns, found.st_ino) if found is not None else None
            if stamp == self._stamp:
                return
            self._file = msgspec.json.decode(self._path.read_bytes(), type=_File) if stamp else _File()
            self._stamp = stamp
        except (OSError, msgspec.MsgspecError) as error:
            raise StorageError(f"accounts of the console, {self._path}: {error}") from None

    def _write(self, users: dict[str, Account], tokens: dict[str, Token]) -> None:
        content = _File(users=users, tokens=tokens)
        files.put(self._path, msgspec.json.format(msgspec.json.encode(content)), mode=files.PRIVATE)
        self._refresh()


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        reason = "usage"
        raise Refused(reason, f"{name!r}: a name has 1 to 64 letters, digits, dots, underscores and hyphens")


def _sites(sites: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if sites is None else tuple(sorted(set(sites)))


def new_password() -> str:
    """Return a password of 16 letters and digits, 79 bits, in groups that can be read aloud."""
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(16))
    return "-".join(letters[start : start + 4] for start in range(0, 16, 4))


def matches(account: Account | None, password: str) -> bool:
    """Tell whether the password is right; blocks for 0.2 s, and as long for an account that does not exist."""
    known = account or Account(role="viewer", salt="00" * 16, key="00" * 32, cost=COST)
    given = _derive(password[:MAX_PASSWORD], bytes.fromhex(known.salt), known.cost)
    same = hmac.compare_digest(given, bytes.fromhex(known.key))
    return same and account is not None and len(password) <= MAX_PASSWORD


def _derive(password: str, salt: bytes, cost: tuple[int, int, int]) -> bytes:
    n, r, p = cost
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=256 * n * r + 2**20, dklen=32)


@dataclass(slots=True, kw_only=True)
class Session:
    """One browser that has logged in, or for one request a program with a bearer token.

    Attributes:
        csrf: what its forms must carry. key: the account's at login, so that a changed password ends the session.
        begun, used: monotonic. bearer: no browser sends the token by itself, so nothing needs `csrf`.
        sites: those it may see; None for all. security: whether it may know of what only security may.
    """

    user: str
    role: ConsoleRole
    csrf: str
    key: str
    begun: Micros
    used: Micros
    bearer: bool = False
    sites: frozenset[str] | None = None
    security: bool = False

    def sees(self, site: str) -> bool:
        """Tell whether it may know that this site exists."""
        return self.sites is None or site in self.sites


class Sessions:
    """The sessions of all browsers, by the hash of their token."""

    def __init__(self, users: Users) -> None:
        self._users = users
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def begin(self, user: str, account: Account, now: Micros) -> str:
        """Begin a session; return the token for its cookie."""
        token = secrets.token_urlsafe(32)
        while len(self._sessions) >= MAX_SESSIONS:
            self._sessions.popitem(last=False)
        self._sessions[_digest(token)] = Session(
            user=user,
            role=account.role,
            csrf=secrets.token_urlsafe(32),
            key=account.key,
            begun=now,
            used=now,
            sites=None if account.sites is None else frozenset(account.sites),
            security=account.security,
        )
        return token

    def find(self, token: str, now: Micros) -> Session | None:
        """Return the session if it still stands: with other rights whoever it is logs in again."""
        digest = _digest(token)
        session = self._sessions.get(digest)
        if session is None:
            return None
        account = self._users.find(session.user)
        over = now - session.used > IDLE or now - session.begun > LONGEST
        if over or account is None or account.key != session.key or not _same_rights(account, session):
            del self._sessions[digest]
            return None
        session.used = now
        self._sessions.move_to_end(digest)
        return session

    def end(self, token: str) -> None:
        """End a session."""
        self._sessions.pop(_digest(token), None)


def _same_rights(account: Account, session: Session) -> bool:
    sites = None if account.sites is None else frozenset(account.sites)
    return (account.role, sites, account.security) == (session.role, session.sites, session.security)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class Throttle:
    """Makes guessing slow: after five wrong passwords for one account from one place, each costs twice the wait.

    After twenty from one place for any accounts, that place as a whole waits too, until it was quiet for an hour.
    """

    def __init__(self) -> None:
        # By (account or None for all, source): how often, free again at.
        self._failed: OrderedDict[tuple[str | None, str], tuple[int, Micros]] = OrderedDict()

    def wait(self, account: str, source: str, now: Micros) -> Micros:
        """Return how long this place must wait before it may try this account; 0 if it may now."""
        return max(*(self._failed.get((each, source), (0, 0))[1] - now for each in (account, None)), 0)

    def failed(self, account: str, source: str, now: Micros) -> None:
        """Note a wrong password, or one that is being tried: to be taken back by `succeeded`."""
        self._note(account, source, now, FREE_TRIES, LONGEST_WAIT)
        times, free = self._failed.get((None, source), (0, 0))
        if times and now - free > SOURCE_FORGET:
            del self._failed[None, source]
        self._note(None, source, now, SOURCE_TRIES, SOURCE_WAIT)

    def succeeded(self, account: str, source: str) -> None:
        """Forget what went wrong before for this account; of the place only this try, or one own account would pay."""
        self._failed.pop((account, source), None)
        times, free = self._failed.pop((None, source), (0, 0))
        if times > 1:
            self._failed[None, source] = (times - 1, free)

    def _note(self, account: str | None, source: str, now: Micros, tries: int, longest: Micros) -> None:
        times = self._failed.pop((account, source), (0, 0))[0] + 1
        pause = 0 if times < tries else min(SECOND << min(times - tries, 20), longest)
        while len(self._failed) >= MAX_TROUBLED:
            self._failed.popitem(last=False)
        self._failed[account, source] = (times, now + pause)
