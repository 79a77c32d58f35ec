"""`sk sync`: what waits for the office, and how completely the time was recorded."""

import sys

import click

from edge.cli.output import facts, lang_option, listing, options
from edge.cli.quarantine import quarantine


@click.group()
def sync() -> None:
    """What waits for the office, and what it has: status, retry, ledger, quarantine."""


@sync.command()
@options
def status(*, socket_: str | None, as_json: bool, lang: str) -> None:
    """Connection, windows, what waits in each stream, the last receipt."""
    sys.exit(facts("sync.status", "sync.status", {}, socket_=socket_, as_json=as_json, lang=lang))


@sync.command()
@options
def retry(*, socket_: str | None, as_json: bool, lang: str) -> None:
    """Connect or ask now, and send again what was held back: after something was mended."""
    sys.exit(facts("sync.retry", "sync.retry", {}, socket_=socket_, as_json=as_json, lang=lang))


@sync.command()
@click.option("--office", metavar="SOCKET", required=True, help="The office's local socket: it keeps the ledger.")
@click.option("--site", "site_id", default="", help="One site; without it a sum for each.")
@click.option("--day", default="", metavar="DATE", help="A day of the site's own time zone, or `today`.")
@click.option("--points", is_flag=True, help="Per point instead of per scan group, with the number of its records.")
@click.option("--point", default="", metavar="DEVICE/NAME", help="One point.")
@click.option("--json", "as_json", is_flag=True, help="Versioned JSON instead of a table.")
@lang_option
def ledger(*, office: str, site_id: str, day: str, points: bool, point: str, as_json: bool, lang: str) -> None:
    """Seconds known, in gaps by cause, awaited, and unexplained (which must be 0).

    A day stands `complete`, `running` (not over, all told so far), `telling` (the line is down or the site is behind:
    it has told up to `told_to`), `unexplained`, or `nothing`.
    """
    figures = ("known_s", "gap_s", "causes", "awaited_s", "unexplained_s")
    if not site_id:
        columns: tuple[str, ...] = ("site", "day", "state", "told_to", "span_s", *figures, "records_dropped")
    elif points or point:
        columns = ("point", "records", "state", "span_s", *figures)
    elif day:
        columns = ("scan_group", "from", "to", "state", "span_s", *figures)
    else:
        columns = ("scan_group", "from", "to", "known_s", "gap_s", "causes", "unexplained_s")
    args = {"site": site_id, "day": day, "points": points, "point": point}
    sys.exit(listing("sync.ledger", "sync.ledger", args, columns, socket_=office, as_json=as_json, lang=lang))


sync.add_command(quarantine)
