"""Which alarms only security may know of: the one place where the office reads it, from the catalogues of a site."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from cloud_sync.store.reader import StoreReader
from sitekeeper.audience import hidden_rules
from sitekeeper.catalogue import decode

NEWEST: Final = 16
"""So many catalogues of a site are asked, beside the one in force; decoding a large one takes tens of milliseconds."""


class Hidden(NamedTuple):
    """Rules of whose alarms, and fields of events (`<event>/<field>`) of which, only security may know."""

    rules: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()


class Audiences:
    """One office's. What the catalogue in force hides is hidden, and what one of the NEWEST that came hid stays so."""

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
        # One that comes again keeps the time at which it came first: the one in force may be older than all of these.
        force = reader.ask("SELECT catalogue FROM sites WHERE site = ? AND catalogue IS NOT NULL", site)
        newest = reader.ask("SELECT hash FROM catalogues WHERE site = ? ORDER BY received DESC LIMIT ?", site, NEWEST)
        found = [self._of(reader, one) for one in dict.fromkeys(str(row[0]) for row in (*force, *newest))]
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


class Numbered(Protocol):
    """A row of the store."""

    @property
    def id(self) -> int: ...


def going_on(rows: Sequence[Numbered], kept: Sequence[Numbered], start: int, *, limit: int, looked: int) -> int:
    """Return behind which row the next question goes on: never one that was not shown, unless it has to be passed.

    Else whoever asks again and again would see when something happens that is kept from him.

    Args:
        rows: what was looked at, at most `looked`. kept: of it, what may be shown, `limit` of which is.
        start: behind which row this question began.
    """
    if kept:
        return kept[:limit][-1].id
    return rows[-1].id if len(rows) == looked else start
