"""The house's own rules, kept by a machine: broad handlers stand where they are named here; files are short."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("sitekeeper", "drivers", "edge", "cloud_sync", "office", "simulators")
LONGEST_FILE, LONGEST_FUNCTION, LARGE_FOLDER = 400, 60, 15

BROAD = {
    "cloud_sync/mqtt.py": {"_read_as_taken", "read"},  # as the library's own reader: the connection ends by it
    "cloud_sync/store/asking.py": {"_loop"},  # the same as the next: the future carries it
    "cloud_sync/store/writer.py": {"_run"},  # the future carries it to whoever waits
    "edge/outbox/writer.py": {"_main"},  # the writer's thread: all futures fail, and the daemon says so
    "edge/socket_api.py": {"_converse"},  # one caller's question must not go unanswered
    "office/local_api.py": {"_converse"},  # the same
    "office/notify/channels/apprise.py": {"send"},  # 130 plugins may raise anything
}
"""Where `except Exception`, `except BaseException` or a bare `except` may stand: file -> functions."""


@cache
def parsed() -> list[tuple[str, str, ast.Module]]:
    return list(files())


def files() -> Iterator[tuple[str, str, ast.Module]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            yield str(path.relative_to(ROOT)), text, ast.parse(text)


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def is_broad(handler: ast.ExceptHandler) -> bool:
    """Tell whether a handler swallows anything; one that cleans up and raises again does not."""
    last = handler.body[-1]
    if isinstance(last, ast.Raise) and last.exc is None:
        return False
    names = [] if handler.type is None else [n.id for n in ast.walk(handler.type) if isinstance(n, ast.Name)]
    return handler.type is None or bool({"Exception", "BaseException"} & set(names))


def test_broad_handlers_stand_only_where_they_are_named() -> None:
    """Whoever adds a broad handler names its place here, and says in the code why it may be broad."""
    found: dict[str, set[str]] = {}
    for name, _, tree in parsed():
        for function in functions(tree):
            if any(isinstance(n, ast.ExceptHandler) and is_broad(n) for n in ast.walk(function)):
                found.setdefault(name, set()).add(function.name)
    assert found == BROAD


def test_a_large_folder_says_what_lives_there() -> None:
    """Whoever opens a folder of many files reads in its `__init__` what each of them is for."""
    unnamed = []
    for init in (each for room in ROOMS for each in sorted((ROOT / room).rglob("__init__.py"))):
        names = {path.stem for path in init.parent.glob("*.py")} - {"__init__"}
        if len(names) > LARGE_FOLDER:
            words = set(re.findall(r"\w+", ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or ""))
            unnamed += [f"{init.parent.relative_to(ROOT)}/{name}.py" for name in sorted(names - words)]
    assert not unnamed


def test_files_and_functions_are_short() -> None:
    """A file is read in one sitting, a function on one screen."""
    long = [name for name, text, _ in parsed() if text.count("\n") > LONGEST_FILE]
    long += [
        f"{name}:{function.name}"
        for name, _, tree in parsed()
        for function in functions(tree)
        if (function.end_lineno or function.lineno) - function.lineno + 1 > LONGEST_FUNCTION
    ]
    assert not long
