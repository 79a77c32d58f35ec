"""`sk office command`: order something of a site from the office's own machine, over its local socket."""

import json
import socket
import sys
from collections.abc import Iterator
from typing import Any

import click

from office.cli_words import complain
from sitekeeper import control

SOCKET = "/run/sitekeeper-office/office.sock"
CONNECT_S = 10.0
EXIT_FAILED, EXIT_USAGE, EXIT_NOT_RUNNING, EXIT_PERMISSION, EXIT_UNREACHABLE = 1, 2, 3, 4, 5
EXIT_BY_CODE = {
    "usage": EXIT_USAGE,
    "not-running": EXIT_NOT_RUNNING,
    "permission": EXIT_PERMISSION,
    "same-person": EXIT_PERMISSION,
    "site-unreachable": EXIT_UNREACHABLE,
}

place = click.option("--socket", "path", metavar="PATH", default=SOCKET, show_default=True, help="The office's socket.")
as_json_too = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


@click.command()
@click.argument("target", metavar="SITE/DEVICE/POINT")
@click.argument("value")
@click.option("--reason", required=True, help="Why, for the audits here and on site.")
@click.option("--expires", default="10s", show_default=True, help="When what it holds ends.")
@click.option("--yes", is_flag=True, help="Do not ask whether that is meant.")
@place
@as_json_too
def command(*, target: str, value: str, reason: str, expires: str, yes: bool, path: str, as_json: bool) -> None:
    """Order something of a site, and wait for what comes of it; doors and barriers wait for a second person."""
    parts = target.split("/")
    if len(parts) != 3 or not all(parts):
        click.echo(f"{target!r}: write SITE/DEVICE/POINT", err=True)
        sys.exit(EXIT_USAGE)
    if not yes and not _meant(target, value):
        sys.exit(EXIT_USAGE)
    args = {"site": parts[0], "device": parts[1], "point": parts[2], "value": value}
    sys.exit(_told(path, "command.ask", {**args, "reason": reason, "expires": expires}, as_json=as_json))


@click.command()
@click.argument("command_id", metavar="ID")
@place
@as_json_too
def confirm(*, command_id: str, path: str, as_json: bool) -> None:
    """Agree, as the second person, to a command that waits for it, and wait for what comes of it."""
    sys.exit(_told(path, "command.confirm", {"id": command_id}, as_json=as_json))


@click.command("commands")
@place
@as_json_too
def list_(*, path: str, as_json: bool) -> None:
    """The newest commands given at this office, and what came of each."""
    sys.exit(_told(path, "command.list", {}, as_json=as_json, last_decides=False))


@click.command()
@place
@as_json_too
def status(*, path: str, as_json: bool) -> None:
    """How the office itself stands: its broker, its database, and since when it cannot know of its sites."""
    try:
        [item] = ask(path, "office.status", {})
    except control.ControlError as error:
        complain(error.problems)
        sys.exit(EXIT_BY_CODE.get(error.problems[0].code, EXIT_FAILED) if error.problems else EXIT_FAILED)
    if as_json:
        click.echo(json.dumps(item, ensure_ascii=False))
    else:
        for line in _standing(item):
            click.echo("\t".join(line))
    sys.exit(0 if item["ok"] else EXIT_FAILED)


def _standing(item: dict[str, Any]) -> Iterator[list[str]]:
    for name in ("broker", "database"):
        part = item[name]
        yield [name, "there"] if part["ok"] else [name, "away", part["away_since"] or "-", part["why"]]
    since = item["sites_unknown_since"]
    yield ["sites", "known"] if since is None else ["sites", "unknown", since]
    if item["note"]:
        yield ["note", item["note"]]


def _told(path: str, op: str, args: dict[str, Any], *, as_json: bool, last_decides: bool = True) -> int:
    """Print what is answered as it comes; return the exit code: 0 only for what is confirmed."""
    last: dict[str, Any] = {}
    try:
        for last in ask(path, op, args):
            click.echo(json.dumps(last, ensure_ascii=False) if as_json else _line(last))
    except control.ControlError as error:
        complain(error.problems)
        return EXIT_BY_CODE.get(error.problems[0].code, EXIT_FAILED) if error.problems else EXIT_FAILED
    return EXIT_FAILED if last_decides and last.get("state") != "confirmed" else 0


def _line(item: dict[str, Any]) -> str:
    what = f"{item['site']}/{item['device']}/{item['point']}"
    return "\t".join((item["id"], item["changed"], what, item["value"], item["who"], item["state"], item["why"]))


def _meant(target: str, value: str) -> bool:
    question = f"write {value} to {target}?"
    if not sys.stdin.isatty():
        click.echo(f"{question} --yes", err=True)
        return False
    return click.confirm(question, err=True)


def ask(path: str, op: str, args: dict[str, Any]) -> Iterator[Any]:
    """Yield the items that the office at `path` answers.

    Raises:
        control.ControlError: the office refused, or does not answer (`not-running`, `permission`).
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(CONNECT_S)
        try:
            connection.connect(path)
            connection.sendall(control.encode_request(op, args))
        except PermissionError:
            raise _unavailable("permission", f"you may not speak to {path}") from None
        except OSError as error:
            raise _unavailable("not-running", f"nothing answers at {path} ({error.strerror or error})") from None
        connection.settimeout(None)  # the office ends every wait of its own
        with connection.makefile("rb") as lines:
            yield from control.read_reply(iter(lambda: lines.readline(control.MAX_LINE), b""))


def _unavailable(code: str, message: str) -> control.ControlError:
    return control.ControlError([control.Problem(code, message)])
