"""`sk office store|backup|restore`: what the central store takes, and copies of it."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from office.cli_words import complain, told
from sitekeeper.model.errors import ConfigError, NotFound, Refused, StorageError

if TYPE_CHECKING:
    from cloud_sync.store.reader import StoreReader
    from office.settings import OfficeSettings

EXIT_FAILED, EXIT_CONFIG = 1, 6
SOON_DAYS = 14
_of_office = click.option("--config", required=True, metavar="FILE", help="office.yaml; it says where the store is.")


@click.command()
@_of_office
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def store(*, config: str, as_json: bool) -> None:
    """Print the store's size by table, how it grows, what it will come to, and when its disk is full."""
    with reported():
        settings = settings_of(config)
        item = _described(settings)
    if as_json:
        click.echo(json.dumps(item))
        return
    for name, size in item["tables"].items():
        click.echo(f"{name}\t{_size(size)}")
    for name in ("used", "growth_a_day", "growth_last_day", "at_limits", "for_ever_a_day", "free"):
        click.echo(f"{name}\t{_size(item[name])}")
    full = item["full_in_days"]
    click.echo(f"full_in\t{'not known yet' if full is None else f'{full:.0f} days'}")
    if full is not None and full < SOON_DAYS:
        click.echo(
            "the disk will be full soon: keep raw data for a shorter time (retention), or give it more", err=True
        )


@click.command()
@click.argument("target", metavar="FILE")
@_of_office
def backup(*, target: str, config: str) -> None:
    """Copy an SQLite store to FILE while the office runs, and check the copy."""
    from cloud_sync.store import backup as copies

    with reported():
        settings = settings_of(config)
        if settings.store.url is not None:
            _point_to_postgres(settings.store.url, target)
        copied = copies.backup(Path(settings.store.path), Path(target))
    click.echo("\t".join([target, _size(copied.size), *(f"{name} {count}" for name, count in copied.rows.items())]))


@click.command()
@click.argument("copy", metavar="FILE")
@_of_office
def restore(*, copy: str, config: str) -> None:
    """Put a copy back while the office is stopped; what was there is moved aside. The sites send what it lacks."""
    from cloud_sync.store import backup as copies

    with reported():
        settings = settings_of(config)
        if settings.store.url is not None:
            reason = "postgres"
            raise Refused(reason, "the store is a PostgreSQL database: restore it with pg_restore, the office stopped")
        aside = copies.restore(Path(copy), Path(settings.store.path), time.time_ns() // 1_000)
    click.echo(f"restored\t{settings.store.path}")
    if aside is not None:
        click.echo(f"moved aside\t{aside}")


def _described(settings: "OfficeSettings") -> dict[str, Any]:
    from cloud_sync.store import sizes
    from office.keeping import free_space
    from sitekeeper.model.clock import DAY

    place = settings.store
    with reader_of(settings) as reader:
        tables = sizes.by_table(reader.ask, reader.engine)
        found = sizes.forecast(
            reader.ask,
            time.time_ns() // 1_000,
            sizes.by_part(tables),
            {str(what): kept for what, kept in settings.retention.limits().items()},
            None if place.url is not None else free_space(Path(place.path).parent),
        )
        used = sizes.whole(reader.ask, reader.engine)
    return {
        "tables": tables,
        "used": used,
        "growth_a_day": found.growth,
        "growth_last_day": found.last_day,
        "at_limits": found.at_limits,
        "for_ever_a_day": found.for_ever,
        "free": found.free,
        "full_in_days": None if found.full_in is None else found.full_in / DAY,
    }


@contextmanager
def reader_of(settings: "OfficeSettings") -> Iterator["StoreReader"]:
    """Open the store that the settings name.

    Raises:
        NotFound: there is none.
    """
    from cloud_sync.store.reader import StoreReader

    if settings.store.url is None:
        path = Path(settings.store.path)
        if not path.is_file():
            raise NotFound(f"no central store at {path}")
        reader = StoreReader(path)
    else:
        from cloud_sync.store.postgres_sql import PostgresReading

        reader = StoreReader(PostgresReading(settings.store.url))
    try:
        yield reader
    finally:
        reader.close()


def _point_to_postgres(url: str, target: str) -> None:
    """Refuse, with the command that does it; the password is left to PostgreSQL's own ways."""
    import re

    bare = re.sub(r"(?<=//)([^:@/]*):[^@/]*@", r"\1@", url)
    reason = "postgres"
    raise Refused(
        reason,
        f"PostgreSQL copies itself while it runs: pg_dump --format=custom --file={target} '{bare}' (or, for a large"
        " store, pg_basebackup with WAL archiving)",
    )


def settings_of(config: str) -> "OfficeSettings":
    """Read office.yaml.

    Raises:
        ConfigError: it has faults.
    """
    from office.settings import load

    return load(Path(config))


@contextmanager
def reported() -> Iterator[None]:
    """End with an exit code and the reason where something fails."""
    try:
        yield
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_CONFIG)
    except (StorageError, Refused, NotFound) as error:
        complain([told(error)])
        sys.exit(EXIT_FAILED)


def _size(count: float | None) -> str:
    """Return bytes in powers of ten, as disks are sold."""
    if count is None:
        return "not known yet"
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1_000:
            return f"{count:.3g} {unit}"
        count /= 1_000
    return f"{count:,.1f} TB"
