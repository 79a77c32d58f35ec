"""`sk run`: the gateway daemon."""

import asyncio
import gc
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.cli.output import lang_option

if TYPE_CHECKING:
    from edge.settings.values import Site

INVALID = 6
"""Exit code of a configuration that cannot be used."""


@click.command()
@click.option("--site", "folder", required=True, type=click.Path(path_type=Path), help="Folder with site.yaml.")
@click.option("--socket", "socket_", metavar="PATH", help="Where to answer the command line.")
@lang_option
def run(*, folder: Path, socket_: str | None, lang: str) -> None:
    """Run the gateway daemon for one site, until SIGTERM."""
    import structlog

    from edge.cli.client import socket_path
    from edge.logs import configure
    from edge.settings import load
    from sitekeeper.model.errors import ConfigError, SitekeeperError

    configure()
    gc.disable()  # what is made until the gateway is open stays for its whole life
    try:
        site = load(folder, lang=lang)
    except ConfigError as error:
        click.echo(f"{error}\nconfig: {folder}: {len(error.faults)} faults\n  try: sk config check {folder}", err=True)
        sys.exit(INVALID)
    try:
        asyncio.run(_serve(site, socket_path(socket_)))
    except SitekeeperError as error:
        click.echo(f"failed: {error}", err=True)
        sys.exit(1)
    except ExceptionGroup as group:
        structlog.get_logger().error("gateway stopped", exc_info=group)
        click.echo("\n".join(f"failed: {line}" for line in _leaves(group)), err=True)
        sys.exit(1)


def _leaves(error: BaseException) -> list[str]:
    """Return what stopped the gateway, one line for each part that died."""
    if isinstance(error, BaseExceptionGroup):
        return [line for inner in error.exceptions for line in _leaves(inner)]
    return [f"{type(error).__name__}: {error}"]


async def _serve(site: "Site", socket_: Path) -> None:
    """Run until a signal asks to stop; then everything that waits is made durable."""
    from edge.app import App, Wiring
    from edge.brokers import office_connect
    from edge.clock_trust import synchronised
    from edge.service import Service
    from sitekeeper.model.clock import SystemClock

    connect = None if site.office is None else office_connect(site.id, site.office)
    wiring = Wiring(connect=connect, socket=socket_, service=Service(os.environ))
    app = App(site, SystemClock(synchronised), wiring)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await app.open()
    gc.freeze()
    gc.enable()
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
