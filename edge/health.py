"""What the daemon knows of its own state, for `sk status`: facts from the parts, and which of them need a person."""

from dataclasses import dataclass
from typing import Final

from sitekeeper.control import Problem
from sitekeeper.model.clock import MINUTE, SECOND, Micros

SILENT: Final[Micros] = 15 * SECOND
"""Receipts come every second or two: without one for so long, while blocks wait, the office does not receive."""
AWAY: Final[Micros] = 10 * SECOND
"""A connection that broke comes back within 5 s, if the way is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is looked at. Times are ages in microseconds; None stands for never.

    Attributes:
        office: state of the uplink in a word; `none` for a site that has no office.
        revoked: the broker says that this site's certificate is revoked.
        nobody: the broker says that nobody listens there.
        volatile: blocks of alarms that were told from memory and are not on the disk.
        silent_devices: those that were asked and do not answer.
    """

    clock_trusted: bool
    writer_error: str
    volatile: int
    office: str
    receipt_age: Micros | None
    unsent: int
    silent_devices: tuple[str, ...]
    unacked: int
    uptime: Micros
    nobody: bool = False
    revoked: bool = False


def problems(facts: Facts) -> list[Problem]:
    """Return what needs a person, worst first, each with the next command."""
    found = []
    if facts.writer_error:
        found.append(Problem("writer", f"the outbox cannot write: {facts.writer_error}", "df -h; sk sync status"))
    if facts.volatile:
        found.append(Problem("volatile", f"alarms told that are not on the disk: {facts.volatile}", "df -h; sk status"))
    if facts.unacked:
        found.append(Problem("alarms", f"alarms to acknowledge: {facts.unacked}", "sk alarm list"))
    found += [Problem("device", f"{d} does not answer", f"sk device show {d}") for d in facts.silent_devices]
    if facts.revoked:
        message = "the office has revoked this site; a new code is needed: at the office `sk office site add ID`"
        found.append(Problem("office", message, "sk join CODE"))
    elif unreceived(facts.office, facts.receipt_age, facts.unsent, facts.uptime, nobody=facts.nobody):
        since = "since the start" if facts.receipt_age is None else f"for {facts.receipt_age // SECOND} s"
        listens = ", nobody listens at the broker" if facts.nobody else ""
        message = f"{facts.office}{listens}, without a receipt {since}; blocks that wait: {facts.unsent}"
        found.append(Problem("office", message, "sk sync status"))
    if not facts.clock_trusted:
        found.append(Problem("clock", "the wall clock is not synchronised", "timedatectl"))
    return found


def unreceived(office: str, age: Micros | None, unsent: int, uptime: Micros, *, nobody: bool = False) -> bool:
    """Tell whether the office does not receive what waits for it; a gateway gets a minute for its first receipt.

    Args:
        office: state of the uplink. age: of the last receipt; None if there was none since the start.
        unsent: blocks that wait. nobody: the broker says that nobody listens.
    """
    if office == "none" or not unsent:
        return False
    if age is None:
        return uptime > MINUTE
    return nobody or age >= (AWAY if office == "connecting" else SILENT)
