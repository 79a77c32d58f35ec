"""`sk device dump`: what is taken away from a device reads the same when it is played back, and names nobody."""

import asyncio
import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from click.testing import CliRunner

from drivers.base import Driver, PointRead, Services
from drivers.captured import Captured
from drivers.modbus import TCP
from drivers.modbus.options import ModbusPoint
from edge.cli.device import device as device_commands
from edge.dump import document, evidence, taken_of, tells
from edge.operations.dump import operations
from edge.settings import Site, load
from simulators.modbus_face import Refusal, Registers
from simulators.replay import Replay, server, words
from sitekeeper.model.clock import SystemClock
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import FormatError, Refused
from sitekeeper.model.point import PointType
from sitekeeper.model.sample import Value
from tests import virtual

MAPS = Path(__file__).parents[1] / "fixtures" / "maps"
IDENTITY = {"vendor_name": "ACME", "product_code": "L-7", "revision": "2.1", "serial_number": "00417"}


@cache
def a_site(profile: str, place: str = "{}") -> Site:
    """Return a site with one device; loaded once, for that takes long."""
    with TemporaryDirectory() as folder:
        device = f"{{id: it, profile: {profile}, link: l, unit: 1, with: {place}}}"
        (Path(folder) / "site.yaml").write_text(
            "site: {id: s, timezone: UTC}\nlinks: {l: {driver: modbus-tcp, host: 127.0.0.1}}\n"
            f"devices: [{device}]\n",
            encoding="utf-8",
        )
        return load(Path(folder), environment={})


async def read(site: Site, port: int) -> tuple[dict[str, tuple[Value, int]], Driver]:
    """Return what the driver has of each point, and the driver, closed."""
    device, options = site.devices["it"], site.links["l"].options.model_copy(update={"port": port})
    driver = TCP.create("l", options, [device.read], virtual.VirtualClock(), Services())
    await driver.open()
    found = {}
    for group in device.read.groups:
        for _ in range(4):  # a refused gap is cut out at once, anything else after two refusals
            for outcome in (await driver.read(group.id)).outcomes:
                found[group.points[outcome.index].name] = (outcome.value, outcome.q)
    await driver.close()
    return found, driver


def dumped(site: Site, driver: Driver, **how: Any) -> dict[str, Any]:
    assert isinstance(driver, Captured)
    found = document(site, site.devices["it"], driver.captured("it"), IDENTITY, day="2026-06-01", **how)
    return json.loads(json.dumps(found))  # as whoever reads the file has it


def golden(profile: str) -> dict[str, Any]:
    """Return the first golden vector of a profile: words from the source, by address."""
    content = json.loads((MAPS / f"{profile}.json").read_text(encoding="utf-8"))
    vector: dict[str, Any] = content["vectors"][0]
    if "words" in vector:
        table, start = content["table"], content["start"]
        vector[table] = {str(at): word for at, word in enumerate(vector["words"], start)}
    return vector


async def played(file: Path, site: Site) -> tuple[dict[str, Any], Driver]:
    """Serve a file, read it by the driver, and return what was read."""
    unit = server(file, virtual.VirtualClock(), unit=1, port=0)
    await unit.start()
    try:
        return await read(site, unit.port)
    finally:
        await unit.close()


@pytest.mark.parametrize("profile", ["sp-lift-1", "sp-relay-8", "eastron-sdm630"])
def test_a_dump_plays_back_what_was_read(tmp_path: Path, profile: str) -> None:
    """From a unit with the source's words to a file, from the file to another unit: every point is as it was."""
    vector = golden(profile)
    site = a_site(profile, json.dumps(vector.get("with", {})))
    source, copy = tmp_path / "source.json", tmp_path / "copy.json"
    source.write_text(json.dumps({"vectors": [vector]}), encoding="utf-8")
    seen, driver = virtual.run(played(source, site))
    taken = dumped(site, driver, masked=False)
    copy.write_text(json.dumps(taken), encoding="utf-8")
    again, _ = virtual.run(played(copy, site))
    assert seen
    assert again == seen
    (kept,) = taken["vectors"]
    assert (taken["missing"], kept["with"]) == ([], vector.get("with", {}))
    assert {name: value for name, value in kept["values"].items() if value is not None} == {
        name: value for name, (value, _) in seen.items() if value is not None
    }
    assert kept["values"] == vector["values"]
    assert kept["derived"] == vector.get("derived", kept["derived"])
    held = words({"vectors": [vector]})
    assert all(held[table][at] == word for table, there in words(taken).items() for at, word in there.items())


