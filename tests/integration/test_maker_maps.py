"""Profiles of makers' devices against golden vectors, through the real driver: a server on this machine answers with
the words of a vector, and every point must come to mean what the maker's document says.

A vector names the points that it is about; together they name all of them. `null` is: not good, never a value.
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from drivers.modbus.codec import decoder
from drivers.modbus.options import ModbusPoint
from edge.rules.derives import Derives
from edge.settings import Site, load
from simulators.maps import (
    AQUALEAK_10K,
    CAME_GARD_PTX,
    DISCRETE,
    HOLDING,
    HONEYWELL_MIDAS,
    IGD_TOC_635,
    INPUT,
    NOTIFIER_MODBUS_GW,
    PEMTECH_PT495,
    Map,
    decode,
)
from sitekeeper.model.clock import SECOND
from sitekeeper.model.quality import is_good
from sitekeeper.model.sample import Sample, Value
from tests.fixtures.modbus import asked, driver, frame, serving

FIXTURES = Path(__file__).parents[1] / "fixtures" / "maps"
MAPS: Mapping[str, tuple[Map, int]] = {
    "came-gard-ptx": (CAME_GARD_PTX, 0),
    "notifier-modbus-gw": (NOTIFIER_MODBUS_GW, 8999),
    "aqualeak-10k": (AQUALEAK_10K, 0),
    "igd-toc-635": (IGD_TOC_635, 11),
    "pemtech-pt495": (PEMTECH_PT495, 0),
    "honeywell-midas": (HONEYWELL_MIDAS, 0),
}
"""By profile: what the simulator takes its words for, and the address at which that map begins."""
GOLDEN = {name: json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8")) for name in MAPS}
TABLES = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
FIRST = {"coil": 0, "discrete": DISCRETE, "holding": HOLDING, "input": INPUT}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """One device of each profile, in the place of its vectors."""
    folder = tmp_path_factory.mktemp("site")
    lines = [
        f"  - {{id: {name}, profile: {name}, link: l, unit: {unit}, with: {json.dumps(GOLDEN[name]['with'])}}}"
        for unit, name in enumerate(GOLDEN, 1)
    ]
    links = "links: {l: {driver: modbus-tcp, host: 10.0.0.1}}"
    (folder / "site.yaml").write_text("\n".join(["site: {id: maps, timezone: UTC}", links, "devices:", *lines]))
    return load(folder, environment={})


def words(vector: Mapping[str, Any], table: str) -> dict[int, int]:
    """Return the words of one table by address; those of coils are 0 and 1."""
    found = {}
    for start, block in vector.get(table, {}).items():
        for at, each in enumerate(block, int(start)):
            found[at] = int(each, 16)
    return found


def reply(vector: Mapping[str, Any], request: bytes) -> bytes:
    """Return the reply of a device in the state of `vector`; what it does not have is exception 2."""
    (first, count), function = asked(request), request[7]
    have = words(vector, TABLES[function])
    if not all(at in have for at in range(first, first + count)):
        return frame(request, bytes([function | 0x80, 2]))
    values = [have[at] for at in range(first, first + count)]
    if function in {1, 2}:
        packed = sum(bit << place for place, bit in enumerate(values)).to_bytes((count + 7) // 8, "little")
        return frame(request, bytes([function, len(packed)]) + packed)
    return frame(request, struct.pack(f">BB{count}H", function, 2 * count, *values))


@pytest.mark.parametrize("profile", GOLDEN)
async def test_every_point_means_what_the_document_says(site: Site, profile: str, no_leaked_tasks) -> None:
    """Each vector, read by the driver's own requests, gives the golden values; what says nothing is not good."""
    read = site.devices[profile].read
    known: dict[int, Sample] = {}  # a scan tells what is news
    answered: dict[str, Any] = {}
    async with serving(lambda request, writer: writer.write(reply(answered, request))) as peer:
        field = driver(peer.port, read, timeout="5s")
        await field.open()
        try:
            for vector in GOLDEN[profile]["vectors"]:
                answered.clear()
                answered.update(vector)
                for group in read.groups:
                    known |= {sample.handle: sample for sample in await scanned(field, group)}
                found = meanings(site, profile, list(known.values()))
                found = {name: found[name] for name in vector["expect"]}
                assert found == pytest.approx(vector["expect"]), vector["name"]
                kinds = {name: type(value) for name, value in found.items()}
                assert kinds == {name: type(value) for name, value in vector["expect"].items()}, vector["name"]
        finally:
            await field.close()


