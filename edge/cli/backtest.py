"""`sk rule backtest`: what a site's rules would have decided about its record, and what gates that breaks."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from edge.cli.output import envelope, lang_option, report, table
from sitekeeper.control import ControlError, Problem, problem_of

if TYPE_CHECKING:
    from edge.backtest.compare import Difference, OfRule, Span
    from edge.backtest.gates import Broken, Gates
    from edge.settings.values import Site
    from edge.timemachine import Tried, Wanted
    from sitekeeper.model.clock import Micros

SHOWN: Final = 20
"""Differences that are printed; `--json` has all."""
FAILED, USAGE, INVALID = 1, 2, 6
_PATH: Final = click.Path(path_type=Path)


def of_record(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which record, and how much of it."""
    for option in (
        click.option("--outbox", type=_PATH, metavar="FILE", help="An outbox, perhaps a copy; else the site's own."),
        click.option("--export", type=_PATH, metavar="FILE", help="What `sk office export` wrote, instead."),
        click.option("--since", default="7d", show_default=True, help="How far back from the end, for example 2h, 7d."),
        click.option("--until", metavar="TIME", help="Its end, for example 2026-06-01T08:00+08:00; else the newest."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("folder", type=_PATH, metavar="[SITE_DIR]", default=Path())
@click.option("--rule", "rule_file", type=_PATH, metavar="FILE", help="Rules to be tried in the place of the site's.")
@click.option("--warm", default="24h", show_default=True, help="Of the record before that, which only prepares.")
@click.option("--gate", "gates", multiple=True, metavar="NAME=VALUE", help="Instead of what the site file says.")
@click.option("--json", "as_json", is_flag=True, help="Versioned JSON instead of tables.")
@of_record
@lang_option
def backtest(
    *,
    folder: Path,
    rule_file: Path | None,
    warm: str,
    gates: tuple[str, ...],
    lang: str,
    as_json: bool,
    outbox: Path | None,
    export: Path | None,
    since: str,
    until: str | None,
) -> None:
    """Let the rules of SITE_DIR decide anew about what was recorded, and compare with what was decided then.

    Exit codes: 0 every gate is kept, 1 one is broken or there was nothing to decide about, 6 the folder has faults.
    """
    from edge.settings import load
    from edge.timemachine import Wanted
    from sitekeeper.model.errors import ConfigError

    if outbox is not None and export is not None:
        raise click.UsageError("--outbox and --export exclude each other")
    wanted = Wanted(outbox=outbox, export=export, length=span(since), until=moment(until), warm=span(warm))
    try:
        site = load(folder, lang=lang, tried=rule_file)
        wanted = wanted if rule_file is None else replace(wanted, rules=_ids(rule_file))
    except ConfigError as error:
        for fault in error.faults:
            click.echo(str(fault), err=True)
        sys.exit(INVALID)
    sys.exit(judged(site, wanted, with_gates(site.gates, gates, lang), as_json=as_json, lang=lang))


def judged(site: "Site", wanted: "Wanted", gates: "Gates", *, as_json: bool, lang: str, told: bool = True) -> int:
    """Try the rules, print what came of it, and return the exit code.

    `told`: print it also where every gate is kept.
    """
    from edge.backtest.gates import judge
    from edge.timemachine import try_rules
    from sitekeeper.model.errors import SitekeeperError

    try:
        tried = try_rules(site, wanted)
    except SitekeeperError as error:
        return report(ControlError([problem_of(error)]), "backtest", as_json=as_json, lang=lang)
    broken = judge(tried.result, gates)
    if not broken and not told:
        return 0
    if as_json:
        click.echo(envelope("backtest", _data(tried), [Problem("gate", _told(one, lang)) for one in broken]))
    else:
        _show(site, tried, broken, lang)
    return FAILED if broken else 0


def _data(tried: "Tried") -> dict[str, Any]:
    from edge.operations.gateway import rfc3339

    def spelt(span: "Span | None") -> dict[str, Any] | None:
        if span is None:
            return None
        end = None if span.end is None else rfc3339(span.end)
        return {"start": rfc3339(span.start), "end": end, "priority": span.priority, "detail": span.detail}

    result = tried.result
    return {
        "since": rfc3339(tried.since),
        "until": rfc3339(tried.until),
        "records": result.records,
        "carried": result.carried,
        "gone": sorted(tried.gone),
        "rules": [
            {"rule": rule, "was": one.old, "is": one.new}
            | {str(kind): count for kind, count in one.kinds.items()}
            | {"nuisance_was": round(one.nuisance_old, 3), "nuisance_is": round(one.nuisance_new, 3)}
            for rule, one in result.rules.items()
        ],
        "differences": [
            {"kind": one.kind, "at": rfc3339(one.at), "alarm": one.key, "was": spelt(one.old), "is": spelt(one.new)}
            for one in result.differences
        ],
    }


def _show(site: "Site", tried: "Tried", broken: "list[Broken]", lang: str) -> None:
    from edge.backtest.compare import KINDS
    from sitekeeper.texts import text

    result = tried.result
    table(
        ("rule", "was", "is", *KINDS, "nuisance_was", "nuisance_is"),
        (
            (rule, one.old, one.new, *(one.kinds.get(kind, 0) for kind in KINDS), *_rounded(one))
            for rule, one in result.rules.items()
        ),
    )
    if result.differences:
        click.echo()
        table(
            ("at", "what", "alarm", "was", "is", "because"),
            (_row(site, one, lang) for one in result.differences[:SHOWN]),
        )
    if (more := len(result.differences) - SHOWN) > 0:
        click.echo(text("backtest.more", lang, count=more), err=True)
    if tried.gone:
        click.echo(text("backtest.gone", lang, points=", ".join(sorted(tried.gone))), err=True)
    if result.records:
        since, until = stamped(site, tried.since), stamped(site, tried.until)
        counts = {"records": result.records, "count": len(result.differences), "carried": result.carried}
        click.echo(text("backtest.summary", lang, since=since, until=until, **counts), err=True)
    for one in broken:
        click.echo(_told(one, lang), err=True)
    if not broken:
        click.echo(text("backtest.kept", lang), err=True)


def _rounded(one: "OfRule") -> tuple[float, float]:
    return round(one.nuisance_old, 2), round(one.nuisance_new, 2)


def _row(site: "Site", one: "Difference", lang: str) -> tuple[str, ...]:
    from sitekeeper.story import because
    from sitekeeper.texts import text

    def spelt(span: "Span | None") -> str:
        if span is None:
            return "-"
        end = "..." if span.end is None else stamped(site, span.end)[11:19]
        return f"{span.priority} {stamped(site, span.start)[11:19]}-{end}"

    seen = one.new or one.old
    why = because(one.key.rpartition("/")[2], seen.detail, seen.limits, lang) if seen is not None else ""
    what = text(f"backtest.kind-{one.kind}", lang)
    return stamped(site, one.at), what, one.key, spelt(one.old), spelt(one.new), why or "-"


def _told(one: "Broken", lang: str) -> str:
    from sitekeeper.texts import text

    if one.gate == "records":
        return text("backtest.nothing", lang)
    said = text("backtest.broken", lang, gate=one.gate, found=one.found, allowed=one.allowed)
    return said + (text("backtest.where", lang, where=one.where) if one.where else "")


def stamped(site: "Site", at: "Micros") -> str:
    """Return a wall time in site time."""
    from zoneinfo import ZoneInfo

    from sitekeeper.story import stamp

    return stamp(at, ZoneInfo(site.timezone))


def span(given: str) -> "Micros":
    """Return a duration as given on the command line."""
    from sitekeeper.durations import parse_duration

    try:
        return parse_duration(given)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def moment(given: str | None) -> "Micros | None":
    """Return a wall time as given on the command line: RFC 3339, with its offset."""
    from datetime import datetime

    from sitekeeper.model.clock import SECOND

    if given is None:
        return None
    try:
        at = datetime.fromisoformat(given)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if at.tzinfo is None:
        raise click.BadParameter(f"{given}: write the offset too, for example {given}Z")
    return round(at.timestamp() * SECOND)


def with_gates(gates: "Gates", given: tuple[str, ...], lang: str) -> "Gates":
    """Return gates with those that the command line gives."""
    from dataclasses import asdict

    from sitekeeper.durations import parse_duration
    from sitekeeper.texts import text

    kinds: dict[str, Callable[[str], Any]] = {
        "added_p1": int, "removed": int, "nuisance_per_day": float, "later": parse_duration,
    }  # fmt: skip
    assert kinds.keys() == asdict(gates).keys()
    for one in given:
        name, _, value = one.partition("=")
        try:
            gates = replace(gates, **{name: kinds[name](value)})
        except (KeyError, ValueError):
            raise click.BadParameter(text("backtest.bad-gate", lang, given=one, known=", ".join(kinds))) from None
    return gates


def _ids(rule_file: Path) -> frozenset[str]:
    from edge.rules.packs import read_rules
    from sitekeeper.faults import Faults

    faults = Faults()
    texts = read_rules(rule_file, str(rule_file), faults)
    faults.stop_if_any()
    return frozenset(str(text.mapping.get("id")) for text in texts)
