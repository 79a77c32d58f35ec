"""What the daemon knows of its own state, for `sk status`: facts from the parts, and which of them need a person."""

from dataclasses import dataclass
from typing import Final

from sitekeeper.control import Problem
from sitekeeper.model.clock import MINUTE, SECOND, Micros
from sitekeeper.texts import text

SILENT: Final[Micros] = 15 * SECOND
"""Receipts come every second or two: without one for so long, while blocks wait, the office does not receive."""
AWAY: Final[Micros] = 10 * SECOND
"""A connection that broke comes back within 5 s, if the way is there."""
TWIN: Final[Micros] = 10 * MINUTE
"""Two gateways with one name take the connection from each other at least each quarter of a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is looked at. Times are ages in microseconds; None stands for never.

    Attributes:
        office: state of the uplink in a word; `none` for a site that has no office.
        revoked: the broker says that this site's certificate is revoked.
        nobody: the broker says that nobody listens there.
        volatile: blocks of alarms that were told from memory and are not on the disk.
        silent_devices: those that were asked and do not answer.
        taken_over: since another one with our name took the connection. boot: ours, by which the office knows the two.
        audit_stands: None before it was looked at. audit_kept, audit_most: its rows, and how many there may be.
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
    taken_over: Micros | None = None
    boot: str = ""
    audit_stands: bool | None = None
    audit_kept: int = 0
    audit_most: int = 0


def problems(facts: Facts) -> list[Problem]:
    """Return what needs a person, worst first, each with the next command."""
    found = []
    if facts.writer_error:
        found.append(problem("writer", "writer", "df -h; sk sync status", error=facts.writer_error))
    if facts.volatile:
        found.append(problem("volatile", "volatile", "df -h; sk status", count=facts.volatile))
    if facts.unacked:
        found.append(problem("alarms", "alarms", "sk alarm list", count=facts.unacked))
    found += [problem("device", "device", f"sk device show {d}", device=d) for d in facts.silent_devices]
    found += [*_office(facts), *_audit(facts)]
    if not facts.clock_trusted:
        found.append(problem("clock", "clock", "timedatectl"))
    return found


def problem(code: str, said: str, hint: str, **fields: object) -> Problem:
    """Return a problem whose sentence is the text `cli.status.problem-<said>`, here in English."""
    key = f"cli.status.problem-{said}"
    return Problem(code, text(key, "en", **fields), hint, key, fields)


def twins(age: Micros | None) -> bool:
    """Tell whether another gateway with our name is about: it took our connection so long ago; None: it never did."""
    return age is not None and age < TWIN


def _office(facts: Facts) -> list[Problem]:
    if facts.revoked:
        return [problem("office", "revoked", "sk join CODE")]
    found = [problem("twin", "twin", "sk doctor", boot=facts.boot)] if twins(facts.taken_over) else []
    if unreceived(facts.office, facts.receipt_age, facts.unsent, facts.uptime, nobody=facts.nobody):
        said = "nobody" if facts.nobody else "never" if facts.receipt_age is None else "unreceived"
        fields = {"state": facts.office, "unsent": facts.unsent, "age": (facts.receipt_age or 0) // SECOND}
        found.append(problem("office", said, "sk sync status", **fields))
    return found


def _audit(facts: Facts) -> list[Problem]:
    if facts.audit_stands is False:
        return [problem("audit", "audit-broken", "sk audit verify")]
    if facts.audit_kept * 10 >= facts.audit_most * 8 > 0:
        return [problem("audit", "audit-full", "sk audit verify", rows=facts.audit_kept, most=facts.audit_most)]
    return []


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
