"""Leaks fail tests: a task, thread or socket that a test leaves behind belongs to somebody who forgot it."""

import asyncio
import gc
import inspect
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.fixtures import parsed
from tests.fixtures.postgres import Postgres, postgres_server

parsed.remember()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Yield a PostgreSQL server, started once for all tests that want it."""
    yield from postgres_server()


@pytest.fixture(autouse=True)
def no_leaked_threads() -> Iterator[None]:
    """Fail a test that leaves a thread or a socket behind."""
    threads, sockets = set(threading.enumerate()), _sockets()
    yield
    left = [
        t
        for t in threading.enumerate()
        if t not in threads and t.is_alive() and not t.name.startswith(("asyncio_", "asyncio-waitpid-"))
    ]
    assert not left, f"threads left behind: {left}"
    if _sockets() - sockets:
        gc.collect()  # a socket that only garbage still holds is a warning of its own
    assert not _sockets() - sockets, f"sockets left behind: {sorted(_sockets() - sockets)}"


@pytest.fixture
async def no_leaked_tasks(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Fail an asynchronous test that leaves a task running."""
    before = asyncio.all_tasks()
    yield
    left = [t for t in asyncio.all_tasks() if t not in before and not t.done() and t is not asyncio.current_task()]
    assert not left, f"tasks left behind by {request.node.name}: {left}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Guard asynchronous tests against leaked tasks; synchronous ones need no event loop for it."""
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function):
            item.fixturenames.insert(0, "no_leaked_tasks")  # set up first, so that it looks last


def pytest_collection_finish() -> None:
    """What was imported stays: the collector of garbage does not walk through it again after every few tests."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where everything must be real (CI=true), a test that was skipped is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line("skipped tests are failures with CI=true", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _sockets() -> set[str]:
    """Return the open sockets of this process, by inode."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue  # the listing itself
        if target.startswith("socket:"):
            found.add(target)
    return found
