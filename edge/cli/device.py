"""`sk device`: what is on the links and how it is doing."""

import sys
from pathlib import Path

import click

from edge.cli.output import facts, listing, options


@click.group()
def device() -> None:
    """Devices: list, show, dump."""


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


@device.command()
@click.argument("device_id")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The file; stdout if not given.")
@click.option("--unmasked", is_flag=True, help="With everything as it is: who and which one it is too.")
@click.option("--show", multiple=True, metavar="POINT", help="Do not mask this one. Can be given several times.")
@click.option("--site", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Without a gateway: read the device of this site folder once, now.")  # fmt: skip
@options
def dump(
    *,
    device_id: str,
    out: Path | None,
    unmasked: bool,
    show: tuple[str, ...],
    site: Path | None,
    socket_: str | None,
    as_json: bool,
    lang: str,
) -> None:
    """Take a device away in a file: what it said, what that means, what it says that it is.

    The file is a golden vector for tests/fixtures/maps, and the data of a simulated device: sk sim --from FILE. A
    running gateway gives its last readings; only of MQTT it listens for two seconds, for it keeps no messages.
    """
    from edge.cli.dump import dumped

    masked = not unmasked
    sys.exit(dumped(device_id, out, site, masked=masked, show=show, socket_=socket_, as_json=as_json, lang=lang))
