"""What values are worth by the flags of their objects: read beside them, told with them, and never too good."""

from typing import Any

import pytest

from drivers.bacnet.driver import BacnetDriver
from drivers.bacnet.flags import MADE_UP, UNCLEAR, asked, number, worth
from drivers.bacnet.message import Reference, Refusal
from drivers.bacnet.names import OBJECTS
from sitekeeper.model.clock import HOUR, SECOND
from sitekeeper.model.quality import GOOD, Reason, bad
from tests.fixtures import bacnet
from tests.fixtures.bacnet import PIV, Asked, Rig, error, names, reject, serving, unsigned
from tests.fixtures.bacnet_told import TellingDevice, told_by

FLAGGED = bad(Reason.DEVICE_FLAGGED)
FAULT, OVERRIDDEN, OUT = 0x40, 0x20, 0x10


@pytest.mark.parametrize(
    ("kind", "flags", "reliability", "found"),
    [
        ("analog-input", 0, 0, GOOD),
        ("analog-input", OUT, 0, MADE_UP),
        ("analog-input", OVERRIDDEN, 0, MADE_UP),
        ("analog-input", FAULT | OUT, 0, FLAGGED),
        ("binary-value", FAULT, 0, FLAGGED),
        ("binary-value", OVERRIDDEN, 0, GOOD),
        ("binary-output", OVERRIDDEN, 0, GOOD),
        ("lift", FAULT, 23, GOOD),
        ("lift", FAULT, 12, bad(Reason.COMM)),
        ("lift", FAULT | OUT, 23, MADE_UP),
        ("access-door", FAULT, 10, FLAGGED),
        ("lighting-output", FAULT, 16, GOOD),
        ("escalator", OUT, 0, MADE_UP),
        ("analog-input", -1, 0, UNCLEAR),
    ],
)
def test_what_values_are_worth(kind, flags, reliability, found):
    """A fault spoils what measures; of machines it is told beside their values, unless nothing comes from them."""
    assert worth(OBJECTS[kind], flags, reliability) == found


def test_flags_are_bits_and_nothing_else():
    """A bit string of at least four bits is flags; no such property says nothing; anything else is not understood."""
    flags, reliability = Reference(0, 1, 111), Reference(59, 1, 103)
    assert [number(flags, part) for part in (b"\x82\x04\xf0", b"\x82\x04\x80", Refusal(2, 32))] == [0x70, 0, 0]
    assert [number(flags, part) for part in (b"\x82\x05\xf0", b"\x81\x04", b"\x91\x01", b"\x00", b"", b"\xff")] == [
        -1
    ] * 6
    assert [number(reliability, part) for part in (b"\x91\x0c", b"\x21\x0c")] == [12, -1]


def test_which_flags_are_read():
    """Those of objects whose values follow something; of machines the reliability too; settings need none."""
    settings = [Reference(30, 1, 231), Reference(8, 1, 121), Reference(30, 2, 227), Reference(0, 3, 117)]
    assert asked(settings) == {Reference(30, 1, 111), Reference(30, 1, 103)}
    assert asked([Reference(0, 3, 85), Reference(0, 3, 111)]) == {Reference(0, 3, 111)}


class Flagged:
    """A device whose values have flags, given as their byte; None: it has no such property."""

    def __init__(self, flags: int | None = 0) -> None:
        self.flags, self.value = flags, 5
        self.whole = False

    def __call__(self, asked: Asked) -> bytes:
        given = {name: unsigned(self.value + name[1]) for name in names(asked) if name[2] == 85}
        if self.flags is not None:
            given |= {name: b"\x82\x04" + bytes([self.flags]) for name in names(asked) if name[2] == 111}
        elif self.whole and any(name[2] == 111 for name in names(asked)):
            return error(asked, 2, 32)
        return bacnet.answer(asked, given)


def said(scan: Any) -> list[tuple[int, Any, int]]:
    return [(outcome.index, outcome.value, outcome.q) for outcome in scan.outcomes]


