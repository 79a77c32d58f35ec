"""Whether the process lives, and whether it does its work; and the API's own description."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from office.api.description import description
from office.console.parts import PartsNow, Who
from office.health import item

router = APIRouter(tags=["health"])


@router.get("/healthz", response_class=PlainTextResponse)
async def healthz() -> Response:
    """Answer as long as the loop turns."""
    return PlainTextResponse("ok\n")


@router.get("/readyz", response_class=PlainTextResponse, responses={503: {"description": "Not ready."}})
async def readyz(parts: PartsNow) -> Response:
    """Tell whether the office receives and stores; 503 while it does not. Says no more, because no login is needed."""
    ready = not parts.ready()
    return PlainTextResponse("ready\n" if ready else "not ready\n", 200 if ready else 503)


@router.get("/api/v1/health")
async def office(parts: PartsNow, _session: Who) -> dict[str, Any]:
    """How the office itself stands: its broker, its store's database, and since when it cannot know of its sites.

    It is answered also while the database is away.
    """
    return item(parts.health())


@router.get("/api/openapi.json", include_in_schema=False)
async def openapi(request: Request, _session: Who) -> Response:
    """Describe the API."""
    return JSONResponse(description(request.app))
