"""One signed post to somebody on site, by the standard library: a gateway does not load an HTTP client for it.

Signed as the office's webhook is: `Sitekeeper-Signature: t=<unix seconds>,v1=<hex>`, where hex is HMAC-SHA256 (RFC
2104) under the shared secret over the bytes `<t>.<body>`. The status line decides (RFC 9112, section 4), and nothing
after it is read: who never ends his answer, or sends garbage, costs nothing but this attempt.
"""

import asyncio
import hashlib
import hmac
import re
import ssl
from typing import Final
from urllib.parse import urlsplit

from edge.local.plan import Post
from sitekeeper.model.clock import SECOND, Micros

TIMEOUT: Final[Micros] = 5 * SECOND
"""For a whole attempt, from the name's resolution to the status line."""

_LONGEST_LINE: Final = 1_024
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [^\r\n]*)?\r?\n")


async def post(to: Post, body: bytes, unix: int, *, within: Micros = TIMEOUT) -> str:
    """Post once; return what came of it: `told`, or `timed_out`, `unreachable`, `no-answer`, or `status-<code>`.

    Args:
        unix: the present time in seconds, which is signed too.
    """
    try:
        async with asyncio.timeout(within / SECOND):
            return await _posted(to, body, unix)
    except TimeoutError:
        return "timed_out"
    except (OSError, ValueError):  # no name or port that could be; the settings refuse those that they can tell
        return "unreachable"


async def _posted(to: Post, body: bytes, unix: int) -> str:
    parts = urlsplit(to.url)
    tls = parts.scheme == "https"
    context = ssl.create_default_context() if tls else None
    reader, writer = await asyncio.open_connection(
        parts.hostname, parts.port or (443 if tls else 80), ssl=context, limit=_LONGEST_LINE
    )
    try:
        writer.write(request(to, body, unix))
        await writer.drain()
        line = await reader.readuntil(b"\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        return "no-answer"
    finally:
        writer.transport.abort()
    found = _STATUS.fullmatch(line)
    if found is None:
        return "no-answer"
    return "told" if found[1].startswith(b"2") else f"status-{found[1].decode()}"


def request(to: Post, body: bytes, unix: int) -> bytes:
    """Return the bytes of the request."""
    parts = urlsplit(to.url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    head = [
        f"POST {path} HTTP/1.1",
        f"Host: {parts.netloc.rpartition('@')[2]}",
        "Content-Type: application/json; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    if to.secret:
        digest = hmac.new(to.secret.encode(), str(unix).encode() + b"." + body, hashlib.sha256).hexdigest()
        head.append(f"Sitekeeper-Signature: t={unix},v1={digest}")
    return "\r\n".join([*head, "", ""]).encode() + body
