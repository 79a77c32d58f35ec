"""`sk office export`: a stretch of one site's record as a file, for `sk rule backtest --export`."""

import os
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import click

from office.cli_store import reader_of, reported, settings_of
from sitekeeper.durations import parse_duration
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.errors import StorageError


@click.command()
@click.argument("site", metavar="SITE")
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--since", default="8d", show_default=True, help="How far back from the end, for example 12h, 30d.")
@click.option("--until", metavar="TIME", help="The end, for example 2026-06-01T08:00+08:00; else now.")
@click.option("--config", required=True, metavar="FILE", help="office.yaml; it says where the store is.")
def export(*, site: str, target: Path, since: str, until: str | None, config: str) -> None:
    """Write what the store has of SITE to FILE, in order: samples, events and moves of alarms. The office may run.

    Personal identifiers are in it as the site told them: as pseudonyms, and plates where they are kept. So is what only
    security may know of, such as alarms of duress.
    """
    end = _end(until)
    begin = end - _length(since)
    with reported(), reader_of(settings_of(config)) as reader:
        from cloud_sync.store.export import lines

        count = written(target, lines(reader, site, begin, end))
    click.echo(f"exported\t{target}\t{count} lines")


def written(path: Path, lines: Iterable[bytes]) -> int:
    """Write lines to a file that only its owner may read; return how many. One that fails leaves none.

    It is made anew as FILE.part: whatever is there goes, and nothing that stands or comes there is written through.

    Raises:
        StorageError: it cannot be written; what the lines raise.
    """
    import zstandard

    part = path.with_name(f"{path.name}.part")
    count = 0
    try:
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            pack = zstandard.ZstdCompressor(write_checksum=True)
            with os.fdopen(descriptor, "wb") as file, pack.stream_writer(file) as packed:
                for line in lines:
                    packed.write(line + b"\n")
                    count += 1
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from None
    return count


def _length(given: str) -> Micros:
    try:
        return parse_duration(given)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from None


def _end(given: str | None) -> Micros:
    if given is None:
        return time.time_ns() // 1_000
    try:
        at = datetime.fromisoformat(given)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--until") from None
    if at.tzinfo is None:
        raise click.BadParameter(f"{given}: write the offset too, for example {given}Z", param_hint="--until")
    return round(at.timestamp() * SECOND)
