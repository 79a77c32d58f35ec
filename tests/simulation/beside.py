"""What a gateway sends beside its pump: its status, its history, blocks of an earlier file, alarms past a sick disk.

Mirrors `cloud_sync.uplink.Uplink._tell_status`, `cloud_sync.history.History.run`, `cloud_sync.saved.send` and
`cloud_sync.direct.Direct`, whose waiting is asyncio's.
"""

import asyncio
from collections.abc import Callable, Mapping

from cloud_sync.direct import EVERY
from cloud_sync.history import MOST_ABSENT, History
from cloud_sync.pace import Pace
from cloud_sync.saved import BlockName, SavedSource, Turns
from cloud_sync.uplink import APART
from cloud_sync.uplink_values import BlockSource, UplinkSettings
from cloud_sync.wire import Resend
from sitekeeper.model.clock import MS, SECOND, Micros
from tests.simulation.broker import Connection
from tests.simulation.scheduler import Scheduler

HISTORY_EVERY: Micros = 60 * MS
"""A block of history waits for the broker's answer to the one before, and for room."""

EVERY_STATUS: Micros = UplinkSettings(site="", boot="", version="", catalogue="").status_every


class Serving:
    """Sends the next block of what the office has asked for, if it may go now; what is gone goes into the status."""

    def __init__(
        self,
        scheduler: Scheduler,
        history: History,
        pace: Pace,
        source: BlockSource,
        publish: Callable[[Connection, BlockName, bytes], None],
    ) -> None:
        self._scheduler, self._history, self._pace, self._source = scheduler, history, pace, source
        self._publish = publish
        self._connection: Connection | None = None
        self._busy = False

    def begin(self, connection: Connection) -> None:
        """A new connection stands."""
        self._connection = connection
        self._serve(connection)

    def go_on(self, connection: Connection) -> None:
        """Something was asked for."""
        if not self._busy:
            self._serve(connection)

    def _serve(self, connection: Connection) -> None:
        if connection is not self._connection or not connection.open:
            return
        history, pace = self._history, self._pace
        self._busy = bool(history._wanted)
        if not self._busy:
            return
        self._scheduler.after(HISTORY_EVERY, self._serve, connection)
        asked = history._wanted[0]
        alarms = self._source.unsent("alarms")[2] and asked.stream != "alarms"
        pace.refill(self._scheduler.now)
        if alarms or pace.owes() is not None or not pace.room(backfill=True):
            return
        history._wanted.popleft()
        last = min(asked.end, asked.start + MOST_ABSENT)
        found = ((one, history.read(asked, one)) for one in range(asked.start, last + 1))
        sequence, payload = next(((one, payload) for one, payload in found if payload is not None), (last + 1, None))
        if sequence > asked.start:
            history._gone(asked, asked.start, sequence - 1)
        if payload is not None:
            pace.charge(len(payload))
            self._publish(connection, (asked.epoch, asked.stream, sequence), payload)
            sequence += 1
        if sequence <= asked.end:
            history._wanted.appendleft(Resend(asked.epoch, asked.stream, sequence, asked.end))


class Saved:
    """Sends what was saved when `Turns` says so: alarms and the rest, each for itself.

    Args:
        publish: sends a block, if it is given one, over a connection; tells whether that is still the one in use.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        source: object,
        publish: Callable[[Connection, BlockName | None, bytes | None], bool],
    ) -> None:
        self._scheduler, self._source, self._publish = scheduler, source, publish

    def begin(self, connection: Connection) -> None:
        """A new connection stands."""
        turns = Turns()
        for urgent in (True, False):
            self._next(connection, turns, urgent)

    def _next(self, connection: Connection, turns: Turns, urgent: bool) -> None:
        source = self._source
        if not isinstance(source, SavedSource) or (turn := turns.next(source.salvaged(), urgent=urgent)) is None:
            return
        name, pause = turn
        payload = None if name is None else source.read_salvaged(*name)
        if self._publish(connection, name, payload):
            self._scheduler.after(int(pause * SECOND), self._next, connection, turns, urgent)


class Directly:
    """Tells alarms at once, on every new connection, and again every half minute while they stand."""

    def __init__(self, scheduler: Scheduler, publish: Callable[[Connection, bytes], bool]) -> None:
        self._scheduler, self._publish = scheduler, publish
        self._blocks: Mapping[int, bytes] = {}
        self._due: dict[int, Micros] = {}

    def begin(self, connection: Connection) -> None:
        """A new connection stands."""
        self._due = {}
        self._tell(connection)

    def stand(self, blocks: Mapping[int, bytes], connection: Connection | None) -> None:
        """Take what is to be told at present."""
        self._blocks = blocks
        if connection is not None:
            self._tell(connection)

    def _tell(self, connection: Connection) -> None:
        now = self._scheduler.now
        self._due = {sequence: at for sequence, at in self._due.items() if sequence in self._blocks}
        fresh = [sequence for sequence in self._blocks if self._due.get(sequence, now) <= now]
        for sequence in fresh:
            if not self._publish(connection, self._blocks[sequence]):
                return
            self._due[sequence] = now + EVERY
        if fresh:
            self._scheduler.after(EVERY, self._tell, connection)


class _News(asyncio.Event):
    """An event that somebody is called for, instead of waiting."""

    def __init__(self, call: Callable[[], None]) -> None:
        super().__init__()
        self._call = call

    def set(self) -> None:
        super().set()
        self._call()


class Telling:
    """Sends the status every now and then, and soon when there is news of alarms that nobody has.

    Args:
        publish: sends one over a connection; tells whether that is still the one in use.
    """

    def __init__(self, scheduler: Scheduler, history: History, publish: Callable[[Connection], bool]) -> None:
        self._scheduler, self._publish = scheduler, publish
        self._news = history.news = _News(self._soon)
        self._connection: Connection | None = None
        self._number = 0
        self._at: Micros = 0

    def begin(self, connection: Connection) -> None:
        """A new connection stands."""
        self._connection = connection
        self._number += 1
        self._tell(self._number)

    def _tell(self, number: int) -> None:
        if number != self._number or self._connection is None or not self._publish(self._connection):
            return
        self._number, self._at = number + 1, self._scheduler.now
        self._news.clear()
        self._scheduler.after(EVERY_STATUS, self._tell, self._number)

    def _soon(self) -> None:
        wait = max(0, self._at + int(APART * SECOND) - self._scheduler.now)
        self._scheduler.seen("gap of alarms told at once")
        self._scheduler.after(wait, self._tell, self._number)
