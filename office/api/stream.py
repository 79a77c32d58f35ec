"""The event stream: `GET /api/v1/stream`."""

from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import StreamingResponse

from office.console.gate import who
from office.console.parts import PartsNow, Who

NEWEST: Final = 2**63 - 1
"""The largest id that the store can have."""

router = APIRouter(prefix="/api/v1", tags=["stream"])


@router.get(
    "/stream",
    response_class=StreamingResponse,
    responses={200: {"description": "Events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def stream(
    request: Request,
    parts: PartsNow,
    session: Who,
    after: Annotated[int | None, Query(ge=0, le=NEWEST)] = None,
    last_event_id: Annotated[str, Header(max_length=20)] = "",
) -> StreamingResponse:
    """Server-sent events; what came after `Last-Event-ID` (or `after`, on the first connection) is told first."""
    begun = min(int(last_event_id), NEWEST) if last_event_id.isdecimal() else after
    parts.hub.admit()

    def stands() -> bool:
        return who(parts, request.headers, request.url.path) is not None

    return StreamingResponse(
        parts.hub.listen(begun, stands, session.sees, security=session.security),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
