"""What is known of a site besides what it told of its points: its catalogue, and what of it is not for everybody."""

import re
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cloud_sync.store.history import HistoryReader
from cloud_sync.store.reader import SiteRow
from office.audience import Audiences, Hidden
from sitekeeper.audience import shown_fields
from sitekeeper.catalogue import Catalogue, CatalogueDevice, CataloguePoint, CatalogueRule
from sitekeeper.model.alarm import split_key
from sitekeeper.model.clock import Micros
from sitekeeper.model.sample import Value

NOTHING: Final = Hidden()
_NAMED: Final = re.compile(r"(?:^|/)([\w.-]+)(?:$|@)")
"""Where a rule stands in the name of an alarm or of an occurrence."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """A site's newest catalogue, indexed.

    `hidden`: rules of whose alarms whoever asks is told nothing. `secrets`: fields of events that are kept from him.
    """

    hash: str | None
    catalogue: Catalogue
    zone: ZoneInfo
    devices: dict[str, CatalogueDevice]
    rules: dict[str, CatalogueRule]
    points: dict[str, list[CataloguePoint]]
    groups: dict[str, list[str]]
    hidden: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()

    def shown(self, source_id: str, fields: Mapping[str, Value]) -> Mapping[str, Value] | None:
        """Return the fields of an event that whoever asks may see; None if it speaks of an alarm that is kept from him.

        An event names an alarm by its rule, `<device>/<rule>`, or by its occurrence.
        """
        for value in fields.values() if self.hidden else ():
            if isinstance(value, str) and self.hidden.intersection(_NAMED.findall(value)):
                return None
        return shown_fields(self.secrets, source_id, fields)


class Catalogues:
    """What stands beside the store: catalogues by site, decoded once each, and who is revoked.

    Args:
        revoked: the sites that the office has revoked, with the wall time since when.
        unknown: since when the office cannot know how any site is (GW15 stands); None while it can.
    """

    def __init__(
        self, revoked: Callable[[], Mapping[str, Micros]] = dict, unknown: Callable[[], Micros | None] = lambda: None
    ) -> None:
        self._known: dict[str, Known] = {}  # one entry a site; a large one takes tens of milliseconds to decode
        self._audiences = Audiences()
        self.security = False
        self.revoked = revoked
        self.unknown = unknown

    def seen_by(self, *, security: bool) -> "Catalogues":
        """Return the same as somebody sees it: unless he is of `security`, without what only they may know."""
        view = copy(self)
        view.security = security
        return view

    def get(self, reader: HistoryReader, row: SiteRow) -> Known:
        """Return what is known of the site; without a catalogue only its id."""
        known = self._known.get(row.site)
        if known is None or known.hash != row.catalogue:
            found = reader.catalogue(row.site) if row.catalogue is not None else None
            hidden = self._audiences.all_of(reader, row.site)
            known = indexed(found or Catalogue(site=row.site), row.catalogue, hidden)
            self._known[row.site] = known
        return replace(known, hidden=frozenset(), secrets=frozenset()) if self.security else known

    def hidden(self, reader: HistoryReader) -> list[str]:
        """Return the rules, `<site>/<rule>`, of whose alarms whoever asks is told nothing."""
        rows = [] if self.security else reader.sites()
        return [f"{row.site}/{rule}" for row in rows for rule in sorted(self.get(reader, row).hidden)]

    def hides(self, reader: HistoryReader, key: str) -> bool:
        """Tell whether whoever asks is told nothing of an alarm, by its key or an occurrence's id."""
        site, _, rule = split_key(key)
        row = None if self.security else next((row for row in reader.sites() if row.site == site), None)
        return row is not None and rule in self.get(reader, row).hidden


def indexed(catalogue: Catalogue, digest: str | None, hidden: Hidden = NOTHING) -> Known:
    """Return what a catalogue says, indexed; `digest` is its hash, `hidden` what everybody but security is not told."""
    points: dict[str, list[CataloguePoint]] = {device.id: [] for device in catalogue.devices}
    for point in catalogue.points:
        points[point.device].append(point)
    groups: dict[str, list[str]] = {device.id: [] for device in catalogue.devices}
    for group in catalogue.groups:
        groups[group.device].append(group.id)
    try:
        zone = ZoneInfo(catalogue.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        zone = ZoneInfo("UTC")
    return Known(
        hash=digest,
        catalogue=catalogue,
        zone=zone,
        devices={device.id: device for device in catalogue.devices},
        rules={rule.id: rule for rule in catalogue.rules},
        points=points,
        groups=groups,
        hidden=hidden.rules,
        secrets=hidden.fields,
    )
