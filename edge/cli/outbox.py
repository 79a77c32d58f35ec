"""`sk outbox`: how full it is and how long it lasts, whether it is sound, and copies of it."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.cli.output import envelope, facts, lang_option, options, report, table
from sitekeeper.control import ControlError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def outbox() -> None:
    """The outbox: stats, check, backup, restore."""


@outbox.command()
@options
def stats(*, socket_: str | None, as_json: bool, lang: str) -> None:
    """What waits, how fast it fills, and for how many hours there is room."""
    sys.exit(facts("outbox.stats", "outbox.stats", {}, socket_=socket_, as_json=as_json, lang=lang))


@outbox.command()
@click.argument("file", type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="Versioned JSON instead of a table.")
@lang_option
def check(*, file: Path, as_json: bool, lang: str) -> None:
    """Read all of an outbox or backup and compare it with its digests; a gateway may go on writing it."""
    from edge.outbox.copies import check as check_file

    sys.exit(_done("outbox.check", lambda: {"file": str(file), "sound": True, **check_file(file)}, as_json, lang))


@outbox.command()
@click.argument("target", type=_FILE)
@click.option("--file", "source", type=_FILE, required=True, help="The outbox; a gateway may go on writing it.")
@click.option("--json", "as_json", is_flag=True, help="Versioned JSON instead of a table.")
@lang_option
def backup(*, target: Path, source: Path, as_json: bool, lang: str) -> None:
    """Copy an outbox to a new file, at one moment of its life."""
    from edge.outbox.copies import backup as back_up

    sys.exit(_done("outbox.backup", lambda: {"file": str(target), "bytes": back_up(source, target)}, as_json, lang))


@outbox.command()
@click.argument("source", type=_FILE)
@click.option("--file", "target", type=_FILE, required=True, help="Where the stopped gateway has its outbox.")
@click.option("--json", "as_json", is_flag=True, help="Versioned JSON instead of a table.")
@lang_option
def restore(*, source: Path, target: Path, as_json: bool, lang: str) -> None:
    """Put a backup in the place of an outbox whose gateway is stopped; the present file is moved aside."""
    from edge.outbox.copies import restore as put_back

    def do() -> dict[str, object]:
        moved = put_back(source, target, time.time_ns() // 1_000)
        return {"file": str(target), "moved": None if moved is None else str(moved), "epoch": "new at the next start"}

    sys.exit(_done("outbox.restore", do, as_json, lang))


def _done(name: str, do: "Callable[[], dict[str, object]]", as_json: bool, lang: str) -> int:
    """Do it and print what came of it; return the exit code."""
    from sitekeeper.model.errors import StorageError

    try:
        item = do()
    except StorageError as error:
        problem = ControlError([Problem("storage", str(error))])
        return report(problem, name, as_json=as_json, lang=lang)
    if as_json:
        click.echo(envelope(name, item))
    else:
        table(("what", "value"), item.items())
    return 0
