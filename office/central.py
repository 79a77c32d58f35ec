"""Which central store an office has, and how it receives beside others that write to the same one."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cloud_sync.ingest import IngestSettings, Lane
from cloud_sync.mqtt import BrokerSettings, connector
from cloud_sync.session import Connect
from cloud_sync.store.sqlite import SqliteStore
from cloud_sync.store.store import Store
from office.settings import Broker, OfficeSettings
from sitekeeper.model.errors import StorageError

GROUP: Final = "sitekeeper-ingest"
"""The shared subscription of the office and its workers: the broker hands each message to one of them."""

KEEPALIVE_S: Final = 6
"""An office mostly listens, so nothing but its pings tells that its line is half open: asked after 6 s, missed after 6
more, and its broker, who waits for 9, is not mistaken by a short stall of ours."""


def open_store(settings: OfficeSettings, *, inline: bool = False) -> Store:
    """Open the store of office.yaml; `inline` is for the virtual site.

    Raises:
        StorageError: it cannot be used.
    """
    if settings.store.url is None:
        return SqliteStore.open(Path(settings.store.path), inline=inline)
    from cloud_sync.store.postgres import PostgresStore  # late: a database's library, and only its offices pay

    try:
        return PostgresStore.open(settings.store.url)
    except StorageError as error:
        raise StorageError(f"office.yaml: store.url: {error}") from error


def receiving(settings: OfficeSettings) -> IngestSettings:
    """Return how the office receives: alone, as one of the group, or not at all."""
    if settings.store.url is None:
        return IngestSettings()
    return IngestSettings(receive=settings.ingest == "own", group=GROUP)


def lanes(broker: Broker, name: str = "", *, persistent: bool = True) -> Mapping[Lane, Connect]:
    """Return what makes the two sessions of an ingest.

    Args:
        name: of a worker, part of its client ids; the rest is by chance, so that none throws out another.
        persistent: the broker keeps messages while it is away. Not for one of a group: what waits for one that is gone
            would be kept from the others.
    """
    settings = BrokerSettings(keepalive=KEEPALIVE_S, **broker.model_dump(exclude={"client_id"}))
    client = f"{broker.client_id}-{name}-{secrets.token_hex(4)}" if name else broker.client_id
    both: tuple[Lane, ...] = ("urgent", "bulk")
    return {lane: connector(settings, f"{client}-{lane}", persistent=persistent) for lane in both}
