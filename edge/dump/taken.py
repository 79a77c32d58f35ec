"""What of a device goes into a dump, whatever its protocol."""

from dataclasses import dataclass
from typing import Any

from drivers.base import PointRead
from sitekeeper.model.sample import Sample

Read = tuple[PointRead, Sample | None]
"""A point and what it is by what is in the file; nothing, where that is not there or masked."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What stands in the file.

    Attributes:
        raw: what was said, as one vector has it. samples: what each point is by that. missing: points of which some is
            not there.
    """

    raw: dict[str, Any]
    samples: list[Read]
    missing: list[str]
