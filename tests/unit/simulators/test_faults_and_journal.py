"""Spoilt frames, and what the journal says about replies."""

import json
import struct

import pytest

from simulators.agenda import Agenda
from simulators.faults import Fault, FaultKind, Frame, Reset, Send, Step, Wait, crc, spoil
from simulators.journal import Journal
from sitekeeper.model.clock import MS

REPLY = Frame(transaction=0x1234, unit=7, pdu=bytes([4, 6, 0, 1, 0, 2, 0, 3]))


def sent(steps: list[Step]) -> bytes:
    return b"".join(step.content for step in steps if isinstance(step, Send))


def test_sound_frame() -> None:
    """Without a fault the frame is MBAP: transaction, 0, length, unit, PDU."""
    assert spoil(None, REPLY) == [Send(bytes.fromhex("1234 0000 0009 07 04 06 0001 0002 0003"))]


def test_serial_frame() -> None:
    """Over a serial line the frame ends in its checksum: the published poll of an LMON monitor."""
    request = Frame(transaction=0, unit=0xF7, pdu=bytes.fromhex("03 00 10 00 13"))
    assert request.rtu() == bytes.fromhex("f7 03 00 10 00 13 11 54")
    assert sent(spoil(None, REPLY, serial_line=True))[-2:] == crc(b"\x07" + REPLY.pdu)


@pytest.mark.parametrize(
    ("fault", "wire"),
    [
        (Fault(kind=FaultKind.SHORT, count=1), "1234 0000 0007 07 04 04 0001 0002"),
        (Fault(kind=FaultKind.SHORT, count=9), "1234 0000 0003 07 04 00"),
        (Fault(kind=FaultKind.WRONG_FUNCTION), "1234 0000 0009 07 03 06 0001 0002 0003"),
        (Fault(kind=FaultKind.WRONG_UNIT), "1234 0000 0009 08 04 06 0001 0002 0003"),
        (Fault(kind=FaultKind.WRONG_TRANSACTION), "1233 0000 0009 07 04 06 0001 0002 0003"),
        (Fault(kind=FaultKind.EXCEPTION, code=6), "1234 0000 0003 07 84 06"),
        (Fault(kind=FaultKind.GARBAGE, count=2), "a5a4 1234 0000 0009 07 04 06 0001 0002 0003"),
        (Fault(kind=FaultKind.SILENCE), ""),
    ],
)
def test_spoilt_frames(fault: Fault, wire: str) -> None:
    """Each fault changes exactly what its name says, and the length field still agrees with the frame."""
    assert sent(spoil(fault, REPLY)) == bytes.fromhex(wire)


def test_split_late_and_reset() -> None:
    """Pieces come with pauses between them, a late answer after one, a reset in the middle of the frame."""
    whole = REPLY.mbap()
    pieces = spoil(Fault(kind=FaultKind.SPLIT, count=4, delay=5 * MS), REPLY)
    assert sent(pieces) == whole
    assert pieces[0] == Send(whole[:4])
    assert [step for step in pieces if not isinstance(step, Send)] == [Wait(5 * MS)] * 3
    assert spoil(Fault(kind=FaultKind.LATE, delay=700 * MS), REPLY) == [Wait(700 * MS), Send(whole)]
    cut = spoil(Fault(kind=FaultKind.RESET), REPLY)
    assert cut[-1] == Reset()
    assert 0 < len(sent(cut)) < len(whole)


class Lines:
    """A journal in memory."""

    def __init__(self) -> None:
        self.lines: list[dict[str, object]] = []
        self.journal = Journal(lambda line: self.lines.append(json.loads(line)))


def test_journal_says_changes_only() -> None:
    """The first line of a device has every point, later ones those that differ, even when none does."""
    kept = Lines()
    for n, floor in enumerate((1, 1, 2), 1):
        kept.journal.reply(n, "a", n, {"floor": floor, "door": "open"})
    kept.journal.reply(4, "b", 1, {"floor": 2})
    assert [line["points"] for line in kept.lines] == [{"floor": 1, "door": "open"}, {}, {"floor": 2}, {"floor": 2}]
    assert [line["n"] for line in kept.lines] == [1, 2, 3, 1]


def test_disturbed_replies_do_not_count_as_said() -> None:
    """After a reply that may not have been believed, the next sound line repeats its changes."""
    kept = Lines()
    kept.journal.reply(1, "a", 1, {"floor": 1})
    kept.journal.reply(2, "a", 2, {"floor": 2}, fault="late")
    kept.journal.spoilt(3, "a", 3, "short")
    kept.journal.reply(4, "a", 4, {"floor": 2})
    assert kept.lines[1:] == [
        {"t": 2, "device": "a", "n": 2, "points": {"floor": 2}, "fault": "late"},
        {"t": 3, "device": "a", "n": 3, "fault": "short"},
        {"t": 4, "device": "a", "n": 4, "points": {"floor": 2}},
    ]


def test_lines_without_serial() -> None:
    """A reply that did not carry the serial number has no n; facts and switches carry their particulars."""
    kept = Lines()
    kept.journal.reply(1, "a", None, {"floor": 1})
    kept.journal.fact(2, "a", "trapped", {"people": 1})
    kept.journal.switched(3, "link", "lifts", "refuse")
    assert kept.lines == [
        {"t": 1, "device": "a", "points": {"floor": 1}},
        {"t": 2, "device": "a", "fact": "trapped", "people": 1},
        {"t": 3, "link": "lifts", "switched": "refuse"},
    ]


def test_agenda_keeps_order_and_replaces() -> None:
    """Appointments happen in time order, first made first; a name made again moves; a cancelled one does not happen."""
    kept: list[tuple[int, str]] = []
    agenda = Agenda()
    for name, at in (("late", 9), ("moved", 5), ("first", 3), ("second", 3), ("never", 4)):
        agenda.at(at, name, lambda name=name: kept.append((agenda.now, name)))
    agenda.at(7, "moved", lambda: kept.append((agenda.now, "moved")))
    agenda.cancel("never")
    agenda.run(8)
    assert kept == [(3, "first"), (3, "second"), (7, "moved")]
    assert (agenda.now, agenda.pending("late"), agenda.pending("first")) == (8, True, False)
    agenda.run(1)
    assert agenda.now == 8


def test_crc_known_value() -> None:
    """The checksum of the specification's worked example: 02 07 gives 41 12."""
    assert crc(b"\x02\x07") == struct.pack("BB", 0x41, 0x12)
