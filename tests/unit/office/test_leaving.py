"""A revoked site leaves no alarm standing: each is ended by a person, for a reason, and it is in the audit."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_sync.store import alarms
from cloud_sync.store.sqlite import SqliteStore
from office.enrol.leaving import Leaving
from office.enrol.registry import Member
from office.own_alarms import OwnAlarms
from sitekeeper.model.alarm import AlarmState, Cause, Transition
from sitekeeper.model.clock import SECOND, ManualClock

from .conftest import transition

AT = 1_800_000_000 * SECOND
A, B, C, D = AlarmState.NORMAL, AlarmState.UNACKED, AlarmState.ACKED, AlarmState.RETURNED


class Rig:
    def __init__(self, path: Path) -> None:
        self.clock = ManualClock(wall=AT, monotonic=5 * SECOND)
        self.store = SqliteStore.open(path / "office.db", inline=True)
        self.sites: dict[str, Member] = {"hq": Member(joined=1), "pier": Member(joined=1)}
        self.woken = 0
        self.leaving = Leaving(self.store, lambda: self.sites, self.clock, "en", self._wake)
        self.own = OwnAlarms(self.store, self.store.reader, self.clock, lambda: None, self.revoked)

    def revoked(self) -> set[str]:
        return {site for site, member in self.sites.items() if member.revoked}

    def _wake(self) -> None:
        self.woken += 1

    def told(self, *moves: Transition, site: str = "hq") -> None:
        for number, move in enumerate(moves, 1):
            self.store.do(lambda sql, n=number, m=move: alarms.add(sql, (site, "e1", n), [m], AT)).result()

    def states(self, site: str = "hq") -> dict[str, str]:
        return {one.key: str(one.state) for one in self.store.reader.alarms(site=site, open_only=False)}

    def audit(self) -> list[dict[str, object]]:
        return [json.loads(row[0]) for row in self.store.reader.ask("SELECT record FROM office_audit ORDER BY n")]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.store.close()


async def test_every_alarm_of_a_revoked_site_ends_in_the_name_of_who_did_it(rig: Rig) -> None:
    """Standing, acknowledged, returned and held ones; the site's own and the office's; once, and no other site's."""
    ack = {"source": B, "target": C}
    rig.told(
        transition(key="hq/lift-a1/L01"),  # held until a reset
        transition(key="hq/lift-a1/L03", latched=False),
        transition(Cause.ACK, key="hq/lift-a1/L03", latched=False, **ack),
        transition(key="hq/door-1/A01", latched=False, at=AT + 3_600 * SECOND),  # by a clock that was ahead
    )
    rig.told(transition(key="pier/lift-a1/L01"), site="pier")
    await rig.own.move("hq", "GW01", Cause.RAISE)
    await rig.leaving.look(again=True)
    assert set(rig.states().values()) == {"B", "C"}
    rig.sites["hq"] = Member(joined=1, revoked=AT, revoked_by="wong")
    for again in (False, True, True):
        await rig.leaving.look(again=again)
    assert set(rig.states().values()) == {"A"}
    assert len(rig.states()) == 4
    assert rig.states("pier") == {"pier/lift-a1/L01": "B"}
    held = rig.store.reader.story("hq/lift-a1/L01@e1-1")[1:]
    assert [str(one.transition.cause) for one in held] == ["clear", "ack", "reset"]
    assert {(one.transition.actor.name, one.transition.note) for one in held if one.transition.actor} == {
        ("wong", "site revoked by wong")
    }
    [row] = rig.audit()
    assert (row["by"], row["step"], row["site"], row["why"]) == ("wong", "revoke", "hq", "4 alarms ended")
    assert rig.store.reader.office_audit() == (1, None)
    assert rig.woken == 1


async def test_what_was_on_its_way_is_ended_too_and_nothing_new_is_raised(rig: Rig) -> None:
    """A block that was committed after the revocation, and the office's own watchers, leave nothing standing."""
    rig.sites["hq"] = Member(joined=1, revoked=AT, revoked_by="wong")
    await rig.leaving.look(again=True)
    assert [row["why"] for row in rig.audit()] == ["0 alarms ended"]
    rig.told(transition(key="hq/lift-a1/L01"))
    await rig.own.move("hq", "GW14", Cause.RAISE)
    await rig.leaving.look(again=False)
    assert rig.states() == {"hq/lift-a1/L01": "B"}
    await rig.leaving.look(again=True)
    assert rig.states() == {"hq/lift-a1/L01": "A"}


async def test_a_site_that_has_joined_again_speaks_for_itself(rig: Rig) -> None:
    """What it says after its return stands, and a second revocation is a second row of the audit."""
    rig.told(transition(key="hq/lift-a1/L01", latched=False))
    rig.sites["hq"] = Member(joined=1, revoked=AT, revoked_by="wong")
    await rig.leaving.look(again=True)
    rig.sites["hq"] = Member(joined=2)
    await rig.leaving.look(again=True)
    later = transition(Cause.REANNUNCIATE, key="hq/lift-a1/L01", latched=False, source=B, target=B, at=AT + SECOND)
    rig.store.do(lambda sql: alarms.add(sql, ("hq", "e1", 9), [later], AT)).result()
    assert rig.states() == {"hq/lift-a1/L01": "B"}
    rig.sites["hq"] = Member(joined=2, revoked=AT + 5, revoked_by="")
    await rig.leaving.look(again=False)
    assert [row["by"] for row in rig.audit()] == ["wong", "somebody (not written down)"]
