"""`docs/backtest.md` does what it says, on a record of a day and a half; its gates are the judge's."""

from dataclasses import fields
from pathlib import Path

from edge.backtest.gates import Gates
from edge.settings import load
from sitekeeper.durations import duration_text
from sitekeeper.model.clock import HOUR, MINUTE, SECOND, Micros
from tests.docs.pages import blocks, play, table, write
from tests.recorded import Change, record

FAILURES = ((HOUR, 5 * SECOND), (HOUR + 30 * SECOND, 6 * SECOND), (4 * HOUR, 8 * SECOND), (30 * HOUR, 30 * MINUTE))
LENGTH: Micros = 35 * HOUR


def mains() -> list[Change]:
    """Return what the mains of a lift did: three short failures, and one of half an hour."""
    steps: list[Change] = [(0, {"lift-1/power": "mains", "lift-1/online": True})]
    for at, lasted in FAILURES:
        steps += [(at, {"lift-1/power": "failed"}), (at + lasted, {"lift-1/power": "mains"})]
    return [*steps, (LENGTH, {"lift-1/online": True})]


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    """Every command of the page gives exactly the output that the page shows."""
    for file, content in blocks("backtest.md")[:2]:
        write(tmp_path / file, content)
    record(load(tmp_path / "site"), mains(), LENGTH)
    assert play("backtest.md", tmp_path) == 6


def test_the_table_tells_every_gate() -> None:
    """Names and usual values."""
    usual = Gates()
    wanted = [
        [f"`{one.name}`", duration_text(value) if one.name == "later" else f"{value:g}"]
        for one in fields(usual)
        for value in (getattr(usual, one.name),)
    ]
    assert [[row[0], row[2]] for row in table("backtest.md", "## Gates")] == wanted
