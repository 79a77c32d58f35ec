"""`sk doctor`: what is wrong with this gateway, the likely cause of each fault, and the next command."""

import sys
from collections.abc import Sequence
from typing import Final

import click

from edge.cli.client import EXIT_BY_CODE, socket_path
from edge.cli.output import envelope, options, table
from edge.doctor.examine import examine
from edge.doctor.facts import USUAL_OUTBOX, gather
from edge.doctor.finding import Finding
from sitekeeper.control import Problem
from sitekeeper.texts import text

COLUMNS: Final = ("id", "state", "about", "evidence", "cause", "next")
CODES: Final = {
    "DMN": "daemon",
    "OFF": "office",
    "OUT": "outbox",
    "CLK": "clock",
    "DEV": "device",
    "CRT": "certificate",
    "AUD": "audit",
}
"""Problem codes by the first letters of a check's id."""


@click.command()
@click.option("--outbox", default=USUAL_OUTBOX, help="Where the outbox lies, if no daemon runs that could say so.")
@options
def doctor(*, outbox: str, socket_: str | None, as_json: bool, lang: str) -> None:
    """Check this gateway: each fault with its evidence, likely cause and next command, the gravest first.

    Exit codes: 0 all is well, 1 something needs a person, 3 the daemon does not run (the rest is looked at anyway).
    """
    known = gather(socket_path(socket_), outbox)
    findings = examine(known)
    rows = [_row(finding, lang) for finding in findings]
    problems = [Problem(CODES[row["id"][:3]], row["evidence"], row["next"]) for row in rows if row["state"] != "ok"]
    if as_json:
        click.echo(envelope("doctor", {"findings": rows}, problems))
    elif sys.stdout.isatty():
        _tell(rows, lang)
    else:
        table(COLUMNS, ([row[column] for column in COLUMNS] for row in rows))
    sys.exit(EXIT_BY_CODE.get(known.problem.code, 1) if known.problem else 1 if problems else 0)


def _row(finding: Finding, lang: str) -> dict[str, str]:
    wrong = finding.state != "ok"
    return {
        "id": finding.id,
        "state": finding.state,
        "about": finding.about,
        "evidence": text(f"doctor.{finding.said}", lang, **finding.fields),
        "cause": text(f"doctor.{finding.said}.cause", lang) if wrong else "",
        "next": finding.next,
    }


def _tell(rows: Sequence[dict[str, str]], lang: str) -> None:
    """Print the findings for a person: each fault in three lines, what is well in one."""
    for row in rows:
        click.echo(f"{row['state']:<4}  {row['id']}  {row['evidence']}")
        if row["state"] != "ok":
            click.echo(f"             {text('doctor.cause', lang)} {row['cause']}")
            click.echo(f"             {text('cli.word.try', lang)} {row['next']}")
    click.echo(text("doctor.checks-ok", lang, count=sum(row["state"] == "ok" for row in rows)))
