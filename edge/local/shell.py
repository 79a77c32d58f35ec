"""Local targets at work: alarms and the office's state in; claims on outputs, signed posts and their record out.

An output is claimed at the priority of security, for a while each time, and given up as soon as nobody need be told any
more. Posts of one target go one after another, what waits for it in one. What came of each is an event
`gateway/told`, except of alarms that only some may know of: there is no trace of those but what must survive a restart.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from itertools import groupby
from typing import Any, Final, Protocol

import msgspec

from edge.local.machine import AT_ONCE, LocalTargets, Send, first
from edge.local.plan import LocalPlan, Post
from edge.own import DEVICE
from sitekeeper.catalogue import Catalogue
from sitekeeper.model.alarm import AlarmRecord, split_key
from sitekeeper.model.clock import SECOND, Clock, Micros, Moment
from sitekeeper.model.command import Write
from sitekeeper.model.errors import StorageError
from sitekeeper.model.sample import Value

PREFIX: Final = "~local/"
"""Where what targets were told is among the saved states."""

LOOK: Final[Micros] = SECOND
"""How often it is looked whether somebody is to be told, while some alarm waits for it."""

REST: Final[Micros] = 5 * SECOND
"""How often the office is looked for otherwise."""

ENDING: Final[Micros] = 10 * SECOND
"""How long an output that is over is held at what ends it."""

SCHEMA: Final = "sitekeeper.local/1"

Posting = Callable[[Post, bytes, int], Awaitable[str]]
"""`edge.local.webhook.post`."""


class Office(Protocol):
    """How the office stands."""

    def __call__(self) -> tuple[bool, int]:
        """Return (it is connected, it has all blocks of the alarms stream up to this one)."""


class Hands(Protocol):
    """What is needed of the commander."""

    def able(self, write: Write) -> bool: ...

    def hold(self, by: str, write: Write, until: Micros | None = None) -> None: ...

    def give_up(self, by: str) -> None: ...


class Records(Protocol):
    """What is needed of the pipeline; both raise StorageError when the store takes nothing."""

    def told(
        self,
        source_id: str,
        fields: Mapping[str, Value],
        *,
        audit: bytes | None = None,
        state: Mapping[str, bytes | None] = {},
    ) -> "Future[None]": ...

    def noted(self, audit: Sequence[bytes] = (), state: Mapping[str, bytes | None] = {}) -> "Future[None]": ...


class LocalShell:
    """All local targets of one site.

    Args:
        plan: how each target is told. begun: targets that were told before the restart: an output may still be on.
        catalogue: what devices and rules are called, and which rules have an audience.
    """

    def __init__(
        self,
        machine: LocalTargets,
        *,
        plan: LocalPlan,
        catalogue: Catalogue,
        office: Office,
        hands: Hands,
        records: Records,
        post: Posting,
        clock: Clock,
        begun: Iterable[str] = (),
    ) -> None:
        self._machine, self._outputs, self._posts = machine, plan.outputs, plan.posts
        self._site, self._devices = catalogue.site, {row.id: row.names for row in catalogue.devices}
        self._rules = {row.id: row for row in catalogue.rules}
        self._office, self._hands, self._records, self._post, self._clock = office, hands, records, post, clock
        self._waiting: dict[str, dict[str, Send]] = {target: {} for target in plan.posts}
        self._given = {target: asyncio.Event() for target in plan.posts}
        self._sounding = dict.fromkeys((target for target in begun if target in plan.outputs), 0)
        """Outputs that are on, and until when (monotonic)."""
        self._wake = asyncio.Event()

    def moved(self, records: Sequence[AlarmRecord], sequence: int) -> None:
        """Take alarms as they stand after a move."""
        self._machine.moved(records, sequence, self._clock.monotonic())
        self._wake.set()

    def facts(self) -> list[dict[str, Any]]:
        """Return who is being told of what, for `sk status`."""
        return self._machine.facts()

    async def run(self) -> None:
        """Look whenever something moved, and while somebody is to be told; ends only by cancellation."""
        async with asyncio.TaskGroup() as tasks:
            for target in self._posts:
                tasks.create_task(self._post_all(target), name=f"local target {target}")
            while True:
                self._wake.clear()
                self._look()
                wait = LOOK if self._machine.wanted() else REST
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait / SECOND):
                        await self._wake.wait()

    def _look(self) -> None:
        connected, receipted = self._office()
        now = self._now()
        self._machine.office(connected=connected, receipted=receipted, now=now.mono)
        for target, until in tuple(self._sounding.items()):
            if now.mono >= until or not self._machine.telling(target):
                self._silence(target, now)
        for target, sends in groupby(self._machine.advance(now), lambda send: send.target):
            if target in self._posts:
                self._waiting[target] |= {send.alarm.occurrence: send for send in sends}
                self._given[target].set()
                continue
            outcome = self._sound(target, now)  # once, for however many alarms
            for send in sends:
                self._told(send, outcome)

    def _sound(self, target: str, now: Moment) -> str:
        """Claim an output for a while; return `told`, or `unreachable` if nothing can be written to it now."""
        output = self._outputs[target]
        able = self._hands.able(output.write)
        self._sounding[target] = now.mono + output.on
        self._hands.hold(f"local/{target}", output.write, now.mono + output.on)
        return "told" if able else "unreachable"

    def _silence(self, target: str, now: Moment) -> None:
        """End what an output was told; what would stay on is written off first."""
        del self._sounding[target]
        then = self._outputs[target].then
        if then is None:
            self._hands.give_up(f"local/{target}")
        else:
            self._hands.hold(f"local/{target}", then, now.mono + ENDING)

    async def _post_all(self, target: str) -> None:
        """Post what waits for one target, as much as anybody reads at once, again and again."""
        given = self._given[target]
        while True:
            await given.wait()
            given.clear()
            telling = self._machine.telling(target)
            due = [send for occurrence, send in self._waiting[target].items() if occurrence in telling]
            due.sort(key=first)
            sends, later = due[:AT_ONCE], due[AT_ONCE:]
            self._waiting[target] = {send.alarm.occurrence: send for send in later}
            if later:
                given.set()
            if not sends:
                continue
            outcome = await self._post(self._posts[target], self._body(target, sends), self._clock.wall() // SECOND)
            for send in sends:
                self._told(send, outcome)

    def _body(self, target: str, sends: Sequence[Send]) -> bytes:
        alarms = [_alarm(send, self._names(send.alarm)) for send in sends]
        return msgspec.json.encode({"schema": SCHEMA, "site": self._site, "target": target, "alarms": alarms})

    def _names(self, alarm: AlarmRecord) -> dict[str, Any]:
        _, device, rule = split_key(alarm.key)
        row = self._rules.get(rule)
        return {"device": self._devices.get(device, {}), "rule": {} if row is None else row.names}

    def _told(self, send: Send, outcome: str) -> None:
        """Record what came of telling somebody; what the store does not take holds nobody up."""
        state = {PREFIX + send.target: self._machine.state(send.target)}
        row = self._rules.get(send.alarm.rule)
        fields: dict[str, Value] = {
            "target": send.target, "occurrence": send.alarm.occurrence, "attempt": send.attempt, "outcome": outcome,
        }  # fmt: skip
        with contextlib.suppress(StorageError):  # the state goes with the next telling
            if row is not None and row.audience:
                self._records.noted(state=state)
            else:
                self._records.told(f"{DEVICE}/told", fields, state=state)

    def _now(self) -> Moment:
        return Moment(wall=self._clock.wall(), mono=self._clock.monotonic(), trusted=self._clock.trusted())


def _alarm(send: Send, names: Mapping[str, Any]) -> dict[str, Any]:
    record = send.alarm
    _, device, rule = split_key(record.key)
    return {
        "occurrence": record.occurrence, "priority": record.priority, "device": device, "rule": rule, "names": names,
        "state": record.state, "raised": record.raised, "attempt": send.attempt,
    }  # fmt: skip
