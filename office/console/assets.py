"""Scripts, styles and the icon, from memory: a dozen small files, read once, and told from old ones by their hash."""

import gzip
import hashlib
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from sitekeeper.model.errors import NotFound

FOLDER: Final = Path(__file__).parent / "static"
TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}

router = APIRouter()


def _read() -> dict[str, tuple[bytes, bytes, str, str]]:
    """Return (content, the same packed, type, hash) by the path below `static/`."""
    found = {}
    for file in FOLDER.rglob("*"):
        if file.suffix in TYPES:
            content = file.read_bytes()
            digest = hashlib.blake2b(content, digest_size=12).hexdigest()
            found[file.relative_to(FOLDER).as_posix()] = (
                content,
                gzip.compress(content, 9, mtime=0),
                TYPES[file.suffix],
                f'"{digest}"',
            )
    return found


_files: Final = _read()


@router.get("/static/{path:path}", include_in_schema=False)
async def asset(request: Request, path: str) -> Response:
    """Return a file, or 304 where the browser has it already."""
    if path not in _files:
        raise NotFound(f"no file {path!r}")
    content, packed, kind, digest = _files[path]
    if request.headers.get("if-none-match") == digest:
        return Response(status_code=304, headers={"ETag": digest})
    headers = {"ETag": digest, "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(packed, media_type=kind, headers={**headers, "Content-Encoding": "gzip"})
    return Response(content, media_type=kind, headers=headers)
