"""The folder that `sk join` fills and the gateway keeps: who we are to the office, and who the office is to us.

gateway.pem         our private key and certificate in one file, 0600, so that both are replaced at once
ca.pem              the office's authority
office-command.pub  the key of the office's commands
office.json         the site, and where to renew
last-good-time      the latest time at which the clock was known to be right, RFC 3339
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from sitekeeper import files
from sitekeeper.certificates import facts
from sitekeeper.enrolment import Code, Issued
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.errors import FormatError, StorageError

GATEWAY: Final = "gateway.pem"
CA: Final = "ca.pem"
COMMAND_KEY: Final = "office-command.pub"
OFFICE: Final = "office.json"
GOOD_TIME: Final = "last-good-time"

BUILT: Final[Micros] = 1_795_392_000 * SECOND
"""23 November 2026: no copy of this program has run before that."""


class OfficeAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where the office lets sites join and renew, and as which site we did."""

    site: str
    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """From when until when our certificate is good."""

    begins: Micros
    ends: Micros


class TrustFolder:
    """The folder at `path`. All methods raise StorageError where a file cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def joined(self) -> bool:
        """Tell whether a box has joined with this folder."""
        return (self.path / GATEWAY).exists()

    def office(self) -> OfficeAddress:
        """Return where to renew."""
        content = files.get(self.path / OFFICE)
        try:
            return msgspec.json.decode(content or b"", type=OfficeAddress)
        except msgspec.MsgspecError as error:
            raise self._join_again(OFFICE, str(error)) from None

    def life(self) -> Life:
        """Return the life of the present certificate."""
        content = files.get(self.path / GATEWAY, private=True)
        try:
            known = facts(content or b"")
        except FormatError as error:
            raise self._join_again(GATEWAY, str(error)) from None
        return Life(begins=known.begins, ends=known.ends)

    def keep(self, key: bytes, issued: Issued) -> None:
        """Put a new key and what the office gave for it in the place of the old ones; the pair last, and at once.

        The new certificate says what the time is. What our own clock was believed to show before may be a lie of a time
        server, and is forgotten.
        """
        files.put(self.path / CA, issued.authority.encode())
        files.put(self.path / COMMAND_KEY, issued.command_key.encode())
        files.put(self.path / GATEWAY, key + issued.certificate.encode(), mode=files.PRIVATE)
        files.drop(self.path / GOOD_TIME)

    def prepare(self) -> None:
        """Make the folder, and find out whether it can be written."""
        files.folder(self.path)
        probe = self.path / ".probe"
        files.put(probe, b"")
        probe.unlink()

    def begin(self, code: Code, key: bytes, issued: Issued) -> None:
        """Keep what joining gave, and whom we joined."""
        address = OfficeAddress(site=code.site, host=code.host, port=code.port)
        files.put(self.path / OFFICE, msgspec.json.encode(address))
        self.keep(key, issued)

    def floor(self) -> Micros:
        """Return the time before which it cannot be now: by this program, our certificate, the last good clock.

        Of a clock that was trusted and far ahead no more is believed than our certificate lasts, or one bad hour of a
        time server would lock us out for ever.
        """
        if not self.joined():
            return BUILT
        life = self.life()
        return max(BUILT, life.begins, min(self._good_time(), life.ends))

    def note(self, now: Micros) -> None:
        """Keep a time of a clock that was known to be right; an earlier one than we have changes nothing."""
        if now > self._good_time():
            files.put(self.path / GOOD_TIME, datetime.fromtimestamp(now // SECOND, UTC).isoformat().encode())

    def _good_time(self) -> Micros:
        try:
            written = datetime.fromisoformat(
                (files.get(self.path / GOOD_TIME) or b"1970-01-01T00:00:00+00:00").decode()
            )
            return int(written.timestamp()) * SECOND
        except (ValueError, OverflowError):
            return 0  # damaged: the other two still hold

    def _join_again(self, name: str, why: str) -> StorageError:
        return StorageError(f"{self.path / name}: {why}; restore it, or join again: sk join CODE")
