"""What a device says, kept for two seconds because somebody wants to see it: nothing is kept for it otherwise."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from drivers.broker import Delivery, Session
from drivers.captured import Message, Messages
from drivers.mqtt.parse import MAX_PAYLOAD
from drivers.mqtt.paths import Content
from drivers.mqtt.states import States

LISTENS: Final = 2.0
"""Seconds; what is said less often and not retained is not heard."""
MOST: Final = 200
"""Messages of one device, the last one of each kind."""


class _Tap:
    """One device that somebody listens to."""

    def __init__(self, device: str, kinds: int) -> None:
        self.device = device
        self.heard: dict[tuple[str, tuple[int, ...]], Message] = {}
        self.all = asyncio.Event()
        self._left = set(range(kinds))

    def take(self, delivery: Delivery, kinds: tuple[int, ...]) -> None:
        key = delivery.topic, kinds
        had = self.heard.get(key)
        if delivery.retained and had is not None and not had.retained:
            return  # what was said since is newer than what the broker repeats
        if had is None and len(self.heard) >= MOST:
            return
        self.heard.pop(key, None)
        self.heard[key] = Message(delivery.topic, delivery.payload, delivery.retained)
        self._left.difference_update(kinds)
        if not self._left:
            self.all.set()


class Taps:
    """Who listens to which device of a link at the moment."""

    def __init__(self, states: States) -> None:
        self._states = states
        self._taps: list[_Tap] = []

    def __bool__(self) -> bool:
        return bool(self._taps)

    def take(self, delivery: Delivery, content: Content) -> None:
        """Take a message that came; one that is too long for a value is not kept."""
        if len(delivery.payload) > MAX_PAYLOAD:
            return
        for tap in self._taps:
            kinds = self._states.kinds_of(tap.device, delivery.topic, content)
            if kinds:
                tap.take(delivery, kinds)

    async def listen(self, device: str, session: Session, subscriptions: Iterable[tuple[str, bool]]) -> Messages:
        """Return what a device says, and what the broker has retained of it: it is asked to repeat that.

        Raises:
            NotFound: there is no such device. PeerUnreachable: the connection is gone.
        """
        tap = _Tap(device, self._states.kinds(device))
        self._taps.append(tap)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(LISTENS):
                    for topic, queued in subscriptions:
                        await session.subscribe(topic, queued=queued)
                    await tap.all.wait()
        finally:
            self._taps.remove(tap)
        return Messages(tuple(tap.heard.values()))
