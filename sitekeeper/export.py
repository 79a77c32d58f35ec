"""A stretch of one site's record as a file: zstd, JSON lines, in the order in which it happened.

    {"format": "sitekeeper.export/1", "site": ..., "since": ..., "until": ..., "catalogue": base64}
    ["t", [...]]                             a move of an alarm, as `sitekeeper.model.alarm.Transition`
    ["b", boot, wall less monotonic]         what follows is of this run of the gateway, and how its clocks stood
    ["s", mono, point, value, q]             a sample
    ["e", mono, source_id, fields, late]     an event
    ["g", mono, group]                       what the record lacks of this scan group begins here
    ["u", mono]                              up to here the run surely lasted

Times are microseconds. Before the first sample of a run stand the states of the points at `since`, each with its own
time. Who reads passes over lines of kinds that it does not know.
"""

from typing import Final

import msgspec

from sitekeeper.model.clock import Micros

FORMAT: Final = "sitekeeper.export/1"


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The first line. `catalogue`: the newest, as it travels (`sitekeeper.catalogue.encode`)."""

    format: str = FORMAT
    site: str
    since: Micros
    until: Micros
    catalogue: bytes
