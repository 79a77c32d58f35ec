"""What a unit says that it is: asked late, rarely, and never again where it is not welcome."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from drivers.modbus.identity import AFTER, Identity
from drivers.modbus.reply import VARIABLE, Expected, Wrong
from drivers.modbus.rtu import examine
from drivers.modbus.rtu import frame as sealed
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import LinkDown
from tests import virtual
from tests.fixtures.hostile_modbus import connect_to
from tests.fixtures.modbus import Kept, answer, asked, device, driver, frame, registers

ACME = {0: b"Acme", 1: b"LX-1", 2: b"V2.1"}


def objects(level: int, conformity: int, of: dict[int, bytes], *, more: int = 0, following: int = 0) -> bytes:
    """Return the answer of function 43/14 (MODBUS Application Protocol V1.1b3, 6.21)."""
    listed = b"".join(bytes([number, len(text)]) + text for number, text in of.items())
    return bytes([43, 14, level, conformity, more, following, len(of)]) + listed


class Unit:
    """Registers 0 to 20 with a hole at 7, and an answer to other functions: bytes, an exception, or silence.

    `jams`: after a function that it keeps silent to it keeps silent to everything, until it is connected anew.
    """

    def __init__(
        self, identify: Callable[[bytes], bytes | None], *, jams: bool = False, hangs_up: bool = False, hole: int = 7
    ) -> None:
        self._identify, self._jams, self._hangs_up, self._hole = identify, jams, hangs_up, hole
        self.jammed = False
        self.functions: list[int] = []

    def __call__(self, request: bytes) -> list[bytes]:
        self.functions.append(request[7])
        if self._hangs_up and request[7] != 3:
            return [b"not Modbus at all"]  # whereupon the connection is given up
        if self.jammed:
            return []
        if request[7] == 3:
            start, count = asked(request)
            if start <= self._hole < start + count:
                return [frame(request, bytes([0x83, 2]))]
            return [answer(request, *range(start, start + count))]
        said = self._identify(request[7:])
        self.jammed = self._jams and said is None
        return [] if said is None else [frame(request, said)]


async def live(
    unit: Unit, memory: Kept | None = None, *, seconds: int = 16, **options: Any
) -> tuple[list[str], dict[str, Any]]:
    """Read every second for so long; return how each reading ended, and what is reported in the end."""
    connect_to(unit)  # type: ignore[arg-type]
    make = asyncio.get_running_loop().create_connection

    async def connect(*args: Any, **kwargs: Any) -> Any:
        unit.jammed = False
        return await make(*args, **kwargs)

    asyncio.get_running_loop().create_connection = connect  # type: ignore[method-assign, assignment]
    read = device("d", registers(20), **options)
    field = driver(502, read, timeout="100ms", clock=virtual.VirtualClock(), memory=memory)
    await field.open()
    ends = []
    for _ in range(seconds):
        try:
            scan = await field.read("d@1s")
            ends.append("good" if scan.answered else "bad")
        except LinkDown:
            ends.append("down")
            await field.open()
        await asyncio.sleep(1)
    told = dict(field.report("d"))
    await field.close()
    return ends, told


def acme(pdu: bytes) -> bytes | None:
    return objects(1, 1, ACME) if pdu[0] == 43 else bytes([17, 4]) + b"LX\xff\x00"


def test_it_is_asked_once_after_a_while_and_told():
    """Nobody is asked before the link has been open for a while; then each function once, and people are told."""
    unit = Unit(acme)
    ends, told = virtual.run(live(unit))
    assert set(ends) == {"good"}
    first = [at for at, function in enumerate(unit.functions) if function in {43, 17}]
    assert [unit.functions[at] for at in first] == [43, 17]
    assert unit.functions[: first[0]].count(3) > AFTER // SECOND
    assert told["identity"] == {"vendor": "Acme", "product": "LX-1", "version": "V2.1", "report": "LX"}


def test_regular_objects_are_asked_for_where_they_are_offered_and_long_answers_go_on():
    """Conformity 2 has the regular objects too; an answer that says that more follows is continued."""
    identity = Identity()
    identity.opened()
    given = {
        (1, 0): objects(1, 0x82, {0: b"Acme", 1: b"LX-1"}, more=0xFF, following=2),
        (1, 2): objects(1, 0x82, {2: b"V2.1"}),
        (2, 3): objects(2, 0x82, {3: b"http://acme.example", 4: b"Lift", 0x80: b"\x01\x02"}),
    }
    order = []
    while (found := identity.next(7)) is not None:
        function, question = found
        if function == 17:
            identity.refused()
            continue
        order.append((question.data[1], question.data[2]))
        identity.answered(given[order[-1]][2:])
    assert order == [(1, 0), (1, 2), (2, 3)]
    assert identity.objects == {
        "vendor": "Acme",
        "product": "LX-1",
        "version": "V2.1",
        "vendor_url": "http://acme.example",
        "product_name": "Lift",
        "object_128": "0102",
    }
    assert identity.never == {17}


def test_a_unit_that_never_ends_is_left():
    """An answer that always says that more follows is not followed for ever."""
    identity = Identity()
    identity.opened()
    asked_for = 0
    while (found := identity.next(1)) is not None and found[0] == 43:
        identity.answered(objects(1, 1, {asked_for % 250: b"x"}, more=0xFF, following=1)[2:])
        asked_for += 1
    assert asked_for == 8


@pytest.mark.parametrize("how", ["refused", "silent", "jammed", "hung up"])
def test_it_is_never_asked_again_where_it_is_not_welcome(how):
    """Refused or not answered, a function is not asked again, not even after a restart; no reading is lost."""
    unit = Unit(
        lambda pdu: bytes([pdu[0] | 0x80, 1]) if how == "refused" else None,
        jams=how == "jammed",
        hangs_up=how == "hung up",
    )
    memory = Kept()
    ends, told = virtual.run(live(unit, memory))
    assert set(ends) == {"good"}
    assert [function for function in unit.functions if function != 3] == [43, 17]
    assert told["identity"] == {}
    virtual.run(live(unit, memory, seconds=30))
    assert [function for function in unit.functions if function != 3] == [43, 17]


def test_a_death_in_the_middle_of_the_question_is_remembered():
    """That it is not to be asked again is written down before it is asked for the first time."""
    memory = Kept()
    before: list[bytes] = []

    def look(_pdu: bytes) -> bytes | None:
        before.append(memory.kept["d"])
        return acme(_pdu)

    virtual.run(live(Unit(look), memory))
    revived = Kept()
    revived.kept["d"] = before[0]
    unit = Unit(acme)
    virtual.run(live(unit, revived))
    assert [function for function in unit.functions if function != 3] == [17]


def test_another_device_ends_what_was_learned():
    """Where another one answers than before the restart, that is logged, and the plan is begun anew."""
    memory = Kept()
    virtual.run(live(Unit(acme), memory))
    same = Unit(acme)
    with capture_logs() as logs:
        _, told = virtual.run(live(same, memory))
        assert logs == []
    assert same.functions[0] == 3
    assert len(told["refused"]) == 1
    other = Unit(lambda pdu: objects(1, 1, ACME | {2: b"V3"}) if pdu[0] == 43 else None, hole=99)
    with capture_logs() as logs:
        _, told = virtual.run(live(other, memory))
    assert [(line["event"], line["device"], line["now"]["version"]) for line in logs] == [
        ("another device answers", "d", "V3")
    ]
    assert told["refused"] == []
    assert [(each["first"], each["count"]) for each in told["requests"]] == [(0, 20)]


def test_what_was_learned_holds_after_a_restart_and_not_for_another_plan():
    """A restart asks from the first scan on what the unit takes; a profile with other points begins anew."""
    memory = Kept()
    virtual.run(live(Unit(acme), memory))
    _, told = virtual.run(live(Unit(acme), memory, seconds=1))
    assert [(each["first"], each["count"], each["last"]) for each in told["requests"]] == [
        (0, 7, "ok"),
        (7, 1, "not asked yet"),
        (8, 12, "ok"),
    ]
    _, told = virtual.run(live(Unit(acme), memory, seconds=0, max_registers=10))
    assert told["refused"] == []
    memory.kept["d"] = b"of another version"
    _, told = virtual.run(live(Unit(acme), memory, seconds=0))
    assert told["refused"] == []


def test_who_may_not_be_asked_is_not():
    """`identify: false` asks nothing."""
    unit = Unit(acme)
    virtual.run(live(unit, identify=False))
    assert set(unit.functions) == {3}


@pytest.mark.parametrize("body", ["01 11 04 4c58ff00", "01 2b 0e 01 01 00 00 02 00 04 41636d65 01 02 4c58"])
def test_answers_of_their_own_length_on_a_serial_line(body):
    """The end of such an answer is found by what it says of itself; cut short or too long it is never taken."""
    right = sealed(bytes.fromhex(body))
    expected = Expected(1, right[1], VARIABLE)
    assert examine(right, b"\x01\x11\xc0\x2c", expected) == right[:-2]
    for cut in range(len(right)):
        assert examine(right[:cut], b"\x01\x11\xc0\x2c", expected) is None
    assert isinstance(examine(right + b"\x01\x03\x02\x00\x07", b"\x01\x11\xc0\x2c", expected), Wrong)
    assert isinstance(examine(sealed(bytes.fromhex("01 03 02 0007")), b"\x01\x11\xc0\x2c", expected), Wrong)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (b"\xb4\xffLMB3.1.10", "180 LMB3.1.10"),  # libmodbus 3.1.10
        (b"LX\xff\x00", "LX"),
        (b"\x07\xff", "07"),
        (b"\x07\x00\x12\x34", "7 1234"),
    ],
)
def test_what_function_17_says_is_shown_in_words(said, shown):
    """One byte of the maker's, whether it runs, and words; without words, what there is in hex."""
    identity = Identity()
    identity.opened()
    identity.steps = [("report", 0)]
    identity.answered(said)
    assert identity.objects == {"report": shown}
