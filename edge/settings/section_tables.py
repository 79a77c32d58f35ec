"""`tables:` of a site: small local files that are looked up when an event comes (`edge.tables`)."""

from typing import Annotated

from pydantic import Field

from sitekeeper.model.clock import HOUR
from sitekeeper.profile import Id, Period, Word, Written


class TableSection(Written):
    """One table: UTF-8, comma-separated, with a line of column names.

    Attributes:
        file: in the site folder's `data`. key: the column that is looked up, with pseudonyms as events have them.
        stale: how old the file may become before the gateway says so.
    """

    file: Annotated[str, Field(pattern=r"^data/[a-z0-9][a-z0-9_-]{0,63}\.csv$")]
    key: Word
    stale: Period = 24 * HOUR


Tables = Annotated[dict[Id, TableSection], Field(max_length=20)]
