"""What a device last said, as it came over the wire, for people: `sk device dump` takes it away, `sk why` shows it.

Each protocol has a form of its own. Nothing is kept for it that is not kept anyway: a driver that has it no more asks
anew when somebody wants to know.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

Property = tuple[int, int, int, int | None]
"""Type and instance of an object, property, and which element of it."""


@dataclass(frozen=True, slots=True)
class Words:
    """Of a Modbus unit: by table and address a register's 16 bits, or one bit."""

    tables: Mapping[str, Mapping[int, int]]

    def __bool__(self) -> bool:
        return any(self.tables.values())


@dataclass(frozen=True, slots=True)
class Octets:
    """Of BACnet objects: by property its value with tags."""

    properties: Mapping[Property, bytes]

    def __bool__(self) -> bool:
        return bool(self.properties)


class Message(NamedTuple):
    """One message. `retained`: the broker kept it, nobody said it now."""

    topic: str
    payload: bytes
    retained: bool


@dataclass(frozen=True, slots=True)
class Messages:
    """Of a device on a broker: its states, in the order in which they came, events left out."""

    heard: tuple[Message, ...]

    def __bool__(self) -> bool:
        return bool(self.heard)


Said = Words | Octets | Messages
"""It is false if there is nothing."""


@runtime_checkable
class Captured(Protocol):
    """A driver that can say what its devices last said has this too."""

    async def captured(self, device: str) -> Said:
        """Return what the device last said, within about two seconds; what it did not say rightly is not in it.

        Raises:
            NotFound: no such device. FieldError: it had to be asked, and did not answer.
        """


@runtime_checkable
class Identified(Protocol):
    """A driver whose devices say what they are has this too."""

    async def identity(self, device: str) -> Mapping[str, str]:
        """Return what a device says that it is, empty if it does not: `vendor`, `product` or `model`, `version`.

        Raises:
            NotFound: no such device. LinkDown: the link failed.
        """
