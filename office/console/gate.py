"""The gate before every route: who has no session sees the login page, and nothing else.

Written against ASGI itself, because a middleware that buffers would hold back the event stream. It also refuses
requests to a host name that is not ours (a foreign name that was made to point here), requests that another site's
page made a browser send, bodies that are too large, and adds the headers that keep a page from loading anything from
elsewhere.
"""

from collections.abc import MutableMapping
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from office.auth import Session
from office.console.parts import COOKIE, Parts
from sitekeeper.model.errors import StorageError

OPEN_PATHS: Final = frozenset({"/login", "/healthz", "/readyz"})
OPEN_FOLDER: Final = "/static/"
BEARER_PATHS: Final = ("/api/", "/metrics")
"""Where a program's token opens the gate; pages are for people."""
MAX_BODY: Final = 64 * 1024
"""Bytes of a request; forms here are small."""
MAX_ADDRESS: Final = 8 * 1024
"""Bytes of path and query, as they came; of the longest of ours about 2,000."""

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Gate:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, parts: Parts) -> None:
        self._app = app
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # there are no web sockets, and no lifespan events are sent
        headers, path = Headers(scope=scope), scope["path"]
        refusal = _misdirected(headers, self._parts.hosts) or _foreign(scope, headers)
        if refusal is None:
            session = who(self._parts, headers, path)
            scope.setdefault("state", {})["session"] = session
            if session is None and path not in OPEN_PATHS and not path.startswith(OPEN_FOLDER):
                refusal = _login(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, _with_headers(send, path))
            return
        await self._app(scope, _limited(receive), _with_headers(send, path))


def who(parts: Parts, headers: Headers, path: str) -> Session | None:
    """Return who asks: the program whose token the request carries, else the person with the session, else nobody."""
    kind, _, token = headers.get("authorization", "").partition(" ")
    try:
        if kind.lower() == "bearer" and path.startswith(BEARER_PATHS):
            return parts.users.bearer(token.strip())
        return parts.sessions.find(token_of(headers), parts.clock.monotonic())
    except StorageError:  # the accounts cannot be read: nobody gets in
        return None


def token_of(headers: Headers) -> str:
    """Return the session's token from the cookie, or nothing."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None else ""


def _misdirected(headers: Headers, hosts: frozenset[str]) -> Response | None:
    """Refuse a host name that nobody gave this office; addresses are always its own."""
    try:
        name = urlsplit(f"//{headers.get('host', '')}").hostname or ""
    except ValueError:
        name = ""
    if name in hosts:
        return None
    try:
        ip_address(name.partition("%")[0])
    except ValueError:
        detail = f"{name!r} is no name of this office; console.hosts in its settings lists them"
        return JSONResponse({"problem": "unknown-host", "detail": detail}, 421)
    return None


def _foreign(scope: Scope, headers: Headers) -> Response | None:
    """Refuse what is too large, and what changes something and comes from another site's page."""
    if len(scope.get("raw_path") or b"") + len(scope.get("query_string", b"")) > MAX_ADDRESS:
        return JSONResponse({"problem": "too-large"}, 414)
    if scope["method"] in {"GET", "HEAD"}:
        return None
    origin, host = headers.get("origin"), headers.get("host", "")
    elsewhere = headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}
    if elsewhere or (origin is not None and _place(origin) != host):
        return JSONResponse({"problem": "foreign-origin"}, 403)
    length = headers.get("content-length", "0")
    if not length.isdecimal() or len(length) > 20 or int(length) > MAX_BODY:
        return JSONResponse({"problem": "too-large"}, 413)
    return None


def _place(origin: str) -> str | None:
    """Return host and port of an origin; None for what is no address."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _login(scope: Scope, headers: Headers) -> Response:
    if scope["path"].startswith(BEARER_PATHS):
        return JSONResponse({"problem": "login"}, 401, {"WWW-Authenticate": "Bearer"})
    if "hx-request" in headers:
        return Response(status_code=401, headers={"HX-Redirect": "/login"})
    if scope["method"] not in {"GET", "HEAD"}:
        return RedirectResponse("/login", 303)
    query = scope.get("query_string", b"").decode("latin-1")
    wanted = scope["path"] + (f"?{query}" if query else "")
    return RedirectResponse(f"/login?next={quote(wanted, safe='')}", 303)


def _limited(receive: Receive) -> Receive:
    """Count what arrives, for requests that do not say how long they are."""
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message: MutableMapping[str, Any] = await receive()
        taken += len(message.get("body", b""))
        return {"type": "http.disconnect"} if taken > MAX_BODY else message

    return counted


def _with_headers(send: Send, path: str) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-cache" if path.startswith(OPEN_FOLDER) else "no-store")
        await send(message)

    return sent
