"""`sk point`: values as they stand, as they change, and as they were."""

import json
import sys
from typing import Any

import click

from edge.cli.client import EXIT_BY_CODE, ask, socket_path
from edge.cli.output import cell, envelope, facts, listing, options, report
from sitekeeper.control import ControlError, Problem


@click.group()
def point() -> None:
    """Points: list, read, watch, history, write, approve, pseudonym."""


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
    return "\t".join(cell(item[key]) for key in ("at", "id", "value", "unit", "quality"))


@point.command()
@click.argument("point_id")
@click.option("--since", default="1h", help="How far back, for example 15min, 2h, 7d.", show_default=True)
@options
def history(*, point_id: str, since: str, socket_: str | None, as_json: bool, lang: str) -> None:
    """Recorded changes of one point, oldest first, each with its quality in words."""
    columns = ("at", "value", "quality", "source")
    args = {"id": point_id, "since": since}
    sys.exit(listing("point.history", "point.history", args, columns, socket_=socket_, as_json=as_json, lang=lang))


@point.command()
@click.argument("point_id")
@click.argument("value")
@click.option("--reason", required=True, help="Why, for the audit.")
@click.option("--expires", default="10s", show_default=True, help="When the command is void, and what it holds ends.")
@click.option("--in-view", is_flag=True, help="You see the place, where that is asked for.")
@click.option("--yes", is_flag=True, help="Do not ask whether that is meant.")
@options
def write(
    *,
    point_id: str,
    value: str,
    reason: str,
    expires: str,
    in_view: bool,
    yes: bool,
    socket_: str | None,
    as_json: bool,
    lang: str,
) -> None:
    """Write one point, once, and wait until its effect is seen; `device/point`."""
    if not yes and not _meant(point_id, value, lang):
        sys.exit(2)
    args = {"id": point_id, "value": value, "reason": reason, "expires": expires, "in_view": in_view}
    sys.exit(_follow("point.write", args, socket_=socket_, as_json=as_json, lang=lang))


@point.command()
@click.argument("request_id")
@options
def approve(*, request_id: str, socket_: str | None, as_json: bool, lang: str) -> None:
    """Agree to what another person asked for with `sk point write`, and wait until its effect is seen."""
    sys.exit(_follow("point.approve", {"id": request_id}, socket_=socket_, as_json=as_json, lang=lang))


@point.command()
@click.argument("kind", type=click.Choice(["card", "plate"]))
@click.argument("number")
@options
def pseudonym(*, kind: str, number: str, socket_: str | None, as_json: bool, lang: str) -> None:
    """How this site calls a card or a plate in its events: the key of its line in a local table."""
    args = {"kind": kind, "number": number}
    sys.exit(facts("point.pseudonym", "point.pseudonym", args, socket_=socket_, as_json=as_json, lang=lang))


def _follow(op: str, args: dict[str, Any], *, socket_: str | None, as_json: bool, lang: str) -> int:
    """Show what becomes of a command until its outcome is known; return the exit code."""
    last: dict[str, Any] = {}
    try:
        for last in ask(socket_path(socket_), op, args, endless=True):
            if not as_json:
                click.echo(_outcome(last))
            elif last["outcome"] == "waiting":  # or nobody would know what there is to agree to
                click.echo(f"sk point approve {last['key']}", err=True)
    except ControlError as error:
        return report(error, op, as_json=as_json, lang=lang)
    problems = [] if last.get("outcome") == "confirmed" else [_problem(last)]
    if as_json:
        click.echo(envelope(op, last, problems))
    elif problems:
        return report(ControlError(problems), op, as_json=False, lang=lang)
    return EXIT_BY_CODE.get(problems[0].code, 1) if problems else 0


def _meant(point_id: str, value: str, lang: str) -> bool:
    """Ask whether that is meant; who cannot be asked must say so beforehand."""
    from sitekeeper.texts import text

    question = text("cli.word.really", lang, point=point_id, value=value)
    if not sys.stdin.isatty():
        click.echo(f"{question} --yes", err=True)
        return False
    return click.confirm(question, err=True)


def _problem(item: dict[str, Any]) -> Problem:
    outcome = str(item.get("outcome", "closed")).replace("_", "-")
    return Problem(item.get("reason") or outcome, item.get("detail") or outcome)


def _outcome(item: dict[str, Any]) -> str:
    if item["outcome"] == "waiting":
        return f"waiting: sk point approve {item['key']}"
    return f"{item['outcome']} ({item['reason']})" if item["reason"] else str(item["outcome"])
