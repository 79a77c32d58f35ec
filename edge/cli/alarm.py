"""`sk alarm`: what is wrong, told as a story, and what a person says to it. On the site, or at the office."""

import sys
from collections.abc import Callable
from typing import Any

import click

from edge.cli.client import one, socket_path
from edge.cli.output import envelope, listing, options, report
from sitekeeper.control import ControlError


@click.group()
def alarm() -> None:
    """Alarms: list, show, ack, unack, clear."""


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    office = click.option("--office", metavar="SOCKET", help="Ask the office instead, at its local socket.")
    return options(office(command))


@alarm.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that are normal again.")
@_options
def list_(*, everything: bool, office: str | None, socket_: str | None, as_json: bool, lang: str) -> None:
    """Alarms that want something, worst first."""
    delivered = () if office else ("delivered",)
    columns = ("priority", "state", "rule", "key", "raised", "acked_by", *delivered, "occurrence")
    args = {"all": everything}
    sys.exit(listing("alarm.list", "alarm.list", args, columns, socket_=office or socket_, as_json=as_json, lang=lang))


@alarm.command()
@click.argument("alarm_id")
@_options
def show(*, alarm_id: str, office: str | None, socket_: str | None, as_json: bool, lang: str) -> None:
    """One alarm as a story: what was seen, who was told, who did what.

    ALARM_ID is the rule where only one device has it (L01), device/rule, or the key or occurrence that `sk alarm list`
    shows; one that is normal again is found by key or occurrence only.
    """
    try:
        item = one(socket_path(office or socket_), "alarm.show", {"id": alarm_id, "lang": lang})
    except ControlError as error:
        sys.exit(report(error, "alarm.show", as_json=as_json, lang=lang))
    click.echo(envelope("alarm.show", item) if as_json else "\n".join(item["story"]))


def _move(op: str, alarm_id: str, note: str, where: str | None, *, as_json: bool, lang: str) -> int:
    try:
        item = one(socket_path(where), op, {"id": alarm_id, "note": note})
    except ControlError as error:
        return report(error, op, as_json=as_json, lang=lang)
    if as_json:
        click.echo(envelope(op, item))
    else:
        click.echo("\n".join(f"{key}\t{value}" for key, value in item.items()))
    return 0


@alarm.command()
@click.argument("alarm_id")
@click.option("--note", default="", help="Why, for whoever reads the story later.")
@_options
def ack(*, alarm_id: str, note: str, office: str | None, socket_: str | None, as_json: bool, lang: str) -> None:
    """Acknowledge: I have seen it and see to it. Pushes stop."""
    sys.exit(_move("alarm.ack", alarm_id, note, office or socket_, as_json=as_json, lang=lang))


@alarm.command()
@click.argument("alarm_id")
@click.option("--note", default="", help="Why the acknowledgement was a mistake.")
@_options
def unack(*, alarm_id: str, note: str, office: str | None, socket_: str | None, as_json: bool, lang: str) -> None:
    """Take an acknowledgement back."""
    sys.exit(_move("alarm.unack", alarm_id, note, office or socket_, as_json=as_json, lang=lang))


@alarm.command()
@click.argument("alarm_id")
@click.option("--entered", "note", required=True, help="What was found and done, for example 'released, 1 person'.")
@_options
def clear(*, alarm_id: str, note: str, office: str | None, socket_: str | None, as_json: bool, lang: str) -> None:
    """End a latched alarm. Only on site, only when the condition is over."""
    sys.exit(_move("alarm.clear", alarm_id, note, office or socket_, as_json=as_json, lang=lang))
