"""Which Modbus units are there, from what they and units that cannot be there answered."""

import pytest

from drivers.modbus.options import TcpLink
from edge.discover import units
from edge.discover.steps import total
from edge.discover.units import STRANGERS, Unit, identity, judge
from sitekeeper.model.errors import DeviceRefused, DeviceSilent, LinkDown, ReplyMismatch


def refused(unit: int, code: int) -> Unit:
    return Unit(unit, error=DeviceRefused("no", exception_code=code, endpoint="e"))


def silent(unit: int) -> Unit:
    return Unit(unit, error=DeviceSilent("no", endpoint="e"))


def numbers(found: units.Verdict) -> list[int]:
    return [each.unit for each in found.there]


def test_units_that_answer_or_refuse_are_there():
    """A value and an exception are answers; silence, and a gateway that finds nobody, are not."""
    asked = [Unit(1, b"\0\1"), refused(2, 2), refused(3, 11), refused(4, 10), silent(5)]
    found = judge([silent(unit) for unit in STRANGERS], asked)
    assert (numbers(found), found.any_unit, found.absent) == ([1, 2], False, None)


def test_a_server_that_answers_for_every_unit_is_one_device():
    """Units where nothing is answer with values: whatever else answers there is the same device."""
    found = judge([Unit(unit, b"\0\7") for unit in STRANGERS], [Unit(1, b"\0\1"), Unit(2, b"\0\1")])
    assert (numbers(found), found.any_unit) == ([1], True)
    two_of_three = [*(Unit(unit, b"\0\7") for unit in STRANGERS[:2]), silent(STRANGERS[2])]
    assert not judge(two_of_three, [Unit(1, b"\0\1")]).any_unit


def test_the_exception_of_units_that_are_not_there_is_no_sign_of_one():
    """Where every stranger gets exception 4, a unit with exception 4 is not there, and one with exception 2 is."""
    found = judge([refused(unit, 4) for unit in STRANGERS], [refused(1, 2), refused(2, 4), Unit(3, b"\0\0")])
    assert (numbers(found), found.absent, found.missing) == ([1, 3], 4, 1)


@pytest.mark.parametrize(
    ("unit", "state"),
    [
        (Unit(1, b"\0\0"), "answers"),
        (refused(1, 1), "refused"),
        (refused(1, 11), "absent"),
        (silent(1), "silent"),
        (Unit(1, error=LinkDown("no", endpoint="e")), "unreachable"),
        (Unit(1, error=ReplyMismatch("no", endpoint="e", raw=b"\1")), "wrong"),
    ],
)
def test_what_one_answer_means(unit, state):
    """Each kind of answer has its word."""
    assert unit.state == state


def test_an_identification_is_read():
    """The basic objects by their names; what is not basic, unprintable or cut off is left out."""
    body = b"\x2b\x0e\x01\x01\x00\x00\x04" + b"\x00\x04ACME" + b"\x01\x03LM1" + b"\x02\x03v\x072" + b"\x80\x01x"
    assert identity(body) == {"vendor": "ACME", "product": "LM1", "revision": "v 2"}
    assert identity(body[:15]) == {"vendor": "ACME"}
    for wrong in (b"", b"\xab\x01", b"\x2b\x0d\x01\x01\x00\x00\x01\x00\x01x", body[:6]):
        assert identity(wrong) == {}


def test_the_request_for_it_is_the_standards():
    """Function 43, MEI type 14, basic, from object 0 (MODBUS Application Protocol V1.1b3, 6.21)."""
    assert units.ask_identity(7, 3) == bytes.fromhex("00 07 00 00 00 05 03 2b 0e 01 00")


def test_ways_of_a_line():
    """All of them, those of one rate or framing, or exactly the one that was given."""
    assert len(units.ways(None, None)) == len(set(units.WAYS)) >= 9
    assert units.ways(9600, None) == [(9600, "8N1"), (9600, "8E1"), (9600, "8N2")]
    assert units.ways(None, "8E1")[0] == (9600, "8E1")
    assert units.ways(1200, "8O1") == [(1200, "8O1")]
    assert units.ways(1200, None) == [(1200, "8N1")]


def test_the_time_said_beforehand_grows_with_what_is_asked():
    """Ten units take less than a hundred, on TCP and on a line."""
    link = TcpLink.model_validate({"host": "h", "timeout": "500ms"})
    few, many = (total(units.tcp_steps(link, range(1, last), "holding")) for last in (11, 101))
    assert many - few == pytest.approx(90 * 0.5)
    lines = [units.rtu_link("/dev/ttyS0", way, "200ms") for way in units.ways(9600, None)]
    (step,) = units.serial_steps(lines, range(1, 33))
    assert step.seconds == pytest.approx(3 * (32 * 0.5 + 1))
    assert step.values["ways"] == "9600 8N1, 9600 8E1, 9600 8N2"
