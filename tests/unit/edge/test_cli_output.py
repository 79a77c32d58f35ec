"""How the command line prints, and that it has words and an exit code for every way to be refused."""

import ast
import io
import json
import sys
from pathlib import Path

import pytest

from edge.cli import output
from edge.cli.output import envelope, language, report, table
from sitekeeper.control import ControlError, Problem
from sitekeeper.texts import LANGUAGES, text

ROOT = Path(__file__).parents[3]
SPEAKERS = [*(ROOT / "edge").rglob("*.py"), ROOT / "office/operations.py", ROOT / "sitekeeper/model/alarm.py"]


def spoken() -> set[str]:
    """Return every code with which something is refused: `Refused(...)`, `Problem(...)`, `reason = ...`, `_WHY_NOT`."""
    found: set[str] = set()
    for file in SPEAKERS:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"Refused", "_unavailable"} and node.args:
                found |= {c.value for c in ast.walk(node.args[0]) if isinstance(c, ast.Constant)}
            elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "reason":
                found |= {c.value for c in [node.value] if isinstance(c, ast.Constant)}
            elif isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "_WHY_NOT":
                assert isinstance(node.value, ast.Dict)
                found |= {c.value for c in node.value.values if isinstance(c, ast.Constant)}
    return {code for code in found if isinstance(code, str) and code}


def test_every_code_has_a_sentence_and_a_remedy_in_three_languages() -> None:
    """No one is refused with a bare word."""
    codes = spoken() | {"not-found", "failed", "internal", "busy", "usage"}
    assert {"not-permitted", "entry-needed", "superseded", "acknowledge-first", "not-running"} <= codes
    for code in codes:
        for lang in LANGUAGES:
            assert text(f"cli.problem.{code}", lang), code
            assert text(f"cli.remedy.{code}", lang), code


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("not-found", 1),
        ("usage", 2),
        ("not-running", 3),
        ("permission", 4),
        ("not-permitted", 4),
        ("unreachable", 5),
        ("site-only", 1),
        ("something-new", 1),
    ],
)
def test_exit_codes_by_problem(code: str, exit_code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """As documented; a code without words is shown as it is."""
    assert report(ControlError([Problem(code, "why")]), "x", as_json=False) == exit_code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"{code}: ")
    assert "why" in said.err


def test_a_remedy_of_the_daemon_wins_over_the_general_one(capsys: pytest.CaptureFixture[str]) -> None:
    """It knows more."""
    report(ControlError([Problem("not-found", "no lift", "sk device list --site x")]), "x", as_json=False)
    assert "sk device list --site x" in capsys.readouterr().err
    report(ControlError([Problem("not-found", "no lift")]), "x", as_json=True, lang="zh-Hans")
    [problem] = json.loads(capsys.readouterr().out)["problems"]
    assert problem == {"code": "not-found", "message": "no lift", "hint": text("cli.remedy.not-found", "zh-Hans")}


def test_the_envelope_is_not_ok_with_problems() -> None:
    """`ok` is the absence of problems, whatever the data."""
    assert json.loads(envelope("x", None))["ok"] is True
    assert json.loads(envelope("x", [1], [Problem("a", "b")]))["ok"] is False


ROWS = [("lift-a1", None, True, 0.1 + 0.2, "a\tb\nc"), ("電梯", 7, False, 1e9, {"silent": 1.5, "clock": 2})]


def test_piped_cells_hold_no_tab_no_line_end_and_are_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is `-`, truth is true or false, numbers are short, a long text is whole."""
    table(("a", "b", "c", "d", "e"), [*ROWS, ("x" * 500, "", [], 0, "")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "lift-a1\t-\ttrue\t0.3\ta b c"
    assert lines[2] == "電梯\t7\tfalse\t1e+09\tsilent 1.5, clock 2"
    assert lines[3].startswith("x" * 500 + "\t")


def test_on_a_terminal_columns_line_up_by_display_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Chinese character takes two columns."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    table(("id", "state"), [("電梯一號", "ok"), ("lift-a12345", "ok")])
    lines = screen.getvalue().splitlines()
    assert [output._width(line[: line.rindex(" ") + 1]) for line in lines] == [13, 13, 13]
    assert lines[0].split() == ["ID", "STATE"]


@pytest.mark.parametrize(
    ("value", "lang"),
    [
        ("zh_TW.UTF-8", "zh-Hant"),
        ("zh_HK", "zh-Hant"),
        ("zh_Hant_HK.UTF-8", "zh-Hant"),
        ("zh-Hant", "zh-Hant"),
        ("zh_CN.GB18030", "zh-Hans"),
        ("zh_SG", "zh-Hans"),
        ("zh", "zh-Hans"),
        ("en_GB.UTF-8", "en"),
        ("C", "en"),
        ("zhx", "en"),
        ("", "en"),
    ],
)
def test_the_language_of_the_environment(monkeypatch: pytest.MonkeyPatch, value: str, lang: str) -> None:
    """Taiwan, Hong Kong and Macau write traditional characters; the rest of Chinese simplified."""
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", value)
    assert language() == lang
    assert language(given="en") == "en"
