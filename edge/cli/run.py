"""`sk run`: the gateway daemon."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edge.settings.values import Site


@click.command()
@click.option("--site", "folder", required=True, type=click.Path(path_type=Path), help="Folder with site.yaml.")
@click.option("--socket", "socket_", metavar="PATH", help="Where to answer the command line.")
def run(*, folder: Path, socket_: str | None) -> None:
    """Run the gateway daemon for one site, until SIGTERM."""
    from edge.cli.client import fail, socket_path
    from edge.logs import configure
    from edge.settings import load
    from sitekeeper.model.errors import ConfigError, SitekeeperError

    configure()
    try:
        site = load(folder)
    except ConfigError as error:
        click.echo(str(error), err=True)
        fail("config", f"{folder}: {len(error.faults)} faults", f"sk config check {folder}")
    try:
        asyncio.run(_serve(site, socket_path(socket_)))
    except SitekeeperError as error:
        fail("failed", str(error))
    sys.exit(0)


async def _serve(site: "Site", socket_: Path) -> None:
    """Run until a signal asks to stop; then everything that waits is made durable."""
    from edge.app import App, Wiring, office_connect
    from edge.clock_trust import synchronised
    from sitekeeper.model.clock import SystemClock

    connect = None if site.office is None else office_connect(site.id, site.office)
    app = App(site, SystemClock(synchronised), Wiring(connect=connect, socket=socket_))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await app.open()
    try:
        running = asyncio.create_task(app.run(), name="gateway")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not running.done():
            await app.drain()
            running.cancel()
        await asyncio.gather(running, return_exceptions=not running.done())
    finally:
        await app.close()
