"""GW11, GW12, GW13: what they stand for, when they end, and that a finding becomes an alarm in the store."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from cloud_sync import wire
from cloud_sync.store.base import Entry, PutBlock, PutCatalogue, PutMissing, PutStatus, Transaction
from cloud_sync.store.sqlite import SqliteStore
from cloud_sync.wire import Status
from office.completeness import Completeness
from office.own_alarms import OwnAlarms
from office.watch import LASTS, RULES, judge
from sitekeeper.block import decode
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.catalogue import decode as decode_catalogue
from sitekeeper.model.alarm import AlarmRecord, AlarmState, Cause
from sitekeeper.model.clock import SECOND, Micros
from sitekeeper.model.command import Actor
from tests.unit.cloud_sync.material import SITE, T0, catalogue, payload

NOW = 1_800_000_000 * SECOND
PERSON = Actor(name="wong", role="operator", origin="office")


def record(state: AlarmState, changed: Micros) -> AlarmRecord:
    return AlarmRecord(
        key="hq/gateway/GW11",
        rule="GW11",
        occurrence="hq/gateway/GW11@office-1-1",
        state=state,
        priority="P2",
        latched=False,
        raised=changed,
        changed=changed,
    )


@pytest.mark.parametrize(
    ("newest", "state", "changed", "move"),
    [
        (None, None, 0, None),
        (NOW - 5, None, 0, Cause.RAISE),
        (NOW - LASTS, None, 0, None),  # old news to an office that knows of no alarm
        (NOW - 5, AlarmState.UNACKED, NOW - 3, None),
        (NOW - LASTS, AlarmState.UNACKED, NOW - LASTS, Cause.CLEAR),  # nothing new for a day
        (NOW - 5, AlarmState.ACKED, NOW - 3, Cause.CLEAR),  # a person has it
        (NOW - 5, AlarmState.ACKED, NOW - 8, Cause.REANNUNCIATE),  # and then came another one
        (NOW - 5, AlarmState.NORMAL, NOW - 3, None),
        (NOW - 5, AlarmState.NORMAL, NOW - 8, Cause.RAISE),
        (NOW - 5, AlarmState.RETURNED, NOW - 8, Cause.RAISE),
    ],
)
def test_the_alarm_stands_until_a_person_has_it_or_a_day_is_over(newest, state, changed, move) -> None:
    """Each new finding raises it or announces it again; an old one does neither."""
    assert judge(newest, None if state is None else record(state, changed), NOW) is move


class Hand:
    """A clock that is set by hand."""

    now = T0

    def wall(self) -> Micros:
        return self.now

    def monotonic(self) -> Micros:
        return self.now

    def trusted(self) -> bool:
        return True


class Rig:
    def __init__(self, path: Path) -> None:
        self.clock = Hand()
        self.store = SqliteStore.open(path / "office.db", inline=True)
        self.own = OwnAlarms(self.store, self.store.reader, self.clock, lambda: None)
        self.completeness = Completeness(self.store.reader, self.own, self.never, self.clock, "en")
        data = catalogue()
        put = PutCatalogue(site=SITE, hash=catalogue_hash(data), payload=data, catalogue=decode_catalogue(data))
        self.commit(put)

    async def never(self, site: str, request: wire.Request) -> None:
        raise AssertionError((site, request))

    def commit(self, *entries: Entry) -> None:
        self.store.commit(Transaction(at=self.clock.now, entries=entries)).result()

    def block(self, *of: object, **more: object) -> None:
        data = payload(*of, **more)  # type: ignore[arg-type]
        self.commit(PutBlock(block=decode(data), payload=data, digest=wire.digest(data)))

    async def state(self, rule: str) -> str:
        await self.completeness._judge()
        found = self.own.record(SITE, rule)
        return "A" if found is None else found.state


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.store.close()


@pytest.mark.parametrize("stream", ["alarms", "events", "samples"])
async def test_two_contents_for_one_block_raise_gw11_and_the_first_stays(rig: Rig, stream: str) -> None:
    """In every stream; a repeat of the same bytes is none. An acknowledgement ends it."""
    rig.block(stream, 1)
    rig.block(stream, 1)
    assert await rig.state("GW11") == "A"
    rig.clock.now += SECOND
    rig.block(stream, 1, boot="b2")
    assert await rig.state("GW11") == "B"
    [kept] = rig.store.reader.ask("SELECT boot, records FROM blocks WHERE stream = ?", stream)
    assert kept[0] == "b1"
    assert sum(rig.store.reader.ask(f"SELECT count(*) FROM {t}")[0][0] for t in ("samples", "events")) + len(
        [one for one in rig.store.undecided() if one.transition.rule != "GW11"]
    ) == int(kept[1])
    rig.clock.now += SECOND
    found = rig.own.record(SITE, "GW11")
    assert found is not None
    await rig.own.ack(found, PERSON, "disk image")
    assert await rig.state("GW11") == "A"
    rig.clock.now += SECOND
    rig.block(stream, 1, boot="b3")
    assert await rig.state("GW11") == "B"


def status(epoch: str, boot: str) -> PutStatus:
    return PutStatus(status=Status(online=True, site=SITE, epoch=epoch, boot=boot, version="1"), live=True)


@pytest.mark.parametrize(("one", "other"), [(("e1", "b1"), ("e1", "b2")), (("e1", "b1"), ("e2", "b9"))])
async def test_two_gateways_that_take_turns_raise_gw12(rig: Rig, one: tuple[str, str], other: tuple[str, str]) -> None:
    """Two boots of one epoch, or two epochs: within a minute of turns, and it ends a day after the last."""
    for turn in range(6):
        rig.clock.now += 10 * SECOND
        rig.commit(status(*(one, other)[turn % 2]))
        assert await rig.state("GW12") == ("B" if turn == 5 else "A")
    rig.clock.now += LASTS
    assert await rig.state("GW12") == "D"


async def test_restarts_and_late_messages_are_no_second_gateway(rig: Rig) -> None:
    """Thirty boots one after the other, and now and then a status of the one before that came late."""
    for boot in range(40):
        rig.clock.now += 200 * SECOND
        rig.commit(status("e1", f"b{boot}"), status("e1", f"b{boot}"))
        if boot % 10 == 9:
            rig.commit(status("e1", f"b{boot - 1}"), status("e1", f"b{boot}"))
        assert await rig.state("GW12") == "A"
    assert rig.store.reader.ask("SELECT count(*) FROM identities")[0][0] <= 33


async def test_blocks_that_nobody_has_raise_gw13(rig: Rig) -> None:
    """Only those that the office really lacks count, whatever range is stated; what came since is not among them."""
    for sequence in (1, 2, 5):
        rig.block("samples", sequence)
    rig.commit(PutMissing(site=SITE, epoch="e1", stream="samples", start=1, end=5))
    assert await rig.state("GW13") == "B"
    found = rig.store.reader.ask('SELECT start, "end" FROM missing')
    assert [(row[0], row[1]) for row in found] == [(3, 4)]
    assert set(RULES.values()) == {"GW11", "GW12", "GW13", "GW17"}
    raised = rig.store.undecided()[-1].transition
    assert raised.detail.startswith("2 blocks")
    assert replace(raised, detail="").priority == "P3"
