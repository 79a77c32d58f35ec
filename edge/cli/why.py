"""`sk why`: where the chain of one point breaks, from the wire to the office's record, and what to do next."""

import sys
from typing import Any

import click

from edge.cli.client import one, socket_path
from edge.cli.output import envelope, options, report, table
from edge.doctor.hops import Hop, broken, walk
from sitekeeper.control import ControlError, Problem
from sitekeeper.texts import text


@click.command()
@click.argument("point_id", metavar="DEVICE/POINT")
@options
def why(*, point_id: str, socket_: str | None, as_json: bool, lang: str) -> None:
    """Walk the way of one point, hop by hop with evidence, and name the first that is broken.

    Exit codes: 0 the chain holds, 1 a hop is broken, 3 the daemon does not run.
    """
    try:
        facts = one(socket_path(socket_), "point.why", {"id": point_id})
    except ControlError as error:
        sys.exit(report(error, "why", as_json=as_json, lang=lang))
    hops = walk(facts)
    first = broken(hops)
    rows = [_row(hop, lang) for hop in hops]
    if as_json:
        data = {"point": point_id, "broken": None if first is None else first.name, "hops": rows}
        problems = [] if first is None else [Problem(first.name, first.told(lang), first.next)]
        click.echo(envelope("why", data, problems))
    elif sys.stdout.isatty():
        _tell(rows)
    else:
        table(
            ("hop", "state", "evidence", "next"),
            ([row[key] for key in ("hop", "state", "evidence", "next")] for row in rows),
        )
    if not as_json:
        _conclude(point_id, first, lang)
    sys.exit(0 if first is None else 1)


def _row(hop: Hop, lang: str) -> dict[str, Any]:
    return {"hop": hop.name, "state": hop.state, "evidence": hop.told(lang), "next": hop.next, "said": hop.said}


def _tell(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        click.echo(f"{row['state']:<7}  {row['hop']:<8}  {row['evidence']}")


def _conclude(point: str, first: Hop | None, lang: str) -> None:
    """Say on stderr what it comes to, and what to type next."""
    if first is None:
        click.echo(text("cli.why.holds", lang, point=point), err=True)
        return
    hop = text(f"cli.why.hop.{first.name}", lang)
    click.echo(text("cli.why.breaks", lang, point=point, hop=hop, evidence=first.told(lang)), err=True)
    click.echo(f"  {text('cli.word.try', lang)} {first.next}", err=True)
