"""Commands: what rules claim and people ask for, guarded, carried out point by point, and told.

    asked ─▶ guard ─▶ claim ─▶ the strongest on its point ─▶ guard again ─▶ driver.write ─▶ read back ─▶ outcome

A command that passes the guard is `accepted`; that, and its outcome, is an event `<device>/command` and an audit row.
People are refused while a device does not answer, and what they asked for is never done later. What a rule claims
stands as long as its condition: it is written when the device is back, and reported as `unconfirmed` until then.

Nothing here blocks: each point that has something to do has a task of its own (`edge.commands.line`).
"""

import asyncio
import secrets
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, Protocol

from edge.commands import claims, guard
from edge.commands.audit import WRITE, AuditRow, encode
from edge.commands.claims import Claim, Wishes
from edge.commands.desk import Desk, Result
from edge.commands.guard import SAFETY, Present, Target
from edge.commands.line import Line
from edge.rules.instance import Verdict
from sitekeeper.model.clock import Clock, Micros, Moment
from sitekeeper.model.command import MANUAL, Actor, Write
from sitekeeper.model.errors import Refused, StorageError
from sitekeeper.model.sample import Sample, Value
from sitekeeper.profile import value_text

PREFIX: Final = "~claims/"
"""Where the claims are among the saved states."""

REMEMBERED: Final = 1_024
"""Idempotency keys kept; the oldest go first."""

_RULES: Final = Actor("", "linkage", "site")


