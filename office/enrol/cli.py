"""`sk office ca` and `sk office site`: who may join, who has, and who may not any more."""

import os
import pwd
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from office.cli_words import complain, told
from sitekeeper.durations import parse_duration
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.errors import ConfigError, FormatError, NotFound, Refused, StorageError

if TYPE_CHECKING:
    from office.enrol.desk import Desk

EXIT_FAILED, EXIT_USAGE, EXIT_CONFIG = 1, 2, 6

of_office = click.option("--config", required=True, metavar="FILE", help="office.yaml with a section `enrol`.")


@click.group()
def ca() -> None:
    """The office's certificate authority: init."""


@ca.command()
@of_office
def init(*, config: str) -> None:
    """Make the authority, if there is none, and the files for the broker; print where they are."""
    with _desk(config) as (desk, made):
        mark = desk.authority.facts.fingerprint.hex()
        click.echo(f"authority\t{'made' if made else 'there already'}\tSHA-256 {mark}")
        click.echo(f"ends\t{_time(desk.authority.facts.ends)}")
        click.echo(f"keys\t{desk.folder}\tback it up; nobody else may read it")
        click.echo(f"broker\t{desk.settings.broker_files(desk.folder)}/sitekeeper.conf\tfor mosquitto")
        _still_to_do(desk)


@click.group()
def site() -> None:
    """Sites that may call: add, list, revoke."""


@site.command()
@click.argument("id_", metavar="ID")
@click.option("--for", "lasts", default="1h", show_default=True, metavar="TIME", help="How long the code is good.")
@of_office
def add(*, id_: str, lasts: str, config: str) -> None:
    """Print a code with which one box, once, becomes the gateway of site ID: sk join CODE. It is not kept."""
    import re

    from sitekeeper.enrolment import SITE

    if not re.fullmatch(SITE, id_):
        click.echo(f"{id_!r} is no id of a site: small letters, digits and inner hyphens", err=True)
        sys.exit(EXIT_USAGE)
    try:
        span = parse_duration(lasts)
    except ValueError as error:
        click.echo(f"--for {lasts}: {error}", err=True)
        sys.exit(EXIT_USAGE)
    with _desk(config) as (desk, _):
        click.echo(str(desk.invite(id_, span)))
        _still_to_do(desk)


@site.command("list")
@of_office
def list_sites(*, config: str) -> None:
    """Print every site: state, end of its certificate, when it was heard last."""
    import msgspec

    from office.enrol.enrolment import SEEN
    from sitekeeper import files

    with _desk(config) as (desk, _):
        seen = msgspec.json.decode(files.get(desk.folder / SEEN) or b"{}", type=dict[str, int])
        now = desk.clock.wall()
        click.echo("site\tstate\tcertificate_ends\tlast_seen")
        for name, member in sorted(desk.registry.sites().items()):
            ends = _time(member.present.ends) if member.present else "-"
            click.echo(f"{name}\t{member.state(now)}\t{ends}\t{_time(seen[name]) if name in seen else '-'}")


@site.command()
@click.argument("id_", metavar="ID")
@of_office
def revoke(*, id_: str, config: str) -> None:
    """End a site's right to call, within a minute: its certificates and its code are worthless."""
    with _desk(config) as (desk, _):
        desk.revoke(id_, _who())
        click.echo(f"{id_}: revoked; a running office ends its connection and its alarms, and takes in nothing of it")
        _still_to_do(desk)


def _who() -> str:
    """Return who gives the command, also under sudo."""
    known = os.environ.get("SUDO_USER") or ""
    try:
        return known or pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a user without a name, as containers have them
        return f"uid {os.getuid()}"


def _still_to_do(desk: "Desk") -> None:
    if desk.told:
        click.echo(f"still to do: {desk.told}", err=True)


@contextmanager
def _desk(config: str) -> Iterator[tuple["Desk", bool]]:
    """Yield the desk of the office in `config`, and whether its authority was made now; else end with an exit code."""
    from office.enrol.desk import desk_of
    from office.settings import load
    from sitekeeper.model.clock import SystemClock

    try:
        desk = desk_of(load(Path(config)), SystemClock())
        yield desk, desk.open()
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_CONFIG)
    except (StorageError, Refused, NotFound, FormatError) as error:
        complain([told(error)])
        sys.exit(EXIT_FAILED)


def _time(at: Micros) -> str:
    return datetime.fromtimestamp(at / SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
