"""What is known of the units of one link beyond their last answers: in memory, and kept over restarts."""

from collections.abc import Iterable

import structlog

from drivers.memory import Memory
from drivers.modbus.blocks import Group, Unit
from drivers.modbus.identity import Identity
from drivers.modbus.memory import pack, plan_of, runs, unpack
from sitekeeper.model.clock import Clock

log = structlog.get_logger()


class Devices:
    """The units of a link. `identities` has those that may be asked what they are, by number."""

    def __init__(self, groups: Iterable[Group], clock: Clock, memory: Memory | None) -> None:
        self._memory = memory
        self._groups: dict[str, list[Group]] = {}
        for group in groups:
            self._groups.setdefault(group.unit.device, []).append(group)
        self._units = {name: mine[0].unit for name, mine in self._groups.items()}
        self.identities = {unit.number: Identity() for unit in self._units.values() if unit.identify}
        self._plans: dict[str, str] = {}
        self._saved: dict[str, int] = {}
        for name, unit in self._units.items():
            mine = self._groups[name]
            self._plans[name] = plan_of(unit.number, unit.limits, [span for group in mine for span in group.spans])
            kept = None if memory is None else memory.recall(name)
            if kept is not None:
                had = unpack(kept, self._plans[name], unit.learned, self._identity(unit), clock.monotonic())
                for group in mine:
                    group.answered_before(had)
            self._saved[name] = unit.learned.version

    def _identity(self, unit: Unit) -> Identity:
        return self.identities.get(unit.number) or Identity()

    def identity(self, unit: Unit) -> dict[str, str]:
        """Return what a unit says that it is; until it has been asked, what it said before."""
        found = self._identity(unit)
        return found.known | (found.objects if not found.steps else {})

    def learned(self, unit: Unit) -> None:
        """Keep what was learned since the last time, if anything was."""
        if unit.unsaved or self._saved[unit.device] != unit.learned.version:
            self.save(unit)

    def save(self, unit: Unit) -> None:
        self._saved[unit.device], unit.unsaved = unit.learned.version, False
        if self._memory is not None:
            had = runs(span for group in self._groups[unit.device] for span in group.answered())
            self._memory.keep(unit.device, pack(self._plans[unit.device], unit.learned, self._identity(unit), had))

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
