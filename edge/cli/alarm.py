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
    """Alarms: list, show, ack, unack, clear; shelve, unshelve, out, return, note; stats."""


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    office = click.option("--office", metavar="SOCKET", help="Ask the office instead, at its local socket.")
    return options(office(command))


@alarm.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that are normal again, or held back.")
@click.option("--held", is_flag=True, help="Only those that are held back: shelved, suppressed, out of service.")
@_options
def list_(*, everything: bool, held: bool, office: str | None, socket_: str | None, as_json: bool, lang: str) -> None:
    """Alarms that want something, worst first."""
    delivered = () if office else ("delivered",)
    columns = ("priority", "state", "rule", "key", "raised", "acked_by", *delivered, "occurrence")
    if held:
        columns = ("priority", "state", "rule", "key", "held_by", "until", "why")
    args = {"all": everything, "held": held}
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


def _move(op: str, alarm_id: str, note: str, where: str | None, *, as_json: bool, lang: str, **more: str) -> int:
    try:
        item = one(socket_path(where), op, {"id": alarm_id, "note": note} | more)
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


@alarm.command()
@click.argument("alarm_id")
@click.option("--for", "span", required=True, metavar="DURATION", help="For how long: 30min, at most 8h (urgent: 1h).")
@click.option("--reason", "note", required=True, help="Why, for whoever reads the story later.")
@options
def shelve(*, alarm_id: str, span: str, note: str, socket_: str | None, as_json: bool, lang: str) -> None:
    """Put an alarm out of sight for a while; it comes back by itself. Never what protects life.

    ALARM_ID is as in `sk alarm show`, or DEVICE/RULE of an alarm that is normal. Once more: prolonged, from now.
    """
    sys.exit(_move("alarm.shelve", alarm_id, note, socket_, as_json=as_json, lang=lang, **{"for": span}))


@alarm.command()
@click.argument("alarm_id")
@click.option("--note", default="", help="Why, for whoever reads the story later.")
@options
def unshelve(*, alarm_id: str, note: str, socket_: str | None, as_json: bool, lang: str) -> None:
    """Take an alarm off the shelf."""
    sys.exit(_move("alarm.unshelve", alarm_id, note, socket_, as_json=as_json, lang=lang))


@alarm.command()
@click.argument("alarm_id")
@click.option("--permit", required=True, help="Number of the permit to work.")
@click.option("--owner", required=True, help="Who answers for the work.")
@click.option("--until", required=True, metavar="TIME", help="2026-12-01 (its end) or 2026-12-01T18:00; at most 30 d.")
@click.option("--note", default="", help="What is done, for whoever reads the story later.")
@options
def out(
    *, alarm_id: str, permit: str, owner: str, until: str, note: str, socket_: str | None, as_json: bool, lang: str
) -> None:
    """Take an alarm out of service while somebody works on the equipment. Only on site; never what protects life.

    ALARM_ID is as in `sk alarm shelve`.
    """
    more = {"permit": permit, "owner": owner, "until": until}
    sys.exit(_move("alarm.out", alarm_id, note, socket_, as_json=as_json, lang=lang, **more))


@alarm.command("return")
@click.argument("alarm_id")
@click.option("--note", default="", help="What was done, for whoever reads the story later.")
@options
def return_(*, alarm_id: str, note: str, socket_: str | None, as_json: bool, lang: str) -> None:
    """Return an alarm to service: what is true rings at once. Only on site."""
    sys.exit(_move("alarm.return", alarm_id, note, socket_, as_json=as_json, lang=lang))


@alarm.command()
@click.argument("alarm_id")
@click.argument("words")
@options
def note(*, alarm_id: str, words: str, socket_: str | None, as_json: bool, lang: str) -> None:
    """Write WORDS into an alarm's story."""
    sys.exit(_move("alarm.note", alarm_id, words, socket_, as_json=as_json, lang=lang))


@alarm.command()
@click.option("--since", default="30d", show_default=True, metavar="DURATION", help="From so long ago until now.")
@options
def stats(*, since: str, socket_: str | None, as_json: bool, lang: str) -> None:
    """How good the alarms are: how many, floods, the worst ten, stale, chattering and fleeting ones, time to ack."""
    try:
        item = one(socket_path(socket_), "alarm.stats", {"since": since})
    except ControlError as error:
        sys.exit(report(error, "alarm.stats", as_json=as_json, lang=lang))
    if as_json:
        click.echo(envelope("alarm.stats", item))
        return
    for name, value in item.items():
        click.echo(f"{name}\t{_figure(value)}")


def _figure(value: Any) -> str:
    """Return a figure in one line: of alarms, each with how often."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(f"{each['key']} {each['count']}" if isinstance(each, dict) else each for each in value) or "-"
    return "-" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
