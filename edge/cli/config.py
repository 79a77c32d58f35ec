"""`sk config`: check a site folder with the very code that `sk run` loads it with; print or write the JSON Schemas."""

import json
from pathlib import Path

import click

from edge.cli.output import lang_option

INVALID = 6
"""Exit code of a configuration that cannot be used."""


@click.group()
def config() -> None:
    """Site files: check them, and describe them to an editor."""


@config.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--backtest/--no-backtest", default=None, help="Try the rules on the site's record; else as the site file says."
)
@click.option("--json", "as_json", is_flag=True, help="Versioned JSON instead of lines.")
@lang_option
def check(folder: Path, lang: str, *, backtest: bool | None, as_json: bool) -> int:
    """Check the site folder DIR: every fault at once, as file:line:column. Opens no socket. Exit code 6 if any.

    With `rules: {require: true}` or --backtest its rules are tried on seven days of its record: exit code 1 where they
    break one of its gates.
    """
    from edge.cli.output import envelope
    from edge.settings import load
    from sitekeeper.control import Problem
    from sitekeeper.model.errors import ConfigError
    from sitekeeper.texts import text

    try:
        site = load(folder, lang=lang)
    except ConfigError as error:
        if as_json:
            rows = [
                {
                    "file": f.file,
                    "line": f.line,
                    "column": f.column,
                    "code": f.code,
                    "message": f.message,
                    "hint": f.hint,
                }
                for f in error.faults
            ]
            problems = [Problem(f.code, str(f), f.hint) for f in error.faults]
            click.echo(envelope("config-check", {"folder": str(folder), "faults": rows}, problems))
        else:
            for fault in error.faults:
                click.echo(str(fault))
            click.echo(text("settings.checked-bad", lang, folder=folder, count=len(error.faults)), err=True)
        return INVALID
    if site.gates_required if backtest is None else backtest:
        from edge.cli.backtest import judged
        from edge.timemachine import Wanted
        from sitekeeper.model.clock import DAY

        if code := judged(site, Wanted(length=7 * DAY), site.gates, as_json=as_json, lang=lang, told=not as_json):
            return code
    counts = {"devices": len(site.devices), "points": len(site.points), "rules": len(site.rules.rules)}
    if as_json:
        click.echo(envelope("config-check", {"folder": str(folder), "site": site.id, **counts, "faults": []}))
    else:
        click.echo(text("settings.checked-good", lang, folder=folder, site=site.id, **counts))
    return 0


@config.command()
@click.argument("name", type=click.Choice(["site", "devices", "profile", "class"]), required=False)
@click.option("--write", is_flag=True, help="Write all of them to config/schema instead.")
def schema(name: str | None, *, write: bool) -> int:
    """Print the JSON Schema (draft 7) of one kind of file, or of all."""
    from edge.settings.schema import schemas, written
    from sitekeeper.data import data_path

    if write:
        data_path("schema").mkdir(exist_ok=True)
        for file, content in written().items():
            data_path("schema", file).write_text(content, encoding="utf-8")
    else:
        every = schemas()
        click.echo(json.dumps(every[name] if name else every, ensure_ascii=False, indent=2))
    return 0
