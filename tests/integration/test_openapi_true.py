"""The API's description and its answers: what is told of each question is what comes, of those that are refused too."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema

from cloud_sync.memory import MemoryBroker
from sitekeeper.model.clock import SECOND, SystemClock
from tests.console_estate import running, site_on, until
from tests.integration.test_console import raised
from tests.integration.test_console_api import program
from tests.integration.test_http_hostile import fits, operations

QUERIES: dict[str, list[dict[str, str]]] = {
    "/api/v1/ledger": [{"site": "hq", "by": by} for by in ("group", "point", "day")],
    "/api/v1/ledger/sites": [{}, {"day": "2026-01-01"}],
    "/api/v1/quarantine": [{}, {"site": "hq", "limit": "1"}],
}
NEW = {"/api/v1/ledger", "/api/v1/ledger/sites", "/api/v1/quarantine", "/api/v1/commands", "/api/v1/commands/{command}"}


def checked(told: dict[str, Any], operation: dict[str, Any], status: int, body: Any) -> None:
    """Make sure that an answer is one that the description tells of."""
    assert str(status) in operation["responses"], (operation["summary"], status, body)
    schema = operation["responses"][str(status)].get("content", {}).get("application/json", {}).get("schema")
    if schema is not None:
        jsonschema.validate(body, {**schema, "components": told["components"]})


async def test_each_answer_is_one_that_was_told_of(tmp_path: Path) -> None:
    """Each route asked rightly, and without a login, and for a site that is not: status and form are as described."""
    broker, seen = MemoryBroker(), set()
    async with running(tmp_path, broker) as app, site_on(broker) as site, program(app, "admin") as client:
        now = SystemClock().wall()
        await site.samples(now - 60 * SECOND, now, floor=3)
        occurrence = await raised(app, site)
        await site.session.publish("sitekeeper/1/hq/up/samples", b"nonsense")
        await until(lambda: len(app.store.reader._rows("SELECT 1 FROM quarantine")) == 1)
        told = (await client.get("/api/openapi.json")).json()
        for method, path, operation in operations(told):
            body = {"json": {"note": ""}} if method == "POST" else {}
            for query in QUERIES.get(path, [{}]):
                answer = await client.request(method, fits(path, quote(occurrence)), params=query, **body)
                plain = "json" not in answer.headers["content-type"]
                checked(told, operation, answer.status_code, None if plain else answer.json())
                if path in NEW and answer.status_code == 200:
                    seen.add(path)
            if "401" in operation["responses"]:
                nobody = {"Authorization": "Bearer x"}
                answer = await client.request(method, fits(path, quote(occurrence)), headers=nobody, **body)
                assert answer.status_code == 401
                checked(told, operation, 401, answer.json())
            if "{site}" in path:
                answer = await client.request(method, fits(path, "x", site="never-was"))
                assert answer.status_code == 404
                checked(told, operation, 404, answer.json())
        answer = await client.get("/api/v1/quarantine")
        assert len(answer.json()["quarantine"]) == 1
    assert seen == NEW - {"/api/v1/commands/{command}"}, "this office has given no command"
