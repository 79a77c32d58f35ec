"""S1 at the office: nobody answers the entrapment, and one after the other is called until somebody does."""

from pathlib import Path

from sitekeeper.model.clock import SECOND
from tests import virtual, virtual_site
from tests.virtual_site import VirtualSite

LADDER = {
    "P1": [
        {"after": "30s", "channels": ["second"]},
        {"after": "3min", "channels": ["supervisor", "vendor"]},
        {"after": "5min", "channels": ["third"]},
    ]
}
STEPS = [("second", 30), ("supervisor", 180), ("vendor", 180), ("third", 300)]


def called(site: VirtualSite) -> list[tuple[str, float]]:
    """Return who was called beside the first ones, and how many seconds after the alarm was raised, each once."""
    [raised] = site.rows("SELECT * FROM transitions WHERE rule = 'L01' AND cause = 'raise'")
    rows = site.rows("SELECT * FROM pushes WHERE event_id LIKE '%#%' ORDER BY started, channel")
    assert all(row["occurrence"] == raised["occurrence"] and row["state"] == "sent" for row in rows)
    assert sorted(row["channel"] for row in rows) == sorted(
        name for name, chat in site.called.items() for _ in chat.sent
    )
    return [(row["channel"], (row["started"] - raised["at"]) / SECOND) for row in rows]


def test_s1_ladder(tmp_path: Path) -> None:
    """Second at +30 s, supervisor and vendor at +3 min, third at +5 min; acknowledged at 6:00, and nobody any more."""

    async def main() -> None:
        async with virtual_site.running(tmp_path, "s1-lmon.yaml", ladder=LADDER) as site:
            await site.at(360)
            before = called(site)
            assert [name for name, _ in before] == [name for name, _ in STEPS]
            assert all(0 <= at - due <= 2 for (_, at), (_, due) in zip(before, STEPS, strict=True))
            await site.ask("office", "alarm.ack", id="L01", note="called the car")
            await site.at(400)
            assert called(site) == before

    virtual.run(main())
