"""Puts an alarm into the words of a channel's language, with what its site's catalogue calls things."""

from cloud_sync.store.base import Push
from cloud_sync.store.reader import StoreReader
from office.notify import roundup_text
from office.notify.channels import Message
from office.notify.stages import Roundup, Told
from office.notify.text import message
from office.own_alarms import OFFICE
from office.settings import OfficeSettings
from sitekeeper.catalogue import Catalogue
from sitekeeper.model.alarm import split_key
from sitekeeper.model.clock import Clock
from sitekeeper.model.errors import StorageError


class Composer:
    """One office's. It keeps each site's newest catalogue: decoding a large one takes tens of milliseconds."""

    def __init__(self, reader: StoreReader, settings: OfficeSettings, clock: Clock) -> None:
        self._reader, self._clock, self._language = reader, clock, settings.language
        self._languages = {channel.id: channel.language for channel in settings.channels}
        self._routing = settings.routing()
        self._catalogues: dict[str, tuple[str, Catalogue | None]] = {}  # by site: hash and content

    async def compose(self, case: Told, channel: str, row: Push) -> Message:
        """Return the message of one attempt; with ids for names, if the store cannot be asked for them."""
        site = split_key(case.occurrence)[0]
        try:
            catalogue = None if site == OFFICE else self.catalogue(site)
        except StorageError:
            catalogue = self._catalogues.get(site, ("", None))[1]
        language = self._languages.get(channel) or self._language
        if isinstance(case, Roundup):
            return roundup_text.message(case, row, catalogue, language, self._routing.priorities(channel))
        return message(case, row, catalogue, language, self._clock.wall())

    def catalogue(self, site: str) -> Catalogue | None:
        """Return a site's newest catalogue; None if it has none. Raises StorageError."""
        found = next((row.catalogue for row in self._reader.sites() if row.site == site), None)
        if found is None:
            return None
        if self._catalogues.get(site, ("", None))[0] != found:
            self._catalogues[site] = (found, self._reader.catalogue(site))
        return self._catalogues[site][1]
