"""What an office asks for out of a site's history: blocks that it once receipted and does not have any more.

Those of an earlier epoch too, if they were saved from its file (`saved`).

It takes no part in windows and receipts: the office asks again for what does not come. One block is under way at a
time, at the rate of backfill and after everything that was never receipted; an alarm that waits stops it at once.
Alarms that are asked for go before all else: the one that waits may be waiting for them, at the office. What the outbox
does not have any more is answered in the next statuses.
"""

import asyncio
from collections import OrderedDict, deque
from typing import Final

from cloud_sync.pace import Pace
from cloud_sync.saved import BlockName, Remember, SavedSource
from cloud_sync.session import Session
from cloud_sync.uplink_records import REFUSED
from cloud_sync.uplink_values import BlockSource, first_to_send
from cloud_sync.wire import MAX_ABSENT, Resend, up_topic
from sitekeeper.block import Stream
from sitekeeper.model.clock import Clock

MOST: Final = 64
"""Ranges that wait; beyond them the oldest is forgotten, because the office asks again."""

MOST_USELESS: Final = 1_000
"""Blocks that the office could not read, kept in mind; of one that was forgotten it is told once more."""

MOST_ABSENT: Final = 2_000
"""Blocks looked for in vain in one go, before others get their turn."""

PAUSE: Final = 0.05
"""Seconds between two looks whether there is room."""


class History:
    """Serves the office's requests. One for all connections of an uplink.

    Attributes:
        news: set when `absent` says something of alarms: others may be waiting behind them at the office.

    Args:
        remember: told what is sent, to understand a `quarantined` answer.
    """

    def __init__(
        self,
        site: str,
        source: BlockSource,
        pace: Pace,
        clock: Clock,
        remember: Remember = lambda *_: None,
    ) -> None:
        self._site, self._source, self._pace, self._clock, self._remember = site, source, pace, clock, remember
        self._saved = source if isinstance(source, SavedSource) else None
        self._useless: OrderedDict[BlockName, None] = OrderedDict()
        self._wanted: deque[Resend] = deque()
        self._absent: deque[Resend] = deque(maxlen=MAX_ABSENT)
        self._asked = asyncio.Event()
        self.news = asyncio.Event()
        self.sent = 0

    @property
    def absent(self) -> tuple[Resend, ...]:
        """Return the latest answers that a block is gone, for the status."""
        return tuple(self._absent)

    def want(self, asked: Resend) -> None:
        """Take a request. What has no receipt yet comes by itself, so only what lies below it is history."""
        if asked.epoch == self._source.epoch:
            end = min(asked.end, first_to_send(self._source, asked.stream) - 1)
        elif self._saved is not None:
            end = min(asked.end, asked.start + MOST_ABSENT)
        else:
            self._gone(asked, asked.start, asked.end)
            return
        left = Resend(asked.epoch, asked.stream, asked.start, end)
        if left.start <= left.end and left not in self._wanted:
            self._put(left)
            self._asked.set()

    def useless(self, name: BlockName) -> None:
        """The office keeps this block's bytes in quarantine and cannot tell whose they are: for its record it is gone.

        So the hole that it leaves is stated when it is asked for, instead of the same bytes being sent for ever; of
        alarms at once, because those behind it wait for the word.
        """
        self._useless[name] = None
        if len(self._useless) > MOST_USELESS:
            self._useless.popitem(last=False)
        epoch, stream, sequence = name
        if stream == "alarms":
            self._gone(Resend(epoch, stream, sequence, sequence), sequence, sequence)

    def read(self, asked: Resend, sequence: int) -> bytes | None:
        """Return a block of what is asked for; None if it is not there, or of no use to the office."""
        if (asked.epoch, asked.stream, sequence) in self._useless:
            return None
        if asked.epoch == self._source.epoch:
            return self._source.read(asked.stream, sequence, history=True)
        return None if self._saved is None else self._saved.read_salvaged(asked.epoch, asked.stream, sequence)

    async def run(self, session: Session) -> None:
        """Send what is wanted, on one connection. Raises PeerUnreachable when it is gone."""
        while True:
            while not self._wanted:
                self._asked.clear()
                await self._asked.wait()
            asked = self._wanted.popleft()
            following = await self._serve(session, asked)
            if following <= asked.end:
                self._put(Resend(asked.epoch, asked.stream, following, asked.end), back=True)

    def _put(self, asked: Resend, *, back: bool = False) -> None:
        """Queue a request, alarms before all others; `back` puts what is left of one before those of its kind."""
        alarms = sum(one.stream == "alarms" for one in self._wanted)
        if len(self._wanted) >= MOST:
            del self._wanted[min(alarms, MOST - 1)]
        begin, end = (0, alarms) if asked.stream == "alarms" else (alarms, len(self._wanted))
        self._wanted.insert(begin if back else end, asked)

    async def _serve(self, session: Session, asked: Resend) -> int:
        """Send the first block of a range that is still there; return where the range goes on."""
        for sequence in range(asked.start, min(asked.end, asked.start + MOST_ABSENT) + 1):
            payload = self.read(asked, sequence)
            if payload is None:
                continue
            if sequence > asked.start:
                self._gone(asked, asked.start, sequence - 1)
            if not await self._room(asked.stream):
                return sequence
            self._pace.charge(len(payload))
            self._remember(payload, (asked.epoch, asked.stream, sequence))
            reason = await session.publish(up_topic(self._site, asked.stream), payload)
            if reason >= REFUSED:
                return asked.end + 1
            self.sent += 1
            return sequence + 1
        last = min(asked.end, asked.start + MOST_ABSENT)
        self._gone(asked, asked.start, last)
        await asyncio.sleep(0)
        return last + 1

    async def _room(self, stream: Stream) -> bool:
        """Wait until a block of history may go: no alarm waits, and backfill would have room and rate.

        Returns False if it has to make way for alarms that were asked for meanwhile.
        """
        while True:
            if stream != "alarms" and self._wanted and self._wanted[0].stream == "alarms":
                return False
            self._pace.refill(self._clock.monotonic())
            alarms = self._source.unsent("alarms")[2] if stream != "alarms" else 0
            if not alarms and self._pace.owes() is None and self._pace.room(backfill=True):
                return True
            await asyncio.sleep(PAUSE)

    def _gone(self, asked: Resend, start: int, end: int) -> None:
        """Note an answer, joined to the one that it continues."""
        for known in list(self._absent):
            same = (known.epoch, known.stream) == (asked.epoch, asked.stream)
            if same and start <= known.end + 1 and known.start <= end + 1:
                self._absent.remove(known)
                start, end = min(start, known.start), max(end, known.end)
        self._absent.append(Resend(asked.epoch, asked.stream, start, end))
        if asked.stream == "alarms":
            self.news.set()
