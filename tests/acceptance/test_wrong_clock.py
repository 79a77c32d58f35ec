"""A gateway starts with its clock two hours behind, or in 1970, and is set right while somebody is being trapped."""

from pathlib import Path

import pytest

from cloud_sync.store.history import HistoryReader
from sitekeeper.model.clock import HOUR, SECOND, Micros
from tests import virtual, virtual_site
from tests.virtual_site import SITE, VirtualSite, sequences

SET = 30.0
"""The clock is set before the entrapment of the scenario is known, at about 40 s."""


class GatewayClock:
    """The gateway's own clock: the run's, but for what its wall is behind until somebody sets it."""

    def __init__(self, clock: virtual.VirtualClock, behind: Micros) -> None:
        self._clock, self.behind = clock, behind

    def wall(self) -> Micros:
        return self._clock.wall() - self.behind

    def monotonic(self) -> Micros:
        return self._clock.monotonic()

    def trusted(self) -> bool:
        return not self.behind


@pytest.mark.parametrize("behind", [2 * HOUR, virtual.START], ids=["two hours", "1970"])
def test_a_wrong_clock_at_the_start_moves_no_alarm_and_loses_nothing(tmp_path: Path, behind: Micros) -> None:
    """The alarm comes when it is due, the step is told and corrected, and every second has its account."""

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, "s1-lmon.yaml") as site:
            await site._end("gateway")
            assert site.app is not None
            await site.app.close()
            clock = GatewayClock(site.clock, behind)
            await site.start_gateway(clock)
            await site.at(SET)
            clock.behind = 0
            await site.at(70)
        return site

    site = virtual.run(main())
    raised = [move for move in site.moves() if move[:2] == ("L01", "raise")]
    assert [move[4] for move in raised] == [pytest.approx(40.3, abs=1.5)]
    reader = HistoryReader(site.folder / "office.db")
    [step] = [event for event in reader.events(SITE, device="gateway", limit=9) if event.source_id.endswith("_step")]
    assert (step.fields["offset_us"], step.fields["trusted"]) == (behind, True)
    gaps = site.rows("SELECT \"end\" - start AS length FROM gaps WHERE cause = 'clock'")
    assert {row["length"] for row in gaps} == {behind}
    assert {row.unexplained for row in reader.ledger(SITE)} == {0}
    reader.close()
    settled = site.rows("SELECT wall_less_mono, trusted FROM boot_clocks WHERE trusted = 1")
    assert virtual.START in {row["wall_less_mono"] for row in settled}
    for found in sequences(site.folder / "office.db").values():
        assert list(found) == list(range(1, len(found) + 1))
    latest = site.rows("SELECT MAX(at) AS at FROM v_latest")[0]["at"]
    assert latest >= virtual.START + 60 * SECOND
