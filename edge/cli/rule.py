"""`sk rule`: what applies to which device and the tests beside the rules; other commands have files of their own."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.cli.backtest import backtest
from edge.cli.explain import explain, forget
from edge.cli.output import lang_option
from edge.cli.watch_report import watch_report
from sitekeeper.control import Problem
from sitekeeper.model.errors import ConfigError, Fault

if TYPE_CHECKING:
    from edge.rules.testing import Outcome

INVALID = 6
"""Exit code of rules or site files that cannot be used."""


@click.group()
def rule() -> None:
    """Rules: which apply where, whether their tests pass, what they would have decided."""


for _other in (backtest, explain, forget, watch_report):
    rule.add_command(_other)


@rule.command("list")
@click.argument("folder", type=click.Path(path_type=Path), metavar="SITE_DIR")
@click.option("--json", "as_json", is_flag=True, help="Versioned JSON instead of a table.")
@lang_option
def list_(folder: Path, lang: str, *, as_json: bool) -> int:
    """List the rules of the site folder SITE_DIR, device by device; what a device lacks is named."""
    from edge.cli.output import envelope, table
    from edge.settings import load
    from sitekeeper.texts import pick, text

    try:
        rules = load(folder, lang=lang).rules
    except ConfigError as error:
        return _invalid("rule-list", error.faults, as_json=as_json)
    names = {known.id: pick(known.names, lang, known.id) for known in rules.rules}
    rows: list[tuple[str, str, str, str, str, str]] = [
        (
            plan.rule.id,
            plan.device.id,
            plan.levels[0][0] if plan.rule.alarm else "-",
            plan.mode or "live",
            text("rules.applies", lang),
            "",
        )
        for plan in rules.plans
    ]
    rows += [
        (absent.rule, absent.device, "-", "-", text("rules.not-applicable", lang, point=absent.needs), absent.needs)
        for absent in rules.not_applicable
    ]
    rows.sort(key=lambda row: (row[1], row[0]))
    if as_json:
        keys = ("rule", "device", "priority", "mode", "applies", "needs")
        items = [dict(zip(keys, (*row[:4], not row[5], row[5]), strict=True)) | {"name": names[row[0]]} for row in rows]
        click.echo(envelope("rule-list", items))
    else:
        table(("rule", "device", "priority", "mode", "applies", "name"), ((*r[:5], names[r[0]]) for r in rows))
    return 0


@rule.command("test")
@click.argument("path", type=click.Path(path_type=Path), metavar="SITE_DIR|FILE")
@click.option("--json", "as_json", is_flag=True, help="Versioned JSON instead of a table.")
@lang_option
def test_(path: Path, lang: str, *, as_json: bool) -> int:
    """Run the tests written beside the rules of a site folder or of one rule file."""
    from edge.cli.output import envelope, table
    from sitekeeper.texts import text

    try:
        outcomes = _outcomes(path, lang)
    except ConfigError as error:
        return _invalid("rule-test", error.faults, as_json=as_json)
    failed = [outcome for outcome in outcomes if outcome.problems]
    if as_json:
        items = [{"rule": o.rule, "test": o.name, "problems": list(o.problems)} for o in outcomes]
        problems = [Problem("rule-test", f"{o.rule}: {o.name}: {'; '.join(o.problems)}", "") for o in failed]
        click.echo(envelope("rule-test", items, problems))
    else:
        passed = text("rules.test-passed", lang)
        table(
            ("rule", "test", "result"),
            (
                (
                    o.rule,
                    o.name,
                    text("rules.test-failed", lang, problems="; ".join(o.problems)) if o.problems else passed,
                )
                for o in outcomes
            ),
        )
        summary = text("rules.test-summary", lang, passed=len(outcomes) - len(failed), failed=len(failed))
        click.echo(summary if outcomes else text("rules.no-tests", lang), err=True)
    return 1 if failed or not outcomes else 0


@rule.command("page")
@click.argument("pack", required=False)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Write DIR/<pack>.md of every pack instead."
)
def page_(pack: str | None, out: Path | None) -> int:
    """Print the page about a shipped PACK: every rule with its condition, words, steps and tests."""
    from edge.rules.packs import shipped
    from edge.rules.page import page

    if pack is None and out is None:
        raise click.UsageError(f"name one of {', '.join(shipped())}, or write all with --out DIR")
    for name in shipped() if pack is None else [pack]:
        try:
            written = page(name)
        except ConfigError as error:
            return _invalid("rule-page", error.faults, as_json=False)
        if out is None:
            click.echo(written, nl=False)
        else:
            out.mkdir(parents=True, exist_ok=True)
            (out / f"{name}.md").write_text(written, encoding="utf-8")
    return 0


def _outcomes(path: Path, lang: str) -> "list[Outcome]":
    """Run the tests of a folder or file.

    Raises:
        ConfigError: the rules or their tests cannot be used.
    """
    from edge.rules.packs import read_rules, shipped_classes
    from edge.rules.testing import run_tests
    from edge.settings.load import load_texts
    from sitekeeper.faults import Faults

    faults = Faults(lang)
    texts = load_texts(path, lang=lang) if path.is_dir() else read_rules(path, str(path), faults)
    outcomes = run_tests(texts, shipped_classes(), faults)
    faults.stop_if_any()
    return outcomes


def _invalid(name: str, faults: list[Fault], *, as_json: bool) -> int:
    if as_json:
        from edge.cli.output import envelope

        click.echo(envelope(name, None, [Problem(fault.code, str(fault), fault.hint) for fault in faults]))
    else:
        for fault in faults:
            click.echo(str(fault), err=True)
    return INVALID
