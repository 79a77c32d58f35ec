"""What the gateway watches of itself takes the ordinary way: alarm book, block, store; a dead store is told past."""

from collections.abc import Mapping
from concurrent.futures import Future

import pytest

from edge.announce import Announcer
from edge.clock_watch import ClockWatch
from sitekeeper.block import decode
from sitekeeper.model.clock import HOUR, SECOND
from tests.unit.edge.pipeline_rig import Rig


class Watched(Rig):
    """A rig whose pipeline watches its disk and its clock."""

    def __init__(self) -> None:
        super().__init__("a")
        self.told: list[dict[int, bytes]] = []
        self.problem: str | None = None
        self.disk = Announcer(self._tell, lambda: self.problem)
        self.pipeline._watches = (self.disk, ClockWatch("b1", self.moment()))
        self.settled()

    def _tell(self, blocks: Mapping[int, bytes]) -> None:
        self.told.append(dict(blocks))


def test_an_alarm_that_the_store_keeps_waiting_is_told_as_it_is_with_gw02_behind_it() -> None:
    """The bytes that are told are the bytes that wait; both alarms are in order, and the rule's comes first."""
    rig = Watched()
    rig.problem, rig.store.answer = "disk full", Future()
    rig.scan(a=True)
    rig.passes(1.5)
    assert [list(told) for told in rig.told[:1]] == [[1]]
    [block, *_] = rig.store.blocks("alarms")
    assert rig.told[0][1] == block.payload
    assert [move.rule for move in rig.store.moves()] == [decode(block.payload).transitions[0].rule, "GW02"]
    assert rig.store.moves()[1].occurrence == "hq/gateway/GW02@e1-2"


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_a_step_is_recorded_as_an_event_of_the_gateway_and_an_alarm(step: int) -> None:
    """One event with both offsets, one GW05, and the record goes on."""
    rig = Watched()
    rig.clock.step_wall(step)
    rig.passes(3)
    events = [event for block in rig.store.blocks("events") for event in decode(block.payload).events]
    assert [event.source_id for event in events] == ["gateway/clock_step"]
    assert events[0].fields["offset_us"] == step
    assert [(move.rule, move.cause) for move in rig.store.moves()] == [("GW05", "raise")]
    rig.passes(60)
    assert [(move.rule, move.cause) for move in rig.store.moves()][1:] == [("GW05", "clear")]
    assert 60 <= (rig.store.moves()[1].mono - rig.store.moves()[0].mono) / SECOND <= 61
