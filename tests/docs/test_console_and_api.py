"""`docs/console-and-api.md` against a running office: every command says what the page shows, no path is left out."""

import asyncio
import re
from pathlib import Path

from cloud_sync.memory import MemoryBroker
from office.console.web import routes
from sitekeeper.model.alarm import AlarmState, Cause
from tests.console_estate import running, until
from tests.console_families import Court, court_on
from tests.docs.pages import DOCS, play, table

PAGE = "console-and-api.md"


async def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    """Accounts, tokens, reading, acknowledging, events and metrics, with curl."""
    broker = MemoryBroker()
    async with running(tmp_path, broker) as app, court_on(broker) as court:
        assert app.console is not None
        occurrence = await court.alarm("A01", "P2", Cause.RAISE, AlarmState.UNACKED, device="door-2")
        await until(lambda: [push.state for push in app.store.reader.pushes(occurrence)] == ["sent"])
        await until(lambda: len(app.store.reader._rows("SELECT 1 FROM events")) == 8)
        swap = {"http://127.0.0.1:8080/": app.console.address}
        living = asyncio.ensure_future(_saying(court))  # however long the commands take, the site is live
        try:
            assert await asyncio.to_thread(play, PAGE, tmp_path, swap) == 25
        finally:
            living.cancel()
        shown = {path for row in table(PAGE, "## Reading") for path in re.findall(r"`(/[^`]*)`", row[0])}
        described = routes(app.console.parts).openapi()["paths"]
        assert shown == {path.replace(":path}", "}") for path in described}


async def _saying(court: Court) -> None:
    while True:
        await court.say()
        await asyncio.sleep(2)


def test_every_metric_is_named() -> None:
    """A metric that is not on the page is not there for people."""
    page = (DOCS / PAGE).read_text(encoding="utf-8")
    code = (Path(__file__).parents[2] / "office/api/metrics.py").read_text(encoding="utf-8")
    named = set(re.findall(r'"(sitekeeper_[a-z_]+)"', code))
    assert len(named) >= 9
    assert [name for name in named if name not in page] == []
