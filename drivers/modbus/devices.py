"""What is known of the units of one link beyond their last answers: in memory, and kept over restarts."""

from collections.abc import Iterable

import structlog

from drivers.memory import Memory
from drivers.modbus.blocks import Group, Unit
from drivers.modbus.identity import Identity
from drivers.modbus.memory import pack, plan_of, unpack
from drivers.modbus.plan import Span
from sitekeeper.model.clock import Clock

log = structlog.get_logger()


class Devices:
    """The units of a link. `identities` has those that may be asked what they are, by number."""

    def __init__(self, groups: Iterable[Group], clock: Clock, memory: Memory | None) -> None:
        self._memory = memory
        self._units: dict[str, Unit] = {}
        spans: dict[str, list[Span]] = {}
        for group in groups:
            self._units[group.unit.device] = group.unit
            spans.setdefault(group.unit.device, []).extend(group.spans)
        self.identities = {unit.number: Identity() for unit in self._units.values() if unit.identify}
        self._plans = {name: plan_of(unit.number, unit.limits, spans[name]) for name, unit in self._units.items()}
        self._saved: dict[str, int] = {}
        for name, unit in self._units.items():
            kept = None if memory is None else memory.recall(name)
            if kept is not None:
                unpack(kept, self._plans[name], unit.learned, self._identity(unit), clock.monotonic())
            self._saved[name] = unit.learned.version

    def _identity(self, unit: Unit) -> Identity:
        return self.identities.get(unit.number) or Identity()

    def identity(self, unit: Unit) -> dict[str, str]:
        """Return what a unit says that it is; until it has been asked, what it said before."""
        found = self._identity(unit)
        return found.known | (found.objects if not found.steps else {})

    def learned(self, unit: Unit) -> None:
        """Keep what was learned since the last time, if anything was."""
        if self._saved[unit.device] != unit.learned.version:
            self.save(unit)

    def save(self, unit: Unit) -> None:
        self._saved[unit.device] = unit.learned.version
        if self._memory is not None:
            self._memory.keep(unit.device, pack(self._plans[unit.device], unit.learned, self._identity(unit)))

    def changed(self, number: int) -> None:
        """Another device answers where one was known: nothing that was learned of that one holds."""
        identity = self.identities[number]
        before = identity.known
        identity.replaced()
        for unit in self._units.values():
            if unit.number == number:
                log.warning("another device answers", device=unit.device, before=before, now=identity.objects)
                unit.learned.forget()
                self.save(unit)
