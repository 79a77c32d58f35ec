"""`sk` itself: a table that is complete, a start that loads little, and exit codes that mean what they say."""

import importlib
import io
import os
import subprocess
import sys

import click
import pytest

from sitekeeper import __version__, commands

HEAVY = {"pydantic", "asyncio", "socket", "sqlite3", "yaml", "structlog", "msgspec", "pymodbus", "aiomqtt", "paho"}
ROOMS = {"drivers", "edge", "cloud_sync", "office", "simulators"}


def fresh(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in an interpreter of its own, without what site-packages hook into every start."""
    lines = f"import sys; sys.path[:] = {sys.path!r}; {code}"
    env = {"PATH": os.environ["PATH"], "SITEKEEPER_SOCKET": "/nonexistent/control.sock", **environment}
    return subprocess.run([sys.executable, "-S", "-c", lines], capture_output=True, text=True, timeout=20, env=env)


def called(*arguments: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Run `main` in this process; return its exit code and what it said on stderr."""
    monkeypatch.setattr(sys, "argv", ["sk", *arguments])
    monkeypatch.setattr(sys.modules["__main__"], "__package__", None)  # click calls `python -m pytest` by that name
    monkeypatch.setenv("SITEKEEPER_SOCKET", "/nonexistent/control.sock")
    with pytest.raises(SystemExit) as stop:
        commands.main()
    return int(stop.value.code or 0), capsys.readouterr().err


@pytest.mark.parametrize("name", commands.TABLE)
def test_every_command_of_the_table_is_there(name):
    """Each entry can be imported, is a command by that name, and its line of help says something."""
    place, line = commands.TABLE[name]
    module, _, attribute = place.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert line.endswith(".")
    assert command.help


def leaves(command: click.Command) -> list[click.Command]:
    """Return what can be run of a command: itself, or all below a group."""
    if not isinstance(command, click.Group):
        return [command]
    return [leaf for each in command.commands.values() for leaf in leaves(each)]


def test_every_sub_command_says_what_it_does_and_takes_json_if_it_reads():
    """Each has help; on the site everything but what runs, joins, simulates or describes answers in JSON too."""
    for name, (place, _) in commands.TABLE.items():
        module, _, attribute = place.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        for each in leaves(command):
            assert each.help, f"{name} {each.name}"
            if name not in {"run", "join", "sim", "office"} and each.name not in {"schema", "page"}:
                assert "--json" in {option for p in each.params for option in p.opts}, f"{name} {each.name}"


def test_help_loads_neither_a_room_nor_anything_heavy():
    """`sk --help` names every command and imports click alone."""
    code = (
        "sys.argv = ['sk', '--help']\nfrom sitekeeper.commands import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "print('loaded', *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = fresh(f"exec({code!r})")
    assert done.returncode == 0, done.stderr
    text, _, loaded = done.stdout.partition("loaded ")
    assert all(f"  {name} " in text for name in commands.TABLE)
    assert "Exit codes: 0 ok" in text
    assert not set(loaded.split()) & (HEAVY | ROOMS)


def test_a_command_about_a_daemon_loads_no_library_of_the_daemon():
    """`sk status` has to be quick: no asyncio, pydantic, structlog, protocol or database is imported for it."""
    code = (
        "sys.argv = ['sk', 'status']\nfrom sitekeeper.commands import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert stop.code == 3\n"
        "print('loaded', *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = fresh(f"exec({code!r})")
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.partition("loaded ")[2].split())
    assert not loaded & {"pydantic", "asyncio", "structlog", "sqlite3", "pymodbus", "aiomqtt", "cloud_sync", "drivers"}


def test_the_version_is_told(capsys, monkeypatch):
    """`--version` is one line and exit code 0."""
    monkeypatch.setattr(sys, "argv", ["sk", "--version"])
    with pytest.raises(SystemExit) as stop:
        commands.main()
    assert stop.value.code in (0, None)
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("alrm",), "did you mean alarm?"),
        (("devcie", "list"), "did you mean device?"),
        (("xyzzy",), "see sk --help"),
        (("--nonsense",), "--nonsense"),
        (("alarm", "show"), "ALARM_ID"),
        (("alarm", "clear", "x"), "--entered"),
        (("point", "histroy", "x"), "histroy"),
        (("status", "--lang", "fr"), "zh-Hant"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_names_the_remedy(arguments, said, capsys, monkeypatch):
    """An unknown command suggests the nearest; a missing argument is named."""
    code, err = called(*arguments, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 2
    assert said in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("device", "list"),
        ("device", "show", "x"),
        ("point", "list"),
        ("point", "read", "x/y"),
        ("point", "watch", "*"),
        ("point", "history", "x/y"),
        ("alarm", "list"),
        ("alarm", "show", "L01"),
        ("alarm", "ack", "L01"),
        ("alarm", "unack", "L01"),
        ("alarm", "clear", "L01", "--entered", "x"),
        ("sync", "status"),
        ("sync", "ledger", "--office", "/nonexistent/office.sock", "--site", "hq"),
    ],
)
def test_without_a_daemon_every_command_about_one_is_exit_code_3(arguments, capsys, monkeypatch):
    """And says where it looked and how to start one."""
    code, err = called(*arguments, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 3
    assert "not-running: the daemon is not running" in err
    assert "/nonexistent/" in err
    assert "sk run --site DIR" in err


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), click.Abort()])
def test_control_c_is_exit_code_130(stop, capsys, monkeypatch):
    """However it surfaces, no traceback."""

    def interrupted(*_: object, **__: object) -> None:
        raise stop

    monkeypatch.setattr(commands.LazyGroup, "invoke", interrupted)
    code, err = called("status", capsys=capsys, monkeypatch=monkeypatch)
    assert code == 130
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"LANG": "zh_HK.UTF-8"}, "背景服務"),
        ({"LANG": "zh_CN.UTF-8"}, "后台服务"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "zh_TW.UTF-8"}, "背景服務"),
        ({"LANG": "fr_FR.UTF-8"}, "the daemon is not running"),
        ({"LANG": ""}, "the daemon is not running"),
    ],
)
def test_messages_follow_the_language_of_the_environment_codes_do_not(environment, said, capsys, monkeypatch):
    """LC_ALL before LANG, English for what we do not speak, and `not-running` in all of them."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.setenv(name, environment.get(name, ""))
    _, err = called("status", capsys=capsys, monkeypatch=monkeypatch)
    assert err.startswith("not-running: ")
    assert said in err


def test_the_option_wins_over_the_environment(capsys, monkeypatch):
    """`--lang` is what counts."""
    monkeypatch.setenv("LC_ALL", "zh_TW.UTF-8")
    _, err = called("status", "--lang", "zh-Hans", capsys=capsys, monkeypatch=monkeypatch)
    assert "后台服务" in err


@pytest.mark.parametrize(("encoding", "shown"), [("big5", "電梯?"), ("gbk", "電梯?")])
def test_a_terminal_that_lacks_characters_shows_question_marks_and_no_traceback(encoding, shown, monkeypatch):
    """`print` would raise UnicodeEncodeError in the middle of a table."""
    bottom = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(bottom, encoding=encoding, errors="strict"))
    monkeypatch.setattr(commands.LazyGroup, "invoke", lambda *_: click.echo("電梯\u2714"))
    monkeypatch.setattr(sys, "argv", ["sk", "status"])
    with pytest.raises(SystemExit) as stop:
        commands.main()
    assert stop.value.code == 0
    assert bottom.getvalue().decode(encoding).strip() == shown
