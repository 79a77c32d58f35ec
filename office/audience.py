"""Which alarms only security may know of: the one place where the office reads it, from the catalogues of a site."""

from typing import Final, NamedTuple

from cloud_sync.store.reader import StoreReader
from sitekeeper.audience import hidden_rules
from sitekeeper.catalogue import decode

NEWEST: Final = 16
"""So many catalogues of a site are asked; decoding a large one takes tens of milliseconds."""


class Hidden(NamedTuple):
    """Rules of whose alarms, and fields of events (`<event>/<field>`) of which, only security may know."""

    rules: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()


class Audiences:
    """One office's. A rule that a catalogue of a site has hidden stays hidden, though the newest has it no more."""

    def __init__(self) -> None:
        self._hidden: dict[str, Hidden] = {}  # by hash of a catalogue

    def of(self, reader: StoreReader, site: str) -> frozenset[str]:
        """Return the rules of a site whose alarms only security may know of.

        Raises:
            StorageError: the store failed. FormatError: a catalogue in it cannot be read.
        """
        return self.all_of(reader, site).rules

    def all_of(self, reader: StoreReader, site: str) -> Hidden:
        """Return what of a site only security may know of.

        Raises:
            StorageError, FormatError: as `of`.
        """
        rows = reader.ask("SELECT hash FROM catalogues WHERE site = ? ORDER BY received DESC LIMIT ?", site, NEWEST)
        found = [self._of(reader, str(row[0])) for row in rows]
        nothing = frozenset[str]()
        return Hidden(nothing.union(*(one.rules for one in found)), nothing.union(*(one.fields for one in found)))

    def _of(self, reader: StoreReader, catalogue: str) -> Hidden:
        if catalogue not in self._hidden:
            rows = reader.ask("SELECT payload FROM catalogues WHERE hash = ?", catalogue)
            if not rows:  # gone for a newer one since
                return Hidden()
            found = decode(bytes(rows[0][0]))
            self._hidden[catalogue] = Hidden(hidden_rules(found), frozenset(found.secrets))
        return self._hidden[catalogue]
