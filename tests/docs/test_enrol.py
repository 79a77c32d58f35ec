"""`docs/enrol-a-site.md`: a site is invited, joins and is revoked as the page shows it."""

from pathlib import Path

import pytest

from office.enrol.desk import desk_of
from office.enrol.listener import Listener
from office.settings import load
from sitekeeper.model.clock import SystemClock
from tests.docs.pages import blocks, play, swapped, write
from tests.fixtures.enrolled import free_port

PAGE = "enrol-a-site.md"


def test_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command with its output; the office's listener runs beside it, as the page says that it must."""
    swap = {"8444": str(free_port())}
    monkeypatch.chdir(tmp_path)
    content = next(content for file, content in blocks(PAGE) if file == "office.yaml")
    write(tmp_path / "office.yaml", swapped(content, swap))
    desk = desk_of(load(tmp_path / "office.yaml"), SystemClock())
    desk.authority.open(desk.clock.wall())
    desk.authority.own("enrol", ("localhost",), desk.clock.wall())
    listener = Listener(desk, "127.0.0.1", int(swap["8444"]))
    listener.open()
    try:
        assert play(PAGE, tmp_path, swap) == 12
    finally:
        listener.close()
