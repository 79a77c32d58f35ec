"""What a line has on its desk: the gateway as it needs it, and the word for what came of a command."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass

from edge.commands.claims import Claim, Wishes
from edge.commands.guard import Present
from sitekeeper.model.clock import Clock, Micros
from sitekeeper.model.command import Outcome
from sitekeeper.model.sample import Value


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a command; `reason` is a stable word, `detail` a sentence."""

    outcome: Outcome
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What a line needs of the gateway.

    Attributes:
        present: the site as it stands; with a time, only what was read after it counts as fresh.
        tell: (point id, the wishes as they stand, claim, what came of it): records it; None if that could not be.
        forbidden: whether nothing may be written to a device now, whoever asks.
        write: (device, point, value, priority): `drivers.base.Driver.write` of the device's link.
        tasks: owns the lines' tasks; None before the gateway runs: then nothing is done yet.
    """

    present: Callable[[Micros | None], Present]
    tell: "Callable[[str, Wishes, Claim, Result], Future[None] | None]"
    forbidden: Callable[[str], bool]
    write: Callable[[str, str, Value, int], Awaitable[None]]
    tasks: Callable[[], asyncio.TaskGroup | None]
    clock: Clock
