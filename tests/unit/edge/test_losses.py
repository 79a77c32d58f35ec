"""What the outbox dropped or lost is told: events, gaps and last states in one append, and alarms for an hour."""

from edge.losses import CALM, LOOK, TELL_EVERY, Losses
from edge.outbox import Note
from edge.outbox.drops import Dropped, State
from sitekeeper.block import Gap, GapCause, decode
from sitekeeper.model.clock import SECOND, Moment
from sitekeeper.model.quality import GOOD

from .pipeline_rig import GROUP, Rig

NOTE = Note(
    dropped=(Dropped(3, 7, 5, 90, 1_000_000, 9_000_000),),
    gaps=(Gap(GROUP, 1_000_000, 9_000_000, GapCause.DROPPED),),
    states={"t1/n": (State(8_000_000, 21.5, GOOD, None),), "gone/v": (State(1, 1, GOOD, None),)},
)


def at(mono: int) -> Moment:
    return Moment(wall=mono, mono=mono, trusted=True)


def test_a_note_becomes_an_event_and_an_alarm_that_ends_after_an_hour() -> None:
    """GW03 stands while samples are dropped and for an hour after; each tenth minute is told at once."""
    notes: list[Note | None] = [NOTE]
    losses = Losses(lambda: notes[0], "e1", 0)
    said = losses.advance(at(0))
    assert said.told is NOTE
    name, fields = said.events[0]
    assert (name, fields["first"], fields["last"], fields["records"]) == ("dropped", 3, 7, 90)
    assert fields["from"] == "1970-01-01T00:00:01.000Z"
    assert [(v.rule, v.kind) for v in said.verdicts] == [("GW03", "raise")]
    assert losses.advance(at(LOOK)).told is None
    assert losses.advance(at(TELL_EVERY)).told is NOTE
    notes[0] = None
    assert losses.advance(at(TELL_EVERY + CALM - SECOND)).verdicts == []
    assert [(v.rule, v.kind) for v in losses.advance(at(TELL_EVERY + CALM + LOOK)).verdicts] == [("GW03", "clear")]


def test_a_salvage_is_told_as_an_alarm_of_its_own() -> None:
    """GW04 carries why; an alarm that stands from an earlier process ends too."""
    note = Note(salvage=({"old_epoch": "e0", "stream": "alarms", "why": "damaged: page 7"},))
    losses = Losses(lambda: note, "e1", 0, standing=["GW03"])
    said = losses.advance(at(0))
    assert [(name, fields["old_epoch"]) for name, fields in said.events] == [("salvaged", "e0")]
    assert [(v.rule, v.detail) for v in said.verdicts] == [("GW04", "damaged: page 7")]
    assert ("GW03", "clear") in [(v.rule, v.kind) for v in losses.advance(at(CALM)).verdicts]


def test_one_append_tells_all_of_it() -> None:
    """Event, gaps and last states go into one transaction with the note; what no longer exists is left out.

    What has moved since comes once more behind it: the sample that comes last in the record is the present one.
    """
    rig = Rig().settled()
    notes: list[Note] = [NOTE]
    watch = Losses(lambda: notes.pop() if notes else None, "e1", rig.clock.monotonic())
    rig.pipeline._watches = (watch,)
    rig.pipeline.tick()
    told = [each for each in rig.store.appended if each.told is not None]
    assert [each.told for each in told] == [NOTE]
    blocks = [decode(block.payload) for block in told[0].blocks]
    assert [event.source_id for block in blocks for event in block.events] == ["gateway/dropped"]
    past = next(block for block in blocks if block.gaps)
    assert past.gaps == list(NOTE.gaps)
    moved = rig.clock.wall()
    assert [(past.wall(s.at), s.value) for s in past.samples] == [(8_000_000, 21.5), (moved, 1.0)]
    assert GROUP not in told[0].until
