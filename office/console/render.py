"""From facts to HTML: the one Jinja environment, and what every page has. Everything is escaped."""

import asyncio
import gzip
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from office.auth import RANK
from office.console.parts import LANGUAGE_COOKIE, parts_of
from office.console.words import SHAPES, Words
from office.facts import PRIORITIES
from sitekeeper.model.clock import MS
from sitekeeper.texts import LANGUAGES, Language

FOLDER: Final = Path(__file__).parent
PACKED: Final = 5
"""gzip level: 200 alarms become 7 kB in 3 ms."""
YEAR_S: Final = 365 * 24 * 3600
OFFICE_ZONE: Final = datetime.now().astimezone().tzinfo or UTC
"""Of what is about the office itself; a browser then tells it in its own."""
LANGUAGE_NAMES: Final = {"en": ("English", "EN"), "zh-Hant": ("繁體中文", "繁"), "zh-Hans": ("简体中文", "简")}
"""Each in itself: whole, and for narrow screens."""

_environment: Final = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


async def page(request: Request, template: str, lang: Language, *, status: int = 200, **values: Any) -> Response:
    """Return a page, made in a thread. `values` are what its template names; the rest is the same for all pages."""
    parts = parts_of(request)
    session = getattr(request.state, "session", None)
    now, trouble = parts.now, None if session is None else parts.hub.trouble()
    common = {
        "w": Words(lang),
        "lang": lang,
        "languages": [(code, *LANGUAGE_NAMES[code], _here(request, code)) for code in LANGUAGES],
        "session": session,
        "may_act": session is not None and RANK[session.role] >= RANK["operator"],
        "path": request.url.path,
        "here": _here(request, lang),
        "now": now,
        "now_ms": now // MS,
        "trouble": trouble,
        "trouble_at": "" if trouble is None else Words(lang).clock(trouble[1], OFFICE_ZONE, now),
        "shapes": SHAPES,
        "priorities": PRIORITIES,
    }
    packed = "gzip" in request.headers.get("accept-encoding", "")
    body = await asyncio.to_thread(_render, template, common | values, packed)
    headers = {"Content-Language": lang, "Vary": "Cookie, Accept-Language, Accept-Encoding"}
    if packed:
        headers["Content-Encoding"] = "gzip"
    answer = Response(body, status, headers, "text/html; charset=utf-8")
    if request.query_params.get("lang") == lang:
        answer.set_cookie(LANGUAGE_COOKIE, lang, max_age=YEAR_S, samesite="strict", httponly=True, path="/")
    return answer


def _render(template: str, values: dict[str, Any], packed: bool) -> bytes:
    """Return the page's bytes; 200 alarms take 40 ms, which the loop has better uses for.

    Packing gives nothing away: another site's page cannot make a browser ask here with its cookie.
    """
    html = _environment.get_template(template).render(values).encode()
    return gzip.compress(html, PACKED, mtime=0) if packed else html


def _here(request: Request, lang: Language) -> str:
    """Return the address of this page in a language, without the host: that is the browser's word."""
    return f"{quote(request.url.path)}?{request.url.include_query_params(lang=lang).query}"
