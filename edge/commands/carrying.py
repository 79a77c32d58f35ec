"""One write to a device and the look for its effect: what is the same for whatever is written, and for whom."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from msgspec.structs import replace

from edge.commands import guard, warning
from edge.commands.claims import Claim, Step
from edge.commands.desk import Desk, Result
from edge.commands.guard import Target
from sitekeeper.model.clock import MS, SECOND, Micros
from sitekeeper.model.errors import DeviceRefused, DeviceSilent, FieldError, LinkDown, NotFound, StorageError

WRITE_WITHIN: Final[Micros] = 10 * SECOND
"""How long a device may take to accept a write, waiting for its turn on the link included."""

GUARDED_WITHIN: Final[Micros] = SECOND
"""The same for a write with an interlock: what was seen to be clear must not be long ago."""

DURABLE_WITHIN: Final[Micros] = 2 * SECOND
"""How long a command waits for its row in the audit; without one it is not carried out. Life safety does not wait."""

FORBIDDEN: Final = Result("refused", "forbidden")
"""A rule forbids that anything is written to the device; whoever asks, and whatever claims it."""

REPLACED: Final = Result("unconfirmed", "replaced")
"""Somebody else came before its effect was seen."""

LOOK: Final[Micros] = 100 * MS
"""How often it is looked whether a write has shown its effect."""


class Carrier:
    """Carries out the steps of one point.

    Args:
        holds: tells whether a claim holds the point; of None, whether nobody's does.
        changed: set when the point's line has something new to look at.
    """

    def __init__(
        self, target: Target, desk: Desk, holds: Callable[[Claim | None], bool], changed: asyncio.Event
    ) -> None:
        self._target = target
        self._desk = desk
        self._holds = holds
        self._changed = changed
        self._limit: asyncio.Timeout | None = None

    def interrupt(self) -> None:
        """End a write that is under way: what waits for its turn on the link does not get it any more."""
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def write(self, step: Step) -> Result | None:
        """Write once; return what went wrong, if something did."""
        if self._desk.forbidden(self._target.device):
            return FORBIDDEN
        within = WRITE_WITHIN if self._target.writable.interlock is None else GUARDED_WITHIN
        if step.claim is not None and step.claim.until is not None:
            within = min(within, step.claim.until - self._desk.clock.monotonic())
        if within <= 0:
            return Result("timed_out", "expired")
        try:
            async with asyncio.timeout(within / SECOND) as self._limit:
                await self._desk.write(self._target.device, self._target.point.name, step.value, step.priority)
        except (TimeoutError, LinkDown, DeviceSilent) as error:
            forbidden = self._desk.forbidden(self._target.device)
            return Result("timed_out", FORBIDDEN.reason if forbidden else "no-answer", str(error))
        except DeviceRefused as error:
            return Result("refused", "device-refused", str(error))
        except (NotFound, ValueError) as error:
            return Result("refused", "cannot-hold", str(error))
        except FieldError as error:  # the rest of them: an answer that is not one to this write
            return Result("unconfirmed", "mismatch", str(error))
        finally:
            self._limit = None
        return None

    async def warn(self, step: Step) -> Result | None:
        """Warn people before a light goes off, if that must be; return what came between, if something did.

        A device that does not take the warning is switched off without: it would not take the next one either. One that
        cannot blink, because what it shows now is not known, stays as it is for the time of the warning.
        """
        target, warn, present = self._target, self._target.writable.warn, self._desk.present(None)
        if warn is None or not self._holds(step.claim) or not warning.needed(target, step, present):
            return None  # giving a place back under somebody else's claim makes nothing dark
        blink, until = warning.blink(target, step, present), self._desk.clock.monotonic() + warn.for_
        value, back = blink or (None, None)
        if blink is not None and await self.write(replace(step, value=value)) is not None:
            return None
        if back is not None:
            await self.changed_within(warning.BLINK)
            if self._holds(step.claim) or self._holds(None):  # else whoever came writes what he wants
                await self.write(replace(step, value=back, claim=None))
        if step.claim is not None and step.claim.until is not None:
            until = min(until, step.claim.until)
        while self._holds(step.claim) and (left := until - self._desk.clock.monotonic()) > 0:
            if self._desk.forbidden(target.device):
                return FORBIDDEN
            self._changed.clear()
            await self.changed_within(left)
        return None if self._holds(step.claim) else REPLACED

    async def read_back(self, step: Step) -> Result:
        """Look until the effect of a write is seen, its time is over, or somebody stronger comes."""
        if step.value is None:
            return Result("confirmed")  # given up; which other value holds now is not ours to know
        since = self._desk.clock.monotonic()
        until = since + self._target.writable.within
        if step.claim is not None and step.claim.until is not None:
            until = min(until, step.claim.until)
        while True:
            shown = guard.shows(self._target, step.value, self._desk.present(since))
            if shown is None:
                return Result("unconfirmed", "no-feedback")
            if shown:
                return Result("confirmed")
            if not self._holds(step.claim):
                return REPLACED
            if self._desk.clock.monotonic() >= until:
                return Result("unconfirmed", "not-seen")
            await self.changed_within(LOOK)
            self._changed.clear()

    async def changed_within(self, wait: Micros) -> None:
        """Return when the line has something new to look at, or after `wait`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0, wait) / SECOND):
                await self._changed.wait()


async def durably(future: "Future[None]") -> bool:
    """Wait for a row of the audit; tell whether it became durable in time."""
    try:
        await asyncio.wait_for(asyncio.wrap_future(future), DURABLE_WITHIN / SECOND)
    except (TimeoutError, StorageError):
        return False
    return True
