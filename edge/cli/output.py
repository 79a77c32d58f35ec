"""How every reading command prints: a table for a person, TSV for a pipe, an envelope for `--json`."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from sitekeeper.control import ControlError, Problem

Row = Sequence[object]


def language(_context: object = None, _parameter: object = None, given: str | None = None) -> str:
    """Return the language of messages: as given, else by LC_ALL, LC_MESSAGES or LANG, else English."""
    if given:
        return given
    found = next(filter(None, (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    parts = re.split("[_.@-]", found)
    if parts[0] != "zh":
        return "en"
    return "zh-Hant" if {"TW", "HK", "MO", "Hant"} & {*parts} else "zh-Hans"


def lang_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--lang`."""
    choice = click.Choice(["en", "zh-Hant", "zh-Hans"])
    words = "Language of messages; otherwise that of the environment (LANG)."
    return click.option("--lang", type=choice, callback=language, help=words)(command)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every command about a daemon takes."""
    command = click.option("--json", "as_json", is_flag=True, help="Versioned JSON instead of a table.")(command)
    place = click.option(
        "--socket", "socket_", metavar="PATH", help="The daemon's socket, if not the usual one or SITEKEEPER_SOCKET."
    )
    return place(lang_option(command))


def envelope(name: str, data: object, problems: Iterable[Problem] = ()) -> str:
    """Return the JSON that scripts may rely on: schema, ok, at, data, problems."""
    found = [{"code": p.code, "message": p.message, "hint": p.hint} for p in problems]
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps(
        {"schema": f"sitekeeper.{name}/1", "ok": not found, "at": at, "data": data, "problems": found},
        ensure_ascii=False,
    )


def table(header: Row, rows: Iterable[Row]) -> None:
    """Print aligned columns on a terminal, TSV without truncation elsewhere."""
    cells = [[cell(value) for value in row] for row in rows]
    if not sys.stdout.isatty():
        for line in [[str(h) for h in header], *cells]:
            click.echo("\t".join(line))
        return
    every = [[str(h).upper() for h in header], *cells]
    widths = [max(_width(line[i]) for line in every) for i in range(len(header))]
    for line in every:
        click.echo("  ".join(cell + " " * (w - _width(cell)) for cell, w in zip(line, widths, strict=True)).rstrip())


def cell(value: object) -> str:
    """Return a value as tables show it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {cell(each)}" for key, each in value.items()) or "-"
    return str(value).replace("\t", " ").replace("\n", " ")


def _width(cell: str) -> int:
    """Columns on a terminal: Chinese characters take two."""
    import unicodedata

    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in cell)


def report(error: ControlError, name: str, *, as_json: bool, lang: str = "en") -> int:
    """Print why a command failed and what to do about it; return its exit code. Codes are never translated."""
    from edge.cli.client import EXIT_BY_CODE

    problems = [Problem(p.code, p.message, p.hint or _words("remedy", p.code, lang)) for p in error.problems]
    if as_json:
        click.echo(envelope(name, None, problems))
    for problem in problems if not as_json else ():
        said = _words("problem", problem.code, lang)
        click.echo(f"{problem.code}: " + (f"{said}\n  " if said else "") + problem.message, err=True)
        if problem.hint:
            click.echo(f"  {_words('word', 'try', lang)} {problem.hint}", err=True)
    return EXIT_BY_CODE.get(problems[0].code, 1) if problems else 1


def _words(kind: str, code: str, lang: str) -> str:
    """Return the text about a code; nothing for a code that only machines read."""
    from sitekeeper.model.errors import NotFound
    from sitekeeper.texts import text

    try:
        return text(f"cli.{kind}.{code}", lang)
    except NotFound:
        return ""


def listing(
    name: str, op: str, args: dict[str, Any], columns: Sequence[str], *, socket_: str | None, as_json: bool, lang: str
) -> int:
    """Ask the daemon for items and print them by the shared rules; return the exit code."""
    from edge.cli.client import ask, socket_path

    try:
        items = list(ask(socket_path(socket_), op, args))
    except ControlError as error:
        return report(error, name, as_json=as_json, lang=lang)
    if as_json:
        click.echo(envelope(name, items))
    else:
        table(columns, ([item.get(column) for column in columns] for item in items))
    return 0


def facts(name: str, op: str, args: dict[str, Any], *, socket_: str | None, as_json: bool, lang: str) -> int:
    """Ask the daemon for one thing and print it as `name value` lines; return the exit code."""
    from edge.cli.client import one, socket_path

    try:
        item = one(socket_path(socket_), op, args)
    except ControlError as error:
        return report(error, name, as_json=as_json, lang=lang)
    if as_json:
        click.echo(envelope(name, item))
    else:
        table(("what", "value"), _flat(item))
    return 0


def _flat(item: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, object]]:
    for key, value in item.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, entry in enumerate(value):
                yield from _flat(entry, f"{prefix}{key}.{entry.get('id', number)}.")
        else:
            yield f"{prefix}{key}", ", ".join(map(str, value)) if isinstance(value, list) else value
