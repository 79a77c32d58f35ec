"""Bounds of what may be asked of a running gateway."""

from itertools import repeat
from pathlib import Path
from typing import Any, Self

import pytest

from edge.operations import points
from edge.outbox.reader import HistoryRow
from sitekeeper.model.errors import Refused


class Endless:
    """A history without end; fails the test if it is read to it."""

    def __init__(self, _path: Path) -> None:
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def history(self, point: str, since: int, until: int) -> Any:
        return repeat(HistoryRow(at=1, value=1, q=0, source=None), self.rows) if self.rows else repeat(None)


def test_a_history_too_long_for_memory_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A year of a noisy point is an answer of one sentence, not a gateway without memory; nothing is cut silently."""
    monkeypatch.setattr(points, "Reader", Endless)
    monkeypatch.setattr(points, "HISTORY_LIMIT", 1_000)
    with pytest.raises(Refused, match="more than 1000 changes; ask for a shorter --since"):
        points._recorded(Path("outbox.db"), "lift-a1/floor", 0, 10)
    monkeypatch.setattr(Endless, "__init__", lambda self, _path: setattr(self, "rows", 1_000))
    assert len(points._recorded(Path("outbox.db"), "lift-a1/floor", 0, 10)) == 1_000
