"""`sk lighting`: what is asked of the daemon, and how its answers are shown."""

from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from sitekeeper.commands import cli

LINE = {
    "at": "2026-06-22T22:05:00.000Z", "lamp": "em-1", "kind": "function", "result": "passed",
    "found": "2 min, battery 99 %", "operator": "chan",
}  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "asked", "answer", "shown"),
    [
        ("log", ("lighting.log", {}), LINE, "em-1\tfunction\tpassed\t2 min, battery 99 %\tchan"),
        (
            "test corridor duration",
            ("lighting.test", {"plan": "corridor", "kind": "duration"}),
            {"plan": "corridor", "kind": "duration", "lamp": "em-1"},
            "corridor\tduration\tem-1",
        ),
        (
            "status",
            ("lighting.status", {}),
            {
                "plan": "corridor",
                "kind": "function",
                "lamps": 6,
                "state": "waiting",
                "due": "now",
                "why_not": "occupied",
            },
            "corridor\tfunction\t6\twaiting\tnow\toccupied",
        ),
    ],
)
def test_what_is_typed_is_asked_and_shown(
    monkeypatch: pytest.MonkeyPatch, typed: str, asked: Any, answer: dict[str, Any], shown: str
) -> None:
    """One line each, tabs between the columns where nobody looks at a terminal."""
    heard = []

    def ask(_path: object, op: str, args: dict[str, Any] | None = None) -> Iterator[Any]:
        heard.append((op, args))
        yield answer

    monkeypatch.setattr("edge.cli.client.ask", ask)
    done = CliRunner().invoke(cli, ["lighting", *typed.split()])
    assert (done.exit_code, heard) == (0, [asked])
    assert shown in done.output
