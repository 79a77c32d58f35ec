"""The log book of tests of emergency lighting: rows of the audit, what they say, and how they are read again."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from edge.commands.audit import AuditRow, decode, encode
from edge.commands.lamp_tests import Found
from sitekeeper.model.clock import Moment
from sitekeeper.model.command import Actor
from sitekeeper.model.sample import Value

RESULT: Final = "lighting.result"
"""The operation of a row about what came of one lamp's test: `outcome` is that, `value` the kind."""
ASKED: Final = "lighting.test"
"""That of a row about a person who starts the tests of a plan."""
ITSELF: Final = "emergency tests"
"""The operator of a test that the gateway began by itself."""

_RESULT: Final = RESULT.encode()


def fields(found: Found) -> dict[str, Value]:
    """Return the fields of the lamp's event."""
    return {"kind": found.kind, "result": found.result, "minutes": found.minutes, "battery": found.battery}


def result(found: Found, at: Moment) -> bytes:
    """Return the row about what came of one lamp's test."""
    battery = "" if found.battery is None else f", battery {found.battery:g} %"
    row = AuditRow(
        at.wall, at.trusted, found.who or ITSELF, "linkage", "site", RESULT, found.lamp, found.result,
        note=f"{found.minutes:g} min{battery}", value=found.kind,
    )  # fmt: skip
    return encode(row)


def asked(plan: str, kind: str, actor: Actor, outcome: str, at: Moment) -> bytes:
    """Return the row about a person who starts the tests of a plan, or may not."""
    row = AuditRow(at.wall, at.trusted, actor.name, actor.role, actor.origin, ASKED, plan, outcome, value=kind)
    return encode(row)


def entries(records: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the lines of the log book among audit rows; `at` is wall time.

    Raises:
        FormatError: not an audit row.
    """
    for record in records:
        if _RESULT in record and (row := decode(record)).operation == RESULT:
            yield {
                "at": row.at, "lamp": row.target, "kind": row.value, "result": row.outcome, "found": row.note,
                "operator": row.user,
            }  # fmt: skip
