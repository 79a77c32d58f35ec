"""`sk probe modbus --guess`: read a range a few times, search it for what the display shows, print the point."""

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

import click

from drivers.modbus.address import Table
from edge.cli.output import envelope, table
from edge.probe.guess import Candidate, Moment, Words, expected, guess, tied
from edge.probe.modbus_talk import Answer, Asked, search
from sitekeeper.control import Problem
from sitekeeper.durations import parse_duration
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import FieldError
from sitekeeper.texts import text

READS: Final = 3
"""How often the range is read for each value: what stands still at the value is more plausible than what passes it."""
APART_S: Final = 0.3
SHOWN: Final = 10
"""Candidates that are printed; the rest is counted."""


def guessed(
    asked: Asked,
    table_: Table | None,
    written: Sequence[str],
    scales: Sequence[float],
    between: str | None,
    *,
    as_json: bool,
    lang: str,
) -> int:
    """Search and print; return the exit code.

    Args:
        table_: the one to search; both tables of registers if it is not named.

    Raises:
        ValueError: what is expected cannot be searched for; nothing has been asked yet.
    """
    wanted = [expected(each) for each in written]
    if len({isinstance(each.value, str) for each in wanted}) > 1:
        raise ValueError("expect numbers or texts, not one and the other")
    pause = None if between is None else parse_duration(between) / SECOND
    if len(wanted) > 1 and pause is None and not sys.stdin.isatty():
        raise ValueError("without a terminal to ask at, a second --expect needs --between, for example 10s")
    tables: list[Table] = [asked.table] if table_ or asked.table == "input" else ["holding", "input"]
    moments = list[Moment]()
    for number, (each, said) in enumerate(zip(wanted, written, strict=True)):
        if number:
            _await_the_next(said, pause, lang)
        reads, error = asyncio.run(_reads(asked, tables))
        if not reads:
            return _failed(error, as_json=as_json, lang=lang)
        moments.append(Moment(each, reads))
    return _show(asked, guess(moments, scales), moments, as_json=as_json, lang=lang)


async def _reads(asked: Asked, tables: Sequence[Table]) -> tuple[list[Words], FieldError | None]:
    return await search(
        asked.link, asked.units[0], tables, asked.address, asked.count, reads=READS, apart=APART_S
    )  # fmt: skip


def _await_the_next(said: str, pause: float | None, lang: str) -> None:
    if pause is None:
        click.prompt(text("probe.guess.next", lang, value=said), default="", show_default=False, err=True)
    else:
        time.sleep(pause)


def _failed(error: FieldError | None, *, as_json: bool, lang: str) -> int:
    answer = Answer(0, error=error)
    problem = Problem(answer.state, str(error), text(f"probe.hint.{answer.state}", lang))
    if as_json:
        click.echo(envelope("probe.guess", None, [problem]))
    else:
        click.echo(f"{problem.code}: {problem.message}\n  {text('cli.word.try', lang)} {problem.hint}", err=True)
    return 1 if answer.state in ("refused", "wrong") else 5


def _show(
    asked: Asked, found: Sequence[Candidate], moments: Sequence[Moment], *, as_json: bool, lang: str
) -> int:  # fmt: skip
    equal = tied(found)
    rows = [_row(number, each, equal) for number, each in enumerate(found[:SHOWN], 1)]
    registers = len({place for moment in moments for read in moment.reads for place in read})
    problems = [] if found else [Problem("nothing-fits", text("probe.guess.none", lang, registers=registers),
                                         text("probe.guess.hint", lang))]  # fmt: skip
    if as_json:
        data = {"endpoint": asked.link.endpoint, "unit": asked.units[0], "registers": registers}
        data |= {"found": len(found), "tied": equal, "candidates": rows}
        click.echo(envelope("probe.guess", data, problems))
        return 0 if found else 1
    for problem in problems:
        click.echo(f"{problem.code}: {problem.message}\n  {text('cli.word.try', lang)} {problem.hint}", err=True)
    if found:
        columns = ("rank", "value", "steady", "raw", "paste", "also")
        shown = [row | {"rank": "1=" if equal > 1 and row["rank"] == 1 else row["rank"]} for row in rows]
        table(columns, ([row[column] for column in columns] for row in shown))
        said = "first" if len(found) == 1 else "tied" if equal > 1 else "several"
        click.echo(text(f"probe.guess.{said}", lang, count=len(found), registers=registers, equal=equal), err=True)
    return 0 if found else 1


def _row(number: int, candidate: Candidate, equal: int) -> dict[str, Any]:
    return {
        "rank": 1 if number <= equal else number,
        "value": candidate.value,
        "steady": f"{100 * candidate.met:.0f} %",
        "raw": candidate.raw,
        "paste": candidate.yaml("point"),
        "also": ", ".join(candidate.also),
    }
