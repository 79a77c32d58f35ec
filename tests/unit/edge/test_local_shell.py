"""Local targets at work, in virtual time: one claim for all alarms of a look, and what is known of each telling."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress

import msgspec

from edge.local.machine import AT_ONCE, LocalTargets
from edge.local.plan import Fits, LocalPlan, Output, Post
from edge.local.shell import LocalShell
from sitekeeper.catalogue import Catalogue
from sitekeeper.model.alarm import AlarmRecord, AlarmState
from sitekeeper.model.clock import SECOND, Micros, Moment
from sitekeeper.model.command import SECURITY, Write
from sitekeeper.model.errors import StorageError
from sitekeeper.model.sample import Value
from tests import virtual

P1 = Fits(priorities=frozenset({"P1"}))
HORN = Write("horn", "on_command", True, SECURITY)
PLAN = LocalPlan(
    after=0,
    fits={"horn": P1, "phone": P1},
    outputs={"horn": Output(HORN, 10 * SECOND)},
    posts={"phone": Post("http://192.0.2.7/")},
)


class World:
    """An office that is away, a commander, a record, and a telephone that takes a second."""

    def __init__(self) -> None:
        self.clock = virtual.VirtualClock()
        self.holds: list[str] = []
        self.can = True
        self.behind = False
        self.outcomes: list[tuple[str, str]] = []
        self.posted: list[int] = []
        now = Moment(wall=self.clock.wall(), mono=self.clock.monotonic())
        self.shell = LocalShell(
            LocalTargets(PLAN, audience={}, now=now), plan=PLAN, catalogue=Catalogue(site="s1"),
            office=lambda: (False, 0), hands=self, records=self, post=self.post, clock=self.clock,
        )  # fmt: skip

    def able(self, write: Write) -> bool:
        return self.can and write == HORN

    def hold(self, by: str, write: Write, until: Micros | None = None) -> None:
        self.holds.append(by)

    def give_up(self, by: str) -> None:
        pass

    def told(
        self, source_id: str, fields: Mapping[str, Value], *, audit: bytes | None = None,
        state: Mapping[str, bytes | None] = {},
    ) -> "Future[None]":  # fmt: skip
        if self.behind:
            raise StorageError("behind")
        self.outcomes.append((str(fields["target"]), str(fields["outcome"])))
        return Future()

    def noted(self, audit: Sequence[bytes] = (), state: Mapping[str, bytes | None] = {}) -> "Future[None]":
        raise AssertionError("no alarm here is a secret")

    async def post(self, to: Post, body: bytes, unix: int) -> str:
        await asyncio.sleep(1.5)
        self.posted.append(len(msgspec.json.decode(body)["alarms"]))
        return "told"

    def raised(self, count: int) -> None:
        keys = [f"s1/lift-{number}/L01" for number in range(count)]
        state = AlarmState("B")
        self.shell.moved(
            [
                AlarmRecord(key=key, rule="L01", occurrence=f"{key}@e-5", state=state, priority="P1", latched=True,
                            raised=0, changed=0)
                for key in keys
            ],
            5,
        )  # fmt: skip


@asynccontextmanager
async def at_work() -> AsyncIterator[World]:
    world = World()
    task = asyncio.create_task(world.shell.run())
    try:
        yield world
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def test_an_output_is_claimed_once_however_many_alarms_there_are() -> None:
    """Fifty alarms in one look: one claim, fifty tellings."""

    async def main() -> None:
        async with at_work() as world:
            world.raised(AT_ONCE)
            await asyncio.sleep(0.5)
            assert world.holds == ["local/horn"]
            assert world.outcomes == [("horn", "told")] * AT_ONCE

    virtual.run(main())


def test_an_output_that_cannot_be_written_now_has_told_nobody() -> None:
    """The record says so; it is claimed all the same, for when it is back within the time."""

    async def main() -> None:
        async with at_work() as world:
            world.can = False
            world.raised(1)
            await asyncio.sleep(0.5)
            assert (world.holds, world.outcomes) == (["local/horn"], [("horn", "unreachable")])

    virtual.run(main())


def test_no_message_is_longer_than_anybody_reads_and_none_is_left_out() -> None:
    """More alarms than fit into one post while the one before is under way: they go one post after another."""

    async def main() -> None:
        async with at_work() as world:
            world.raised(5 * AT_ONCE + 10)
            await asyncio.sleep(15)
            assert world.posted[0] == AT_ONCE
            assert (sum(world.posted), max(world.posted)) == (5 * AT_ONCE + 10, AT_ONCE)

    virtual.run(main())


def test_a_disk_that_is_behind_keeps_nobody_from_being_told() -> None:
    """The horn and the posts go on without their record."""

    async def main() -> None:
        async with at_work() as world:
            world.behind = True
            world.raised(1)
            await asyncio.sleep(10)
            assert (world.holds, world.posted, world.outcomes) == (["local/horn"], [1], [])

    virtual.run(main())
