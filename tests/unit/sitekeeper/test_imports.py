"""What importing the shared words and formats loads, asked of a fresh interpreter."""

import subprocess
import sys

import pytest

FORBIDDEN = {"asyncio", "socket", "ssl", "sqlite3", "selectors", "structlog", "pydantic", "aiomqtt", "paho", "pymodbus"}
FORBIDDEN |= {"threading", "concurrent", "multiprocessing", "subprocess", "drivers", "edge", "cloud_sync", "office"}
FORBIDDEN |= {"simulators"}
RUNTIME = {"typing_extensions", "cython_runtime"}  # come with msgspec and yaml
PROBE = "import sys; before = set(sys.modules); import {}; print(*sorted(set(sys.modules) - before))"


def loaded(module: str) -> set[str]:
    """Return the top-level modules that importing `module` adds to a bare interpreter."""
    answer = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}; " + PROBE.format(module)],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    return {name.partition(".")[0] for name in answer.stdout.split()}


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("sitekeeper.block", {"zstandard", "msgspec"}),
        ("sitekeeper.catalogue", {"zstandard", "msgspec"}),
        ("sitekeeper.chain", set()),
        ("sitekeeper.texts", {"yaml"}),
        ("sitekeeper.model.alarm", {"msgspec"}),
    ],
)
def test_a_format_loads_no_io_and_no_other_room(module: str, allowed: set[str]) -> None:
    """The leaf stays a leaf: nothing with sockets, databases, threads or protocols comes with it."""
    found = loaded(module)
    assert not found & FORBIDDEN
    outside = {name for name in found if not name.startswith("_")} - sys.stdlib_module_names - RUNTIME
    assert outside == allowed | {"sitekeeper"}


@pytest.mark.parametrize("module", ["edge.changes", "edge.recorder", "edge.latest"])
def test_the_field_chain_loads_no_io(module: str) -> None:
    """Changes and recorder are pure; they know no driver but its base."""
    found = loaded(module)
    assert not found & (FORBIDDEN - {"drivers", "edge"})


def test_the_probe_sees_what_is_forbidden() -> None:
    """A module that does load asyncio is caught."""
    assert {"asyncio", "socket"} <= loaded("asyncio")
