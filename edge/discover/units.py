"""Finding Modbus units: which to ask what, and what their answers mean. Pure.

Each unit is read once: one register from address 0, with function 3 unless another is chosen. It is the request that
most devices know; those that do not refuse it, which is an answer too. Nothing is written, and nothing that could count
as a command is sent (MODBUS Application Protocol V1.1b3, 6.3; 6.21 for the identification).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from drivers.modbus.options import RtuLink, TcpLink
from drivers.modbus.request import EXCEPTIONS
from edge.discover.steps import Step
from sitekeeper.model.clock import MS, SECOND
from sitekeeper.model.errors import DeviceRefused, FieldError, LinkDown

Table = Literal["holding", "input", "coil", "discrete"]
STRANGERS: Final = (247, 211, 173)
"""Units where hardly anything is. A server that answers at all of them answers for any unit."""
ABSENT: Final = frozenset({10, 11})
"""Exceptions by which a gateway says that nobody is behind it."""
WAYS: Final = (
    (9600, "8N1"), (9600, "8E1"), (19200, "8E1"), (19200, "8N1"), (38400, "8N1"), (38400, "8E1"), (115200, "8N1"),
    (4800, "8N1"), (9600, "8N2"), (57600, "8N1"), (2400, "8N1"),
)  # fmt: skip
"""Rates and framings of a serial line, the most usual ones first; 19200 8E1 is the standard's own."""
QUIET: Final = 100 * MS
"""Silence on a serial line after a failure: longer than a late answer of one register is under way."""

Label = Literal["vendor", "product", "revision"]
LABELS: Final[dict[int, Label]] = {0: "vendor", 1: "product", 2: "revision"}
"""Objects of the basic identification (6.21, table of device identification categories)."""


@dataclass(slots=True)
class Unit:
    """What one unit said: `data` of the register, or the error in its place; and what it calls itself."""

    unit: int
    data: bytes = b""
    error: FieldError | None = None
    identity: dict[Label, str] = field(default_factory=dict)
    jammed: bool = False

    @property
    def exception(self) -> int | None:
        return self.error.exception_code if isinstance(self.error, DeviceRefused) else None

    @property
    def state(self) -> str:
        """`answers`, `refused` (it is there), `absent` (a gateway says so), `wrong`, `silent` or `unreachable`."""
        if self.error is None:
            return "answers"
        if self.exception is not None:
            return "absent" if self.exception in ABSENT else "refused"
        if self.error.raw:
            return "wrong"
        return "unreachable" if isinstance(self.error, LinkDown) else "silent"

    @property
    def said(self) -> tuple[bytes, int | None]:
        """What it answered, to be compared with what others did."""
        return self.data, self.exception


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the answers come to. `any_unit`: it answers for every unit; `absent`: the exception of units not there."""

    there: list[Unit]
    any_unit: bool = False
    absent: int | None = None
    missing: int = 0


def judge(strangers: Sequence[Unit], asked: Sequence[Unit]) -> Verdict:
    """Say which of the units `asked` are there, in the light of what `strangers` answered."""
    spoke = [each for each in strangers if each.state in {"answers", "refused"}]
    everybody = len(strangers) >= len(STRANGERS) and len(spoke) == len(strangers)
    there = [each for each in asked if each.state in {"answers", "refused", "wrong"}]
    if everybody and all(each.state == "answers" for each in spoke):
        return Verdict(there[:1] or spoke[:1], any_unit=True)
    if everybody and len({each.exception for each in spoke}) == 1:
        code = spoke[0].exception
        real = [each for each in there if each.exception != code]
        return Verdict(real, absent=code, missing=len(there) - len(real))
    return Verdict(there)


def exceptions(units: Sequence[Unit]) -> Counter[int]:
    """Count the exceptions that units gave."""
    return Counter(each.exception for each in units if each.exception is not None)


def meaning(code: int) -> str:
    """Return an exception in words."""
    return EXCEPTIONS.get(code, "not in the standard")


# --- the identification


def ask_identity(transaction: int, unit: int) -> bytes:
    """Return the request for the basic identification of a unit, as Modbus TCP frames it."""
    return transaction.to_bytes(2) + b"\0\0\0\5" + bytes([unit, 0x2B, 0x0E, 1, 0])


def identity(pdu: bytes) -> dict[Label, str]:
    """Return what an answer says, from its function on; empty if it is none, or says nothing that can be read."""
    if len(pdu) < 7 or pdu[:2] != b"\x2b\x0e":
        return {}
    found, at = dict[Label, str](), 7
    for _ in range(pdu[6]):
        if at + 2 > len(pdu) or at + 2 + pdu[at + 1] > len(pdu):
            break
        number, content = pdu[at], pdu[at + 2 : at + 2 + pdu[at + 1]]
        words = "".join(char if char.isprintable() else " " for char in content.decode("utf-8", "replace")).strip()
        if number in LABELS and words:
            found[LABELS[number]] = words
        at += 2 + len(content)
    return found


# --- what is going to be sent


def tcp_steps(link: TcpLink, units: Sequence[int], table: Table) -> list[Step]:
    """Return what a search of a Modbus TCP endpoint sends."""
    wait = link.timeout / SECOND
    request = {"holding": "FC03", "input": "FC04", "coil": "FC01", "discrete": "FC02"}[table] + " 0 x 1"
    told = {"endpoint": link.endpoint, "units": len(units), "request": request, "timeout": f"{wait:g}"}
    strangers = [unit for unit in STRANGERS if unit not in units]
    names = ", ".join(map(str, STRANGERS))
    return [
        Step("strangers", wait * (len(strangers) + 1), {"units": names}),
        Step("units", wait * (len(units) + 1), told),
        Step("identify", IDENTITIES, {}),
    ]


IDENTITIES: Final = 30.0
"""Seconds for all identifications."""


def ways(baud: int | None, framing: str | None) -> list[tuple[int, str]]:
    """Return the rates and framings to try, with those that were given."""
    if baud and framing:
        return [(baud, framing)]
    return [way for way in WAYS if baud in (None, way[0]) and framing in (None, way[1])] or [
        (baud or 9600, framing or "8N1")
    ]


def rtu_link(port: str, way: tuple[int, str], timeout: str) -> RtuLink:
    """Return the line, opened in one way; raises ValidationError."""
    given = {"port": port, "baudrate": way[0], "framing": way[1], "timeout": timeout, "quiet": "100ms"}
    return RtuLink.model_validate(given)


def rtu_seconds(link: RtuLink, units: int) -> float:
    """Return for how long a search of so many units takes at most in one way: a time-out and two silences each."""
    return units * (link.timeout + 3 * QUIET) / SECOND + 1


def serial_steps(links: Sequence[RtuLink], units: Sequence[int]) -> list[Step]:
    """Return what a search of a serial line sends."""
    names = ", ".join(f"{link.baudrate} {link.framing}" for link in links)
    seconds = sum(rtu_seconds(link, len(units)) for link in links)
    told = {"port": links[0].port, "units": len(units), "ways": names, "request": "FC03 0 x 1"}
    return [Step("serial", seconds, told)]