class Record(Protocol):
    """Makes an event durable with its audit row and states; raises StorageError: `edge.pipeline.Pipeline.told`."""

    def __call__(
        self, source_id: str, fields: Mapping[str, Value], *, audit: bytes, state: Mapping[str, bytes | None]
    ) -> "Future[None]": ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person asks: a value for `<device>/<point>`, why, for how long, and the key by which it is done once."""

    point: str
    value: str
    reason: str
    lasts: Micros
    key: str
    priority: int = MANUAL


class Commander:
    """All commands of one site. Made before the gateway runs; `start` lets it begin.

    Args:
        targets: what may be written, by point id.
        present, write: see `Desk`.
        record: where what happens is told.
        known: earlier commands by key (`audit.commands`).
        saved: states of an earlier process, of which those under `~claims/` are claims.
        standing: what rules claim at the start; a rule's saved claim that is not among them has ended meanwhile.

    Raises:
        FormatError: a saved state cannot be read.
    """

    def __init__(
        self,
        targets: Mapping[str, Target],
        *,
        present: Callable[[Micros | None], Present],
        write: Callable[[str, str, Value, int], Awaitable[None]],
        record: Record,
        clock: Clock,
        known: Mapping[str, AuditRow],
        saved: Mapping[str, bytes],
        standing: Sequence[Verdict] = (),
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._record, self._clock = record, clock
        self._tasks: asyncio.TaskGroup | None = None
        self._desk = Desk(present=present, tell=self._tell, write=write, tasks=lambda: self._tasks, clock=clock)
        self._number = 0
        self._known: OrderedDict[str, tuple[str, Result]] = OrderedDict(
            (key, (f"{row.target}={row.value}", _result(row))) for key, row in known.items()
        )
        self._open: dict[str, asyncio.Future[Result]] = {}
        self._lines = {id_: Line(target, self._desk, self._saved(id_, saved)) for id_, target in targets.items()}
        self._by_online: dict[int, list[Line]] = {}
        for line in self._lines.values():
            self._by_online.setdefault(line.target.online.handle, []).append(line)
        self._unsaved: dict[str, bytes | None] = {
            key: None for key in saved if key.startswith(PREFIX) and key.removeprefix(PREFIX) not in targets
        }
        self._resume(standing)

    # what comes in

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin; `tasks` owns what runs from now on."""
        self._tasks = tasks
        for line in self._lines.values():
            if not line.idle:
                line.poke()

    def decided(self, verdicts: Sequence[Verdict]) -> None:
        """Take over what rules claim and give up. Nothing is written before this returns."""
        for verdict in verdicts:
            by = f"{verdict.device}/{verdict.rule}"
            if verdict.kind == "raise":
                for write in verdict.writes:
                    self._claim(by, write)
            elif verdict.kind == "clear":
                for line in self._lines.values():
                    line.give_up(by)

    def seen(self, samples: Sequence[Sample]) -> None:
        """Notice devices that come back, and that go away."""
        for sample in samples:
            for line in self._by_online.get(sample.handle, ()):
                if not line.idle:
                    line.edge(online=sample.value is True)

    def ask(self, actor: Actor, asked: Asked) -> "asyncio.Future[Result]":
        """Take a person's command; the future tells its outcome. A known key gets its first answer and does nothing.

        Every refusal but that of a known key is told.

        Raises:
            Refused: by the guard, with its reason; `not-writable`, `life-safety` or `outranked`; `key-reused` for a key
                that came with something else.
        """
        wanted = f"{asked.point}={asked.value}"
        if asked.key in self._known:
            return self._again(asked.key, wanted)
        line = self._lines.get(asked.point)
        try:
            if line is None:
                raise Refused("not-writable", f"{asked.point} is only read")
            claim = self._guarded(line, actor, asked)
        except Refused as refused:
            result = Result("refused", refused.reason, refused.detail)
            self._remember(asked.key, wanted, result)
            self._record_it(asked.point, self._personal(actor, asked, asked.value), result, {})
            raise
        self._remember(asked.key, wanted, Result("accepted"))
        answer = self._open[asked.key] = asyncio.get_running_loop().create_future()
        line.claim(claim)
        return answer

    def stop(self) -> None:
        """End what is under way and tell of it. To be called while the store still takes something."""
        for line in self._lines.values():
            line.stop()
        self._tasks = None

    def report(self) -> dict[str, Any]:
        """Return how it stands: claims, and what is not as it should be, for `sk status`."""
        held = {id_: holder for id_, line in self._lines.items() if (holder := line.held) is not None}
        wrong = {id_: result for id_, line in self._lines.items() if (result := line.unsettled) is not None}
        return {
            "standing": len(held),
            "unsettled": [
                {"point": id_, "by": held[id_].by if id_ in held else "", "outcome": r.outcome, "reason": r.reason}
                for id_, r in wrong.items()
            ],
            "counts": dict(self.counts),
        }

    # claims

    def _claim(self, by: str, write: Write) -> None:
        line = self._lines.get(f"{write.device}/{write.point}")
        if line is None:
            self.counts["refused"] += 1  # settings list it as not applicable
            return
        claim = self._made(line, by, write.value, write.priority)
        try:
            guard.permit(line.target, _RULES, write.value)
        except Refused as refused:
            result = Result("refused", refused.reason, refused.detail)
            asyncio.get_running_loop().call_soon(lambda: self._tell(line.target.id, line.wishes, claim, result))
            return
        line.claim(claim)

    def _made(self, line: Line, by: str, value: Value, priority: int) -> Claim:
        self._number += 1
        pulse = line.target.writable.pulse
        return Claim(by, secrets.token_hex(8), value, priority, self._number, pulse=pulse)

    def _guarded(self, line: Line, actor: Actor, asked: Asked) -> Claim:
        target = line.target
        value = guard.parse(target.point, asked.value)
        guard.permit(target, actor, value)
        guard.asked(asked.reason, asked.lasts, priority=asked.priority)
        guard.ready(target, self._desk.present(None))
        for other in self._lines.values():
            if other.target.device == target.device and (held := other.held) is not None and held.priority <= SAFETY:
                raise Refused("life-safety", f"{held.by} holds {other.target.id}")
        claim = self._personal(actor, asked, value, pulse=target.writable.pulse)
        if claims.winner(claims.claimed(line.wishes, claim)) is not claim:
            raise Refused("outranked", f"{line.held.by if line.held else ''} holds {target.id}")
        return claim

    def _personal(self, actor: Actor, asked: Asked, value: Value, *, pulse: bool = False) -> Claim:
        self._number += 1
        return Claim(
            by=actor.name,
            id=asked.key,
            value=value,
            priority=asked.priority,
            number=self._number,
            until=self._clock.monotonic() + asked.lasts,
            role=actor.role,
            origin=actor.origin,
            note=asked.reason,
            pulse=pulse,
        )

    def _saved(self, id_: str, saved: Mapping[str, bytes]) -> Wishes:
        state = saved.get(PREFIX + id_)
        return Wishes() if state is None else claims.restored(state, self._now())

    def _resume(self, standing: Sequence[Verdict]) -> None:
        """Make the claims of rules anew: keep those that stand as they were, end the others."""
        wanted = {(f"{v.device}/{v.rule}", f"{w.device}/{w.point}"): w for v in standing for w in v.writes}
        for id_, line in self._lines.items():
            for claim in line.wishes.claims:
                self._number = max(self._number, claim.number)
                write = wanted.get((claim.by, id_))
                if write is not None and (write.value, write.priority) == (claim.value, claim.priority):
                    del wanted[claim.by, id_]
                elif not claim.person:
                    line.give_up(claim.by)
        for (by, _), write in wanted.items():
            self._claim(by, write)

    # people's keys

    def _again(self, key: str, wanted: str) -> "asyncio.Future[Result]":
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

    def _remember(self, key: str, wanted: str, result: Result) -> None:
        self._known[key] = (wanted, result)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    # telling

    def _tell(self, point_id: str, wishes: Wishes, claim: Claim, result: Result) -> "Future[None] | None":
        """Record what came of a claim, and answer who waits for it; None if the store does not take it."""
        if result.outcome != "accepted" and (answer := self._open.pop(claim.id, None)) is not None:
            self._remember(claim.id, self._known.get(claim.id, ("", result))[0], result)
            if not answer.done():
                answer.set_result(result)
        state = self._unsaved | {PREFIX + point_id: claims.save(wishes, self._now())}
        future = self._record_it(point_id, claim, result, state)
        if future is not None:
            self._unsaved = {}
        return future

    def _record_it(
        self, point_id: str, claim: Claim, result: Result, state: Mapping[str, bytes | None]
    ) -> "Future[None] | None":
        self.counts[result.outcome] += 1
        now, (device, _, point) = self._now(), point_id.partition("/")
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

    def _now(self) -> Moment:
        return Moment(wall=self._clock.wall(), mono=self._clock.monotonic(), trusted=self._clock.trusted())


def _result(row: AuditRow) -> Result:
    if row.outcome == "accepted":
        return Result("unconfirmed", "gateway-restarted")
    return Result(row.outcome, row.reason)  # type: ignore[arg-type]
