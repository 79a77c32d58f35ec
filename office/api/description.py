"""The API's own description (OpenAPI 3.1), with what FastAPI cannot know: how one gets in, and what a refusal is."""

from typing import Any, Final

from fastapi import FastAPI

from office.console.parts import COOKIE

PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["problem"],
    "properties": {
        "problem": {"type": "string", "description": "A stable word, for programs."},
        "detail": {"type": "string", "description": "What is wrong, for people."},
    },
}
WAYS_IN: Final[dict[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "Made by `sk office user token add`."},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "Of a browser that has logged in."},
}
REFUSALS: Final = {
    "401": "Neither a session nor a token that is known.",
    "404": "There is no such thing at this office.",
    "422": "Not asked rightly.",
    "503": "The office is busy, or cannot read its store.",
}
OF_MOVES: Final = {"403": "The role does not allow it, or X-CSRF-Token is missing.", "409": "Not as things stand."}
OPEN: Final = ("/healthz", "/readyz")


def description(app: FastAPI) -> dict[str, Any]:
    """Return the description of everything but pages and files."""
    told: dict[str, Any] = app.openapi()
    parts = told.setdefault("components", {})
    if "securitySchemes" in parts:  # FastAPI keeps what it made once
        return told
    parts["securitySchemes"] = WAYS_IN
    parts["schemas"] = {"Problem": PROBLEM} | {
        name: schema for name, schema in parts.get("schemas", {}).items() if "ValidationError" not in name
    }
    for path, operations in told["paths"].items():
        for method, operation in operations.items():
            if path in OPEN:
                operation["security"] = []
                continue
            operation["security"] = [{name: []} for name in WAYS_IN]
            refusals = REFUSALS | (OF_MOVES if method == "post" else {})
            operation["responses"] |= {status: _refusal(words) for status, words in refusals.items()}
    return told


def _refusal(words: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": words, "content": {"application/json": {"schema": schema}}}
