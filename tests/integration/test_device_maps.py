"""Profiles against golden vectors through the real driver: a server on this machine answers with a vector's words."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edge.settings import Site, load
from sitekeeper.model.quality import is_good
from sitekeeper.model.sample import Value
from tests.fixtures.modbus import asked, driver, frame, serving

MAPS = Path(__file__).parents[1] / "fixtures" / "maps"
READ = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(MAPS.glob("*.json"))}
GOLDEN = {
    name: each["vectors"] for name, each in READ.items() if each.get("vectors", [{}])[0].keys() >= {"with", "values"}
}
PARTS = [(name, number, vector) for name, vectors in GOLDEN.items() for number, vector in enumerate(vectors, 1)]
TABLES = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
UNUSED = "0"
"""What the addresses say that no point uses and that a request reads along."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """One device in the place of each vector, each a unit of its own."""
    folder = tmp_path_factory.mktemp("site")
    lines = [
        f"  - {{id: {name}-{number}, profile: {name}, link: l, unit: {unit}, with: {json.dumps(vector['with'])}}}"
        for unit, (name, number, vector) in enumerate(PARTS, 1)
    ]
    links = "links: {l: {driver: modbus-tcp, host: 10.0.0.1}}"
    (folder / "site.yaml").write_text("\n".join(["site: {id: maps, timezone: UTC}", links, "devices:", *lines]))
    return load(folder, environment={})


def reply(request: bytes) -> bytes:
    """Return the reply of the unit that is asked; to what its vector does not touch at all, exception 2."""
    (first, count), function, unit = asked(request), request[7], request[6]
    words: Mapping[str, str] = PARTS[unit - 1][2].get(TABLES[function], {})
    wanted = [str(at) for at in range(first, first + count)]
    if not words.keys() & set(wanted):
        return frame(request, bytes([function | 0x80, 2]))
    values = [int(words.get(at, UNUSED), 0) for at in wanted]
    if function in {1, 2}:
        packed = sum(bit << place for place, bit in enumerate(values)).to_bytes((count + 7) // 8, "little")
        return frame(request, bytes([function, len(packed)]) + packed)
    return frame(request, struct.pack(f">BB{count}H", function, 2 * count, *values))


async def test_every_point_means_what_the_source_says(site: Site, no_leaked_tasks: Any) -> None:
    """Each point of each profile, read by the driver's own requests, has the golden value; without one it is bad."""
    async with serving(lambda request, writer: writer.write(reply(request))) as peer:
        for name, number, vector in PARTS:
            read = site.devices[f"{name}-{number}"].read
            field = driver(peer.port, read, timeout="10s")
            await field.open()
            found: dict[str, Value] = {}
            try:
                for group in read.groups:
                    scan = await field.read(group.id)
                    assert scan.answered, (name, scan.errors)
                    found |= {group.points[o.index].name: o.value if is_good(o.q) else None for o in scan.outcomes}
            finally:
                await field.close()
            assert found == {key: pytest.approx(value) for key, value in vector["values"].items()}, vector["name"]
    assert len(GOLDEN) >= 11
