"""One reading of one scan group: every planned request once, and what a refusal teaches about the unit.

A request that is refused as it is (exceptions 2 and 3, too few registers, or no answer where a smaller one gets one) is
cut in halves until what cannot be read stands alone; each point is decoded from an answer to the very request that it
was asked in, so nothing ever moves to another point. What went wrong with one request touches its points and no others.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from drivers.base import Scan
from drivers.modbus.blocks import Block, Group, note_answer, note_failure, note_refused, note_unread
from drivers.modbus.learned import OFTEN, Kind, Run
from drivers.modbus.link import Link
from drivers.modbus.plan import Request, alone, between, halves, larger
from drivers.modbus.reply import ShortReply
from drivers.modbus.request import Question
from sitekeeper.model.clock import Clock
from sitekeeper.model.errors import DeviceRefused, DeviceSilent, FieldError, LinkDown, ReplyMismatch

GATEWAY: Final = frozenset({10, 11})
"""Exceptions by which a gateway says that the device itself did not answer."""

NOT_SO: Final = frozenset({2, 3})
"""Exceptions that refuse an address or a number: another request for the same may be answered."""

TWICE: Final = 2
"""So often in a row is a request refused before it is cut; with a gap in it at once, for the gap is our own doing."""
MUTE: Final = 3
"""Each so manieth time that a request which was never answered is due, one of its points alone is asked for first; also
after the connection was opened anew, for before that it may have been jammed. One that was answered before, and has
failed so often in a row, each time from then on."""

CONTRARY: Final = 3
"""So often in a row must a request that was answered before fail between two answers to one of its points, until the
unit is held to be another one. Of what is cut short nothing is ever taken, so a liar gains nothing by it."""

CUTS: Final = 40
"""Most requests that one reading spends on finding out what is refused; the rest is found by the next ones."""
IN_VAIN: Final = 3
"""So many silent requests in a row end a reading, even of a unit that answered others; the next one has other turns."""
RETRIED: Final = 8
"""Most points that were refused for long that one reading asks for again."""

Doubt = Callable[[Question, FieldError], None]


class Scanning:
    """One call of `ModbusDriver.read`. `doubt` hears of each failure, for others may get the late answer."""

    def __init__(self, link: Link, group: Group, clock: Clock, doubt: Doubt) -> None:
        self._link, self._group, self._clock, self._doubt = link, group, clock, doubt
        self._received = clock.monotonic()
        self._errors: list[FieldError] = []
        self._answered, self.heard = True, False
        self._cuts, self._retried = CUTS, RETRIED
        self._stopped = self._over = False

    async def run(self) -> Scan:
        """Return what came of it.

        Raises:
            LinkDown: the whole link failed.
        """
        group = self._group
        group.plan()
        group.memory.begin(self._received)
        if group.memory.complete:
            for block in group.blocks:
                block.forget()
        waiting, in_vain = deque(group.turns()), 0
        while waiting:
            block = waiting.popleft()
            in_vain = in_vain + 1 if await self._read(block) else 0
            if self._over or (in_vain and (in_vain == IN_VAIN or not self.heard)):
                group.first = (group.blocks.index(block) + 1) % len(group.blocks)
                break
        group.fresh = False
        for block in waiting:
            note_unread(group, block, self._received)
        if self._answered:
            group.last_good = self._clock.wall()
            with suppress(LinkDown):  # what was read stands; the next request will say so again
                await self._learn()
        return group.memory.finish(self._received, answered=self._answered, errors=self._errors)

    async def _read(self, block: Block) -> bool:
        """Ask for one planned request; if it is refused as it is, for its parts. True: nothing came."""
        if block.request.lone and self._rests(block):
            note_refused(self._group, block, self._received)
            return False
        if (block.failures or not block.proven) and self._suspect(block):
            one = alone(block.request, block.failures)
            if one is not None:
                return await self._read_if_alive(block, one.run)
        error = await self._ask(block)
        if error is not None and not (_refused_as_it_is(block) and await self._divide(block, "wide", error)):
            self._fail(block, error)
        return isinstance(error, DeviceSilent)

    def _rests(self, block: Block) -> bool:
        """Tell whether a point that was refused again and again is left alone this time."""
        if self._group.unit.learned.rests(block.request.run, self._received):
            return True
        self._retried -= block.refusals >= OFTEN
        return self._retried < 0

    def _suspect(self, block: Block) -> bool:
        """Tell whether a request may be one that this unit does not take, though it does not say so."""
        if block.proven:
            return max(block.silences, block.cut) >= MUTE
        if self._group.fresh and block.silences >= MUTE:
            return True
        return self._group.unit.learned.mute or (block.silences > 0 and block.silences % MUTE == 0)

    async def _read_if_alive(self, block: Block, one: Run) -> bool:
        """Ask for one point alone, for all, and for the one again: if only all fail, that is about their number."""
        error = await self._gone(one)
        if error is not None:
            block.failures += 1
            block.silences += 1
            block.contrary = 0
        else:
            error = await self._ask(block)
            if error is None:
                return False
            if await self._too_much(block, one, error) and await self._divide(block, _kind(error), error):
                return False
        self._fail(block, error)
        return isinstance(error, DeviceSilent)

    async def _too_much(self, block: Block, one: Run, error: FieldError) -> bool:
        """Tell whether a request failed for its size, now that its unit has answered another one just before."""
        if isinstance(error, DeviceSilent):
            await self._unjam()
        elif not (isinstance(error, ShortReply) and self._link.numbered):
            return False
        if await self._gone(one) is not None:
            block.contrary = 0
            return False
        block.contrary += 1
        if not block.proven:
            return True
        if block.contrary < CONTRARY:
            return False
        self._group.unit.learned.forget()
        return True

    async def _gone(self, one: Run) -> FieldError | None:
        """Ask for one point; None: the unit is there, for it has answered, or refused just that."""
        error = await self._probe(one)
        self._received = self._clock.monotonic()
        self.heard = self.heard or not isinstance(error, DeviceSilent)
        return None if error is None or self._not_so(error) else error

    async def _ask(self, block: Block) -> FieldError | None:
        """Ask once, of a doubtful block twice, for the line was silent between the two; return what went wrong."""
        group = self._group
        try:
            data = await self._link.ask(block.question, group.unit.pause)
            if block.doubtful:
                data = await self._link.ask(block.question, group.unit.pause)
                block.doubtful = False
        except (DeviceRefused, DeviceSilent, ReplyMismatch) as error:
            self._received = self._clock.monotonic()
            self._doubt(block.question, error)
            self.heard = self.heard or not isinstance(error, DeviceSilent)
            block.forget()  # its parts are asked now, or its points become bad: another answer than its own stands
            block.failures += 1
            block.silences = block.silences + 1 if isinstance(error, DeviceSilent) else 0
            short = block.proven and isinstance(error, ShortReply)
            block.cut = block.cut + 1 if short else 0
            block.refusals = block.refusals + 1 if self._not_so(error) and not short else 0
            return error
        self._received = self._clock.monotonic()
        self.heard = True
        if data != block.last:
            note_answer(group.memory, block, data, self._received)
        if block.failures:
            block.failures = block.refusals = block.silences = block.cut = block.contrary = 0
            block.told = ""
        if not block.proven:
            block.proven = True
            group.unit.learned.heard(block.request.run)
            if block.points & ~group.had:
                group.had, group.unit.unsaved = group.had | block.points, True
        return None

    def _fail(self, block: Block, error: FieldError) -> None:
        block.told = error.what
        note_failure(self._group, block, error, self._received)
        self._errors.append(error)
        self._answered = self._answered and _counts_as_answer(block, error)

    async def _divide(self, block: Block, kind: Kind, error: FieldError) -> bool:
        """Learn from a refusal, and ask for the halves instead. False: there are none, so it stays refused."""
        learned, parts = self._group.unit.learned, halves(block.request)
        if parts is None:
            self._hole(block)
            return False
        if block.proven:
            learned.no_more(block.request.table)
        learned.denied(block.request.run, kind, self._received)
        await self._parts(parts, block, error)
        return True

    def _hole(self, block: Block) -> None:
        had = bool(block.points & self._group.had)
        self._group.unit.learned.denied(block.request.run, "hole", self._received, had=had)

    async def _parts(self, parts: tuple[Request, Request], whole: Block, error: FieldError) -> bool:
        """Tell whether all points of both parts were read."""
        sound = [await self._part(part, whole, error) for part in parts]
        gap = between(*parts)
        if all(sound) and gap is not None and not self._stopped:
            found = await self._probe(gap)  # alone, for what is refused with its neighbours may be too much at once
            if found is not None and (self._not_so(found) or isinstance(error, DeviceSilent)):
                self._group.unit.learned.denied(gap, "hole", self._received)
        return all(sound)

    async def _part(self, request: Request, whole: Block, error: FieldError) -> bool:
        group, learned = self._group, self._group.unit.learned
        part = group.block(request)
        part.doubtful = whole.doubtful
        smaller = halves(request)
        if request.count > learned.most(request.table) and smaller is not None:
            return await self._parts(smaller, part, error)
        if self._stopped or self._cuts == 0:
            self._fail(part, error)
            return False
        self._cuts -= 1
        failed = await self._ask(part)
        if failed is None:
            return True
        self._stopped = isinstance(failed, DeviceSilent)
        if self._stopped and isinstance(error, DeviceSilent):
            self._over = True
            await self._unjam()
        if self._not_so(failed):
            if smaller is not None:
                learned.denied(request.run, "wide", self._received)
                return await self._parts(smaller, part, failed)
            self._hole(part)
        self._fail(part, failed)
        return False

    async def _learn(self) -> None:
        """Put one belief to the test, or try a larger request; what is answered then is for the next plan only."""
        learned = self._group.unit.learned
        run = learned.due(self._received) if learned else None
        if run is not None:
            return await self._test(run, learned.kind(run))
        if learned and self._group.settled != learned.version:
            trial = larger(self._group.spans, self._group.unit.limits, learned)
            if trial is not None:
                return await self._test(trial.run, "wide")
            self._group.settled = learned.version
        return None

    async def _test(self, run: Run, kind: Kind) -> None:
        learned = self._group.unit.learned
        known, error = learned.blocks(run), await self._probe(run)
        silent = isinstance(error, DeviceSilent)
        if silent:
            await self._unjam()
        if error is None:
            learned.heard(run)
        elif self._not_so(error):
            learned.denied(run, kind, self._received)
        elif silent and (kind == "mute" or not known) and await self._there():
            learned.denied(run, "mute", self._received)
        elif known:
            learned.put_off(run, self._received)
        elif not silent:  # neither yes nor no: a larger request is not worth being asked for at every reading
            self._group.settled = learned.version

    async def _there(self) -> bool:
        """Tell whether what was answered just before still is, so that it was not the line that kept silent."""
        sound = next((block for block in self._group.blocks if block.proven and not block.failures), None)
        return sound is not None and await self._gone(sound.request.run) is None

    async def _unjam(self) -> None:
        """Open the connection anew: some servers keep silent to everything after a request that they do not like."""
        if self._link.numbered:
            await self._link.reopen()

    def _not_so(self, error: FieldError) -> bool:
        """Tell whether the unit has answered, and another request for the same might be answered better.

        On a serial line a short answer may be a late one, which would be taken for that to a smaller request.
        """
        if isinstance(error, ShortReply):
            return self._link.numbered
        return isinstance(error, DeviceRefused) and error.exception_code in NOT_SO

    async def _probe(self, run: Run) -> FieldError | None:
        """Ask for addresses without looking at what is in them."""
        bare = Request(table=run.table, address=run.address, count=run.count, spans=(), bridged=True)
        block = self._group.block(bare)
        try:
            await self._link.ask(block.question, self._group.unit.pause)
        except (DeviceRefused, DeviceSilent, ReplyMismatch) as error:
            self._doubt(block.question, error)
            return error
        return None


def _kind(error: FieldError) -> Kind:
    return "mute" if isinstance(error, DeviceSilent) else "wide"


def _refused_as_it_is(block: Block) -> bool:
    """Tell whether a refusal is believed: what was answered before may be refused once by a device that starts."""
    if not block.refusals:
        return False
    return block.refusals >= TWICE or block.request.bridged or halves(block.request) is None


def _counts_as_answer(block: Block, error: FieldError) -> bool:
    """Tell whether the unit has answered. What it always cuts short, instead of refusing it, it has answered too."""
    if isinstance(error, ShortReply):
        return block.request.lone
    return isinstance(error, DeviceRefused) and error.exception_code not in GATEWAY
