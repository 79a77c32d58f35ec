"""Raw frames of one link as they went over the wire, for people with a question about it: a ring, and who watches.

A link whose frames nobody wants has no `Frames` at all, and looks at nothing but that.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol, runtime_checkable

from sitekeeper.model.clock import Micros

OVERHEAD: Final = 128
"""Bytes counted for each frame besides its own: what Python needs to keep one."""


class Frame(NamedTuple):
    """What was sent, or came, in one go.

    Attributes:
        at: wall time. since: for what came, how long after the last frame was sent; None: nothing was sent before.
        data: empty if nothing came. error: why it is not the right answer; empty if it is.
    """

    at: Micros
    sent: bool
    data: bytes
    error: str = ""
    since: Micros | None = None


Take = Callable[[Frame], None]


class Frames:
    """The last frames of a link, at most `room` bytes of memory, and whoever takes new ones."""

    def __init__(self, room: int, wall: Callable[[], Micros]) -> None:
        self._room, self._wall = room, wall
        self._ring: deque[Frame] = deque()
        self._used = 0
        self._asked: Micros | None = None
        self._takers: list[Take] = []

    @property
    def wanted(self) -> bool:
        """Whether anybody takes frames, or some are kept."""
        return bool(self._room or self._takers)

    def note(self, data: bytes, *, sent: bool = False, error: str = "") -> None:
        """Keep a frame, and give it to whoever watches."""
        now = self._wall()
        frame = Frame(now, sent, bytes(data), error, None if sent or self._asked is None else now - self._asked)
        if sent:
            self._asked = now
        self._ring.append(frame)
        self._used += len(frame.data) + OVERHEAD
        while self._used > self._room:
            self._used -= len(self._ring.popleft().data) + OVERHEAD
        for take in self._takers:
            take(frame)

    def past(self) -> list[Frame]:
        """Return what is kept, oldest first."""
        return list(self._ring)

    def add(self, take: Take) -> None:
        self._takers.append(take)

    def remove(self, take: Take) -> None:
        self._takers.remove(take)


@runtime_checkable
class Tapped(Protocol):
    """A driver whose link can be watched has this too."""

    @property
    def wire(self) -> str:
        """How its frames stand on the wire: `modbus-tcp` or `modbus-rtu`."""

    def tap(self, take: Take) -> list[Frame]:
        """Give every frame from now on to `take`; return those that are kept, oldest first."""

    def untap(self, take: Take) -> None:
        """End that."""

    def describe(self, frame: Frame, before: Frame | None) -> Mapping[str, object]:
        """Return what a frame says: unit, function, address, count, values; None for what it does not tell.

        Args:
            before: what was sent last before it, which an answer is to be read with.
        """
