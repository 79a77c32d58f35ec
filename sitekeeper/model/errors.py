"""Every error that crosses a room's border. One class per thing that a caller does differently.

SitekeeperError
├── ConfigError          the files must be changed; carries every fault with its place
├── FieldError           something between us and a device; carries device, endpoint, request, last good time
│   ├── LinkDown         the whole link is gone: reconnect with back-off
│   ├── DeviceSilent     no answer in time: back off this device, others go on
│   ├── DeviceRefused    the device answered with an exception: the point is bad, the device is fine
│   └── ReplyMismatch    an answer that does not belong to the request: never a value
├── FormatError          bytes that are not what they claim to be: quarantine
│   └── FormatTooNew     a format from a newer version: quarantine and say so
├── StorageError         the disk failed, is full, or a commit has an unknown outcome
├── Refused              a command or acknowledgement that may not be done; carries a named reason
├── NotFound             the thing named does not exist; carries near misses
└── PeerUnreachable      broker, office or daemon does not answer
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from sitekeeper.model.clock import SECOND, Micros


class SitekeeperError(Exception):
    """Root of all errors of ours."""


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One mistake in a file that a person wrote.

    Attributes:
        file, line, column: place, 1-based; line 0 means the file as a whole.
        code: stable name, for example `unknown-key`.
        message: what is wrong and what was expected, naming the offending text.
        hint: the remedy, often "did you mean ..."; may be empty.
    """

    file: str
    line: int
    column: int
    code: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.message} [{self.code}]" + (f"; {self.hint}" if self.hint else "")


class ConfigError(SitekeeperError):
    """What people wrote cannot be used. Carries every fault found, sorted by place."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = sorted(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class FieldError(SitekeeperError):
    """A fault between us and a device, with everything a technician needs on one line.

    Attributes:
        device: device id, or empty when the whole link is meant.
        endpoint: `tcp 10.1.3.41:502 unit 1`, as the technician would type it.
        request: what was asked, for example `FC04 address 0 count 32`.
        raw: bytes of the answer in hex, if there were any.
        count: how often in a row, this time included.
        last_good: wall time of the last good answer; None if there was none since the start.
    """

    def __init__(
        self,
        what: str,
        *,
        endpoint: str,
        device: str = "",
        request: str = "",
        raw: bytes = b"",
        count: int = 1,
        last_good: Micros | None = None,
    ) -> None:
        self.what = what
        self.endpoint = endpoint
        self.device = device
        self.request = request
        self.raw = raw
        self.count = count
        self.last_good = last_good
        super().__init__(what)

    def __str__(self) -> str:
        parts = [self.device, self.endpoint, self.request, self.what]
        if self.raw:
            parts.append(f"raw {self.raw.hex(' ')}")
        if self.count > 1:
            parts.append(f"{self.count} times in a row")
        if self.last_good is not None:
            good = datetime.fromtimestamp(self.last_good // SECOND, UTC)
            parts.append(f"last good {good.isoformat().replace('+00:00', 'Z')}")
        return ": ".join(part for part in parts if part)


class LinkDown(FieldError):
    """The whole link failed: nothing on it can be read until it is open again."""


class DeviceSilent(FieldError):
    """No answer in time."""


class DeviceRefused(FieldError):
    """The device answered with an exception code."""

    def __init__(self, what: str, *, exception_code: int, endpoint: str, device: str = "", request: str = "") -> None:
        super().__init__(what, endpoint=endpoint, device=device, request=request)
        self.exception_code = exception_code


class ReplyMismatch(FieldError):
    """An answer that does not belong to the request: wrong unit, function, length or identity."""


class FormatError(SitekeeperError):
    """Bytes that are not what they claim to be."""


class FormatTooNew(FormatError):
    """A format of a newer version than this one understands."""


class StorageError(SitekeeperError):
    """The store could not do it, or its outcome is unknown. `unknown` tells which.

    Attributes:
        damaged: what was read is not what was written; reading it again is of no use.
        refused: the store works, and cannot hold this content; writing it again is of no use.
    """

    damaged = False

    def __init__(self, what: str, *, unknown: bool = False, refused: bool = False) -> None:
        super().__init__(what)
        self.unknown = unknown
        self.refused = refused


class Refused(SitekeeperError):
    """May not be done. `reason` is a stable word that catalogues translate."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class NotFound(SitekeeperError):
    """The thing named does not exist here."""

    def __init__(self, what: str, *, near: tuple[str, ...] = ()) -> None:
        super().__init__(what + (f"; did you mean {', '.join(near)}?" if near else ""))
        self.near = near


class PeerUnreachable(SitekeeperError):
    """Broker, office or daemon does not answer at `where`."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")
        self.where = where