@pytest.mark.parametrize("max_apdu", [1476, 50])
async def test_flags_change_what_all_values_of_the_object_are(max_apdu: int):
    """Out of service and back: each value is said again with its quality, though none has changed; in whichever
    request its flags came, it is said once in a scan."""
    device = Flagged()
    async with serving(device) as peer, Rig(peer, status=True, max_apdu=max_apdu) as rig:
        good = said(await rig.read())
        assert good == [(0, 6, GOOD), (1, 7, GOOD), (2, 8, GOOD)]
        assert said(await rig.read()) == []
        device.flags = OUT
        assert said(await rig.read()) == [(index, value, MADE_UP) for index, value, _ in good]
        device.flags, device.value = FAULT, 6
        assert said(await rig.read()) == [(index, None, FLAGGED) for index in range(3)]
        device.flags = 0
        assert said(await rig.read()) == [(index, value + 1, GOOD) for index, value, _ in good]


async def test_out_of_service_from_the_first_scan_on():
    """The first scan says it already, also where one property is read at a time and flags come last."""
    device = Flagged(OUT)

    def single(asked: Asked) -> bytes:
        return reject(asked, 9) if asked.service == 14 else device(asked)

    async with serving(single) as peer, Rig(peer, status=True) as rig:
        assert said(await rig.read()) == [(0, 6, MADE_UP), (1, 7, MADE_UP), (2, 8, MADE_UP)]
        assert len(rig.asked()) == 1 + 6
        await rig.read()
        assert len(rig.asked()) == 3 + 3, "planned anew"
        device.flags = 0
        for _ in range(3):
            scan = await rig.read()
            assert (len(rig.asked()), len(scan.outcomes)) == (4, 1), "one of the flags with each scan"


@pytest.mark.parametrize("whole", [False, True])
async def test_a_device_without_flags_is_not_asked_for_them_again(whole: bool):
    """An unknown property in the answer, or in place of all of it: the values stay good, nothing is complained of,
    and flags are asked for again an hour later."""
    device = Flagged(None)
    device.whole = whole
    async with serving(device) as peer, Rig(peer, status=True) as rig:
        scan = await rig.read()
        assert (said(scan), scan.errors, scan.answered) == ([(0, 6, GOOD), (1, 7, GOOD), (2, 8, GOOD)], (), True)
        rig.asked()
        scan = await rig.read()
        assert (said(scan), scan.errors, rig.asked()) == ([], (), [3])
        device.flags = OUT
        rig.driver._groups["d@1s"].station._lacking_until -= HOUR
        assert {q for _, _, q in said(await rig.read())} == {MADE_UP}


# --- told


def flags_of(device: TellingDevice, field: BacnetDriver) -> list[int]:
    return [device.stand[at][1] for at in range(len(device.places))]


async def test_flags_that_are_told_hold_at_once():
    """A notification with other flags and the same value: the point has another quality, and no request is sent."""
    device = TellingDevice([(PIV, 1), (PIV, 2)])
    async with told_by(device, status=True) as field:
        assert flags_of(device, field) == [GOOD, GOOD]
        reads, device.flags[1] = device.reads, OUT
        device.clock.advance(SECOND)
        device.tell(1)
        assert flags_of(device, field) == [GOOD, MADE_UP]
        assert device.reads == reads
        device.clock.advance(SECOND)
        assert (await device.read()).outcomes == []
        device.flags[1] = 0
        device.clock.advance(SECOND)
        await device.read()
        assert flags_of(device, field) == [GOOD, GOOD], "read as well"


async def test_flags_held_up_are_read_instead():
    """Flags of a notification that is too old are as little believed as its value: both are read."""
    device = TellingDevice([(PIV, 1), (PIV, 2)])
    async with told_by(device, status=True) as field:
        device.clock.advance(10 * SECOND)
        device.flags[0] = OUT
        data = device.notice(0, late=-9)
        device.flags[0] = 0
        device.field._stack.noticed("127.0.0.1:47000", 77, data)
        assert flags_of(device, field) == [GOOD, GOOD]
        device.flags[0] = FAULT
        await device.settled()
        assert flags_of(device, field) == [FLAGGED, GOOD]
