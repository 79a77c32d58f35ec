"""Fakes for the notify worker: a push log in memory, a channel that does what it is told, a clock tied to nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

import pytest
from msgspec.structs import replace

from cloud_sync.store.base import Chatter, Digest, Push
from office.notify.bundles import Bundles
from office.notify.channels import Answer, Message
from office.notify.stages import Case, Roundup, step_of
from sitekeeper.model.alarm import AlarmState, Cause, Transition


def transition(
    cause: Cause = Cause.RAISE, *, key: str = "hq/lift-a1/L01", number: int = 1, **fields: object
) -> Transition:
    values = {
        "occurrence": f"{key}@e1-{number}",
        "key": key,
        "rule": key.rpartition("/")[2],
        "source": AlarmState.NORMAL,
        "target": AlarmState.UNACKED,
        "cause": cause,
        "priority": "P1",
        "at": 1_800_000_000_000_000,
        "mono": 5,
        "latched": True,
    }
    return Transition(**{**values, **fields})


def case(number: int = 1, **fields: object) -> Case:
    moved = transition(number=number)
    return Case(number=number, transition=moved, event_id=moved.occurrence, **fields)


class MemoryLog:
    """A push log that keeps what the store keeps, each call its own transaction."""

    def __init__(self, cases: Sequence[Case] = ()) -> None:
        self.cases = {c.event_id: c for c in cases}
        self.decisions: dict[int, str] = {}
        self.rows: dict[int, Push] = {}

    def states(self) -> list[str]:
        return [row.state for row in self.rows.values()]

    async def undecided(self) -> AsyncIterator[Case]:
        await asyncio.sleep(0)
        for case in [c for c in self.cases.values() if c.number not in self.decisions]:
            yield case

    async def decide(
        self, case: Case, decision: str, rows: Sequence[Push], chatter: Chatter | None = None
    ) -> list[int]:
        await asyncio.sleep(0)
        assert case.number not in self.decisions, "decided twice"
        self.decisions[case.number] = decision
        return [self._put(row) for row in rows]

    async def tell(self, digest: Digest, rows: Sequence[Push]) -> list[int]:
        await asyncio.sleep(0)
        return [self._put(row) for row in rows]

    async def case(self, row: Push) -> Case | None:
        await asyncio.sleep(0)
        return self.cases.get(row.event_id)

    async def numbered(self, number: int) -> Case | None:
        return next((case for case in self.cases.values() if case.number == number), None)

    async def step(self, occurrence: str, event: str) -> Case | None:
        before, step = step_of(event)
        case = self.cases.get(before)
        return None if case is None else replace(case, event_id=event, step=step)

    async def roundup(self, digest: Digest) -> Roundup | None:
        return None

    async def bundles(self, now: int) -> Bundles:
        return Bundles()

    async def unanswered(self, priorities: Iterable[str], now: int) -> list[Case]:
        return []

    async def unfinished(self) -> list[Push]:
        await asyncio.sleep(0)
        return [row for row in self.rows.values() if row.state in {"planned", "sending"}]

    async def save(self, row: Push) -> int:
        await asyncio.sleep(0)
        return self._put(row)

    def _put(self, row: Push) -> int:
        number = row.id or len(self.rows) + 1
        self.rows[number] = replace(row, id=number)
        return number


class ScriptedChannel:
    """Answers by script, then accepts; remembers every message."""

    recipient = "desk"

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.sent: list[Message] = []
        self.gate: asyncio.Event | None = None
        self.inside = self.most_inside = 0

    async def send(self, message: Message) -> Answer:
        self.sent.append(message)
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            if self.gate is not None:
                await self.gate.wait()
            await asyncio.sleep(0)
        finally:
            self.inside -= 1
        return self.answers.pop(0) if self.answers else Answer("accepted", "200 OK")

    async def close(self) -> None:
        return


async def compose(case: Case, channel: str, row: Push) -> Message:
    await asyncio.sleep(0)
    moved = case.transition
    return Message(
        event_id=case.event_id, occurrence=moved.occurrence, site="hq", device="lift-a1", rule=moved.rule,
        priority="P1", cause=moved.cause, at=moved.at, title="t", body="b", values={}, attempt=row.attempt,
        possible_repeat=row.possible_repeat,
    )  # fmt: skip


async def until(condition: Callable[[], bool], turns: int = 5_000) -> None:
    """Let the loop turn until `condition` holds; no time passes."""
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0)
    pytest.fail("it never happened")