def test_who_and_which_one_it_is_stays_where_it_is(tmp_path: Path) -> None:
    """Serial numbers of the unit are masked, and points that tell one; asked for, they are there."""
    vector = golden("sp-lift-1")
    source = tmp_path / "source.json"
    source.write_text(json.dumps({"vectors": [vector]}), encoding="utf-8")
    site = a_site("sp-lift-1")
    _, driver = virtual.run(played(source, site))
    taken = dumped(site, driver)
    assert taken["identity"] == {**IDENTITY, "serial_number": "masked"}
    assert "00417" not in json.dumps(taken)
    assert dumped(site, driver, masked=False)["identity"] == IDENTITY
    assert evidence(taken) == (
        'evidence: {level: field, maker: "ACME", model: "L-7", document: "?", place: "?", '
        'against: "SITE ?, firmware 2.1, 2026-06-01"}'
    )


def test_the_words_of_a_telling_point_are_masked() -> None:
    """Of a text its length is left, of a number nothing; whatever else reads these registers sees them masked."""
    held = {"holding": {0: 0x4142, 1: 0x4300, 5: 0xBEEF, 9: 7}}
    points = [
        point("controller_name", {"holding": 0, "type": "string", "length": 4}, "text"),
        point("card_number", {"holding": 5, "type": "uint16"}, "int"),
        point("first_letter", {"holding": 0, "byte": "high", "type": "uint16"}, "int"),
        point("floor", {"holding": 9, "type": "uint16"}, "int"),
        point("gone", {"holding": 20, "type": "uint16"}, "int"),
    ]
    telling = frozenset(each.name for each in points if tells(each))
    assert telling == {"controller_name", "card_number"}
    assert taken_of(points, held, telling) == ({"holding": {0: 0x7878, 1: 0x7800, 5: 0, 9: 7}}, ["gone"])


def point(name: str, written: dict[str, object], kind: PointType) -> PointRead:
    return PointRead(handle=0, name=name, type=kind, address=ModbusPoint.model_validate(written))


async def test_without_a_gateway_the_device_is_read_once(tmp_path: Path) -> None:
    """`--site`: the same file, over the wire this time; a device that is not there is said to be unreachable."""
    unit = server(MAPS / "sp-relay-8.json", SystemClock(), unit=1, port=0)
    await unit.start()
    site, out = tmp_path / "site", tmp_path / "it.json"
    site.mkdir()
    line = f"links: {{l: {{driver: modbus-tcp, host: 127.0.0.1, port: {unit.port}, timeout: 5s}}}}"
    where = json.dumps(golden("sp-relay-8")["with"])
    device = f"devices: [{{id: it, profile: sp-relay-8, link: l, unit: 1, with: {where}}}]"
    (site / "site.yaml").write_text(f"site: {{id: s, timezone: UTC}}\n{line}\n{device}\n", encoding="utf-8")
    take = ["dump", "it", "--site", str(site), "--out", str(out), "--lang", "en"]
    said = await asyncio.to_thread(CliRunner().invoke, device_commands, take)
    await unit.close()
    gone = await asyncio.to_thread(CliRunner().invoke, device_commands, take)
    assert said.exit_code == 0, said.output
    assert json.loads(out.read_text(encoding="utf-8"))["vectors"][0]["values"] == golden("sp-relay-8")["values"]
    assert 'evidence: {level: field, maker: "?"' in said.stderr
    assert (gone.exit_code, gone.stderr.partition(":")[0]) == (5, "unreachable")


async def test_who_only_looks_takes_nothing_away() -> None:
    """A dump is for technicians; that is seen before the device is even looked for."""
    nothing: Any = None
    with pytest.raises(Refused) as refused:
        await anext(operations(nothing)["device.dump"](Actor("guest", "viewer", "site"), {"id": "it"}))
    assert refused.value.reason == "not-permitted"


def test_what_is_not_in_the_file_is_refused() -> None:
    """Another register, another table, a write: a unit played back never makes anything up."""
    face = Replay({"holding": {4: 17, 5: 18}})
    assert face.read(3, 4, 2, 0) == Registers(4, (17, 18), None)
    assert [face.read(3, 4, 3, 0), face.read(4, 4, 1, 0)] == [Refusal(2), Refusal(2)]
    assert face.write(6, 4, (1,), 0) == Refusal(1)


@pytest.mark.parametrize("content", [{}, {"vectors": []}, {"vectors": [{"holding": {"x": "0x0"}}]}, {"vectors": 3}])
def test_a_file_that_is_none_is_said_to_be_none(content: dict[str, Any]) -> None:
    """Rather than serving nothing."""
    with pytest.raises(FormatError, match="no words"):
        words(content)
