"""Device instances that two devices claim, by what devices say of themselves. Pure; time comes as an argument.

An instance must be unique on the whole internetwork (135-2020, 12.11.1). Where it is not, Who-Is finds now the one and
now the other. Values of the two are never mixed: this gateway asks an address, and takes an answer or a notification
from nowhere else. But one of the two is not where people think that it is, and a person has to find out which.
"""

from collections.abc import Mapping
from typing import Final

from sitekeeper.model.clock import MINUTE, Micros

ASK_EVERY: Final[Micros] = 10 * MINUTE
"""How often devices are asked who they are; a double is forgotten when it was not heard three times."""
FORGET: Final[Micros] = 3 * ASK_EVERY + MINUTE
_MOST: Final = 8
"""Addresses remembered of one instance."""


class Doubles:
    """Who claims which instance.

    Args:
        known: the instances that matter, with the addresses at which the site has them; none for the gateway's own.
    """

    def __init__(self, known: Mapping[int, frozenset[str]]) -> None:
        self.known = known
        self._heard: dict[int, dict[str, Micros]] = {}

    def heard(self, instance: int, address: str, now: Micros) -> bool:
        """Take an I-Am; tell whether a device that this site has has just been found to be doubled."""
        if instance not in self.known or address in self.known[instance]:
            return False
        others = self._heard.setdefault(instance, {})
        first = not self.others(instance, now)
        if address in others or len(others) < _MOST:
            others[address] = now
        return first

    def others(self, instance: int, now: Micros) -> list[str]:
        """Return from where else this instance was claimed of late."""
        heard = self._heard.get(instance, {})
        for address in [address for address, at in heard.items() if now - at > FORGET]:
            del heard[address]
        return sorted(heard)

    def count(self, now: Micros) -> int:
        """Return how many instances are claimed by somebody else."""
        return sum(bool(self.others(instance, now)) for instance in list(self._heard))
