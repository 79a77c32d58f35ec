"""What the daemon knows of its own state, for `sk status`: facts from the parts, and which of them need a person."""

from dataclasses import dataclass

from sitekeeper.control import Problem
from sitekeeper.model.clock import MINUTE, Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is looked at. Times are ages in microseconds; None stands for never.

    Attributes:
        office: state of the uplink in a word; `none` for a site that has no office.
        silent_devices: those that were asked and do not answer.
    """

    clock_trusted: bool
    writer_error: str
    office: str
    receipt_age: Micros | None
    unsent: int
    silent_devices: tuple[str, ...]
    unacked: int
    uptime: Micros


def problems(facts: Facts) -> list[Problem]:
    """Return what needs a person, worst first, each with the next command."""
    found = []
    if facts.writer_error:
        found.append(Problem("writer", f"the outbox cannot write: {facts.writer_error}", "df -h; sk sync status"))
    if facts.unacked:
        found.append(Problem("alarms", f"alarms to acknowledge: {facts.unacked}", "sk alarm list"))
    found += [Problem("device", f"{d} does not answer", f"sk device show {d}") for d in facts.silent_devices]
    heard = facts.receipt_age is not None and facts.receipt_age < 2 * MINUTE
    if facts.unsent and facts.office != "none" and not heard and facts.uptime > MINUTE:
        since = "since the start" if facts.receipt_age is None else "for 2 min or more"
        message = f"{facts.office}, without a receipt {since}; blocks that wait: {facts.unsent}"
        found.append(Problem("office", message, "sk sync status"))
    if not facts.clock_trusted:
        found.append(Problem("clock", "the wall clock is not synchronised", "timedatectl"))
    return found
