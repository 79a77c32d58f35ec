"""`calendar: {file: data/holidays.csv}`: the special days of a site from a file, as authorities publish them."""

import csv
from collections.abc import Iterator
from datetime import date
from hashlib import blake2b
from pathlib import Path
from typing import Final

from edge.settings.folder import Folder
from edge.settings.models import SiteFile
from edge.settings.written import Origin
from sitekeeper.faults import Faults, Place

KINDS: Final = {"holiday": "holidays", "working": "working_days"}
"""What a line may call its day, and the key of `calendar:` that it adds to."""
MOST: Final = 1_000
SIZE: Final = 100_000
"""Bytes of such a file."""


def with_days(file: SiteFile, folder: Path, read: Folder, where: Origin, faults: Faults) -> SiteFile:
    """Return the site file with the days of its calendar's file among its own; the site's revision covers them.

    Args:
        read: the folder as read. where: the `calendar:` of the site file.
    """
    if file.calendar is None or file.calendar.file is None:
        return file
    name = file.calendar.file
    try:
        with (folder / name).open("rb") as source:
            content = source.read(SIZE + 1)
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        faults.add(where.place(("file",)), "calendar-unreadable", hint="calendar-form", name=name, reason=str(error))
        return file
    days: dict[str, list[str]] = {key: [] for key in KINDS.values()}
    for line, key, day in _days(name, text, faults):
        if line > MOST or len(content) > SIZE:
            faults.add(Place(name, line), "limit", what="days", limit=MOST)
            break
        days[key].append(day)
    read.revision = blake2b(read.revision.encode() + content, digest_size=16).hexdigest()
    whole = {key: [*getattr(file.calendar, key), *more] for key, more in days.items()}
    return file.model_copy(update={"calendar": file.calendar.model_copy(update=whole)})


def _days(name: str, text: str, faults: Faults) -> Iterator[tuple[int, str, str]]:
    """Yield line, key and day of each good line; every other one is a fault."""
    rows = csv.reader(text.splitlines())
    if next(rows, None) != ["date", "kind"]:
        faults.add(Place(name, 1), "calendar-line", hint="calendar-form", text=text.partition("\n")[0].strip())
        return
    for line, row in enumerate(rows, start=2):
        day, kind = (*row, "", "")[:2]
        if row and (len(row) != len(("date", "kind")) or kind not in KINDS or not _is_date(day)):
            faults.add(Place(name, line), "calendar-line", hint="calendar-form", text=",".join(row))
        elif row:
            yield line, KINDS[kind], day


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
