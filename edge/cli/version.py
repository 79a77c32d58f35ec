"""`sk version`: what is running, and on what."""

import platform
from importlib import metadata

import click

from edge.cli.output import envelope, table
from sitekeeper import __version__

STANDS_ON = (
    "pymodbus",
    "bacpypes3",
    "aiomqtt",
    "paho-mqtt",
    "msgspec",
    "zstandard",
    "pydantic",
    "sqlite-utils",
    "structlog",
)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Versioned JSON instead of a table.")
def version(*, as_json: bool) -> None:
    """Versions of this program and what it stands on."""
    data = {
        "sitekeeper": __version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in STANDS_ON},
    }
    if as_json:
        click.echo(envelope("version", data))
    else:
        table(("name", "version"), data.items())
