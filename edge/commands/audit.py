"""One row of the audit: who asked for what, from where, and what came of it. The outbox chains the rows by hash.

Rows are JSON, so that they can be read without us; their fields have a fixed order, so equal rows are equal bytes.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from sitekeeper.model.clock import Micros, Moment
from sitekeeper.model.command import Role
from sitekeeper.model.errors import FormatError

DONE: Final = "done"


class AuditRow(msgspec.Struct, frozen=True):
    """One attempt.

    Attributes:
        at: wall time; trusted: whether the clock was synchronised then.
        outcome: `done`, or the reason of the refusal (a stable word such as `not-permitted`); of a write, what came of
            it (`sitekeeper.model.command.Outcome`), a row for each step, with its own `reason`.
        note: what the person said or entered. ack_id: the idempotency key, if it came with one.
        value: what was to be written.
    """

    at: Micros
    trusted: bool
    user: str
    role: Role
    origin: str
    operation: str
    target: str
    outcome: str = ""
    note: str = ""
    ack_id: str = ""
    value: str = ""
    reason: str = ""


WRITE: Final = "write"
"""The operation of a row about a command."""

FOLD: Final = "audit.fold"
"""The operation of a row that says that the oldest rows were folded away: `target` is the last of them, `value` its
hash, and `reason` is `unheld` where the office has not confirmed them."""
_FOLD: Final = FOLD.encode()

_decoder = msgspec.json.Decoder(AuditRow)


def encode(row: AuditRow) -> bytes:
    """Return the row as it is stored and hashed."""
    return msgspec.json.encode(row)


def decode(record: bytes) -> AuditRow:
    """Return the row in `record`.

    Raises:
        FormatError: not an audit row.
    """
    try:
        return _decoder.decode(record)
    except msgspec.DecodeError as error:
        msg = f"not an audit row: {error}"
        raise FormatError(msg) from error


def fold(now: Moment, upto: int, hash_: bytes, *, held: bool) -> bytes:
    """Return the row that says that the rows up to `upto`, which has this hash, are folded away."""
    row = AuditRow(
        now.wall, now.trusted, "sitekeeper", "linkage", "site", FOLD, str(upto), DONE, value=hash_.hex(),
        reason="" if held else "unheld",
    )  # fmt: skip
    return encode(row)


def is_fold(record: bytes, upto: int, hash_: bytes) -> bool:
    """Tell whether a record is the row that says that the rows up to `upto` are folded away."""
    if _FOLD not in record:  # before it is decoded: there may be a million rows
        return False
    try:
        row = decode(record)
    except FormatError:
        return False
    return (row.operation, row.target, row.value) == (FOLD, str(upto), hash_.hex())


def outcomes(records: Iterable[bytes]) -> dict[str, str]:
    """Return what came of each acknowledgement's key in `records`, oldest first; for a door after a restart.

    Raises:
        FormatError: as `decode`.
    """
    return {row.ack_id: row.outcome for row in map(decode, records) if row.ack_id and row.operation != WRITE}


def commands(records: Iterable[bytes]) -> dict[str, AuditRow]:
    """Return the first outcome of each person's command in `records` by its key; if it has none yet, its acceptance.

    Raises:
        FormatError: as `decode`.
    """
    found: dict[str, AuditRow] = {}
    for row in map(decode, records):
        if (
            row.operation == WRITE
            and row.role != "linkage"
            and row.ack_id
            and found.get(row.ack_id, row).outcome == "accepted"
        ):
            found[row.ack_id] = row
    return found
