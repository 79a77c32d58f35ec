"""`sk office`: run the central office. Its alarms are asked for with `sk alarm ... --office SOCKET`."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sitekeeper.model.errors import ConfigError, Refused, StorageError

if TYPE_CHECKING:
    from office.app import Office

EXIT_FAILED, EXIT_CONFIG = 1, 6


@click.group()
def office() -> None:
    """The central office: run it."""


@office.command()
@click.option("--config", "config", required=True, metavar="FILE", help="office.yaml; see config/office/example.yaml.")
@click.option("--check", is_flag=True, help="Only read the file and say what is wrong with it.")
def run(*, config: str, check: bool) -> None:
    """Receive from all sites, keep their records, push alarms; until SIGTERM or Ctrl-C."""
    from office.settings import load

    try:
        settings = load(Path(config))
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_CONFIG)
    if check:
        click.echo(f"{config}: ok", err=True)
        return
    from office.app import Office  # late: a file with faults must not cost the start of everything

    _log_to_stderr()
    try:
        asyncio.run(_until_told(Office(settings)))
    except (StorageError, Refused) as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_FAILED)
    except ExceptionGroup as group:
        click.echo(f"the office stopped: {'; '.join(_leaves(group))}", err=True)
        sys.exit(EXIT_FAILED)


async def _until_told(app: "Office") -> None:
    """Run `app` until SIGTERM or SIGINT; raise what stopped it otherwise."""
    loop = asyncio.get_running_loop()
    await app.open()
    running = loop.create_task(app.run(), name="office")
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        click.echo("the office stops", err=True)
    finally:
        await app.close()


def _log_to_stderr() -> None:
    """Log one JSON object a line on stderr, as the gateway does."""
    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(20),  # information and above
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _leaves(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [line for inner in error.exceptions for line in _leaves(inner)]
    return [f"{type(error).__name__}: {error}"]
