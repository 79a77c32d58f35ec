"""`sk rule explain` and `sk rule forget`: how a rule stands on a device now, and what it has learned of it."""

import json
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import click

from edge.cli.client import ask, one, socket_path
from edge.cli.output import envelope, options, report
from sitekeeper.control import ControlError

EVERY_S: Final = 1.0
_TIMES: Final = frozenset({"wait", "again_in_s"})


@click.command()
@click.argument("rule")
@click.argument("device", required=False)
@click.option("--watch", is_flag=True, help="Go on, and tell it anew when it has changed, until Ctrl-C.")
@options
def explain(*, rule: str, device: str | None, watch: bool, socket_: str | None, as_json: bool, lang: str) -> None:
    """How RULE stands now on DEVICE, or on each that it applies to: every part of it, and what it waits for."""
    args = {"rule": rule} | ({"device": device} if device else {})
    before: list[Any] = []
    while True:
        try:
            items = list(ask(socket_path(socket_), "rule.explain", args))
        except ControlError as error:
            sys.exit(report(error, "rule.explain", as_json=as_json, lang=lang))
        if (now := [_lasting(item) for item in items]) != before:
            before = now
            _show(items, watch=watch, as_json=as_json, lang=lang)
        if not watch:
            return
        time.sleep(EVERY_S)


@click.command()
@click.argument("rule")
@click.argument("device")
@click.option("--note", required=True, help="Why, for the audit: for example that the lamp is another one now.")
@options
def forget(*, rule: str, device: str, note: str, socket_: str | None, as_json: bool, lang: str) -> None:
    """Have RULE forget what is usual on DEVICE, and learn it anew; for technicians, on site."""
    from sitekeeper.texts import text

    try:
        item = one(socket_path(socket_), "rule.forget", {"rule": rule, "device": device, "note": note})
    except ControlError as error:
        sys.exit(report(error, "rule.forget", as_json=as_json, lang=lang))
    words = text("cli.explain.forgotten", lang, rule=rule, device=device)
    click.echo(envelope("rule.forget", item) if as_json else words)


def _show(items: list[dict[str, Any]], *, watch: bool, as_json: bool, lang: str) -> None:
    if as_json:
        click.echo(json.dumps(items, ensure_ascii=False) if watch else envelope("rule.explain", items))
        return
    for item in items:
        for line in lines(item, lang):
            click.echo(line)
    if watch:
        click.echo()


def lines(item: dict[str, Any], lang: str) -> Iterator[str]:
    """Tell how one rule stands on one device, as a tree."""
    from sitekeeper.texts import text

    fields = {name: item[name] for name in ("rule", "device", "priority")}
    yield text(f"cli.explain.{item['state']}", lang, **fields)
    if item["mode"] == "watch":
        yield "  " + text("cli.explain.mode-watch", lang)
    if item["alarm"] != "A":
        yield "  " + text("cli.explain.alarm", lang, state=text(f"model.state.{item['alarm']}", lang))
    if item["veiled"]:
        yield "  " + text("cli.explain.veiled", lang, by=", ".join(item["veiled"]))
    if item["limits"]:
        limits = ", ".join(f"{name} {value}" for name, value in item["limits"].items())
        yield "  " + text("cli.explain.limits", lang, limits=limits)
    for level in item["levels"]:
        yield f"  {text('cli.explain.level', lang, priority=level['priority'])}: {_waits(level['wait'], lang)}"
        yield from _tree(level["when"], 4, lang)
    if item["off"] is not None:
        yield f"  {text('cli.explain.off', lang)}: {_waits(item['off'], lang)}"
    for which in ("when", "unless", "reset"):
        if item[which] is not None:
            yield f"  {text(f'cli.explain.{which}', lang)}:"
            yield from _tree(item[which], 4, lang)


def _tree(part: dict[str, Any] | None, depth: int, lang: str) -> Iterator[str]:
    if part is None:
        return
    notes = "; ".join(_notes(part, lang))
    yield " " * depth + f"{_value(part['value'], lang)}  {part['text']}" + (f"  ({notes})" if notes else "")
    for child in part["children"]:
        yield from _tree(child, depth + 2, lang)


def _notes(part: dict[str, Any], lang: str) -> Iterator[str]:
    from sitekeeper.texts import text

    if part["quality"] not in (None, "good"):
        yield part["quality"]
    if part["wait"] is not None:
        yield _waits(part["wait"], lang)
    elif part["again_in_s"] is not None:
        yield text("cli.explain.again", lang, due=_seconds(part["again_in_s"]))
    if part["devices"] is not None:
        yield text("cli.explain.devices", lang, **part["devices"])
    if part["seen"] is not None:
        yield text("cli.explain.seen", lang, seen=part["seen"])


def _waits(wait: dict[str, Any], lang: str) -> str:
    from sitekeeper.texts import text

    shown, of, due = _seconds(wait["shown_s"]), _seconds(wait["of_s"]), wait["due_in_s"]
    if wait["reached"]:
        return text("cli.explain.reached", lang)
    if due is not None:
        return text("cli.explain.due", lang, shown=shown, of=of, due=_seconds(due))
    return text("cli.explain.wait" if wait["shown_s"] else "cli.explain.begins", lang, shown=shown, of=of)


def _seconds(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _value(value: object, lang: str) -> str:
    from sitekeeper.texts import text

    if value is None or isinstance(value, bool):
        return text(f"cli.explain.{'unknown' if value is None else str(value).lower()}", lang)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _lasting(item: Any) -> Any:
    """Return what is told without what runs: a second later the same is no news."""
    if isinstance(item, dict):
        return {key: _lasting(value) for key, value in item.items() if key not in _TIMES or not value}
    return [_lasting(each) for each in item] if isinstance(item, list) else item