async def scanned(field: Any, group: Any) -> list[Sample]:
    scan = await field.read(group.id)
    assert scan.answered, scan.errors
    return [Sample(group.points[each.index].handle, SECOND, each.value, each.q) for each in scan.outcomes]


def meanings(site: Site, device: str, samples: list[Sample]) -> dict[str, Value]:
    """Return what a scan comes to: measured points, and those that are derived from them."""
    derives = Derives(site.derivations, state={}, as_of=None, now=0)
    found = [*samples, *derives.feed(samples), *derives.advance(4 * SECOND)]
    told = [(site.points[s.handle], s) for s in found]
    return {point.name: s.value if is_good(s.q) else None for point, s in told if point.device == device}


@pytest.mark.parametrize("profile", GOLDEN)
def test_the_vectors_cover_every_point(site: Site, profile: str) -> None:
    """No point of these profiles is without a golden value that is good."""
    vectors = GOLDEN[profile]["vectors"]
    good = {name for vector in vectors for name, value in vector["expect"].items() if value is not None}
    assert good == {point.name for point in site.points if point.device == profile} - {"online"}


@pytest.mark.parametrize("profile", GOLDEN)
def test_the_simulator_means_the_same(profile: str) -> None:
    """The simulator's own table, typed once more, agrees with the document on every measured point that it has."""
    entries, begins = MAPS[profile]
    seen: set[str] = set()
    for vector in GOLDEN[profile]["vectors"]:
        for table in ("coil", "holding", "input"):
            for start, block in vector.get(table, {}).items():
                found = decode(entries, FIRST[table] + int(start) - begins, [int(each, 16) for each in block])
                seen |= found.keys()
                for name in found.keys() & vector["expect"].keys():
                    assert found[name] == pytest.approx(vector["expect"][name]), (vector["name"], name)
    assert seen == entries.keys()


def test_every_state_of_the_barrier_has_its_word_and_no_other_number_has_one(site: Site) -> None:
    """The state word means what CAME's sheet says; a number that is not on it is bad."""
    codes = GOLDEN["came-gard-ptx"]["codes"]
    points = [point for group in site.devices["came-gard-ptx"].read.groups for point in group.points]
    state = next(point for point in points if point.name == codes["point"])
    assert isinstance(state.address, ModbusPoint)
    decode_state = decoder(state.address, state.type)
    found = {str(raw): decode_state(raw.to_bytes(2, "big")) for raw in range(65536)}
    assert {raw: value for raw, (value, q) in found.items() if is_good(q)} == codes["words"]


def test_the_manual_s_own_reply_is_the_first_vector() -> None:
    """The reply that the leak detector's manual prints is whole, checksum included, and its words are the vector's."""
    golden = GOLDEN["aqualeak-10k"]
    printed = bytes.fromhex(golden["frame"])
    checksum = 0xFFFF
    for byte in printed[:-2]:
        checksum ^= byte
        for _ in range(8):
            checksum = checksum >> 1 ^ (0xA001 if checksum & 1 else 0)
    assert printed[-2:] == checksum.to_bytes(2, "little")
    assert list(struct.unpack(">3H", printed[3:-2])) == list(words(golden["vectors"][0], "input").values())[:3]


def test_only_opening_and_stopping_can_be_written(site: Site) -> None:
    """Nothing of a safety input can be written, and of the barrier neither closing nor a reset."""
    written = {name: sorted(site.devices[name].writables) for name in GOLDEN}
    assert written == {name: [] for name in GOLDEN} | {"came-gard-ptx": ["cmd.open", "cmd.stop"]}
