"""`sk point`: values as they stand, as they change, and as they were."""

import json
import sys
from typing import Any

import click

from edge.cli.client import ask, socket_path
from edge.cli.output import facts, listing, options, report
from sitekeeper.control import ControlError


@click.group()
def point() -> None:
    """Points: list, read, watch, history."""


@point.command("list")
@click.argument("device_id", required=False)
@options
def list_(*, device_id: str | None, socket_: str | None, as_json: bool, lang: str) -> None:
    """Every point, or those of one device: value, quality in words, age."""
    columns = ("id", "value", "unit", "quality", "age_s", "type")
    args = {"device": device_id} if device_id else {}
    sys.exit(listing("point.list", "point.list", args, columns, socket_=socket_, as_json=as_json, lang=lang))


@point.command()
@click.argument("point_id")
@options
def read(*, point_id: str, socket_: str | None, as_json: bool, lang: str) -> None:
    """One point as it stands, with its age; `device/point`."""
    sys.exit(facts("point.read", "point.read", {"id": point_id}, socket_=socket_, as_json=as_json, lang=lang))


@point.command()
@click.argument("pattern")
@options
def watch(*, pattern: str, socket_: str | None, as_json: bool, lang: str) -> None:
    """Changes as they come, until Ctrl-C: of one point, or of a device with `device/*`."""
    try:
        for item in ask(socket_path(socket_), "point.watch", {"pattern": pattern}, endless=True):
            click.echo(json.dumps(item, ensure_ascii=False) if as_json else _line(item))
    except ControlError as error:
        sys.exit(report(error, "point.watch", as_json=as_json, lang=lang))


def _line(item: dict[str, Any]) -> str:
    return "\t".join(str(item[key]) for key in ("at", "id", "value", "unit", "quality"))


@point.command()
@click.argument("point_id")
@click.option("--since", default="1h", help="How far back, for example 15min, 2h, 7d.", show_default=True)
@options
def history(*, point_id: str, since: str, socket_: str | None, as_json: bool, lang: str) -> None:
    """Recorded changes of one point, oldest first, each with its quality in words."""
    columns = ("at", "value", "quality", "source")
    args = {"id": point_id, "since": since}
    sys.exit(listing("point.history", "point.history", args, columns, socket_=socket_, as_json=as_json, lang=lang))
