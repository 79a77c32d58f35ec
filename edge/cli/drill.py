"""`sk drill`: practice without a push."""

import sys
from collections.abc import Mapping

import click

from edge.cli.client import one, socket_path
from edge.cli.output import envelope, options, report, table
from sitekeeper.control import ControlError


@click.group()
def drill() -> None:
    """Drills: start, stop, show. What is raised meanwhile acts as always and is pushed to nobody."""


@drill.command()
@click.option("--for", "span", required=True, metavar="DURATION", help="For how long: 30min, at most 2h.")
@click.option("--device", metavar="DEVICE[,DEVICE]", help="On these devices.")
@click.option("--zone", help="On all devices of this zone.")
@click.option("--note", required=True, help="What is practised, for whoever reads the record later.")
@options
def start(
    *, span: str, device: str | None, zone: str | None, note: str, socket_: str | None, as_json: bool, lang: str
) -> None:
    """Begin a drill. Only on site; a fire alarm outside it ends it at once."""
    args = {"for": span, "device": device, "zone": zone, "note": note}
    sys.exit(_asked("drill.start", args, socket_, as_json=as_json, lang=lang))


@drill.command()
@click.option("--note", default="", help="How it went, for whoever reads the record later.")
@options
def stop(*, note: str, socket_: str | None, as_json: bool, lang: str) -> None:
    """End the drill: what is still true rings."""
    sys.exit(_asked("drill.stop", {"note": note}, socket_, as_json=as_json, lang=lang))


@drill.command()
@options
def show(*, socket_: str | None, as_json: bool, lang: str) -> None:
    """The last drill: what was raised in it, and how long it took to acknowledge and to reset."""
    sys.exit(_asked("drill.show", {}, socket_, as_json=as_json, lang=lang))


def _asked(op: str, args: Mapping[str, object], where: str | None, *, as_json: bool, lang: str) -> int:
    try:
        item = one(socket_path(where), op, dict(args))
    except ControlError as error:
        return report(error, op, as_json=as_json, lang=lang)
    if as_json:
        click.echo(envelope(op, item))
        return 0
    alarms = item.pop("alarms", [])
    for key, value in item.items():
        click.echo(f"{key}\t{', '.join(value) if isinstance(value, list) else value}")
    columns = ("priority", "rule", "device", "raised", "ack_s", "clear_s", "reset_s")
    if alarms:
        table(columns, [tuple("-" if row[column] is None else row[column] for column in columns) for row in alarms])
    return 0
