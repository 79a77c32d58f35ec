"""`sk audit`: who asked for what on this site, and whether that record is still what it was."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from edge.cli.output import cell, envelope, listing, options, report, table
from sitekeeper.control import ControlError, Problem, problem_of
from sitekeeper.model.errors import SitekeeperError

MOST_HEADS = 5_000
"""Newest heads of the office that are compared; a request holds no more."""


@click.group()
def audit() -> None:
    """Who asked for what, and whether that record is still what it was: show, verify."""


@audit.command()
@click.option("--last", default=50, show_default=True, type=click.IntRange(1, 1_000), help="So many rows.")
@options
def show(*, last: int, socket_: str | None, as_json: bool, lang: str) -> None:
    """The newest rows, oldest first: person, role, from where, what, and what came of it."""
    columns = ("at", "user", "role", "origin", "operation", "target", "value", "outcome", "reason", "note")
    sys.exit(listing("audit.show", "audit.show", {"last": last}, columns, socket_=socket_, as_json=as_json, lang=lang))


@audit.command()
@click.option("--office", metavar="SOCKET", help="Also compare with what this office was told; its local socket.")
@click.option(
    "--file",
    "file",
    metavar="OUTBOX",
    help="An outbox file, perhaps a copy; without it the running gateway's, or, if none runs, the usual one.",
)
@options
def verify(*, office: str | None, file: str | None, socket_: str | None, as_json: bool, lang: str) -> None:
    """Read the whole chain; exit code 0 if every row stands on the one before it, and under the office's heads.

    No gateway needs to run for it.
    """
    from edge.cli.client import ask

    try:
        file = file or _without_gateway(socket_)
        found = _verified(file, socket_, {})
        if office:
            told = list(ask(Path(office), "audit.heads", {"site": found["site"]}))
            told.reverse()  # of two for the same number of rows the older one counts
            heads = {each["n"]: each["hash"] for each in told if each["epoch"] == found["epoch"]}
            found = _verified(file, socket_, dict(sorted(heads.items())[-MOST_HEADS:]))
    except ControlError as error:
        sys.exit(report(error, "audit.verify", as_json=as_json, lang=lang))
    except SitekeeperError as error:
        sys.exit(report(ControlError([problem_of(error)]), "audit.verify", as_json=as_json, lang=lang))
    problems = [Problem("audit", _words(finding, lang)) for finding in found["findings"]]
    if as_json:
        click.echo(envelope("audit.verify", found, problems))
    else:
        rows = ("site", "epoch", "rows", "folded", "head", "compared", "stands")
        table(("what", "value"), [(name, cell(found[name])) for name in rows])
        for problem in problems:
            click.echo(problem.message, err=True)
    sys.exit(1 if problems else 0)


def _without_gateway(socket_: str | None) -> str | None:
    """Return the usual outbox file if no gateway runs here and it can be read instead; None to ask the gateway.

    One whose socket is named is meant, and asked in any case.
    """
    from edge.cli.client import running, socket_path
    from edge.doctor.facts import USUAL_OUTBOX

    if socket_ is not None or running(socket_path(None)) or not os.access(USUAL_OUTBOX, os.R_OK):
        return None
    return USUAL_OUTBOX


def _verified(file: str | None, socket_: str | None, heads: dict[int, str]) -> dict[str, Any]:
    if file is not None:
        from edge.operations.audit import verify as examined

        return examined(Path(file), heads)
    from edge.cli.client import one, socket_path

    found: dict[str, Any] = one(socket_path(socket_), "audit.verify", {"heads": [list(each) for each in heads.items()]})
    return found


def _words(finding: dict[str, Any], lang: str) -> str:
    from sitekeeper.texts import text

    key = f"cli.audit.{finding['what']}"
    return text(key, lang, first=finding["first"], last=finding["last"])
