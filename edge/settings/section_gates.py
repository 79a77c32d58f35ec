"""`rules: {gates: ...}` of a site: what a change of its rules may do to the alarms of its own record."""

from typing import Annotated

from pydantic import Field

from edge.backtest.gates import Gates
from sitekeeper.profile import Duration, Written

_Count = Annotated[int, Field(ge=0, le=1_000_000)]


class GatesSection(Written):
    """Limits for `sk rule backtest`; see `edge.backtest.gates.Gates`."""

    added_p1: _Count = 0
    removed: _Count = 0
    nuisance_per_day: Annotated[float, Field(ge=0, le=1e6)] = 3.0
    later: Duration = 0

    def gates(self) -> Gates:
        """Return them as the judge takes them."""
        return Gates(
            added_p1=self.added_p1, removed=self.removed, nuisance_per_day=self.nuisance_per_day, later=self.later
        )
