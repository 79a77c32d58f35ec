"""BACnet devices that lie, choke or stay silent: a value is stored only if everything about its answer is right."""

import asyncio
import socket
from collections.abc import Callable
from time import perf_counter

import pytest
from bacpypes3.app import Application
from bacpypes3.local.device import DeviceObject
from bacpypes3.local.networkport import NetworkPortObject
from bacpypes3.pdu import Address
from bacpypes3.primitivedata import ObjectIdentifier

from sitekeeper.model.errors import DeviceRefused, DeviceSilent, ReplyMismatch
from sitekeeper.model.quality import GOOD, Reason, bad
from tests.fixtures import bacnet
from tests.fixtures.bacnet import Asked, Rig, counting, object_id, unsigned

RPM = 14


def listed(scan):
    return [(outcome.index, outcome.value, outcome.q) for outcome in scan.outcomes]


def spoilt(change: Callable[[bytes], bytes], service: int = RPM) -> bacnet.Script:
    """Answer honestly but for a change in the bytes after the service choice."""

    def script(asked: Asked) -> bytes:
        honest = counting(asked)
        return honest[:3] + change(honest[3:]) if asked.service == service else honest

    return script


def in_front(head: bytes) -> Callable[[bytes], bytes]:
    return lambda data: head + data[len(head) :]


WRONG = {
    "another instance": in_front(object_id(bacnet.PIV, 9)),
    "another type": in_front(object_id(2, 1)),
    "another property": lambda data: data.replace(b"\x29\x55", b"\x29\x1c", 1),
    "an index not asked for": lambda data: data.replace(b"\x29\x55", b"\x29\x55\x39\x01", 1),
    "one too few": lambda data: data[:-16],
    "one too many": lambda data: data + data[-16:],
    "the same twice": lambda data: data[:16] + data[:16] + data[32:],
    "in another order": lambda data: data[16:32] + data[:16] + data[32:],
    "cut off": lambda data: data[:-1],
    "a length of 4 GiB": lambda data: data.replace(b"\x24", b"\x25\xff\xff\xff\xff\xff", 1),
    "1200 opening tags": lambda data: data[:9] + b"\x4e" * 1200,
    "nothing": lambda _data: b"",
    "garbage": lambda data: bytes(0xA5 ^ place & 0xFF for place in range(len(data))),
}


@pytest.mark.parametrize("how", WRONG)
async def test_an_answer_that_does_not_fit_is_never_a_value(how):
    """Whatever about an answer is wrong, its points are bad for mismatch, and the next good answer makes them good."""
    async with bacnet.serving(spoilt(WRONG[how])) as peer, Rig(peer) as rig:
        scan = await rig.read()
        assert listed(scan) == [(at, None, bad(Reason.MISMATCH)) for at in range(3)]
        assert not scan.answered
        assert [type(error) for error in scan.errors] == [ReplyMismatch]
        peer.script = counting
        assert listed(await rig.read()) == [(at, 1001 + at, GOOD) for at in range(3)]


async def test_the_same_for_a_single_read():
    """An answer to ReadProperty for another object is no value either."""
    wrong = spoilt(in_front(object_id(bacnet.PIV, 9)), service=12)
    async with bacnet.serving(wrong) as peer, Rig(peer, points=1) as rig:
        assert listed(await rig.read()) == [(0, None, bad(Reason.MISMATCH))]


