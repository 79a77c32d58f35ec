"""`sk device`: what is on the links and how it is doing."""

import sys

import click

from edge.cli.output import facts, listing, options


@click.group()
def device() -> None:
    """Devices: list, show."""


@device.command("list")
@options
def list_(*, socket_: str | None, as_json: bool, lang: str) -> None:
    """Every device: does it answer, since when, how many of its points are good."""
    columns = ("id", "class", "profile", "link", "state", "since", "points", "good", "last_good")
    sys.exit(listing("device.list", "device.list", {}, columns, socket_=socket_, as_json=as_json, lang=lang))


@device.command()
@click.argument("device_id")
@options
def show(*, device_id: str, socket_: str | None, as_json: bool, lang: str) -> None:
    """One device: link, scan groups, counts, what it tells unasked, the last error in full, its equipment record."""
    sys.exit(facts("device.show", "device.show", {"id": device_id}, socket_=socket_, as_json=as_json, lang=lang))
