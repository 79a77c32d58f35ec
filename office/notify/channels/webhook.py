"""A signed JSON webhook: the door to httpx.

Headers: `Sitekeeper-Signature: t=<unix seconds>,v1=<hex>` where hex is HMAC-SHA256 (RFC 2104) under the shared secret
over the bytes `<t>.<body>`, and `Sitekeeper-Event-Id` to dedupe by. A receiver accepts with any 2xx status. It should
refuse a `t` that is minutes off, compare in constant time, and answer 2xx for an event id that it already has.
"""

import asyncio
import contextlib
import hashlib
import hmac
import importlib
from datetime import UTC, datetime

import httpx
import msgspec

from office.notify.channels import Answer, Message, shorten
from sitekeeper.model.clock import SECOND, Clock, Micros

with contextlib.suppress(ImportError):
    # httpx would import it with the first push: 20 ms of CPU time that an alarm would wait for.
    importlib.import_module("anyio._backends._asyncio")

_NEVER_ARRIVED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class Webhook:
    """Posts messages to one URL.

    Args:
        secret: shared with the receiver, at least 16 characters (settings check it).
        timeout: for the whole attempt, name resolution to status line.
    """

    def __init__(self, url: str, secret: str, timeout: Micros, clock: Clock) -> None:
        self._url = httpx.URL(url)
        self._secret = secret.encode()
        self._timeout = timeout
        self._clock = clock
        self._client = httpx.AsyncClient(timeout=timeout / SECOND, follow_redirects=False, trust_env=False)

    @property
    def recipient(self) -> str:
        return str(self._url.copy_with(userinfo=b"", query=None, fragment=None))

    async def send(self, message: Message) -> Answer:
        """Post once. No answer after the request may have left is `unknown`; never connected is `failed`."""
        body = encode(message)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Sitekeeper-Signature": sign(self._secret, self._clock.wall() // SECOND, body),
            "Sitekeeper-Event-Id": _header(message.event_id),
        }
        try:
            async with asyncio.timeout(self._timeout / SECOND):
                return await self._post(body, headers)
        except _NEVER_ARRIVED as error:
            return Answer("failed", shorten(f"not reached: {error or type(error).__name__}"))
        except (httpx.HTTPError, TimeoutError) as error:
            return Answer("unknown", shorten(f"no answer: {error or type(error).__name__}"))

    async def _post(self, body: bytes, headers: dict[str, str]) -> Answer:
        # Streamed, because the status line decides: a receiver that never ends its answer has still accepted.
        async with self._client.stream("POST", self._url, content=body, headers=headers) as response:
            text = f"{response.status_code} {response.reason_phrase}"
            return Answer("accepted" if response.is_success else "failed", shorten(text))

    async def close(self) -> None:
        await self._client.aclose()


def encode(message: Message) -> bytes:
    """Return the webhook's body: the message under a versioned schema, times as RFC 3339 in UTC."""
    fields = msgspec.to_builtins(message)
    at = datetime.fromtimestamp(message.at / SECOND, UTC).isoformat(timespec="milliseconds")
    return msgspec.json.encode({"schema": "sitekeeper.push/1", **fields, "at": at})


def _header(value: str) -> str:
    """Return what may stand in a header: a site's id is not trusted to be plain."""
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in value)


def sign(secret: bytes, unix: int, body: bytes) -> str:
    """Return the value of the signature header."""
    digest = hmac.new(secret, str(unix).encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={unix},v1={digest}"
