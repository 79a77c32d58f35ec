"""Who may use the console: accounts in a file, sessions in memory, and patience with wrong passwords.

Passwords are kept as scrypt hashes (RFC 7914) in a file that only the office's user may read. A session is known by
a random token, of which the office keeps the hash alone; it ends with the process, with its account, with a change of
its password, and when it was idle for too long.
"""

import hashlib
import hmac
import os
import re
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

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
MAX_TROUBLED: Final = 10_000
"""(account, source) pairs remembered; beyond it the oldest are forgotten."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One account as the file has it; `salt` and `key` in hex."""

    role: ConsoleRole
    salt: str
    key: str
    cost: tuple[int, int, int]


class _File(msgspec.Struct, frozen=True, kw_only=True):
    version: Literal[1] = 1
    users: dict[str, Account] = {}


class Users:
    """The accounts, read again whenever another process (`sk office user`) has changed their file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = 0
        self._users: dict[str, Account] = {}

    def put(self, name: str, role: ConsoleRole) -> str:
        """Make or change an account; return its new password.

        Raises:
            Refused: `usage`, not a name. StorageError: the file cannot be written.
        """
        if not _NAME.fullmatch(name):
            reason = "usage"
            raise Refused(reason, f"{name!r}: a name has 1 to 64 letters, digits, dots, underscores and hyphens")
        self._refresh()
        password = new_password()
        salt = secrets.token_bytes(16)
        key = _derive(password, salt, COST)
        self._write(self._users | {name: Account(role=role, salt=salt.hex(), key=key.hex(), cost=COST)})
        return password

    def remove(self, name: str) -> None:
        """Remove an account; its sessions end.

        Raises:
            NotFound: there is no such account. StorageError: the file cannot be written.
        """
        self._refresh()
        if name not in self._users:
            raise NotFound(f"no account {name!r}", near=tuple(self._users)[:3])
        self._write({known: account for known, account in self._users.items() if known != name})

    def all(self) -> dict[str, Account]:
        """Return the accounts by name."""
        self._refresh()
        return dict(self._users)

    def find(self, name: str) -> Account | None:
        """Return the account as it stands now."""
        self._refresh()
        return self._users.get(name)

    def _refresh(self) -> None:
        try:
            stamp = self._path.stat().st_mtime_ns if self._path.exists() else 0
            if stamp == self._stamp:
                return
            self._users = msgspec.json.decode(self._path.read_bytes(), type=_File).users if stamp else {}
            self._stamp = stamp
        except (OSError, msgspec.MsgspecError) as error:
            raise StorageError(f"accounts of the console, {self._path}: {error}") from None

    def _write(self, users: dict[str, Account]) -> None:
        fresh = self._path.with_name(f"{self._path.name}.new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(_File(users=users))))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError as error:
            raise StorageError(f"accounts of the console, {self._path}: {error}") from None
        self._users = users
        self._stamp = self._path.stat().st_mtime_ns


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
    """One browser that has logged in.

    Attributes:
        csrf: what its forms must carry. key: the account's at login, so that a changed password ends the session.
        begun, used: monotonic.
    """

    user: str
    role: ConsoleRole
    csrf: str
    key: str
    begun: Micros
    used: Micros


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
            user=user, role=account.role, csrf=secrets.token_urlsafe(32), key=account.key, begun=now, used=now
        )
        return token

    def find(self, token: str, now: Micros) -> Session | None:
        """Return the session if it still stands, with the role that its account has now."""
        digest = _digest(token)
        session = self._sessions.get(digest)
        if session is None:
            return None
        account = self._users.find(session.user)
        over = now - session.used > IDLE or now - session.begun > LONGEST
        if over or account is None or account.key != session.key:
            del self._sessions[digest]
            return None
        session.role, session.used = account.role, now
        self._sessions.move_to_end(digest)
        return session

    def end(self, token: str) -> None:
        """End a session."""
        self._sessions.pop(_digest(token), None)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class Throttle:
    """Makes guessing slow: after five wrong passwords for one account from one place, each costs twice the wait."""

    def __init__(self) -> None:
        self._failed: OrderedDict[tuple[str, str], tuple[int, Micros]] = OrderedDict()  # how often, free again at

    def wait(self, account: str, source: str, now: Micros) -> Micros:
        """Return how long this place must wait before it may try this account; 0 if it may now."""
        return max(self._failed.get((account, source), (0, 0))[1] - now, 0)

    def failed(self, account: str, source: str, now: Micros) -> None:
        """Note a wrong password, or one that is being tried: to be taken back by `succeeded`."""
        times = self._failed.pop((account, source), (0, 0))[0] + 1
        pause = 0 if times < FREE_TRIES else min(SECOND << min(times - FREE_TRIES, 20), LONGEST_WAIT)
        while len(self._failed) >= MAX_TROUBLED:
            self._failed.popitem(last=False)
        self._failed[account, source] = (times, now + pause)

    def succeeded(self, account: str, source: str) -> None:
        """Forget what went wrong before."""
        self._failed.pop((account, source), None)
