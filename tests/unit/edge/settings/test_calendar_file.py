"""Special days from a file: among those of the site file, part of its revision, every bad line told with its number."""

from datetime import date
from pathlib import Path

import pytest

from edge.settings import load
from sitekeeper.model.errors import ConfigError

SITE = """
site: {id: days, timezone: Asia/Hong_Kong}
calendar: {holidays: [2026-10-01], file: data/holidays.csv}
"""
GOOD = "date,kind\n2026-12-25,holiday\n2026-12-27,working\n"


def folder(tmp_path: Path, content: bytes | None) -> Path:
    (tmp_path / "site.yaml").write_text(SITE)
    (tmp_path / "data").mkdir(exist_ok=True)
    if content is not None:
        (tmp_path / "data/holidays.csv").write_bytes(content)
    return tmp_path


def test_its_days_are_the_sites_days(tmp_path: Path) -> None:
    """Beside those written in the site file; with a byte order mark and empty lines as office programs leave them."""
    site = load(folder(tmp_path, b"\xef\xbb\xbf" + GOOD.encode() + b"\n"), environment={})
    days = site.place.holidays
    assert days.holidays == {date(2026, 10, 1), date(2026, 12, 25)}
    assert days.working_days == {date(2026, 12, 27)}


def test_another_file_is_another_revision(tmp_path: Path) -> None:
    """What the site does changes with it."""
    first = load(folder(tmp_path, GOOD.encode()), environment={}).revision
    assert load(folder(tmp_path, GOOD.encode()), environment={}).revision == first
    assert load(folder(tmp_path, GOOD.encode() + b"2027-01-01,holiday\n"), environment={}).revision != first


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (None, ("site.yaml", 3, "calendar-unreadable")),
        (b"date,kind\n\xff\n", ("site.yaml", 3, "calendar-unreadable")),
        (b"2026-12-25,holiday\n", ("data/holidays.csv", 1, "calendar-line")),
        (b"date,kind\n25.12.2026,holiday\n", ("data/holidays.csv", 2, "calendar-line")),
        (b"date,kind\n2026-12-25,feast\n", ("data/holidays.csv", 2, "calendar-line")),
        (b"date,kind\n\n2026-12-25\n", ("data/holidays.csv", 3, "calendar-line")),
        (b"date,kind\n" + b"2026-12-25,holiday\n" * 1_000, ("data/holidays.csv", 1_001, "limit")),
    ],
)
def test_what_it_cannot_mean_is_a_fault(tmp_path: Path, content: bytes | None, where: tuple[str, int, str]) -> None:
    """With the line, as every fault of a site."""
    with pytest.raises(ConfigError) as caught:
        load(folder(tmp_path, content), environment={})
    assert [(fault.file, fault.line, fault.code) for fault in caught.value.faults] == [where]
