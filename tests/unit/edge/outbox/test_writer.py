"""The writer's own thread: grouping, order, failing and dying disks."""

import os
import threading
from collections.abc import Callable

import pytest

from edge.outbox import Limits, Outbox
from edge.outbox.pending import Job
from edge.outbox.store import Store
from sitekeeper.model.errors import StorageError
from tests.unit.edge.outbox.conftest import Disk, sealed

Open = Callable[..., Outbox]
SLOW = Limits(group=60.0)
"""Samples would wait a minute for company, so that what comes earlier was caused by something else."""


def test_an_alarm_takes_along_the_samples_before_it_in_one_commit(open_outbox: Open) -> None:
    """An alarm is committed at once, with everything that waited, in the order of the appends."""
    commits: list[list[object]] = []
    outbox = open_outbox(inline=False, limits=SLOW, on_commit=lambda blocks: commits.append(list(blocks)))
    first = outbox.append([sealed("samples", 1)])
    assert not first.done()
    outbox.append([sealed("samples", 2), sealed("alarms", 1)]).result(5)
    assert first.done()
    assert commits == [[("samples", 1), ("samples", 2), ("alarms", 1)]]


def test_samples_alone_are_committed_after_the_group_time(open_outbox: Open) -> None:
    """Nobody has to ask: a lone block is durable soon."""
    outbox = open_outbox(inline=False, limits=Limits(group=0.005))
    outbox.append([sealed("samples", 1)]).result(5)
    assert outbox.unsent("samples").blocks == 1


def test_flush_and_close_make_durable_what_waits(open_outbox: Open) -> None:
    """Both do not wait for the group time."""
    outbox = open_outbox(inline=False, limits=SLOW)
    first = outbox.append([sealed("samples", 1)])
    outbox.flush(5)
    assert first.done()
    second = outbox.append([sealed("samples", 2)])
    outbox.close(5)
    assert second.done()
    assert open_outbox().next_sequence("samples") == 3


def test_a_failing_disk_is_tried_again_until_it_works(open_outbox: Open, disk: Disk) -> None:
    """The thread keeps the order, shows the problem, and clears it."""
    shown: list[StorageError | None] = []
    outbox = open_outbox(inline=False, limits=Limits(retry=0.002), on_commit=lambda _: shown.append(outbox.problem))
    disk.faults = ["lost", "lost", "lost"]
    disk.refuse_open = 1
    futures = [outbox.append([sealed("alarms", n)]) for n in (1, 2)]
    for future in futures:
        future.result(5)
    assert shown
    assert shown[-1] is None
    assert outbox.unsent("alarms") == (1, 2, 2)


def test_close_does_not_wait_for_a_disk_that_stays_broken(open_outbox: Open, disk: Disk) -> None:
    """One last attempt, then the futures fail and the thread ends."""
    outbox = open_outbox(inline=False, limits=Limits(retry=60.0))
    disk.faults = ["lost"] * 9
    future = outbox.append([sealed("alarms", 1)])
    with pytest.raises(StorageError, match="disk I/O error"):
        outbox.close(5)
    assert isinstance(future.exception(5), StorageError)


def test_a_disk_that_does_not_answer_is_told_at_close(open_outbox: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """close waits for its time-out only; the outcome of what was under way is unknown."""
    answers = threading.Event()
    commit = Store.commit
    monkeypatch.setattr(Store, "commit", lambda self, jobs, *, strip: (answers.wait(5), commit(self, jobs)))
    outbox = open_outbox(inline=False)
    future = outbox.append([sealed("alarms", 1)])
    with pytest.raises(StorageError, match="has not answered") as caught:
        outbox.close(0.01)
    assert caught.value.unknown
    with pytest.raises(StorageError, match="another process"):
        open_outbox()  # the thread may still write, so nobody else may
    answers.set()
    future.result(5)
    outbox._writer._thread.join(5)
    os.close(outbox._lock)


def test_what_comes_during_a_commit_waits_for_its_own_time(open_outbox: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow disk does not make the writer commit without pause: samples still gather."""
    committing, go_on, commit = threading.Event(), threading.Event(), Store.commit

    def slow(self: Store, jobs: list[Job], *, strip: bool) -> None:
        committing.set()
        go_on.wait(5)
        commit(self, jobs)

    monkeypatch.setattr(Store, "commit", slow)
    commits: list[list[object]] = []
    outbox = open_outbox(inline=False, limits=SLOW, on_commit=lambda blocks: commits.append(list(blocks)))
    alarm = outbox.append([sealed("alarms", 1)])
    assert committing.wait(5)
    outbox.append([sealed("samples", 1)])
    go_on.set()
    alarm.result(5)
    outbox.append([sealed("samples", 2)])
    outbox.flush(5)
    assert commits == [[("alarms", 1)], [("samples", 1), ("samples", 2)]]


def test_a_bug_on_the_writers_thread_ends_the_outbox_visibly(
    open_outbox: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dead writer fails all futures, takes nothing more, and is the problem that is shown."""
    monkeypatch.setattr(Store, "commit", lambda self, jobs, *, strip: 1 // 0)
    outbox = open_outbox(inline=False)
    future = outbox.append([sealed("alarms", 1)])
    assert isinstance(future.exception(5), StorageError)
    outbox._writer._thread.join(5)
    assert "writer died" in str(outbox.problem)
    assert outbox.behind("alarms")
    with pytest.raises(StorageError, match="writer died"):
        outbox.append([sealed("alarms", 2)])