async def test_the_library_by_itself_would_take_it():
    """Why answers are compared here: bacpypes3 gives the value of instance 9 to whoever asked for instance 1."""
    wrong = spoilt(in_front(object_id(bacnet.PIV, 9)), service=12)
    device = DeviceObject(objectIdentifier=("device", 7), objectName="naive", vendorIdentifier=0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        own = probe.getsockname()[1]
    port = NetworkPortObject(f"127.0.0.1:{own}", objectIdentifier=("network-port", 1), objectName="port")
    async with bacnet.serving(wrong) as peer:
        app = Application.from_object_list([device, port])
        where = Address(f"127.0.0.1:{peer.port}")
        value = await app.read_property(where, ObjectIdentifier("positive-integer-value,1"), "present-value")
        app.close()
        await asyncio.sleep(0)
    assert value == 1001


async def test_errors_are_those_of_their_properties():
    """Property errors within an answer make exactly their own points bad, and say so at each scan."""

    def script(asked: Asked) -> bytes:
        return bacnet.answer(asked, {name: unsigned(name[1]) for name in bacnet.names(asked) if name[1] != 2})

    async with bacnet.serving(script) as peer, Rig(peer) as rig:
        scan = await rig.read()
        assert listed(scan) == [(0, 1, GOOD), (1, None, bad(Reason.REFUSED)), (2, 3, GOOD)]
        again = await rig.read()
        assert (again.answered, again.outcomes) == (True, [])
        (error,) = again.errors
        assert isinstance(error, DeviceRefused)
        assert (error.exception_code, error.count) == (32, 2)
        assert "positive-integer-value 2 present-value: error 32, unknown-property" in str(error)


async def test_a_device_without_multiple_reads():
    """One that rejects ReadPropertyMultiple is asked singly, at once and from then on."""

    def script(asked: Asked) -> bytes:
        return bacnet.reject(asked, 9) if asked.service == RPM else counting(asked)

    async with bacnet.serving(script) as peer, Rig(peer) as rig:
        assert listed(await rig.read()) == [(at, 1001 + at, GOOD) for at in range(3)]
        assert rig.asked() == [3, 1, 1, 1]
        assert (await rig.read()).outcomes == []
        assert rig.asked() == [1, 1, 1]


@pytest.mark.parametrize("reason", [1, 4, 9, 11])
async def test_halved_on_abort_and_remembered(reason):
    """A request whose answer the device finds too long is halved until it fits, and stays so."""

    def script(asked: Asked) -> bytes:
        return bacnet.abort(asked, reason) if len(bacnet.names(asked)) > 3 else counting(asked)

    async with bacnet.serving(script) as peer, Rig(peer, points=10) as rig:
        assert listed(await rig.read()) == [(at, 1001 + at, GOOD) for at in range(10)]
        assert rig.asked() == [10, 5, 2, 3, 5, 2, 3]
        assert (await rig.read()).outcomes == []
        assert rig.asked() == [2, 3, 2, 3]


async def test_one_bad_property_that_fails_the_whole_request():
    """A device that answers a whole request with an error is asked in halves until only the culprit is refused."""

    def script(asked: Asked) -> bytes:
        culprit = any(name[1] == 7 for name in bacnet.names(asked))
        return bacnet.error(asked, 2, 32) if culprit else counting(asked)

    async with bacnet.serving(script) as peer, Rig(peer, points=8) as rig:
        scan = await rig.read()
        assert [at for at, _, q in listed(scan) if q != GOOD] == [6]
        assert scan.answered
        assert len(rig.asked()) <= 2 * 3 + 1


async def test_an_object_that_is_not_there_costs_one_request():
    """If the device has no such object, its points are refused without looking at each."""
    points = {name: ({"object": "lift", "property": prop}, "int") for name, prop in
              (("a", "car-position"), ("b", "next-stopping-floor"), ("c", "group-id"))}  # fmt: skip
    async with bacnet.serving(lambda asked: bacnet.error(asked, 1, 31)) as peer:
        driver = bacnet.driver(bacnet.device("d", points, port=peer.port))
        await driver.open()
        scan = await driver.read("d@1s")
        await driver.close()
        assert listed(scan) == [(at, None, bad(Reason.REFUSED)) for at in range(3)]
        assert len(peer.requests) == 1


@pytest.mark.parametrize(("limit", "requests"), [(1476, 1), (480, 3), (206, 6), (50, 32)])
async def test_what_the_device_takes_is_respected(limit, requests):
    """No answer is longer than the device says that it can send."""
    longest = 0

    def script(asked: Asked) -> bytes:
        nonlocal longest
        reply = counting(asked)
        longest = max(longest, len(reply), len(asked.data) + 4)
        return reply

    async with bacnet.serving(script, max_apdu=limit) as peer, Rig(peer, points=64) as rig:
        assert (await rig.read()).answered
        assert len(rig.asked()) == requests
        assert longest <= limit


async def test_a_device_that_drops_long_requests():
    """One that is there, and silent on a request of several properties, is asked for less until it answers."""

    def script(asked: Asked) -> bytes | None:
        return None if len(bacnet.names(asked)) > 2 else counting(asked)

    async with bacnet.serving(script) as peer, Rig(peer, points=4) as rig:
        scan = await rig.read()
        assert (scan.answered, {q for _, _, q in listed(scan)}) == (False, {bad(Reason.COMM)})
        assert listed(await rig.read()) == [(at, 1001 + at, GOOD) for at in range(4)]


@pytest.mark.parametrize("mute", [1, 8])
async def test_a_property_that_gets_no_answer(mute):
    """One property that the device never answers for becomes the only bad one within a few scans, and stays so."""

    def script(asked: Asked) -> bytes | None:
        return None if any(name[1] == mute for name in bacnet.names(asked)) else counting(asked)

    async with bacnet.serving(script) as peer:
        driver = bacnet.driver(bacnet.device("d", bacnet.values(*range(1, 9)), port=peer.port), timeout="120ms")
        await driver.open()
        said: dict[int, int] = {}
        history = []
        for _ in range(16):
            scan = await driver.read("d@1s")
            said |= {outcome.index: outcome.q for outcome in scan.outcomes}
            history.append({index for index, q in said.items() if q != GOOD})
        await driver.close()
        assert history[-6:] == [{mute - 1}] * 6


async def test_another_device_at_the_address():
    """If another device answers where ours should be, none of its values is taken for ours."""
    async with bacnet.serving(counting, instance=1201) as peer, Rig(peer) as rig:
        scan = await rig.read()
        assert (scan.answered, {q for _, _, q in listed(scan)}) == (False, {bad(Reason.MISMATCH)})
        assert "device 1200: another device answers there" in str(scan.errors[0])
        assert rig.asked() == []


async def test_a_dead_device_costs_one_time_out():
    """Of three devices behind one dead address the first waits 200 ms and the others nothing; a live one goes on."""
    async with bacnet.serving(lambda _asked: None) as dead, bacnet.serving(counting) as live:
        point = bacnet.values(1)
        behind = [bacnet.device(name, point, port=dead.port, instance=5) for name in ("x", "y", "z")]
        driver = bacnet.driver(*behind, bacnet.device("live", point, port=live.port))
        await dead.stop()
        await driver.open()
        began = perf_counter()
        scans = [await driver.read(f"{name}@1s") for name in ("x", "y", "z")]
        took = perf_counter() - began
        assert 0.19 < took < 0.35
        assert [listed(scan) for scan in scans] == [[(0, None, bad(Reason.COMM))]] * 3
        assert all(isinstance(scan.errors[0], DeviceSilent) and not scan.answered for scan in scans)
        assert listed(await driver.read("live@1s")) == [(0, 1001, GOOD)]
        dead.script = counting
        await dead.start()
        assert listed(await driver.read("x@1s")) == [(0, None, bad(Reason.MISMATCH))]  # it is device 1200 again
        await driver.close()


@pytest.mark.parametrize("in_flight", [1, 3])
async def test_in_flight(in_flight):
    """No device is asked more at once than it may be, however many tasks read, and the library never spins."""
    async with bacnet.serving(counting, max_apdu=50) as peer:
        peer.delay = 0.01
        devices = [bacnet.device(f"d{n}", bacnet.values(*range(1, 13)), port=peer.port, in_flight=in_flight)
                   for n in range(6)]  # fmt: skip
        driver = bacnet.driver(*devices, timeout="2s")
        await driver.open()
        scans = await asyncio.gather(*(driver.read(f"d{n}@1s") for n in range(6)))
        await driver.close()
        assert all(scan.answered and len(scan.outcomes) == 12 for scan in scans)
        assert peer.most_open == in_flight


async def test_late_doubled_and_strange_answers_are_passed_over():
    """Answers that come late, twice, with another invoke id or from another port belong to no question."""
    async with bacnet.serving(counting) as peer, Rig(peer) as rig:
        await rig.read()
        late: list[Asked] = []

        def keep(asked: Asked) -> None:
            late.append(asked)

        peer.script = keep
        assert not (await rig.read()).answered
        address = ("127.0.0.1", rig.driver._stack._server().local_transport.get_extra_info("sockname")[1])

        def all_at_once(asked: Asked) -> bytes:
            wrong = [
                late[0],
                asked._replace(invoke=asked.invoke ^ 0x40),
                asked._replace(invoke=asked.invoke + 1 & 0xFF),
            ]
            for other in wrong:
                peer.send(bacnet.answer(other, {name: unsigned(6) for name in bacnet.names(other)}), address)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                forged = bacnet.answer(asked, {name: unsigned(66) for name in bacnet.names(asked)})
                stranger.sendto(bacnet.frame(forged), address)
            peer.send(counting(asked), address)
            return counting(asked)

        peer.script = all_at_once
        assert listed(await rig.read()) == [(at, 1001 + at, GOOD) for at in range(3)]
        assert (await rig.read()).outcomes == []


async def test_silence_with_several_in_flight():
    """Of several requests that no answer comes to, the device's silence is counted once."""
    async with bacnet.serving(counting, max_apdu=50) as peer, Rig(peer, points=12, in_flight=3) as rig:
        assert (await rig.read()).answered
        peer.script = lambda _asked: None
        began = perf_counter()
        scan = await rig.read()
        assert perf_counter() - began < 0.35
        assert listed(scan) == [(at, None, bad(Reason.COMM)) for at in range(12)]
        assert {error.count for error in scan.errors} == {1}
        peer.script = counting
        assert len((await rig.read()).outcomes) == 12


async def test_a_reading_that_is_cancelled():
    """After a reading was cancelled the next one is complete and right."""
    async with bacnet.serving(counting) as peer, Rig(peer) as rig:
        await rig.read()
        peer.script = lambda _asked: None
        reading = asyncio.create_task(rig.read())
        await asyncio.sleep(0.02)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        peer.script = counting
        scan = await rig.read()
        assert (scan.complete, len(scan.outcomes), scan.answered) == (True, 3, True)


@pytest.mark.parametrize("head", [0x38, 0x3C], ids=["the last segment", "one of several"])
async def test_an_answer_in_segments_is_none(head):
    """A device that sends an answer in pieces, though it was told that nobody can take it so, gives no value."""

    def script(asked: Asked) -> bytes:
        honest = counting(asked)
        return bytes([head, honest[1], 0, 4, honest[2]]) + honest[3:]

    async with bacnet.serving(script) as peer, Rig(peer) as rig:
        scan = await rig.read()
        assert {(value, q == GOOD) for _, value, q in listed(scan)} == {(None, False)}
        peer.script = counting
        await asyncio.sleep(0.25)
        assert listed(await rig.read()) == [(at, 1001 + at, GOOD) for at in range(3)]


async def test_floods_are_bounded():
    """Thousands of I-Ams, half requests and reads of the gateway leave no more behind than a few dozen transactions."""
    async with bacnet.serving(counting) as peer, Rig(peer) as rig:
        await rig.read()
        stack = rig.driver._stack
        address = ("127.0.0.1", stack._server().local_transport.get_extra_info("sockname")[1])
        own = b"\x0c" + (8 << 22 | 990_001).to_bytes(4)
        for number in range(2000):
            i_am = b"\xc4" + (8 << 22 | number).to_bytes(4) + b"\x22\x05\xc4\x91\x03\x21\x63"
            peer.send(b"\x10\x00" + i_am, address)
            peer.send(bytes([0x08, 0x05, number & 0xFF, 12]) + own, address)  # the first of many segments
            peer.send(bytes([0x00, 0x05, number & 0xFF, 12]) + own[:3], address)  # cut short
            if number % 50 == 0:
                await asyncio.sleep(0)
                assert len(stack._app.asap.serverTransactions) <= 33
        end, stand = perf_counter() + 30, dict[int, tuple[object, int]]()
        while not (scan := await rig.read()).answered:
            assert perf_counter() < end, "a flood that is over must be over"
            stand |= {at: (value, q) for at, value, q in listed(scan)}
            await asyncio.sleep(0.05)
        stand |= {at: (value, q) for at, value, q in listed(scan)}
        assert stand in ({}, {at: (1001 + at, GOOD) for at in range(3)})
        assert len(rig.driver._doubles._heard) <= 1


async def test_numbers_that_nobody_has_a_name_for():
    """A proprietary object type above 127 and a proprietary property above 1023 are read, refused and written."""
    kind, prop = 1000, 2000
    points: dict[str, bacnet.Written] = {
        "own": ({"object": kind, "instance": 4_194_302, "property": prop, "write": "unsigned"}, "int"),
        "none": ({"object": 128, "instance": 0, "property": 65_000}, "int"),
    }

    def script(asked: Asked) -> bytes:
        if asked.service == bacnet.WRITE:
            return bacnet.simple_ack(asked)
        found = bacnet.names(asked)
        return bacnet.answer(asked, {name: unsigned(5) for name in found if name[2] == prop})

    async with bacnet.serving(script) as peer:
        driver = bacnet.driver(bacnet.device("d", points, port=peer.port), timeout="1s")
        await driver.open()
        scan = await driver.read("d@1s")
        assert listed(scan) == [(0, 5, GOOD), (1, None, bad(Reason.REFUSED))]
        await driver.write("d", "own", 7, 8)
        await driver.close()
        assert peer.writes[0].data.hex(" ") == "0c fa 3f ff fe 1a 07 d0 3e 21 07 3f 49 08"
