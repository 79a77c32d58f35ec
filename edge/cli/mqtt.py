"""`sk mqtt`: what came on the topics of this site and could not be used."""

import sys

import click

from edge.cli.client import ask, socket_path
from edge.cli.output import envelope, options, report, table
from sitekeeper.control import ControlError
from sitekeeper.texts import text

_COLUMNS = ("link", "topic", "reason", "device", "why", "times", "last", "first")


@click.group()
def mqtt() -> None:
    """MQTT links: rejected."""


@mqtt.command()
@click.argument("link", required=False)
@options
def rejected(*, link: str | None, socket_: str | None, as_json: bool, lang: str) -> None:
    """Messages that became no value and no event, the last first: why, how often, and what to do about it.

    Of one that may name a person only the shape is shown: x for each letter and digit.
    """
    try:
        items = list(ask(socket_path(socket_), "mqtt.rejected", {"link": link}))
    except ControlError as error:
        sys.exit(report(error, "mqtt.rejected", as_json=as_json, lang=lang))
    remedies = {item["reason"]: text(f"mqtt.rejected.{item['reason']}", lang) for item in items}
    if as_json:
        click.echo(envelope("mqtt.rejected", [{**item, "remedy": remedies[item["reason"]]} for item in items]))
        return
    if not items:
        click.echo(text("mqtt.none", lang), err=True)
    table(_COLUMNS, ([item[column] for column in _COLUMNS] for item in items))
    for reason, remedy in remedies.items():
        click.echo(f"{reason}: {text('cli.word.try', lang)} {remedy}", err=True)
