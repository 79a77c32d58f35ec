"""The writer: takes what waits, commits it as one transaction, tells those who wait; one thread, or none.

While the disk fails everything stays queued in its order and is tried again once a second. Nobody is told that
something is durable before it is, and nothing is written twice: after a failure the file itself is asked.

When there is no room (`short`), the reserve is given back and history makes room inside the file. Samples are written
only into such room; an append that cannot wait is written at once, and the samples before it and in it are dropped.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final

import structlog

from edge.outbox import damage, space
from edge.outbox.pace import Pace
from edge.outbox.pending import MAX_BATCH, Job, Pending
from edge.outbox.records import Damaged, Limits, NoRoom
from edge.outbox.store import Store
from sitekeeper.block import Stream
from sitekeeper.model.clock import MINUTE, Clock, Micros
from sitekeeper.model.errors import StorageError

log = structlog.get_logger()

PURGE_EVERY: Final[Micros] = MINUTE

SLACK: Final = 256 << 10
"""Bytes that must be free inside the file, beyond twice what is to be written, before samples are written there."""

Committed = Callable[[Sequence[tuple[Stream, int]]], None]
"""Told the blocks of each commit, on the writer's thread: must neither block nor raise."""


class Writer:
    """Runs the one writing connection. With `inline` every call does its own work and no thread exists."""

    def __init__(
        self, store: Store, clock: Clock, limits: Limits, *, inline: bool, on_commit: Committed | None
    ) -> None:
        self._store = store
        self._clock = clock
        self.limits = limits
        self._on_commit = on_commit
        self._pending = Pending(limits)
        self._wake = threading.Condition()
        self._closing = False
        self._doubtful = 0  # so many of the oldest jobs were in a commit whose outcome is not known
        self._failing_since: Micros | None = None
        self._dead = False
        self._purge_at: Micros = clock.monotonic()
        self.problem: StorageError | None = None
        self.short: StorageError | None = None
        self._held = False  # samples wait for room, and nothing else is the matter
        self._reserve = space.Reserve(store.path, limits.reserve)
        self._reserve.hold()
        self.pace = Pace(clock.monotonic())
        self.sizes = store.sizes()
        self._thread = None if inline else threading.Thread(target=self._main, name="outbox-writer", daemon=True)
        if self._thread is not None:
            self._thread.start()

    def submit(self, job: Job) -> Future[None]:
        """Queue an append; its future resolves when it is durable.

        Raises:
            StorageError: the queue is full, or the outbox is closed or broken; nothing was taken.
        """
        with self._wake:
            if self._closing or self._dead:
                raise self.problem or StorageError(f"{self._store.path}: the outbox is closed")
            job.at = time.monotonic()
            self._pending.add(job)
            self._wake.notify()
        if self._thread is None:
            self._drain()
        return job.future

    def full(self, *, samples: bool) -> bool:
        """Tell whether `submit` would refuse."""
        with self._wake:
            return self._dead or self._closing or self._pending.full(samples=samples)

    def close(self, timeout: float) -> None:
        """Commit what waits, with one attempt, and close the file.

        Raises:
            StorageError: not everything could be made durable; or the thread did not end within `timeout` seconds.
        """
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread is None:
            self._drain()
            self._end()
        else:
            self._thread.join(timeout)
            if self._thread.is_alive():
                msg = f"{self._store.path}: the disk has not answered for {timeout:g} s"
                raise StorageError(msg, unknown=True)
        if self.problem is not None:
            raise self.problem

    @property
    def dead(self) -> bool:
        """Tell whether the thread has died of a fault; a disk that refuses is no fault of it."""
        return self._dead

    @property
    def ended(self) -> bool:
        """Tell whether nothing can write any more."""
        return self._thread is None or not self._thread.is_alive()

    @property
    def threaded(self) -> bool:
        """Tell whether commits happen on another thread."""
        return self._thread is not None

    # on the writer's thread

    def _main(self) -> None:
        """The named boundary of the thread: whatever comes out of it ends the outbox visibly."""
        try:
            while self._wait():
                if not self._step() and not self._pause():
                    break
        except Exception as error:
            log.exception("outbox writer died")
            self._dead = True
            self.problem = StorageError(f"{self._store.path}: the writer died: {error!r}", unknown=True)
        finally:
            self._end()

    def _wait(self) -> bool:
        """Wait until a commit is due; False when closing and nothing is left."""
        with self._wake:
            while not self._closing:
                due = self._pending.due_in(time.monotonic())
                if due == 0.0:
                    return True
                self._wake.wait(due)
            return len(self._pending) > 0

    def _pause(self) -> bool:
        """Wait before the next attempt; False when closing: then the last attempt was the last."""
        with self._wake:
            due = lambda: self._closing or (self._held and self._pending.urgent)  # noqa: E731
            self._wake.wait_for(due, self.limits.retry)
            return not self._closing or (self._held and len(self._pending) > 0)

    def _step(self) -> bool:
        """Commit one batch; False if the disk refused. What came meanwhile waits for its own time.

        Raises:
            Damaged: the file is; the next start saves what can be read.
        """
        try:
            self._settle()
            if self.short is not None:
                self._make_room()
            batch, strip = self._batch()
            if batch:
                self._commit(batch, strip=strip)
            self._held = not batch and len(self._pending) > 0
            self._purge()
        except Damaged as error:
            damage.mark(self._store.path, str(error))
            raise
        except NoRoom as error:
            return self._run_short(error)
        except StorageError as error:
            self._fail(error)
            return False
        return not self._held

    def _drain(self) -> None:
        """Without a thread: commit all that waits, unless the disk refuses."""
        while len(self._pending) and self._step():
            continue

    def _settle(self) -> None:
        """After a failure: find out what became of the commit under way."""
        if self._failing_since is None:
            return
        with self._wake:
            doubtful = self._pending.first(self._doubtful)
        landed = self._store.recover(doubtful)
        self._doubtful = 0
        if landed:
            self._finish(doubtful)

    def _batch(self) -> tuple[list[Job], bool]:
        """Return what to write now, and whether its samples are to be dropped; nothing if samples wait for room."""
        with self._wake:
            batch = self._pending.batch()
            if self.short is None or self._fits(batch):
                return batch, False
            if self._pending.urgent:
                return self._pending.upto_urgent(), True
            if receipts := self._pending.receipts_first():
                return self._pending.first(receipts), False
            return (self._pending.first(len(self._pending)), True) if self._closing else ([], False)

    def _fits(self, batch: list[Job]) -> bool:
        """Tell whether there is room for these inside the file; what has no samples asks nobody."""
        samples = sum(len(block.payload) for job in batch for block in job.blocks if block.stream == "samples")
        return not samples or self._store.sizes()[1] >= SLACK + 2 * sum(job.bytes for job in batch)

    def _commit(self, batch: list[Job], *, strip: bool) -> None:
        self._doubtful = len(batch)
        self._store.commit(batch, strip=strip)
        self._doubtful = 0
        self.pace.wrote(self._clock.monotonic(), 0 if strip else sum(job.bytes for job in batch))
        self._finish(batch, strip=strip)

    def _run_short(self, error: NoRoom) -> bool:
        """Take note that there is no room; True if it is worth another attempt at once, since the reserve was there."""
        first = self.short is None
        self._fail(error)
        if first:
            log.error("no room for the outbox", error=str(error), reserve=self.limits.reserve)
        self.short = error
        self._reserve.give_back()
        return first

    def _make_room(self) -> None:
        """Take the reserve again if there is room, which ends the shortage; else let history make room in the file."""
        room = space.room(self._store.path)
        if room >= self.limits.reserve + space.MARGIN and self._reserve.hold():
            self.short = None
            log.info("outbox has room again", room=room)
            return
        with self._wake:
            waiting, crowded = self._pending.bytes, self._pending.crowded
        want = SLACK + 2 * min(waiting, MAX_BATCH) - self._store.sizes()[1]
        if want > 0:
            self._store.purge(None, 0, want, unsent=crowded)

    def _finish(self, batch: list[Job], *, strip: bool = False) -> None:
        with self._wake:
            self._pending.done(len(batch))
        if self._failing_since is not None:
            seconds = (self._clock.monotonic() - self._failing_since) / 1e6
            log.info("outbox writes again", failed_for_s=round(seconds, 1))
            self._failing_since = self.problem = None
        for job in batch:
            job.future.set_result(None)
        every = [(block.stream, block.sequence) for job in batch for block in job.blocks]
        blocks = [block for block in every if not (strip and block[0] == "samples")]
        if self._on_commit is not None and blocks:
            self._on_commit(blocks)

    def _fail(self, error: StorageError) -> None:
        self.problem = error
        if self._failing_since is None:
            self._failing_since = self._clock.monotonic()
            log.error("outbox cannot write", error=str(error))

    def _purge(self) -> None:
        now = self._clock.monotonic()
        if now < self._purge_at:
            return
        wall = self._clock.wall() if self._clock.trusted() else None
        excess = self._store.sizes()[0] - self.limits.max_size
        more = self._store.purge(wall, self.limits.history, excess, unsent=True)
        if self.short is None and not self._reserve.held:
            self._reserve.hold()
        self.sizes = self._store.sizes()
        self._purge_at = now if more else now + PURGE_EVERY

    def _end(self) -> None:
        """Fail what could not be saved, and close the file."""
        with self._wake:
            left = self._pending.done(len(self._pending))
            doubtful, self._doubtful = self._doubtful, 0
        for n, job in enumerate(left):
            job.future.set_exception(StorageError(f"{self._store.path}: never written", unknown=n < doubtful))
        try:
            self._store.close(clean=self.problem is None)
        except StorageError as error:
            self.problem = self.problem or error
