"""`sk sync`: what waits for the office, and how completely the time was recorded."""

import sys

import click

from edge.cli.output import facts, lang_option, listing, options


@click.group()
def sync() -> None:
    """What waits for the office, and what it has: status, ledger."""


@sync.command()
@options
def status(*, socket_: str | None, as_json: bool, lang: str) -> None:
    """Connection, windows, what waits in each stream, the last receipt."""
    sys.exit(facts("sync.status", "sync.status", {}, socket_=socket_, as_json=as_json, lang=lang))


@sync.command()
@click.option("--office", metavar="SOCKET", required=True, help="The office's local socket: it keeps the ledger.")
@click.option("--site", "site_id", required=True)
@click.option("--json", "as_json", is_flag=True, help="Versioned JSON instead of a table.")
@lang_option
def ledger(*, office: str, site_id: str, as_json: bool, lang: str) -> None:
    """Per scan group: seconds vouched for, seconds in gaps by cause, seconds unexplained (which must be 0)."""
    columns = ("scan_group", "from", "to", "known_s", "gap_s", "causes", "unexplained_s")
    sys.exit(
        listing("sync.ledger", "sync.ledger", {"site": site_id}, columns, socket_=office, as_json=as_json, lang=lang)
    )
