"""`sk lighting`: the tests of emergency lighting."""

import sys

import click

from edge.cli.output import listing, options


@click.group()
def lighting() -> None:
    """Tests of emergency lighting: status, test, log."""


@lighting.command()
@options
def status(*, socket_: str | None, as_json: bool, lang: str) -> None:
    """How each kind of test of each plan stands: what is under test, when it is due, what is in its way."""
    columns = ("plan", "kind", "lamps", "state", "due", "why_not")
    sys.exit(listing("lighting.status", "lighting.status", {}, columns, socket_=socket_, as_json=as_json, lang=lang))


@lighting.command()
@click.argument("plan")
@click.argument("kind", type=click.Choice(["function", "duration"]))
@options
def test(*, plan: str, kind: str, socket_: str | None, as_json: bool, lang: str) -> None:
    """Start the tests of PLAN now, one half after the other; refused while people are there or its window is shut.

    Shown are the lamps of the first half.
    """
    args = {"plan": plan, "kind": kind}
    columns = ("plan", "kind", "lamp")
    sys.exit(listing("lighting.test", "lighting.test", args, columns, socket_=socket_, as_json=as_json, lang=lang))


@lighting.command()
@options
def log(*, socket_: str | None, as_json: bool, lang: str) -> None:
    """The log book: date, luminaire, kind of test, result, minutes and battery, who had it started."""
    columns = ("at", "lamp", "kind", "result", "found", "operator")
    sys.exit(listing("lighting.log", "lighting.log", {}, columns, socket_=socket_, as_json=as_json, lang=lang))
