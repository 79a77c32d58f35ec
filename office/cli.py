"""`sk office`: run the central office. Its alarms are asked for with `sk alarm ... --office SOCKET`."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from office.cli_commands import command, confirm, list_, status
from office.cli_store import backup, restore, store
from office.cli_words import complain, told
from office.enrol.cli import ca, site
from office.export import export
from sitekeeper.model.errors import ConfigError, NotFound, Refused, StorageError

if TYPE_CHECKING:
    from office.auth import Account, ConsoleRole, Token, Users

EXIT_FAILED, EXIT_CONFIG = 1, 6


@click.group()
def office() -> None:
    """The central office: run it, the accounts of its console, its authority, the sites that may call."""


office.add_command(ca)
office.add_command(site)
for _other in (status, command, confirm, list_, store, backup, restore, export):
    office.add_command(_other)


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
    from office.service import Service

    _run("office", Office(settings, service=Service(os.environ)))


@office.command()
@click.option("--config", "config", required=True, metavar="FILE", help="office.yaml with a `store: {url: ...}`.")
@click.option("--name", required=True, metavar="NAME", help="Of this worker, as the broker shows it.")
def ingest(*, config: str, name: str) -> None:
    """Receive into the PostgreSQL store, beside the office and other workers; until SIGTERM or Ctrl-C."""
    from office.settings import load

    if not re.fullmatch(r"[A-Za-z0-9-]{1,32}", name):
        raise click.BadParameter("letters, digits and hyphens, at most 32", param_hint="--name")
    try:
        settings = load(Path(config))
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_CONFIG)
    from office.ingest_worker import IngestWorker
    from office.service import Service

    _run("worker", IngestWorker(settings, name, service=Service(os.environ)))


class _Runs(Protocol):
    """What `open`s, `run`s until it is cancelled, and `close`s."""

    async def open(self) -> None: ...
    async def run(self) -> None: ...
    async def close(self) -> None: ...


def _run(what: str, app: _Runs) -> None:
    _log_to_stderr()
    try:
        asyncio.run(_until_told(what, app))
    except (StorageError, Refused) as error:
        complain([told(error)])
        sys.exit(EXIT_FAILED)
    except ExceptionGroup as group:
        click.echo(f"the {what} stopped: {'; '.join(_leaves(group))}", err=True)
        sys.exit(EXIT_FAILED)


async def _until_told(what: str, app: _Runs) -> None:
    """Run `app` until SIGTERM or SIGINT; raise what stopped it otherwise."""
    loop = asyncio.get_running_loop()
    await app.open()
    if (console := getattr(app, "console", None)) is not None:
        click.echo(console.notice, err=True)
    running = loop.create_task(app.run(), name=what)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        click.echo(f"the {what} stops", err=True)
    finally:
        await app.close()


of_console = click.option("--config", required=True, metavar="FILE", help="office.yaml with a console in it.")
with_role = click.option("--role", type=click.Choice(["viewer", "operator", "admin"]), required=True)

with_sites = click.option("--sites", metavar="A,B", help="Only these sites may be seen; without it all.")

with_security = click.option("--security", is_flag=True, help="May know of what only security may: alarms of duress.")


@office.group()
def user() -> None:
    """Accounts of the console: set, remove, list; and token, for programs."""


@user.command("set")
@click.argument("name")
@with_role
@with_sites
@with_security
@of_console
def set_user(*, name: str, role: "ConsoleRole", sites: str | None, security: bool, config: str) -> None:
    """Make an account, or give it another role or other sites; print its new password."""
    with _accounts(config) as users:
        click.echo(users.put(name, role, _listed(sites), security=security))


@user.command("remove")
@click.argument("name")
@of_console
def remove_user(*, name: str, config: str) -> None:
    """Remove an account; its sessions end at once."""
    with _accounts(config) as users:
        users.remove(name)


@user.command("list")
@of_console
def list_users(*, config: str) -> None:
    """Print the accounts and their roles."""
    with _accounts(config) as users:
        for name, account in sorted(users.all().items()):
            click.echo(_row(name, account))


@user.group()
def token() -> None:
    """Bearer tokens, for programs that use the API: add, list, revoke."""


@token.command("add")
@click.argument("name")
@with_role
@with_sites
@with_security
@of_console
def add_token(*, name: str, role: "ConsoleRole", sites: str | None, security: bool, config: str) -> None:
    """Make a token and print it; it is not kept, so this is the only time."""
    with _accounts(config) as users:
        click.echo(users.add_token(name, role, _listed(sites), security=security))


@token.command("list")
@of_console
def list_tokens(*, config: str) -> None:
    """Print the names of the tokens and their roles."""
    with _accounts(config) as users:
        for name, known in sorted(users.tokens().items()):
            click.echo(_row(name, known))


@token.command("revoke")
@click.argument("name")
@of_console
def revoke_token(*, name: str, config: str) -> None:
    """Make a token worthless, at once."""
    with _accounts(config) as users:
        users.revoke_token(name)


def _listed(sites: str | None) -> list[str] | None:
    return None if sites is None else [site for site in sites.split(",") if site]


def _row(name: str, known: "Account | Token") -> str:
    sites = [] if known.sites is None else [",".join(known.sites)]
    return "\t".join((name, known.role, *sites, *(["security"] if known.security else [])))


@contextmanager
def _accounts(config: str) -> Iterator["Users"]:
    """Yield the accounts of the office in `config`; end with an exit code where that fails."""
    from office.auth import Users
    from office.settings import load

    try:
        settings = load(Path(config))
        if settings.console is None:
            click.echo(f"{config}: has no console", err=True)
            sys.exit(EXIT_CONFIG)
        yield Users(settings.console.accounts(Path(settings.store.path)))
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_CONFIG)
    except (StorageError, Refused, NotFound) as error:
        complain([told(error)])
        sys.exit(EXIT_FAILED)


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
