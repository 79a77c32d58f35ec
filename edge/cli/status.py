"""`sk status`: one look at this gateway. Exit code 1 if something needs a person."""

import sys
from functools import partial
from typing import Any

import click

from edge.cli.client import one, socket_path
from edge.cli.output import envelope, options, report, table
from sitekeeper.control import ControlError, Problem
from sitekeeper.texts import text


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
        _print(item, problems, lang)
    sys.exit(1 if problems else 0)


def _print(item: dict[str, Any], problems: list[Problem], lang: str) -> None:
    say = partial(_say, lang)
    up = say("up", site=item["site"], up=item["uptime_s"], version=item["version"])
    alarms, devices, office, commands = item["alarms"], item["devices"], item["office"], item["commands"]
    trusted = say("trusted" if item["clock_trusted"] else "not-synchronised")
    table(
        [say(column) for column in ("part", "state", "detail")],
        [
            (say("gateway"), say("running"), up),
            (say("clock"), trusted, _clock(item, lang)),
            (say("office"), say(f"office-{office['state']}"), _office(item, lang)),
            (say("outbox"), _writes(item, lang), _kept(item["outbox"], lang)),
            (say("devices"), say("answer", **devices), ", ".join(devices["silent"]) or "-"),
            (say("alarms"), say("active", count=alarms["active"]), say("unacked", count=alarms["unacked"])),
            *_of_now(item, lang),
            (say("commands"), say("stand", count=commands["standing"]), say("off", count=len(commands["unsettled"]))),
        ],
    )
    for problem in problems:
        message = text(problem.said, lang, **problem.fields) if problem.said else problem.message
        click.echo(f"{problem.code}: {message}\n  {say('next')} {problem.hint}", err=True)


def _of_now(item: dict[str, Any], lang: str) -> list[tuple[str, str, str]]:
    """Return the rows that only some days have: a drill, people on site who are being told of alarms."""
    say, found = partial(_say, lang), []
    if drill := item.get("drill"):
        found.append((say("drill"), say("until", at=drill["until"]), drill["where"]))
    if told := item.get("told_on_site"):
        targets = sorted({each["target"] for each in told})
        found.append((say("local"), say("told", count=len({each["occurrence"] for each in told})), ", ".join(targets)))
    return found


def _say(lang: str, key: str, **fields: object) -> str:
    return text(f"cli.status.{key}", lang, **fields)


def _office(item: dict[str, Any], lang: str) -> str:
    age, unsent = item["office"]["receipt_age_s"], item["outbox"]["unsent"]
    heard = _say(lang, "no-receipt") if age is None else _say(lang, "receipt", age=age)
    waiting = [f"{n} {_say(lang, f'stream-{stream}')}" for stream, n in unsent.items() if n]
    return _say(lang, "waiting", heard=heard, what=", ".join(waiting) or _say(lang, "nothing"))


def _writes(item: dict[str, Any], lang: str) -> str:
    state: str = item["outbox"]["state"]
    return _say(lang, "ok") if state == "ok" else state


def _kept(outbox: dict[str, Any], lang: str) -> str:
    found = [_say(lang, "dropped", count=outbox["samples_dropped"])]
    if outbox["alarms_volatile"]:
        found.append(_say(lang, "volatile", count=outbox["alarms_volatile"]))
    if outbox["hours"] is not None:
        found.append(_say(lang, "room", hours=f"{outbox['hours']:,g}"))
    if outbox["no_room"]:
        found.append(_say(lang, "no-room"))
    return ", ".join(found)


def _clock(item: dict[str, Any], lang: str) -> str:
    ahead = item["office"].get("office_clock_ahead_s")
    if ahead is None or item["clock_trusted"]:
        return str(item["at"])
    return _say(lang, "office-clock", at=item["at"], ahead=f"{ahead:+g}")
