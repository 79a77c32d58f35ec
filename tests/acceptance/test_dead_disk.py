"""The disk of the gateway fails while somebody is trapped, and while it burns: people are told, doors are freed.

On the virtual site. The disk refuses every commit for a while; what waits for it is written when it is well again.
"""

import contextlib
from pathlib import Path
from typing import Any

import pytest

from edge.commands import audit
from edge.outbox.store import Store
from sitekeeper.model.errors import StorageError
from tests import virtual, virtual_site
from tests.site_facts import outcomes, value
from tests.virtual_site import VirtualSite, sequences

FAILS, LATER = 30.0, 65.0
"""The disk fails before the entrapment of the scenario is known, at about 40 s; and some time after that."""

ONCE = "SELECT COUNT(*) AS n FROM pushes WHERE occurrence NOT LIKE '%/L25@%' GROUP BY event_id, channel"
"""How often each announcement went over each channel."""


class Disk:
    """The disk under the outbox: it takes everything, or nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dead = False
        for name in ("commit", "recover"):
            monkeypatch.setattr(Store, name, self._guarded(getattr(Store, name)))

    def _guarded(self, real: Any) -> Any:
        def guarded(store: Store, *args: Any, **more: Any) -> Any:
            if self.dead:
                raise StorageError("no space left on device")
            return real(store, *args, **more)

        return guarded

    async def kill_gateway(self, site: VirtualSite) -> None:
        """Kill the gateway; what it could not write is gone."""
        assert site.app is not None
        close = site.app.outbox.close

        def closed() -> None:
            with contextlib.suppress(StorageError):
                close()

        site.app.outbox.close = closed  # type: ignore[method-assign, assignment]
        await site.kill_gateway()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def moves(site: VirtualSite) -> list[tuple[str, str, int]]:
    """Return rule, cause and `volatile` of the moves at the office, as they were told; L25 comes with the run's end."""
    found = site.rows("SELECT rule, cause, volatile FROM transitions WHERE rule <> 'L25' ORDER BY id")
    return [(row["rule"], row["cause"], row["volatile"]) for row in found]


def pushed(site: VirtualSite) -> list[str]:
    """Return the rules of the messages that came, in order."""
    return [message.rule for message in site.chat.sent if message.rule != "L25"]


async def status(site: VirtualSite) -> Any:
    [answer] = await site.ask("control", "status")
    return answer


def test_somebody_is_trapped_while_the_disk_fails(tmp_path: Path, disk: Disk) -> None:
    """People are told within two seconds, with GW02 beside it, once each; the record is whole and in order after it."""

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, "s1-lmon.yaml") as site:
            await site.at(FAILS)
            disk.dead = True
            await site.at(LATER)
            assert moves(site) == [("GW02", "raise", 1), ("L01", "raise", 1)]
            assert sorted(pushed(site)) == ["GW02", "L01"]
            [l01] = [message for message in site.chat.sent if message.rule == "L01"]
            [told] = site.rows("SELECT at, committed FROM transitions WHERE rule = 'L01'")
            assert told["committed"] - told["at"] <= 2_000_000
            assert "memory" in l01.body
            now = await status(site)
            assert now["outbox"]["alarms_volatile"] == 2
            assert {"writer", "volatile"} <= {problem["code"] for problem in now["problems"]}
            await site.at(100)
            disk.dead = False
            await site.at(115)
            assert moves(site)[-1] == ("GW02", "clear", 0)
            assert (await status(site))["outbox"]["alarms_volatile"] == 0
            await site.at(130)
        return site

    site = virtual.run(main())
    assert moves(site) == [("GW02", "raise", 0), ("L01", "raise", 0), ("GW02", "clear", 0)]
    assert sorted(pushed(site)) == ["GW02", "L01"]
    assert [row["n"] for row in site.rows(ONCE)] == [1] * 4
    stream = sequences(site.folder / "office.db")["alarms"]
    assert list(stream) == list(range(1, len(stream) + 1))
    assert site.state("L01") == "B"
    assert site.state("GW02") == "D"


def test_the_gateway_dies_before_its_disk_is_well(tmp_path: Path, disk: Disk) -> None:
    """What was told stays told and is no alarm any more; what is still true is raised and pushed anew."""

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, "s1-lmon.yaml") as site:
            await site.at(FAILS)
            disk.dead = True
            await site.at(LATER)
            assert (site.state("L01"), site.state("GW02")) == ("B", "B")
            await disk.kill_gateway(site)
            disk.dead = False
            await site.at(80)
            assert (site.state("L01"), site.state("GW02")) == ("B", "B")
            await site.start_gateway()
            await site.at(82)
            assert site.state("GW02") == "A"
            await site.at(130)
        return site

    site = virtual.run(main())
    assert moves(site) == [("GW02", "raise", 2), ("L01", "raise", 2), ("L01", "raise", 0)]
    assert (site.state("L01"), site.state("GW02")) == ("B", "A")
    assert sorted(pushed(site)) == ["GW02", "L01", "L01"]
    assert [row["n"] for row in site.rows(ONCE)] == [1] * 6


def test_a_fire_frees_the_way_out_while_the_disk_fails(tmp_path: Path, disk: Disk) -> None:
    """The door is free within seconds, and its rows in the audit follow in their order when the disk is back."""
    fire = {"id": "fire-panel", "unit": 1, "face": "sp-io-16", "story": [{"at": "20s", "do": {"panel": "press"}}]}
    door = {"id": "door-lobby", "face": "mqtt-door", "controller": "405419896", "door": 1}
    plan = {
        "title": "a fire and a full disk",
        "seed": 5,
        "links": [{"id": "panel", "devices": [fire]}, {"id": "doors", "kind": "mqtt", "devices": [door]}],
    }
    places = {"door-lobby": {"zone": "lobby", "tags": ["perimeter"]}}

    async def main() -> VirtualSite:
        async with virtual_site.running(tmp_path, plan, places=places) as site:
            await site.at(15)
            disk.dead = True
            await site.at(26)
            assert value(site, "door-lobby/mode") == "free"
            assert outcomes(site, "door-lobby/mode") == []
            assert any(rule.startswith("F") for rule in pushed(site))
            assert site.app is not None
            before = len(site.app.outbox.audit_tail())
            disk.dead = False
            await site.at(40)
            rows = [audit.decode(row) for row in site.app.outbox.audit_tail()][before:]
            freed = [row.outcome for row in rows if row.target == "door-lobby/mode"]
            assert freed[:2] == ["accepted", "confirmed"]
            assert outcomes(site, "door-lobby/mode")[:2] == ["accepted", "confirmed"]
        return site

    virtual.run(main())
