"""The list that a fire calls for: once for each fire, also if the last run died before it, whatever the disk does."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

from edge import muster, muster_call
from edge.muster import Muster
from edge.muster_call import DURABLE_WITHIN_S, MusterCall, doors_of
from sitekeeper.model.alarm import AlarmRecord, AlarmState
from sitekeeper.model.errors import StorageError
from sitekeeper.model.event import Event
from tests import virtual

FIRE = AlarmRecord(
    key="s1/panel/F01", rule="F01", occurrence="s1/panel/F01@e-1", state=AlarmState("B"), priority="P1",
    latched=True, raised=1_000, changed=1_000,
)  # fmt: skip


class Line:
    """The pipeline, as far as the call knows it."""

    def __init__(self, *standing: AlarmRecord) -> None:
        self.book = SimpleNamespace(records=lambda: standing)
        self.moved_watchers: set[Any] = set()
        self.last_append: Future[None] = Future()
        self.last_append.set_result(None)
        self.events: list[tuple[str, Mapping[str, Any]]] = []

    def told(self, source_id: str, fields: Mapping[str, Any]) -> None:
        self.events.append((source_id, fields))


def device(name: str, *tags: str, cls: str = "access") -> Any:
    return SimpleNamespace(id=name, cls=cls, tags=tags)


def site(*devices: Any) -> Any:
    return SimpleNamespace(devices={each.id: each for each in devices}, outbox=SimpleNamespace(path=Path("outbox")))


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Let the record have one person, and a list of before or none."""
    monkeypatch.setattr(muster_call, "read", lambda *_: Muster(since=0, people=(), no_out=(), by_button=0))
    return lambda listed: monkeypatch.setattr(muster_call, "listed", lambda *_: listed)


async def working(line: Line, during: Callable[[MusterCall], None], seconds: float = 1.0) -> int:
    """Return how many lists are made while a call is at work for a while."""
    call = MusterCall(site(device("hall")), line, virtual.VirtualClock())  # type: ignore[arg-type]
    task = asyncio.create_task(call.run())
    during(call)
    await asyncio.sleep(seconds)
    assert not task.done(), "nothing may end it in a fire"
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert {source for source, _ in line.events} <= {"gateway/muster"}
    return len(line.events)


@pytest.mark.parametrize(("listed", "made"), [(False, 1), (True, 0)])
def test_a_fire_that_stands_at_the_start_has_its_list(
    recorded: Callable[[bool], None], listed: bool, made: int
) -> None:
    """Made if the last run recorded none, and not twice; the same occurrence calls for no other."""
    recorded(listed)
    again = lambda call: call.moved([FIRE], 1)  # noqa: E731
    assert virtual.run(working(Line(FIRE), again)) == made


def test_a_disk_that_fails_in_a_fire_does_not_end_the_call(recorded: Callable[[bool], None]) -> None:
    """What could not be stored, or is not in time, is not waited for; and waiting cancels nobody else's future."""
    recorded(False)
    line = Line()
    line.last_append = Future()
    line.last_append.set_exception(StorageError("gone"))
    assert virtual.run(working(line, lambda call: call.moved([FIRE], 1))) == 1
    line = Line()
    line.last_append = Future()
    assert virtual.run(working(line, lambda call: call.moved([FIRE], 1), DURABLE_WITHIN_S + 1)) == 1
    assert not line.last_append.cancelled()


def test_a_list_was_recorded_only_if_the_record_says_so_in_that_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One without a number is none, one of the future is not believed, and a record that cannot be read has none."""
    told: list[tuple[int, Event]] = []

    class Record:
        def __init__(self, path: Path) -> None:
            if path.name == "broken":
                raise StorageError("broken")

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

        def events(self, source: str, since: int) -> list[tuple[int, Event]]:
            assert (source, since) == ("gateway/muster", 10)
            return told

    monkeypatch.setattr(muster, "Reader", Record)
    path = Path("outbox")
    told += [(12, Event("gateway/muster", 1, {"count": None})), (30, Event("gateway/muster", 2, {"count": 3}))]
    assert not muster.listed(path, 10, 20)
    assert muster.listed(path, 10, 30)
    assert not muster.listed(Path("broken"), 10, 30)


def test_outer_doors_are_those_of_the_perimeter_and_all_where_no_tag_tells() -> None:
    """Tags of other devices, and other tags, tell nothing of doors."""
    lane = device("lane", "perimeter", cls="parking")
    assert doors_of(site(device("hall"), device("yard", "goods"), lane)) == {"hall": True, "yard": True}
    assert doors_of(site(device("hall", "perimeter"), device("room"), lane)) == {"hall": True, "room": False}
