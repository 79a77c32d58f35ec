"""How long the uplink waits for a broker's answer: learnt from the line, and kept over connections."""

from cloud_sync.mqtt_settings import BrokerSettings, Line
from edge.officeside import reason_word


def test_a_good_line_is_given_little_patience_and_a_bad_one_more():
    """5 s at first; after a silence 10 s, at most 12; good answers bring it back, slow ones keep it up."""
    line = Line(BrokerSettings(host="broker"))
    assert line.patience == 5.0
    line.silent()
    assert line.patience == 10.0
    line.silent()
    assert line.patience == 12.0
    for _ in range(200):
        line.answered(0.01)
    assert line.patience == 5.0
    line.answered(3.0)
    assert line.patience == 9.0
    line.answered(30.0)
    assert line.patience == 12.0


def test_reason_codes_have_words():
    """Those that somebody may do something about are named, the others are `other`."""
    assert [reason_word(code) for code in (135, 149, 151, 142, 128)] == [
        "not-authorised", "too-large", "quota", "taken-over", "other",
    ]  # fmt: skip
