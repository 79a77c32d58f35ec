"""One point that may be written, and the task that sees to it: one writer, one write, then the read-back.

The task lives as long as there is something to do or to wait for. A newer, stronger claim interrupts the read-back of
the one before. A write is tried once; again only after an outage of the device, if its effect is not seen then.

No claim is carried out before its row in the audit is on the disk, with one exception: what is claimed for life safety
(priorities 1 and 2) goes ahead while the disk fails, and its rows follow in their order when it is back. A rule's other
claims stand meanwhile and are tried again; a person's are refused.

Life safety is more stubborn, and so is giving a point back: a frame that is lost once must not keep a door locked in a
fire, or free after it. What is claimed for life safety is looked after as long as it stands, and written again when it
is not seen to stand. A device that missed a reading a moment ago may well be there: it is written to all the same.
"""

import asyncio
from typing import Final

from msgspec.structs import replace

from edge.commands import claims, guard
from edge.commands.carrying import FORBIDDEN, Carrier, durably
from edge.commands.claims import Claim, Step, Wishes
from edge.commands.desk import Desk, Result
from edge.commands.guard import SAFETY, Target
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.command import DEFAULT
from sitekeeper.model.errors import Refused

NOT_RECORDED: Final = "not-recorded"
"""Reason of a command that was not carried out because its row in the audit did not become durable."""

AGAIN: Final[Micros] = 2 * SECOND
"""How often it is looked whether what life safety claims still stands; each time in vain twice as long after."""

AGAIN_MOST: Final[Micros] = 60 * SECOND
"""The longest of these waits: a device that cannot do it is not kept busy."""

ANSWERED_FIRST: Final = 0.2
"""Seconds by which a device that does not answer comes after those that do: it may cost its link a time-out."""


