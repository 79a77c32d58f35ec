"""Subscribing to what is wanted, topic by topic: one that is not allowed must not cost the others."""

from collections.abc import Mapping
from typing import Final

from drivers.broker import REFUSED, Session
from drivers.mqtt.remedies import remedy
from sitekeeper.model.errors import PeerUnreachable, Refused

AGAIN_S: Final = 300.0
"""Seconds until what was refused is asked for again: access lists are mended without a word to us."""
HANG_UPS: Final = 3
"""So often in a row must a broker hang up on one topic, after it took all others, to be taken for a refusal.

Some brokers end the connection instead of refusing (MQTT 3.1.1, 3.9.3 has no way to say why)."""


class Subscribing:
    """What the broker lets us read of what is wanted, over all connections of one link.

    Attributes:
        refused: why not, by topic.
    """

    def __init__(self, wanted: Mapping[str, bool]) -> None:
        self.refused: dict[str, str] = {}
        self._left: set[str] = set()
        self._rounds = 0
        self._wanted = wanted
        self._hung_up: dict[str, int] = {}

    async def all(self, session: Session) -> None:
        """Subscribe to everything on a new connection.

        Raises:
            Refused: nothing is allowed.
            PeerUnreachable: the connection is gone.
        """
        self.refused = {}
        self._left = set()
        last: Refused | None = None
        for topic in sorted(self._wanted, key=lambda each: self._hung_up.get(each, 0)):  # the suspect comes last
            if self._hung_up.get(topic, 0) >= HANG_UPS and len(self._wanted) > 1:
                self.refused[topic] = remedy(Refused("hung-up", "the broker hangs up when we subscribe to it"))
                self._left.add(topic)
                self._hung_up[topic] = 0  # and on the connection after this one it gets another chance
                continue
            last = await self.one(session, topic) or last
        if last is not None and len(self.refused) == len(self._wanted):
            raise last

    def again(self) -> list[str]:
        """Return what is to be asked for again now: what made the broker hang up every twelfth time only."""
        self._rounds += 1
        return [each for each in self.refused if each not in self._left or self._rounds % 12 == 0]

    async def one(self, session: Session, topic: str) -> Refused | None:
        """Subscribe to one topic; return the refusal. Raises PeerUnreachable."""
        try:
            await session.subscribe(topic, queued=self._wanted[topic])
        except Refused as error:
            self.refused[topic] = remedy(error)
            return error
        except PeerUnreachable:
            others = sum(self._hung_up.values()) - self._hung_up.get(topic, 0)
            self._hung_up = {topic: self._hung_up.get(topic, 0) + 1 if not others else 1}
            raise
        self.refused.pop(topic, None)
        self._hung_up.pop(topic, None)
        return None


def code_of(why: str) -> int:
    """Return the reason code of a refusal as its words have it; the first of all refusals if they have none."""
    digits = why.partition("reason code ")[2][:3]
    return int(digits) if digits.isdecimal() else REFUSED
