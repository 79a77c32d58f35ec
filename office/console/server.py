"""The console as a part of the office: it opens its port, serves in the office's loop, and ends when told."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import uvicorn

from cloud_sync.store.history import HistoryReader
from office.auth import FIRST_USER, Sessions, Throttle, Users
from office.console.fleet import FleetLedger
from office.console.hurried import HurriedProtocol
from office.console.parts import Parts
from office.console.reading import ReadingThread
from office.console.stream import Hub
from office.console.web import application
from office.health import Health
from office.known import Catalogues
from office.operations import Operations
from office.settings import ConsoleSettings
from sitekeeper.model.clock import Clock, Micros
from sitekeeper.model.errors import Refused
from sitekeeper.texts import Language

GRACE_S: Final = 3
"""How long answers that have begun may take when the office stops; event streams are ended at once."""
MOST_AT_ONCE: Final = 1_000
"""Connections; beyond it callers are told 503."""


class Console:
    """One console. `open` it, `run` it until cancelled, `close` it.

    Args:
        reader: opens a reader of the store in the thread that calls. accounts: the file of the accounts.
        broker: tells whether the office has its broker. ready: why the office is not ready; empty if it is.
        revoked: the sites that the office has revoked, with the wall time since when.
        unknown: since when the office cannot know how its sites are (GW15).
        health: how the office itself stands. away: why a database on another machine does not answer.
    """

    def __init__(
        self,
        settings: ConsoleSettings,
        reader: Callable[[], HistoryReader],
        accounts: Path,
        operations: Operations,
        clock: Clock,
        language: Language,
        *,
        broker: Callable[[], bool],
        ready: Callable[[], str],
        revoked: Callable[[], Mapping[str, Micros]] = dict,
        health: Callable[[], Health],
        unknown: Callable[[], Micros | None] = lambda: None,
        away: Callable[[], str] = str,
    ) -> None:
        self._settings = settings
        pages = ReadingThread(reader, "asyncio_console_pages", away)
        users, catalogues = Users(accounts), Catalogues(revoked, unknown)
        self.parts = Parts(
            users=users,
            sessions=Sessions(users),
            throttle=Throttle(),
            hub=Hub(pages, clock, broker, health, catalogues),
            pages=pages,
            trends=ReadingThread(reader, "asyncio_console_trends", away),
            catalogues=catalogues,
            fleet=FleetLedger(),
            operations=operations,
            clock=clock,
            broker=broker,
            ready=ready,
            health=health,
            language=language,
            hashing=asyncio.Semaphore(2),  # each takes 16 MB and a core for 0.2 s
            hosts=frozenset(n.lower() for n in ("localhost", socket.gethostname(), settings.host, *settings.hosts)),
        )

    def open(self) -> None:
        """Listen. `notice` has then what a person at the terminal should read.

        Raises:
            Refused: the address cannot be had. StorageError: the file of accounts cannot be read or written.
        """
        host, port = self._settings.host, self._settings.port
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.create_server((host, port), family=family, backlog=256)
        except OSError as error:
            reason = "address"
            raise Refused(reason, f"console at {host}:{port}: {error.strerror or error}") from None
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{self._socket.getsockname()[1]}/"
        try:
            self.notice = f"console: {self.address}" + self._first_account()
        except BaseException:
            self._socket.close()
            raise

    def _first_account(self) -> str:
        """Make the first account, if somebody is there to read its password."""
        if self.parts.users.all():
            return ""
        if not sys.stderr.isatty():
            return "\nconsole: no account yet; make one: sk office user set NAME --role admin --config FILE"
        password = self.parts.users.put(FIRST_USER, "admin")
        return f"\nconsole: log in as {FIRST_USER} with {password} (shown this once; change: sk office user set)"

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            StorageError: the store cannot be read.
        """
        server = _Server(
            uvicorn.Config(
                application(self.parts),
                http=HurriedProtocol,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                proxy_headers=self._settings.behind_proxy,
                limit_concurrency=MOST_AT_ONCE,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.parts.hub.run(), name="console-hub")
            tasks.create_task(self._serve(server), name="console-server")

    async def _serve(self, server: uvicorn.Server) -> None:
        serving = asyncio.get_running_loop().create_task(server.serve(sockets=[self._socket]), name="console-http")
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            self.parts.hub.close()  # an open stream would hold the server up
            server.should_exit = True
            await serving
            raise

    async def close(self) -> None:
        """Give everything back."""
        self._socket.close()
        await asyncio.to_thread(self._close_threads)

    def _close_threads(self) -> None:
        self.parts.pages.close()
        self.parts.trends.close()


class _Server(uvicorn.Server):
    """Leaves the process's signals to the office, which stops all its parts in order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
