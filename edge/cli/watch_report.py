"""`sk rule watch-report`: what rules in mode `watch` would have told people, had they been live."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from edge.cli.backtest import INVALID, moment, span, stamped
from edge.cli.output import envelope, lang_option, report, table
from sitekeeper.control import ControlError, problem_of

if TYPE_CHECKING:
    from edge.backtest.compare import Span
    from sitekeeper.model.clock import Micros

FLEETING_S: Final = 60
"""An alarm that was over so soon is a fleeting one."""


@click.command("watch-report")
@click.argument("folder", type=click.Path(path_type=Path), metavar="[SITE_DIR]", default=Path())
@click.option("--outbox", type=click.Path(path_type=Path), metavar="FILE", help="An outbox; else the site's own.")
@click.option("--since", default="7d", show_default=True, help="How far back from the end of the record.")
@click.option("--until", metavar="TIME", help="Its end, for example 2026-06-01T08:00+08:00; else the newest.")
@click.option("--json", "as_json", is_flag=True, help="Versioned JSON instead of tables.")
@lang_option
def watch_report(*, folder: Path, outbox: Path | None, since: str, until: str | None, as_json: bool, lang: str) -> None:
    """Tell, rule by rule, how often those in mode `watch` would have rung, for how long, and how many were fleeting."""
    from edge.outbox.reader import Reader
    from edge.settings import load
    from sitekeeper.model.errors import ConfigError, SitekeeperError
    from sitekeeper.texts import text

    length, end = span(since), moment(until)
    try:
        site = load(folder, lang=lang)
        with Reader(outbox or site.outbox.path) as reader:
            whole = reader.span() or (0, 0)
            end = whole[1] + 1 if end is None else end
            found = _watched(reader, end - length, end)
    except ConfigError as error:
        for fault in error.faults:
            click.echo(str(fault), err=True)
        sys.exit(INVALID)
    except SitekeeperError as error:
        sys.exit(report(ControlError([problem_of(error)]), "watch-report", as_json=as_json, lang=lang))
    rules = [_row(rule, [one for _, one in alarms], end) for rule, alarms in sorted(_by_rule(found).items())]
    if as_json:
        click.echo(envelope("watch-report", {"rules": rules, "alarms": [_item(*one) for one in found]}))
        return
    if not found:
        click.echo(text("backtest.watch-none", lang), err=True)
        return
    table(tuple(rules[0]), (tuple(row.values()) for row in rules))
    click.echo()
    rows = ((stamped(site, one.start), key, one.priority, _lasted(one, end), one.detail or "-") for key, one in found)
    table(("at", "alarm", "priority", "for_s", "detail"), rows)


def _watched(reader: Any, since: "Micros", until: "Micros") -> "list[tuple[str, Span]]":
    """Return the alarms that were only watched and began between two wall times, in order."""
    from edge.backtest.compare import of_transitions

    moves = [move for block in reader.record(until) for move in block.transitions if move.at < until]
    found = [(key, one) for key, spans in of_transitions(moves).items() for one in spans]
    return sorted(
        (pair for pair in found if pair[1].watched and pair[1].start >= since), key=lambda pair: pair[1].start
    )


def _by_rule(found: "list[tuple[str, Span]]") -> "dict[str, list[tuple[str, Span]]]":
    rules: dict[str, list[tuple[str, Span]]] = {}
    for key, one in found:
        rules.setdefault(key.rpartition("/")[2], []).append((key, one))
    return rules


def _row(rule: str, alarms: "list[Span]", end: "Micros") -> dict[str, Any]:
    lengths = sorted(_lasted(one, end) for one in alarms)
    fleeting = sum(one.end is not None and _lasted(one, end) < FLEETING_S for one in alarms)
    return {
        "rule": rule,
        "times": len(alarms),
        "median_s": lengths[len(lengths) // 2],
        "longest_s": lengths[-1],
        "fleeting": fleeting,
        "fleeting_share": round(fleeting / len(alarms), 3),
        "standing": sum(one.end is None for one in alarms),
    }


def _lasted(one: "Span", end: "Micros") -> float:
    from sitekeeper.model.clock import SECOND

    return round((one.until(end) - one.start) / SECOND, 3)


def _item(key: str, one: "Span") -> dict[str, Any]:
    from edge.operations.gateway import rfc3339

    until = None if one.end is None else rfc3339(one.end)
    return {"alarm": key, "priority": one.priority, "start": rfc3339(one.start), "end": until, "detail": one.detail}
