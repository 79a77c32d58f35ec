"""The figures over the office's own store: what lies before the time, and what whoever asks may not know of."""

from pathlib import Path

import pytest

import office.quality
from office.quality import Moves, entries, quality
from sitekeeper.model.alarm import Cause
from sitekeeper.model.clock import DAY, HOUR, MINUTE
from sitekeeper.model.errors import Refused
from tests import virtual
from tests.pushing import SITE, Pushing, minutes


def test_what_began_before_the_time_is_known_and_not_counted(tmp_path: Path) -> None:
    """One stands for two days, one is acknowledged after an hour: one is stale, one has waited, none is annunciated."""

    async def main() -> None:
        site = Pushing(tmp_path, "")
        site.move("door-00/A02")
        site.move("door-02/A02")
        site.move("door-02/A02", Cause.CLEAR)
        await minutes(46 * 60)
        site.move("door-01/A02")
        await minutes(60)
        start = site.clock.wall()
        site.move("door-01/A02", Cause.ACK)
        await minutes(60)
        found = quality(site.store.reader, [SITE], start, start + 2 * HOUR, {})
        assert found.stale == (f"{SITE}/door-00/A02",)
        assert (found.annunciated, found.acknowledged, found.ack_median) == (0, 1, HOUR)
        assert found.end - found.start == 2 * HOUR
        assert [one.key for one in entries(Moves(site.store.reader), SITE, start, start + DAY, ())] == [
            f"{SITE}/door-{number}/A02" for number in ("00", "02", "02", "01", "01")
        ]

    virtual.run(main())


def test_what_is_hidden_is_in_no_figure(tmp_path: Path) -> None:
    """A duress alarm is counted for security and for nobody else; another site's alarms for neither."""

    async def main() -> None:
        site = Pushing(tmp_path, "")
        start = site.clock.wall()
        site.move("door-00/A02")
        site.move("door-00/A06", priority="P1")
        await minutes(1)
        for hidden, count in (({SITE: {"A06"}}, 1), ({}, 2)):
            found = quality(site.store.reader, [SITE], start, start + 10 * MINUTE, hidden)
            assert found.annunciated == count
            assert (f"{SITE}/door-00/A06" in str(found)) == (count == 2)
        assert quality(site.store.reader, ["other"], start, start + HOUR, {}).annunciated == 0

    virtual.run(main())


def test_what_is_too_much_is_refused_and_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Moves before the time and those of other sites count: as many as are allowed are, with one more nothing is."""

    async def main() -> None:
        site = Pushing(tmp_path, "")
        for number in range(3):
            site.move(f"door-0{number}/A02")
        await minutes(1)
        start = site.clock.wall()
        site.move("door-00/A02", Cause.ACK)
        site.move("door-03/A02")
        sites = [SITE, "other"]
        for most in (5, 4):
            monkeypatch.setattr(office.quality, "MOST", most)
            if most == 5:
                assert quality(site.store.reader, sites, start, start + HOUR, {}).acknowledged == 1
            else:
                with pytest.raises(Refused, match="more than 4 moves") as refused:
                    quality(site.store.reader, sites, start, start + HOUR, {})
                assert refused.value.reason == "too-much"

    virtual.run(main())
