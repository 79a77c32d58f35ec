"""Asking a running daemon over its Unix socket."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from sitekeeper import control

TIMEOUT_S = 10.0
"""How long a daemon may take for one line of an answer; watches wait without limit."""

EXIT_BY_CODE = {"permission": 4, "not-permitted": 4, "unreachable": 5, "not-running": 3, "usage": 2, "config": 6}
"""Exit codes by problem code (interfaces.md section 1); anything else is 1."""


def socket_path(given: str | None) -> Path:
    """Return the daemon's socket: as given, else the service's, else the user's own."""
    if given:
        return Path(given)
    if named := os.environ.get("SITEKEEPER_SOCKET"):
        return Path(named)
    service = Path("/run/sitekeeper/control.sock")
    if service.exists() or "XDG_RUNTIME_DIR" not in os.environ:
        return service
    return Path(os.environ["XDG_RUNTIME_DIR"]) / "sitekeeper" / "control.sock"


def ask(path: Path, op: str, args: dict[str, Any] | None = None, *, endless: bool = False) -> Iterator[Any]:
    """Yield the items that the daemon at `path` answers.

    Raises:
        control.ControlError: the daemon refused, or cannot be reached (`not-running`, `permission`, `unreachable`).
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT_S)
        try:
            connection.connect(str(path))
        except PermissionError:
            raise _unavailable("permission", f"you may not speak to {path}") from None
        except TimeoutError:
            raise _unavailable("unreachable", f"{path} takes no call within {TIMEOUT_S:.0f} s") from None
        except OSError as error:
            raise _unavailable("not-running", f"nothing answers at {path} ({error.strerror or error})") from None
        # A daemon that hangs up early may have said why before: its answer is read all the same.
        with contextlib.suppress(ConnectionError):
            connection.sendall(control.encode_request(op, args or {}))
        if endless:
            connection.settimeout(None)
        with connection.makefile("rb") as lines:
            yield from control.read_reply(_bounded(lines, path))


def running(path: Path) -> bool:
    """Tell whether somebody listens at this socket, or may: one that we may not speak to does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT_S)
        try:
            connection.connect(str(path))
        except (PermissionError, TimeoutError):
            return True
        except OSError:
            return False
    return True


def one(path: Path, op: str, args: dict[str, Any] | None = None) -> Any:
    """Return the one item that the daemon at `path` answers.

    Raises:
        control.ControlError: as `ask`; also an answer without an item.
    """
    items = list(ask(path, op, args))
    if not items:
        raise _unavailable("closed", f"{path} answered {op} with nothing")
    return items[0]


def _bounded(lines: IO[bytes], path: Path) -> Iterator[bytes]:
    try:
        while line := lines.readline(control.MAX_LINE):
            yield line
    except TimeoutError:
        raise _unavailable("unreachable", f"{path} did not answer within {TIMEOUT_S:.0f} s") from None
    except ConnectionError:
        return  # as an end without an end line


def _unavailable(code: str, message: str) -> control.ControlError:
    return control.ControlError([control.Problem(code, message)])
