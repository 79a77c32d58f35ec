"""Commands: what rules claim and people ask for, guarded, carried out point by point, and told.

    asked ─▶ guard ─▶ claim ─▶ the strongest on its point ─▶ guard again ─▶ driver.write ─▶ read back ─▶ outcome

A command that passes the guard is `accepted`; that, and its outcome, is an event `<device>/command` and an audit row.
People are refused while a device does not answer, and what they asked for is never done later. What a rule claims
stands as long as its condition: it is written when the device is back, and reported as `unconfirmed` until then.

Nothing here blocks: each point that has something to do has a task of its own (`edge.commands.line`).
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, Final

from msgspec.structs import replace as structs_replace

from edge.commands import claims, guard, resumed
from edge.commands.asked import Asked
from edge.commands.audit import AuditRow
from edge.commands.bans import Bans
from edge.commands.claims import Claim, Wishes
from edge.commands.desk import Desk, Result
from edge.commands.guard import SAFETY, Present, Target
from edge.commands.line import Line
from edge.commands.pairs import Pairs
from edge.commands.told import Record, Told
from edge.rules.instance import Verdict
from sitekeeper.model.clock import SECOND, Clock, Micros
from sitekeeper.model.command import TESTS, Actor, Write
from sitekeeper.model.errors import Refused
from sitekeeper.model.sample import Sample, Value
from sitekeeper.order import same_person

PREFIX: Final = "~claims/"
"""Where the claims are among the saved states."""

ACTED_WITHIN: Final[Micros] = 10 * SECOND
"""How long what the gateway itself does once is good for; then it is dropped, and never done later."""

_RULES: Final = Actor("", "linkage", "site")


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
        self.forbidden = Bans()
        self._told, self._clock = Told(record, clock, known), clock
        self._tasks: asyncio.TaskGroup | None = None
        self._desk = Desk(
            present=present, tell=self._tell, forbidden=self.forbidden.__contains__, write=write,
            tasks=lambda: self._tasks, clock=clock,
        )  # fmt: skip
        self._number = 0
        self._pairs: Pairs[tuple[Line, Actor, Asked]] = Pairs(self._lapsed)
        self._lines = {id_: Line(target, self._desk, self._saved(id_, saved)) for id_, target in targets.items()}
        self._by_online: dict[int, list[Line]] = {}
        self._by_cycled: dict[int, list[Line]] = {}
        self._by_device: dict[str, list[Line]] = {}
        for line in self._lines.values():
            self._by_device.setdefault(line.target.device, []).append(line)
            self._by_online.setdefault(line.target.online.handle, []).append(line)
            if line.target.cycled is not None:
                self._by_cycled.setdefault(line.target.cycled.handle, []).append(line)
        self._unsaved: set[str] = set()
        """Points whose wishes are not on the disk as they are."""
        self._gone: dict[str, bytes | None] = {
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
                self._raised(by, verdict)
            elif verdict.kind == "clear" and verdict.until == "clear":  # else the alarm's reset comes as such a one
                self.give_up(by)

    def able(self, write: Write) -> bool:
        """Tell whether a claim of the gateway's own would be carried out now: it may be, and nobody stronger holds."""
        line = self._lines.get(f"{write.device}/{write.point}")
        if line is None or write.device in self.forbidden:
            return False
        try:
            guard.permit(line.target, _RULES, write.value)
            guard.ready(line.target, self._desk.present(None))
        except Refused:
            return False
        return line.held is None or line.held.priority >= write.priority

    def hold(self, by: str, write: Write, until: Micros | None = None) -> None:
        """Claim a point for one of the gateway's own machines, which is no rule and nobody; as a rule's claim.

        Args:
            by: `local/<target>` or `tests/<id>`. until: monotonic time at which the claim ends by itself.
        """
        self._claim(by, write, until)

    def give_up(self, by: str) -> None:
        """Take out all that a rule or machine claims and forbids: what it raised with a stagger, device by device."""
        self._forbid(by, ())
        lines = [line for line in self._lines.values() if line.concerns(by)]
        resumed.one_by_one(lines, by, self._clock.monotonic())
        self._unsaved |= {line.target.id for line in lines}

    def act(self, by: str, point: str, value: Value, *, priority: int = TESTS) -> "asyncio.Future[Result]":
        """Do something that acts once, for one of the gateway's own machines: guarded, told, and never repeated."""
        until = self._clock.monotonic() + ACTED_WITHIN
        claim = self._made(by, value, priority, until=until, pulse=True)
        line = self._lines.get(point)
        try:
            if line is None or not line.target.writable.pulse:
                raise Refused("not-writable", f"{point} is not done once")
            guard.permit(line.target, _RULES, value)
            self._free(line.target)
            guard.ready(line.target, self._desk.present(None))
        except Refused as refused:
            result = Result("refused", refused.reason, refused.detail)
            answer = self._told.expect(claim.id)
            asyncio.get_running_loop().call_soon(self._deny, point, claim, result)
            return answer
        line.claim(claim)
        return self._told.expect(claim.id)

    def endangered(self) -> bool:
        """Tell whether a danger to life holds a device of the site, or forbids that one is written."""
        held = (line.held for line in self._lines.values())
        return bool(self.forbidden) or any(claim is not None and claim.priority <= SAFETY for claim in held)

    def seen(self, samples: Sequence[Sample]) -> None:
        """Notice devices that come back, that go away, and that were without supply: they may have forgotten."""
        for sample in samples if self._lines else ():
            for line in self._by_cycled.get(sample.handle, ()) if sample.value is True else ():
                if not line.idle:
                    line.edge(online=True)
            for line in self._by_online.get(sample.handle, ()):
                if not line.idle:
                    line.edge(online=sample.value is True)

    def ask(self, actor: Actor, asked: Asked) -> "asyncio.Future[Result]":
        """Take a person's command; the future tells its outcome. A known key gets its first answer and does nothing.

        Every refusal but that of a known key is told. What needs two persons on site waits for `approve`.

        Raises:
            Refused: by the guard, with its reason; `not-writable`, `forbidden`, `life-safety` or `outranked`; `busy`;
                `key-reused` for a key that came with something else.
        """
        wanted = f"{asked.point}={asked.value}"
        if asked.key in self._told:
            return self._told.again(asked.key, wanted)
        line = self._lines.get(asked.point)
        try:
            if line is None:
                raise Refused("not-writable", f"{asked.point} is only read")
            claim = self._guarded(line, actor, asked)
            by_two = line.target.writable.two_persons and actor.origin == "site"
            if by_two:
                self._pairs.park(asked.key, (line, actor, asked))
        except Refused as refused:
            result = Result("refused", refused.reason, refused.detail)
            self._told.remember(asked.key, wanted, result)
            self._told.record(asked.point, self._personal(actor, asked, asked.value), result, {})
            raise
        self._told.remember(asked.key, wanted, Result("accepted"))
        if not by_two:
            line.claim(claim)
        return self._told.expect(asked.key)

    def waits(self, key: str) -> bool:
        """Tell whether a command waits for a second person."""
        return key in self._pairs

    def approve(self, second: Actor, key: str) -> "asyncio.Future[Result]":
        """Agree to what another person asked for; the future, which is his too, tells its outcome.

        Raises:
            Refused: `not-waiting`; `same-person` or `not-permitted`, which is told and leaves the command waiting; or
                what the guard says by now, which ends it.
        """
        line, actor, asked = self._pairs.find(key)
        try:
            if same_person(actor.name, second.name):
                raise Refused("same-person", f"{actor.name} asked for it")
            guard.permit(line.target, second, guard.parse(line.target.point, asked.value))
        except Refused as refused:
            result = Result("refused", refused.reason, refused.detail)
            attempt = replace(asked, key=secrets.token_hex(8), reason=f"agree to {key}")
            self._told.record(asked.point, self._personal(second, attempt, asked.value), result, {})
            raise
        self._pairs.drop(key)
        agreed = replace(asked, reason=f"{asked.reason} ({second.name} agreed)")
        try:
            line.claim(self._guarded(line, actor, agreed))
        except Refused as refused:
            self._end(line, actor, agreed, Result("refused", refused.reason, refused.detail))
            raise
        return self._told.expect(key)

    def stop(self) -> None:
        """End what is under way and tell of it. To be called while the store still takes something."""
        self._pairs.stop()
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

    @property
    def counts(self) -> Counter[str]:
        """How often each outcome was told, and what could not be recorded."""
        return self._told.counts

    # claims

    def _raised(self, by: str, verdict: Verdict) -> None:
        """Take over what a rule wants: first what it forbids, so that nothing slips through."""
        self._forbid(by, verdict.forbids)
        until = self._clock.monotonic() + verdict.ends if verdict.ends else None
        for write in verdict.writes:
            self._claim(by, write, until, stagger=verdict.stagger)

    def _forbid(self, by: str, devices: Sequence[str]) -> None:
        """Let a claimant forbid these devices and no others. What stood still is looked at when a ban ends."""
        freed, banned = self.forbidden.change(by, devices)
        for line in (each for device in freed for each in self._by_device.get(device, ())):
            if not line.idle:
                line.edge(online=True)
        for line in (each for device in banned for each in self._by_device.get(device, ())):
            line.forbid()

    def _claim(self, by: str, write: Write, until: Micros | None = None, *, stagger: Micros = 0) -> None:
        line = self._lines.get(f"{write.device}/{write.point}")
        if line is None:
            self.counts["refused"] += 1  # settings list it as not applicable
            return
        pulse = line.target.writable.pulse
        claim = self._made(by, write.value, write.priority, until=until, pulse=pulse, stagger=stagger)
        try:
            guard.permit(line.target, _RULES, write.value)
        except Refused as refused:
            result = Result("refused", refused.reason, refused.detail)
            asyncio.get_running_loop().call_soon(lambda: self._tell(line.target.id, line.wishes, claim, result))
            return
        line.claim(claim)
        for other in self._by_device[line.target.device] if claim.priority <= SAFETY else ():
            other.outdo_people()

    def _made(
        self, by: str, value: Value, priority: int, *, until: Micros | None, pulse: bool, stagger: Micros = 0
    ) -> Claim:
        self._number += 1
        return Claim(by, secrets.token_hex(8), value, priority, self._number, until, pulse=pulse, stagger=stagger)

    def _guarded(self, line: Line, actor: Actor, asked: Asked) -> Claim:
        target = line.target
        value = guard.parse(target.point, asked.value)
        guard.permit(target, actor, value)
        guard.asked(
            target, value, reason=asked.reason, lasts=asked.lasts, priority=asked.priority, in_view=asked.in_view
        )
        self._free(target)
        guard.ready(target, self._desk.present(None))
        claim = self._personal(actor, asked, value, pulse=target.writable.pulse)
        if claims.winner(claims.claimed(line.wishes, claim)) is not claim:
            raise Refused("outranked", f"{line.held.by if line.held else ''} holds {target.id}")
        return claim

    def _free(self, target: Target) -> None:
        """Check that no danger needs the device, or its peace.

        Raises:
            Refused: `forbidden` or `life-safety`.
        """
        if target.device in self.forbidden:
            raise Refused("forbidden", f"{self.forbidden.first(target.device)} forbids that {target.device} is written")
        for other in self._by_device[target.device]:
            if (held := other.held) is not None and held.priority <= SAFETY:
                raise Refused("life-safety", f"{held.by} holds {other.target.id}")

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
        return Wishes() if state is None else claims.restored(state, self._told.now())

    def _resume(self, standing: Sequence[Verdict]) -> None:
        """Make the claims of rules anew: keep those that stand as they were, end the others."""
        self._number, left = resumed.left(self._lines, standing, self._clock.monotonic())
        for verdict in standing:
            by = f"{verdict.device}/{verdict.rule}"
            self._raised(by, structs_replace(verdict, writes=tuple(left[by].values())))

    # telling

    def _tell(self, point_id: str, wishes: Wishes, claim: Claim, result: Result) -> "Future[None] | None":
        """Record what came of a claim, and answer who waits for it; None if the store does not take it."""
        self._told.answer(claim.id, result)
        state = {PREFIX + id_: claims.save(self._lines[id_].wishes, self._told.now()) for id_ in self._unsaved}
        state |= self._gone | {PREFIX + point_id: claims.save(wishes, self._told.now())}
        self._unsaved.add(point_id)
        future = self._told.record(point_id, claim, result, state)
        if future is not None:
            self._gone, self._unsaved = {}, set()
        return future

    def _deny(self, point_id: str, claim: Claim, result: Result) -> None:
        self._told.answer(claim.id, result)
        self._told.record(point_id, claim, result, {})

    def _end(self, line: Line, actor: Actor, asked: Asked, result: Result) -> None:
        """Tell what came of a person's command that never became a claim, and answer who waits for it."""
        self._tell(line.target.id, line.wishes, self._personal(actor, asked, asked.value), result)

    def _lapsed(self, _key: str, waited: tuple[Line, Actor, Asked]) -> None:
        line, actor, asked = waited
        self._end(line, actor, asked, Result("refused", "second-needed", "nobody else agreed in time"))
