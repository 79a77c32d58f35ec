"""Topics and small messages: what is sent is what arrives, and nothing else is taken."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync import wire
from cloud_sync.downlink import parse
from cloud_sync.wire import Committed, Receipt, Request, Resend, Status
from sitekeeper.model.command import Ack
from sitekeeper.model.errors import FormatError

STATUS = Status(online=True, site="tower", epoch="e1", boot="b", version="0.1", first={"alarms": 3}, nonce="n")
ACK = Ack("a1", "tower/lift-a1/L01@e1-3", "lee", "on my way", 5)


def test_every_message_survives_the_way_there_and_back():
    """Status, receipt, request and acknowledgement decode to what was encoded."""
    receipt = Receipt(1, [Committed("e1", "samples", [(1, 3), (7, 7)])])
    assert wire.decode_status(wire.encode_status(STATUS)) == STATUS
    assert wire.decode_receipt(wire.encode_receipt(receipt)) == receipt
    request = Request(resend=Resend("e1", "alarms", 2, 4))
    assert wire.decode_request(wire.encode_request(request)) == request
    assert wire.decode_ack(wire.encode_ack(ACK)) == ACK


def test_a_receipt_looks_on_the_wire_as_the_plan_says():
    """[office time, [[epoch, stream, [[from, to]...]]...]], so that any other program can read it."""
    receipt = wire.receipt_for(9, [("e1", "samples", 2), ("e1", "samples", 1), ("e1", "alarms", 5)])
    assert msgspec.msgpack.decode(wire.encode_receipt(receipt)) == [
        9,
        [["e1", "samples", [[1, 2]]], ["e1", "alarms", [[5, 5]]]],
    ]


@given(st.sets(st.integers(min_value=1, max_value=60)))
def test_ranges_cover_exactly_what_they_were_made_of(sequences):
    """No sequence is added and none is left out."""
    covered = [one for start, end in wire.ranges(sequences) for one in range(start, end + 1)]
    assert covered == sorted(sequences)


@pytest.mark.parametrize("topic", ["", "x", "sitekeeper/2/t/up/alarms", "sitekeeper/1/t/side/alarms", "a/b/c/d/e/f"])
def test_other_topics_are_refused(topic):
    """Only our own topics of our own version are taken."""
    with pytest.raises(FormatError):
        wire.parse_topic(topic)


@given(st.binary(max_size=200))
def test_no_bytes_break_a_decoder(data):
    """Any bytes at all either decode or raise FormatError."""
    for decode in (wire.decode_status, wire.decode_receipt, wire.decode_request, wire.decode_ack):
        try:
            decode(data)
        except FormatError:
            continue


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("receipt", msgspec.msgpack.encode([1, [["e1", "samples", [[5, 2]]]]])),
        ("receipt", msgspec.msgpack.encode([1, [["e1", "samples", [[0, 2]]]]])),
        ("receipt", msgspec.msgpack.encode([1, [["e1", "films", [[1, 2]]]]])),
        ("receipt", b"x" * (wire.MAX_MESSAGE + 1)),
        ("request", b"{}"),
        ("request", b'{"catalogue": "../../etc"}'),
        ("request", b'{"resend": ["e1", "alarms", 1, 2], "catalogue": "' + b"0" * 32 + b'"}'),
        ("request", b"[" * 50_000),
        ("ack", b'{"id": "", "occurrence": "x", "who": "", "note": "", "made": 1}'),
        ("ack", b'{"id": "a", "occurrence": "x", "who": "", "note": "", "made": "now"}'),
        ("orders", b"{}"),
    ],
)
def test_what_is_not_right_in_every_part_is_refused(kind, data):
    """Backward ranges, unknown streams, two requests at once, deep nesting and excess length are FormatError."""
    with pytest.raises(FormatError):
        parse(f"sitekeeper/1/tower/down/{kind}", data, site="tower")


def test_a_message_for_another_site_is_refused():
    """A site obeys only what comes on its own topics."""
    with pytest.raises(FormatError, match="not for site"):
        parse(wire.down_topic("other", "ack"), wire.encode_ack(ACK), site="tower")
