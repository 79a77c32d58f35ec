"""Asks units what they are: rarely, after everything else, and with the connection opened anew where it hurt."""

from collections.abc import Callable, Mapping
from typing import Final

from drivers.modbus.identity import AFTER, APART, APART_SERIAL, SHARE, Identity
from drivers.modbus.link import Link
from sitekeeper.model.clock import Clock, Micros
from sitekeeper.model.errors import DeviceRefused, DeviceSilent, LinkDown, ReplyMismatch

_NEVER: Final[Micros] = 1 << 62


class Identifying:
    """The questions of one link. `units` has what is known of each unit that may be asked."""

    def __init__(self, link: Link, clock: Clock, units: Mapping[int, Identity]) -> None:
        self._link, self._clock, self._units = link, clock, units
        self._next = _NEVER

    def opened(self) -> None:
        """The link has been opened: there may be another device at the end of it."""
        self._next = self._clock.monotonic() + AFTER
        for identity in self._units.values():
            identity.opened()

    def due(self, unit: int) -> bool:
        """Tell whether a unit has something left to be asked, and it is time."""
        identity = self._units.get(unit)
        return identity is not None and bool(identity.steps) and self._clock.monotonic() >= self._next

    async def turn(self, unit: int, pause: Micros, save: Callable[[], None]) -> bool:
        """Ask a unit that answered its last reading one question. True: it is another one than before.

        Args:
            save: makes durable what is known; called before a function is asked for the first time.

        Raises:
            LinkDown: the connection was lost, or could not be opened again after a question that was not answered.
        """
        identity, now = self._units[unit], self._clock.monotonic()
        found = identity.next(unit)
        if found is None:
            return False
        function, question = found
        if function not in identity.welcome:
            identity.never.add(function)
            save()
        try:
            identity.answered(await self._link.ask(question, pause))
        except (DeviceRefused, ReplyMismatch) as error:
            identity.refused(error.exception_code if isinstance(error, DeviceRefused) else 0)
        except (DeviceSilent, LinkDown) as error:
            identity.refused()
            save()
            if self._link.numbered:  # it has hung up, or may keep silent to everything now
                await self._link.reopen()
            elif isinstance(error, LinkDown):
                raise
        finally:
            after = self._clock.monotonic()
            self._next = after + max(APART if self._link.numbered else APART_SERIAL, SHARE * (after - now))
        identity.next(unit)  # what is not to be asked is no step
        save()
        return identity.changed()
