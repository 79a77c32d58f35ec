"""Scenario S2 on the virtual site: which presses of the alarm button count, and what inspection keeps quiet."""

from pathlib import Path

from tests import virtual, virtual_site
from tests.site_facts import events, only

READ = 3.0
"""Two readings, one a second, and a second more."""


def test_s2(tmp_path: Path) -> None:
    """A short press with an open door or on the way is nothing; held, or behind a closed door, it is L03.

    Under inspection a stop outside the zone and a door fault are a note each, and alarms after their delays once it is
    over.
    """

    async def story() -> None:
        async with virtual_site.running(tmp_path, "s2-filter.yaml") as site:
            await site.at(219)
            only(
                site,
                ("L03", "lift-b1", "raise", 50, 50 + READ),
                ("L03", "lift-b1", "clear", 62, 62 + READ),
                ("L03", "lift-b1", "reannunciate", 123, 123 + READ),
                ("L03", "lift-b1", "clear", 161, 161 + READ),
            )
            noted = {(event["fields"]["rule"], event["device"]) for event in events(site, "note")}
            assert noted == {("L04", "lift-b1"), ("L13", "lift-b1")}
            await site.at(330)
            only(
                site,
                ("L03", "lift-b1", "raise", 50, 50 + READ),
                ("L03", "lift-b1", "clear", 62, 62 + READ),
                ("L03", "lift-b1", "reannunciate", 123, 123 + READ),
                ("L03", "lift-b1", "clear", 161, 161 + READ),
                ("L13", "lift-b1", "raise", 220, 220 + READ),
                ("L13", "lift-b1", "clear", 260, 260 + READ),
                ("L04", "lift-b1", "raise", 235, 235 + READ),
                ("L04", "lift-b1", "clear", 280, 280 + READ),
            )
            assert [row["priority"] for row in site.rows("SELECT priority FROM alarms ORDER BY rule")] == [
                "P1",
                "P2",
                "P3",
            ]

    virtual.run(story())
