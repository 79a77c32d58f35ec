"""The drill desk: who may, for how long, and that whatever ends a drill makes everything real again."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from edge.commands import audit
from edge.drill import KEY, DrillDesk
from sitekeeper.model.alarm import AlarmRecord, AlarmState
from sitekeeper.model.clock import HOUR, MINUTE, Moment
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import FormatError, Refused, StorageError
from tests import virtual

CHAN = Actor("chan", "technician", "site")
PANEL = ("panel-1",)


class Site:
    """The book and the record, as far as the desk knows them."""

    def __init__(self) -> None:
        self.clock = virtual.VirtualClock()
        self.drilled: frozenset[str] = frozenset()
        self.alarms: tuple[AlarmRecord, ...] = ()
        self.events: list[Mapping[str, Any]] = []
        self.rows: list[audit.AuditRow] = []
        self.state: dict[str, bytes | None] = {}
        self.behind = False
        self.alarms_behind = False
        self.real = 0
        self.desk = self.made()

    def made(self) -> DrillDesk:
        return DrillDesk(self, self, self.now, self.state.get(KEY))

    def now(self) -> Moment:
        return Moment(wall=self.clock.wall(), mono=self.clock.monotonic(), trusted=True)

    def records(self) -> tuple[AlarmRecord, ...]:
        return self.alarms

    def told(
        self, source_id: str, fields: Mapping[str, Any], *, audit: bytes | None = None,
        state: Mapping[str, bytes | None] = {},
    ) -> "Future[None]":  # fmt: skip
        if self.behind:
            raise StorageError("behind")
        assert source_id == "gateway/drill"
        self.events.append(dict(fields))
        return self.noted([] if audit is None else [audit], state)

    def noted(self, audit: Sequence[bytes] = (), state: Mapping[str, bytes | None] = {}) -> "Future[None]":
        self.rows += [_row(each) for each in audit]
        self.state |= state
        return Future()

    def serious(self) -> None:
        if self.alarms_behind:
            raise StorageError("behind")
        self.real += 1

    def killed(self) -> None:
        """Let another run begin with what is saved."""
        self.drilled = frozenset()
        self.desk = self.made()


def _row(record: bytes) -> audit.AuditRow:
    return audit.decode(record)


@asynccontextmanager
async def at_work(site: Site) -> Any:
    task = asyncio.create_task(site.desk.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def on(site: Site) -> bool:
    return site.desk.running is not None


def fire(mode: Any = "", state: str = "B") -> AlarmRecord:
    return AlarmRecord(
        key="s1/panel-2/F01", rule="F01", occurrence="s1/panel-2/F01@e-1", state=AlarmState(state), priority="P1",
        latched=True, raised=0, changed=0, mode=mode,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("actor", "lasts", "note", "word"),
    [
        (Actor("lee", "operator", "site"), HOUR, "drill", "not-permitted"),
        (Actor("desk", "technician", "office"), HOUR, "drill", "site-only"),
        (CHAN, HOUR, " ", "reason-needed"),
        (CHAN, 0, "drill", "too-short"),
        (CHAN, 2 * HOUR + 1, "drill", "too-long"),
    ],
)
def test_a_drill_is_begun_by_who_may_and_for_two_hours_at_most(actor: Actor, lasts: int, note: str, word: str) -> None:
    """Each refusal is a row of the audit, and changes nothing."""

    async def main() -> None:
        site = Site()
        with pytest.raises(Refused) as refused:
            site.desk.start(actor, "panel-1", PANEL, lasts, note)
        assert (refused.value.reason, site.drilled, site.events) == (word, frozenset(), [])
        assert [(row.operation, row.outcome) for row in site.rows] == [("drill.start", word)]

    virtual.run(main())


def test_a_drill_ends_at_its_time_and_everything_is_real() -> None:
    """Its devices are free of it, what stands is looked at anew, and the record says why."""

    async def main() -> None:
        site = Site()
        async with at_work(site):
            site.desk.start(CHAN, "panel-1", PANEL, 10 * MINUTE, "yearly")
            with pytest.raises(Refused, match="drill-on"):
                site.desk.start(CHAN, "panel-1", PANEL, 10 * MINUTE, "yearly")
            await asyncio.sleep(599)
            assert (site.drilled, site.real) == (frozenset(PANEL), 0)
            await asyncio.sleep(2)
            assert (site.drilled, site.real, site.desk.running) == (frozenset(), 1, None)
            assert [(event["on"], event["why"]) for event in site.events] == [(True, ""), (False, "over")]
            with pytest.raises(Refused, match="no-drill"):
                site.desk.stop(CHAN, "")

    virtual.run(main())


def test_a_real_fire_ends_it_and_one_of_a_drill_or_a_watch_does_not() -> None:
    """And none begins while a fire alarm stands."""

    async def main() -> None:
        site = Site()
        async with at_work(site):
            site.desk.start(CHAN, "panel-1", PANEL, HOUR, "yearly")
            site.desk.moved([fire("drill"), fire("watch"), fire(state="LU")], 1)
            await asyncio.sleep(1)
            assert on(site)
            site.desk.moved([fire()], 2)
            await asyncio.sleep(1)
            assert not on(site)
            assert site.events[-1]["why"] == "fire"
            site.alarms = (fire(),)
            with pytest.raises(Refused, match="fire-stands"):
                site.desk.start(CHAN, "panel-1", PANEL, HOUR, "yearly")

    virtual.run(main())


def test_an_end_that_the_disk_does_not_take_is_an_end_all_the_same() -> None:
    """Real at once; recorded when the disk is back."""

    async def main() -> None:
        site = Site()
        async with at_work(site):
            site.desk.start(CHAN, "panel-1", PANEL, HOUR, "yearly")
            await asyncio.sleep(1)
            site.behind = True
            site.desk.stop(CHAN, "done")
            await asyncio.sleep(5)
            assert (site.drilled, site.real, len(site.events)) == (frozenset(), 1, 1)
            site.behind = False
            await asyncio.sleep(2)
            assert [(event["on"], event["why"]) for event in site.events] == [(True, ""), (False, "stopped")]

    virtual.run(main())


def test_a_restart_ends_no_drill_but_one_whose_time_is_over() -> None:
    """It goes on for what is left of it; one that is over while nobody was there ends with the start."""

    async def main() -> None:
        site = Site()
        site.desk.start(CHAN, "panel-1", PANEL, 10 * MINUTE, "yearly")
        await asyncio.sleep(300)
        site.drilled = frozenset()
        site.desk = site.made()
        assert site.drilled == frozenset(PANEL)
        async with at_work(site):
            await asyncio.sleep(301)
            assert site.drilled == frozenset()
        site.desk.start(CHAN, "panel-1", PANEL, 10 * MINUTE, "yearly")
        await asyncio.sleep(3_600)
        site.drilled = frozenset()
        site.desk = site.made()
        assert site.drilled == frozenset()
        async with at_work(site):
            await asyncio.sleep(1)
        assert site.events[-1]["why"] == "over"
        site.state[KEY] = b"\xc1"
        with pytest.raises(FormatError):
            site.made()

    virtual.run(main())


def test_what_stands_is_real_in_the_end_whatever_the_disk_or_a_kill_does() -> None:
    """Tried until the store takes it; owed once after a start without a drill, for the last run may have died in it."""

    async def main() -> None:
        site = Site()
        async with at_work(site):
            await asyncio.sleep(1)
            assert site.real == 0, "there was no drill"
            site.desk.start(CHAN, "panel-1", PANEL, HOUR, "yearly")
            await asyncio.sleep(1)
            site.alarms_behind = True
            site.desk.stop(CHAN, "done")
            await asyncio.sleep(5)
            assert (len(site.events), site.real) == (2, 0)
        site.killed()  # after the end, before what stands was real
        async with at_work(site):
            await asyncio.sleep(5)
            assert site.real == 0
            site.alarms_behind = False
            await asyncio.sleep(2)
            assert (len(site.events), site.real) == (2, 1)
            await asyncio.sleep(HOUR / 1e6)
            assert site.real == 1

    virtual.run(main())


def test_a_fire_that_stands_at_a_start_ends_the_drill_it_could_not_end_before() -> None:
    """The last run died between the alarm and the end: nothing is practice from the start on."""

    async def main() -> None:
        site = Site()
        site.desk.start(CHAN, "panel-1", PANEL, HOUR, "yearly")
        site.alarms = (fire("drill"),)
        site.killed()
        assert site.drilled == frozenset(PANEL)
        site.alarms = (fire("drill"), fire())
        site.killed()
        assert site.drilled == frozenset()
        async with at_work(site):
            await asyncio.sleep(1)
        assert (on(site), site.real, site.events[-1]["why"]) == (False, 1, "fire")

    virtual.run(main())


def test_a_clock_set_back_over_a_restart_leaves_no_more_than_was_asked_for() -> None:
    """Ten minutes are ten minutes at most, not the longest drill there may be."""

    async def main() -> None:
        site = Site()
        site.desk.start(CHAN, "panel-1", PANEL, 10 * MINUTE, "yearly")
        site.clock.wall = lambda: virtual.VirtualClock().wall() - 24 * HOUR  # type: ignore[method-assign]
        site.killed()
        async with at_work(site):
            await asyncio.sleep(599)
            assert on(site)
            await asyncio.sleep(2)
            assert not on(site)

    virtual.run(main())


def test_no_drill_begins_before_the_end_of_the_last_one_is_recorded() -> None:
    """Each record goes with its own row; a start tries once more, and is refused if that fails too."""

    async def main() -> None:
        site = Site()
        site.desk.start(CHAN, "panel-1", PANEL, HOUR, "first")
        site.behind = True
        site.desk.stop(CHAN, "done")
        with pytest.raises(StorageError, match="end of the last drill"):
            site.desk.start(CHAN, "panel-1", PANEL, HOUR, "second")
        assert (site.drilled, on(site)) == (frozenset(), False)
        site.behind = False
        site.desk.start(CHAN, "panel-1", PANEL, HOUR, "second")
        assert [(event["note"], event["on"]) for event in site.events] == [
            ("first", True), ("first", False), ("second", True),
        ]  # fmt: skip
        assert [row.operation for row in site.rows] == ["drill.start", "drill.stop", "drill.start"]

    virtual.run(main())
