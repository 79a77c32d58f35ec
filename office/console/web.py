"""The application put together: routes, static files, the gate, and what errors look like to a browser."""

import secrets

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from office.api import alarms, commands, health, metrics, records, sites, stream
from office.console import assets, command_pages, held_pages, login, pages, quality_page, record_pages
from office.console.gate import Gate
from office.console.parts import STATUS, Parts, language_of
from office.console.render import page
from sitekeeper import __version__
from sitekeeper.model.errors import NotFound, Refused, StorageError

_logger = structlog.get_logger()


def application(parts: Parts) -> ASGIApp:
    """Return the console behind its gate."""
    return Gate(routes(parts), parts)


def routes(parts: Parts) -> FastAPI:
    """Return the application itself; the pages that FastAPI would add are left out, as they load from elsewhere."""
    app = FastAPI(title="Sitekeeper office", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.parts = parts
    for router in (
        health.router,
        metrics.router,
        sites.router,
        records.router,
        alarms.router,
        commands.router,
        stream.router,
    ):
        app.include_router(router)
    for of_people in (assets, login, pages, held_pages, quality_page, record_pages, command_pages):
        app.include_router(of_people.router, include_in_schema=False)
    app.add_exception_handler(NotFound, _failed)
    app.add_exception_handler(Refused, _failed)
    app.add_exception_handler(StorageError, _failed)
    app.add_exception_handler(HTTPException, _failed)
    app.add_exception_handler(RequestValidationError, _failed)
    app.add_exception_handler(Exception, _broken)
    return app


async def _failed(request: Request, error: Exception) -> Response:
    match error:
        case NotFound():
            return await _answer(request, 404, "not-found", str(error))
        case Refused():
            return await _answer(request, STATUS.get(error.reason, 409), error.reason, error.detail)
        case RequestValidationError():
            wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            return await _answer(request, 422, "usage", wrong)
        case HTTPException():
            return await _answer(request, error.status_code, "http", str(error.detail))
    _logger.warning("the store failed a caller", path=request.url.path, why=str(error))
    known = getattr(request.state, "session", None) is not None  # a stranger is not told where files lie
    why = f": {error}" if known else "; its log says why"
    return await _answer(request, 503, "store", f"the office cannot read or write its store{why}")


async def _broken(request: Request, error: Exception) -> Response:
    """Task boundary: a page that breaks must not end the office, and must not pass unseen."""
    number = secrets.token_hex(4)
    _logger.error("a page of the console failed", path=request.url.path, number=number, exc_info=error)
    return await _answer(request, 500, "failed", number)


async def _answer(request: Request, status: int, problem: str, detail: str) -> Response:
    if request.url.path.startswith("/api/") or getattr(request.state, "session", None) is None:
        return JSONResponse({"problem": problem, "detail": detail}, status)
    return await page(request, "error.html", language_of(request), status=status, code=problem, detail=detail)
