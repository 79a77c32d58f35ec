"""`sk muster`: who may still be inside."""

import sys

import click

from edge.cli.client import one, socket_path
from edge.cli.output import envelope, options, report, table
from sitekeeper.control import ControlError
from sitekeeper.texts import text


@click.command()
@options
def muster(*, socket_: str | None, as_json: bool, lang: str) -> None:
    """Who was let in during the last 24 h and was not read on the way out, newest first."""
    try:
        item = one(socket_path(socket_), "muster")
    except ControlError as error:
        sys.exit(report(error, "muster", as_json=as_json, lang=lang))
    if as_json:
        click.echo(envelope("muster", item))
        return
    columns = ("at", "door", "cred", "name")
    table(columns, ([person[column] for column in columns] for person in item["people"]))
    click.echo(text("cli.muster.count", lang, count=item["count"], since=item["since"]), err=True)
    if item["no_out"]:
        click.echo(text("cli.muster.no-out", lang, doors=", ".join(item["no_out"])), err=True)
    if item["by_button"]:
        click.echo(text("cli.muster.by-button", lang, count=item["by_button"]), err=True)