class Line:
    """One point. `results` has what came of each claim that still stands, once something did."""

    def __init__(self, target: Target, desk: Desk, wishes: Wishes | None = None) -> None:
        self.target = target
        self.wishes = wishes or Wishes()
        self.results: dict[str, Result] = {
            claim.id: Result("unconfirmed", "gateway-restarted") for claim in self.wishes.claims
        }
        self._desk = desk
        self._done: Step | None = None
        self._at_work = ""
        left_behind = bool(self.wishes.written) and not self.wishes.claims  # by a process that was killed
        self._ended = Claim("sitekeeper", "left-behind", target.writable.rest, DEFAULT, 0) if left_behind else None
        self._outdone: list[tuple[Claim, Result]] = []
        """Claims that life safety dropped, and that is still to be told."""
        self._parked = False
        """Giving the point back failed: not again before the device has been away, or somebody claimed it."""
        self._came_back = False
        self._looked: Micros = desk.clock.monotonic()
        self._again: Micros = AGAIN
        self._tried_away = ""
        """The claim that was written although its device did not answer."""
        self._changed = asyncio.Event()
        self._carrier = Carrier(target, desk, self._holds, self._changed)
        self._task: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        """Whether nobody wants anything and nothing of ours stands in the device."""
        return not (self.wishes.claims or self.wishes.written or self._outdone)

    @property
    def held(self) -> Claim | None:
        """The claim that holds the point."""
        return claims.winner(self.wishes)

    @property
    def unsettled(self) -> Result | None:
        """What went wrong with what should stand now; None if it is confirmed, or under way."""
        holder = self.held
        result = None if holder is None else self.results.get(holder.id)
        if holder is None and self._parked:
            return Result("unconfirmed", "not-given-back")
        return None if result is None or result.outcome == "confirmed" else result

    def claim(self, claim: Claim) -> None:
        """Take a claim in, in the place of an earlier one of its claimant."""
        for old in self.wishes.claims:
            if old.by == claim.by and old.id not in (*self.results, self._at_work):
                self._drop(old, Result("unconfirmed", "replaced"))
        self.wishes, self._parked, self._again = claims.claimed(self.wishes, claim), False, AGAIN
        self.poke()

    def give_up(self, by: str, at: Micros | None = None) -> None:
        """Take a claimant's claim out, at once or at a time."""
        self.wishes = claims.unspent(self.wishes, by)
        for claim in [each for each in self.wishes.claims if each.by == by]:
            if at is None:
                self.wishes, self._ended = claims.without(self.wishes, claim.id), claim
            else:
                self.wishes = claims.leaving(self.wishes, by, at)
            self.poke()

    def concerns(self, by: str) -> bool:
        """Tell whether somebody claims the point, or did so until his time was over."""
        return by in self.wishes.spent or any(claim.by == by and not claim.leaving for claim in self.wishes.claims)

    def outdo_people(self) -> None:
        """Drop what people claim: life safety needs the device, and what they wanted does not come back."""
        for claim in self.wishes.claims:
            if claim.person:
                self.wishes = claims.without(self.wishes, claim.id)
                if claim.id != self._at_work:  # else what came of it is told when that is known
                    done = claim.id in self.results
                    self._outdone.append((claim, Result("released" if done else "refused", "life-safety")))
                self.poke()

    def forbid(self) -> None:
        """Take note that nothing may be written from now on, not even what waits for its turn."""
        self._carrier.interrupt()
        if not self.idle:
            self.poke()

    def edge(self, *, online: bool) -> None:
        """Take note that the device came back, or went away."""
        self._came_back = self._came_back or online
        self.poke()

    def poke(self) -> None:
        """See to it that the line is looked after, soon."""
        self._changed.set()
        if self._task is None and (tasks := self._desk.tasks()) is not None:
            self._task = tasks.create_task(self._run(), name=f"command {self.target.id}")

    def stop(self) -> None:
        """Let go, and tell what was under way; what stands goes on after the next start."""
        if self._task is not None:
            self._task.cancel()
        self._tell_outdone()
        for claim in self.wishes.claims:
            if claim.id not in self.results:
                self._drop(claim, Result("unconfirmed", "gateway-stopped"), keep=not (claim.person or claim.pulse))

    # the task

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            self._tell_outdone()
            self._expire()
            self._outrank()
            self._return()
            self._look_after()
            step = claims.due(
                self.wishes, self._done, rest=self.target.writable.rest, relinquishes=self.target.relinquishes
            )
            if step is None:
                self._settle()
            elif step.claim is None and self._parked:
                pass
            elif self._desk.forbidden(self.target.device):
                self._forbidden(step)
            elif not self._desk.present(None).online(self.target):
                await self._try_away(step)
            else:
                await self._carry_out(step)
                continue
            if not await self._wait():
                self._task = None
                return

    async def _wait(self) -> bool:
        """Wait until something changes or a claim ends; False if nothing can."""
        ends = [end for end in (claims.next_expiry(self.wishes), self._next_look()) if end is not None]
        if not ends:
            return self._changed.is_set()
        await self._carrier.changed_within(min(ends) - self._desk.clock.monotonic())
        return True

    def _tell_outdone(self) -> None:
        outdone, self._outdone = self._outdone, []
        for claim, result in outdone:
            self._drop(claim, result)

    def _expire(self) -> None:
        """End claims whose time is over; one that was never carried out is dropped, and that is told."""
        self.wishes, over = claims.expired(self.wishes, self._desk.clock.monotonic())
        for claim in over:
            if claim.id in self.results:
                self._ended = claim
            else:
                self._drop(claim, Result("timed_out", "expired"))

    def _outrank(self) -> None:
        """Drop what a person or a pulse asked for and somebody stronger came before: it is not done later."""
        for claim in self.wishes.claims:
            if (claim.person or claim.pulse) and claim.id not in self.results and not self._holds(claim):
                self._drop(claim, Result("refused", "outranked"))

    def _return(self) -> None:
        """After an outage: what should stand is written once more, unless it is seen to stand."""
        if not self._came_back:
            return
        self._came_back = self._parked = False
        holder = self.held
        if holder is None or holder.id not in self.results:
            return
        if self._stands(holder) is not True:
            self._done = None
            return
        self._done = Step(holder.value, holder.priority, holder)
        if self.results[holder.id].outcome != "confirmed":
            self._tell(holder, Result("confirmed"))

    def _stands(self, claim: Claim) -> bool | None:
        """Tell whether a claim is seen to stand, and by our doing: what merely looks like it may end at any time."""
        if claim.priority not in self.wishes.written:
            return False
        return guard.stands(self.target, claim.value, self._desk.present(None))

    def _next_look(self) -> Micros | None:
        """Return when to look after the point; None: nobody's safety needs it, or the device's return will tell."""
        holder = self.held
        cared_for = holder is not None and holder.id in self.results and self._cared_for(holder)
        if not (cared_for or self._parked) or self._desk.forbidden(self.target.device):
            return None  # the end of the ban will tell
        if not self._desk.present(None).online(self.target):
            return None
        return self._looked + self._again

    def _cared_for(self, claim: Claim) -> bool:
        """Tell whether a claim that was carried out is looked after: for safety, or because the disk was not ready."""
        return _for_safety(claim) or self.results[claim.id].reason == NOT_RECORDED

    def _look_after(self) -> None:
        """What is cared for and not seen to stand is written again; and so is giving the point back."""
        due, now, holder = self._next_look(), self._desk.clock.monotonic(), self.held
        if due is None or now < due:
            return
        self._looked, self._again, self._parked = now, min(2 * self._again, AGAIN_MOST), False
        if holder is None or not self._cared_for(holder):
            return
        stands, result = self._stands(holder), self.results[holder.id]
        if stands:
            self._again = AGAIN
            if result.outcome != "confirmed":
                self._tell(holder, Result("confirmed"))
        elif stands is False or result.outcome in ("timed_out", "refused"):
            self._done = None
            if result.outcome == "confirmed":
                self._tell(holder, Result("unconfirmed", "not-seen"))

    async def _try_away(self, step: Step) -> None:
        """The device does not answer. Life safety tries it once all the same, after those that do."""
        claim, heard = step.claim, self._desk.present(None).sample(self.target.online) is not None
        if claim is None or not heard or not _for_safety(claim) or claim.id == self._tried_away:
            self._away(step)
            return
        self._tried_away = claim.id
        self.wishes = claims.writing(self.wishes, step, relinquishes=self.target.relinquishes)
        self._away(step)
        await asyncio.sleep(ANSWERED_FIRST)
        if self._holds(claim):
            await self._carrier.write(step)  # what came of it is seen when the device is back
        self._changed.set()

    def _away(self, step: Step) -> None:
        """The device does not answer: what a person asked for is dropped, what a rule claims stands and waits."""
        claim, heard = step.claim, self._desk.present(None).sample(self.target.online) is not None
        if claim is None:
            self._parked = True
            if self._ended is not None and heard:
                self._tell(self._ended, Result("unconfirmed", "device-offline"))
        elif claim.pulse or (claim.person and claim.id not in self.results):
            self._drop(claim, Result("timed_out", "device-offline"))
            self._changed.set()
        elif heard and self.results.get(claim.id) != Result("unconfirmed", "device-offline"):
            self._tell(claim, Result("unconfirmed", "device-offline"))

    def _forbidden(self, step: Step) -> None:
        """Nothing may be written: a pulse and what a person asked for are dropped, other claims stand and wait."""
        claim = step.claim
        if claim is None:
            self._parked = True
            if self._ended is not None:
                self._tell(self._ended, FORBIDDEN)
        elif claim.pulse or (claim.person and claim.id not in self.results):
            self._drop(claim, FORBIDDEN)
            self._changed.set()
        elif self.results.get(claim.id) != FORBIDDEN:
            self._tell(claim, FORBIDDEN)

    def _settle(self) -> None:
        """Nothing is due: if nobody claims the point any longer, that is told once."""
        if self.wishes.claims:
            self._ended = None
            return
        self.wishes = Wishes(spent=self.wishes.spent)
        ended, self._ended = self._ended, None
        if ended is not None:
            self._tell(ended, Result("released"))

    # one write

    async def _carry_out(self, step: Step) -> None:
        before, claim = self.wishes, step.claim
        self._at_work = "" if claim is None else claim.id
        result = None if claim is None else await self._accept(step, claim)
        between = None if result else await self._carrier.warn(step)
        result = result or between or await self._carrier.write(step) or await self._carrier.read_back(step)
        self._at_work = ""
        if claim is None:
            if between is None:
                self._gave_back(step, result)
            return
        self._done, self._looked = step, self._desk.clock.monotonic()
        undone = result.outcome == "refused"
        self.wishes = replace(self.wishes, written=before.written if undone else self.wishes.written)
        taken = result.outcome == "confirmed" or result.reason in ("not-seen", "no-feedback")
        stands = any(each.id == claim.id for each in self.wishes.claims)
        self._drop(claim, result, keep=not claim.pulse and (not claim.person or (taken and stands)))

    async def _accept(self, step: Step, claim: Claim) -> Result | None:
        """Look once more whether it may be, and tell that it will be; return why not, if so."""
        try:
            guard.ready(self.target, self._desk.present(None))
            self.wishes = claims.writing(self.wishes, step, relinquishes=self.target.relinquishes)
            durable = self._desk.tell(self.target.id, self.wishes, claim, Result("accepted"))
            if claim.priority > SAFETY:
                if durable is None or not await durably(durable):
                    return Result("refused", NOT_RECORDED, "the disk does not take it")
                guard.ready(self.target, self._desk.present(None))
        except Refused as refused:
            return Result("refused", refused.reason, refused.detail)
        return None if self._holds(claim) else Result("refused", "outranked")

    def _holds(self, claim: Claim | None) -> bool:
        holder = self.held
        return holder is None if claim is None else holder is not None and holder.id == claim.id

    def _gave_back(self, step: Step, result: Result) -> None:
        """Remember that the point was given back; or that it was not, for when the device is back."""
        if result.outcome in ("timed_out", "refused"):
            self._parked, self._looked = True, self._desk.clock.monotonic()
            if self._ended is not None:
                self._tell(self._ended, result)
            return
        self.wishes = claims.given_back(self.wishes, step, relinquishes=self.target.relinquishes)
        if result.outcome == "unconfirmed" and self._ended is not None:
            ended, self._ended = self._ended, None
            self._tell(ended, result)

    def _drop(self, claim: Claim, result: Result, *, keep: bool = False) -> None:
        """Tell what came of a claim, and forget it unless it stands."""
        if not keep:
            self.wishes = claims.without(self.wishes, claim.id)
            self._ended = self._ended or (claim if self.wishes.written and not claim.pulse else None)
        self._tell(claim, result)

    def _tell(self, claim: Claim, result: Result) -> None:
        self.results[claim.id] = result
        standing = {each.id for each in self.wishes.claims}
        self.results = {id_: each for id_, each in self.results.items() if id_ in standing}
        self._desk.tell(self.target.id, self.wishes, claim, result)


def _for_safety(claim: Claim) -> bool:
    return claim.priority <= SAFETY and not claim.pulse
