"""Logging in and out."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from office.auth import MAX_PASSWORD, matches
from office.console.gate import token_of
from office.console.parts import COOKIE, Checked, Lang, Parts, PartsNow
from office.console.render import page
from sitekeeper.model.clock import SECOND

router = APIRouter()


@router.get("/login")
async def ask(request: Request, lang: Lang, next: str = "/") -> Response:  # noqa: A002 - the word in the address
    """Show the login page."""
    return await page(request, "login.html", lang, next=local(next), name="", problem="")


@router.post("/login")
async def login(
    request: Request,
    parts: PartsNow,
    lang: Lang,
    name: Annotated[str, Form(max_length=64)] = "",
    password: Annotated[str, Form(max_length=4 * MAX_PASSWORD)] = "",
    next: Annotated[str, Form(max_length=2_000)] = "/",  # noqa: A002 - the word in the form
) -> Response:
    """Begin a session, or say why not."""
    source = request.client.host if request.client is not None else ""
    wait = parts.throttle.wait(name, source, parts.clock.monotonic())
    if wait:
        seconds = -(-wait // SECOND)
        answer = await _again(request, lang, name, next, ("login.wait", {"seconds": seconds}), 429)
        answer.headers["Retry-After"] = str(seconds)
        return answer
    token = await _begin(parts, name, password, source)
    if token is None:
        return await _again(request, lang, name, next, ("login.wrong", {}), 401)
    answer = RedirectResponse(local(next), 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=secure, path="/")
    return answer


@router.post("/logout")
async def logout(request: Request, parts: PartsNow, _session: Checked) -> Response:
    """End the session."""
    parts.sessions.end(token_of(request.headers))
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return answer


async def _begin(parts: Parts, name: str, password: str, source: str) -> str | None:
    """Return the token of a new session, None if name and password do not fit.

    The failure is noted before the hashing, so that tries that run at the same time count each other.
    """
    parts.throttle.failed(name, source, parts.clock.monotonic())
    account = parts.users.find(name)
    async with parts.hashing:
        fits = await asyncio.to_thread(matches, account, password)
    if not fits or account is None:
        return None
    parts.throttle.succeeded(name, source)
    return parts.sessions.begin(name, account, parts.clock.monotonic())


async def _again(
    request: Request, lang: Lang, name: str, wanted: str, problem: tuple[str, dict[str, Any]], status: int
) -> Response:
    return await page(request, "login.html", lang, status=status, next=local(wanted), name=name, problem=problem)


def local(path: str) -> str:
    """Return a path of ours to go on to; anything that could lead elsewhere becomes the first page."""
    plain = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if plain and not path.startswith("/login") else "/"
