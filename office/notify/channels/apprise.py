"""One Apprise target: the door to apprise, which costs 180 ms to import and is loaded only where it is used.

Apprise answers yes or no; why stands in its log. The log lines of one attempt are told apart from those of another by
a context variable, which travels into the worker thread.
"""

import asyncio
import contextvars
import logging
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, Final

from office.notify.channels import Answer, Message, shorten
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.errors import Refused

MAX_THREADS: Final = 4
"""Sends of one target at a time; the library blocks a thread for each. More wait, within their own timeout."""

_lines: ContextVar[list[logging.LogRecord] | None] = ContextVar("apprise_lines", default=None)
_REFUSED: Final = re.compile(r"error=[1-9]\d\d")
_NEVER_ARRIVED: Final = re.compile(r"NewConnectionError|ConnectTimeoutError|NameResolutionError|Connection refused")


class _Collector(logging.Handler):
    """Hands each log record to the attempt in whose context it was made."""

    def emit(self, record: logging.LogRecord) -> None:
        if (lines := _lines.get()) is not None:
            lines.append(record)


_collector = _Collector(logging.DEBUG)


class Apprise:
    """Sends through one Apprise URL. The library's own retries are not used: one layer retries, and it is the lane.

    Args:
        url: for example `json://host:port/path`; it may carry secrets and is never logged or stored.
        timeout: for the whole attempt. The library's thread may outlive it by its own socket timeouts (8 s).

    Raises:
        Refused: `apprise-url`, Apprise can make no target of the URL.
    """

    def __init__(self, url: str, timeout: Micros) -> None:
        self._target = _target(url)
        self._scheme = url.partition("://")[0]
        self._timeout = timeout
        self._threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="apprise")

    @property
    def recipient(self) -> str:
        return f"apprise {self._scheme}"

    async def send(self, message: Message) -> Answer:
        """Send once. Only a status from the provider, or a connection that was never made, counts as `failed`."""
        lines: list[logging.LogRecord] = []
        context = contextvars.copy_context()
        context.run(_lines.set, lines)
        call = asyncio.get_running_loop().run_in_executor(self._threads, context.run, self._notify, message)
        try:
            async with asyncio.timeout(self._timeout / SECOND):
                accepted = await call
        except TimeoutError:
            return Answer("unknown", "no answer in time")
        except Exception as error:  # noqa: BLE001 - the door: 130 plugins may raise anything, and none of it gets out
            return Answer("unknown", shorten(f"{type(error).__name__} in the library"))
        return Answer("accepted", "sent") if accepted else _why(lines)

    def _notify(self, message: Message) -> bool:
        return bool(self._target.notify(title=message.title, body=message.body))

    async def close(self) -> None:
        """Let go of the threads; one that is sending ends by itself, within the library's socket timeouts."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def check(url: str) -> None:
    """See whether Apprise can make a target of `url`.

    Raises:
        Refused: `apprise-url`, it cannot.
    """
    _target(url)


def _target(url: str) -> Any:
    logger = logging.getLogger("apprise")
    if _collector not in logger.handlers:
        logger.addHandler(_collector)
        logger.setLevel(logging.DEBUG)  # why a connection was lost is logged at debug
        logger.propagate = False  # debug lines carry the URL with its secrets
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of what 130 plugins import, on Python 3.11 and 3.12
        import apprise

        target = apprise.Apprise.instantiate(url)
    if target is None:
        reason = "apprise-url"
        raise Refused(reason, f"Apprise knows no target of the form {url.partition('://')[0]}://...")
    return target


def _why(lines: list[logging.LogRecord]) -> Answer:
    """Tell a provider's no from a lost connection. Debug lines are read but never kept: they may hold secrets."""
    said = shorten("; ".join(r.getMessage() for r in lines if r.levelno >= logging.WARNING) or "refused")
    everything = "\n".join(record.getMessage() for record in lines)
    surely_not = _REFUSED.search(everything) or _NEVER_ARRIVED.search(everything)
    return Answer("failed" if surely_not else "unknown", said)
