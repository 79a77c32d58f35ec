"""`sk status`: one look at this gateway. Exit code 1 if something needs a person."""

import sys
from typing import Any

import click

from edge.cli.client import one, socket_path
from edge.cli.output import envelope, options, report, table
from sitekeeper.control import ControlError, Problem


@click.command()
@options
def status(*, socket_: str | None, as_json: bool, lang: str) -> None:
    """One look at this gateway: office, devices, alarms, what waits."""
    try:
        item = one(socket_path(socket_), "status")
    except ControlError as error:
        sys.exit(report(error, "status", as_json=as_json, lang=lang))
    problems = [Problem(**problem) for problem in item.pop("problems")]
    if as_json:
        click.echo(envelope("status", item, problems))
    else:
        _print(item, problems)
    sys.exit(1 if problems else 0)


def _print(item: dict[str, Any], problems: list[Problem]) -> None:
    alarms, devices, outbox, office = item["alarms"], item["devices"], item["outbox"], item["office"]
    commands = item["commands"]
    waiting = ", ".join(f"{n} {stream}" for stream, n in outbox["unsent"].items() if n) or "nothing"
    age = office["receipt_age_s"]
    heard = "no receipt yet" if age is None else f"last receipt {age} s ago"
    table(
        ("part", "state", "detail"),
        [
            ("gateway", "running", f"{item['site']} up {item['uptime_s']} s, version {item['version']}"),
            ("clock", "trusted" if item["clock_trusted"] else "not synchronised", _clock(item)),
            ("office", office["state"], f"{heard}, waiting: {waiting}"),
            ("outbox", outbox["state"], _kept(outbox)),
            ("devices", f"{devices['online']} of {devices['all']} answer", ", ".join(devices["silent"]) or "-"),
            ("alarms", f"{alarms['active']} active", f"{alarms['unacked']} to acknowledge"),
            ("commands", f"{commands['standing']} stand", f"{len(commands['unsettled'])} not as they should"),
        ],
    )
    for problem in problems:
        click.echo(f"{problem.code}: {problem.message}\n  next: {problem.hint}", err=True)


def _kept(outbox: dict[str, Any]) -> str:
    told = f", alarms only in memory: {outbox['alarms_volatile']}" if outbox["alarms_volatile"] else ""
    lasts = f", room for {outbox['hours']:,g} h without the office" if outbox["hours"] is not None else ""
    full = ", no room: alarms go on in the reserve" if outbox["no_room"] else ""
    return f"samples dropped: {outbox['samples_dropped']}{told}{lasts}{full}"


def _clock(item: dict[str, Any]) -> str:
    ahead = item["office"].get("office_clock_ahead_s")
    shown = f", by the office's clock {ahead:+g} s" if ahead is not None and not item["clock_trusted"] else ""
    return f"{item['at']}{shown}"
