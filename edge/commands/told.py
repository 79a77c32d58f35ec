"""What came of commands: recorded as events and audit rows, answered to who waits, remembered by key."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Final, Protocol

from edge.commands.audit import WRITE, AuditRow, encode
from edge.commands.claims import Claim
from edge.commands.desk import Result
from sitekeeper.model.clock import Clock, Moment
from sitekeeper.model.errors import Refused, StorageError
from sitekeeper.model.sample import Value
from sitekeeper.profile import value_text

REMEMBERED: Final = 1_024
"""Idempotency keys kept; the oldest go first."""


class Record(Protocol):
    """Makes an event durable with its audit row and states; raises StorageError: `edge.pipeline.Pipeline.told`."""

    def __call__(
        self, source_id: str, fields: Mapping[str, Value], *, audit: bytes, state: Mapping[str, bytes | None]
    ) -> "Future[None]": ...


class Told:
    """The account of all commands of one site.

    Args:
        known: earlier commands by key (`audit.commands`).
    """

    def __init__(self, record: Record, clock: Clock, known: Mapping[str, AuditRow]) -> None:
        self.counts: Counter[str] = Counter()
        self._record, self._clock = record, clock
        self._known: OrderedDict[str, tuple[str, Result]] = OrderedDict(
            (key, (f"{row.target}={row.value}", _result(row))) for key, row in known.items()
        )
        self._open: dict[str, asyncio.Future[Result]] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def again(self, key: str, wanted: str) -> "asyncio.Future[Result]":
        """Return the first answer to a key that is known.

        Raises:
            Refused: `key-reused`, it came with something else; or what it was refused with.
        """
        before, result = self._known[key]
        if before != wanted:
            raise Refused("key-reused", f"{key} came with {before} before")
        if key in self._open:
            return self._open[key]
        if result.outcome == "refused":
            raise Refused(result.reason, result.detail)
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        answer.set_result(result)
        return answer

    def remember(self, key: str, wanted: str, result: Result) -> None:
        """Know a key from now on."""
        self._known[key] = (wanted, result)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def expect(self, key: str) -> "asyncio.Future[Result]":
        """Return where the outcome of a command will be told, which is the same for all who ask."""
        if key not in self._open:
            self._open[key] = asyncio.get_running_loop().create_future()
        return self._open[key]

    def answer(self, key: str, result: Result) -> None:
        """Answer who waits for a command, if somebody does and this is its outcome."""
        if result.outcome != "accepted" and (answer := self._open.pop(key, None)) is not None:
            if key in self._known:  # a person's: nobody comes again with what the gateway did of its own
                self.remember(key, self._known[key][0], result)
            if not answer.done():
                answer.set_result(result)

    def record(
        self, point_id: str, claim: Claim, result: Result, state: Mapping[str, bytes | None]
    ) -> "Future[None] | None":
        """Record what came of a claim, with states to be saved with it; None if the store does not take it."""
        self.counts[result.outcome] += 1
        now, (device, _, point) = self.now(), point_id.partition("/")
        fields: dict[str, Value] = {
            "id": claim.id, "point": point, "value": value_text(claim.value), "priority": claim.priority,
            "by": claim.by, "outcome": result.outcome, "reason": result.reason,
        }  # fmt: skip
        row = AuditRow(
            now.wall, now.trusted, claim.by, claim.role, claim.origin, WRITE, point_id, result.outcome,
            claim.note, claim.id, value_text(claim.value), result.reason,
        )  # fmt: skip
        try:
            return self._record(f"{device}/command", fields, audit=encode(row), state=state)
        except StorageError:
            self.counts["unrecorded"] += 1
            return None

    def now(self) -> Moment:
        """Return the present moment."""
        return Moment(wall=self._clock.wall(), mono=self._clock.monotonic(), trusted=self._clock.trusted())


def _result(row: AuditRow) -> Result:
    if row.outcome == "accepted":
        return Result("unconfirmed", "gateway-restarted")
    return Result(row.outcome, row.reason)  # type: ignore[arg-type]
