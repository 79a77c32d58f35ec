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
from edge.dump import document, evidence, tells
from edge.dump.words import taken_of
from edge.operations.dump import operations
from edge.settings import Site, load
from simulators.modbus_face import Refusal, Registers
from simulators.replay import Replay, server, words
from sitekeeper.model.clock import SystemClock
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import FormatError, NotFound, Refused
from sitekeeper.model.point import PointType
from sitekeeper.model.sample import Value
from sitekeeper.profile import ClassFile
from tests import virtual

MAPS = Path(__file__).parents[1] / "fixtures" / "maps"
KIND = {"vendor": "ACME", "product": "L-7", "version": "2.1"}
ONE = {"report": "L-7 SN 00417", "application": "Mrs Chan's lift", "0x80": "00417", "vendor_url": "acme.example/00417"}
IDENTITY = KIND | ONE


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
    said = asyncio.run(driver.captured("it"))
    found = document(site, site.devices["it"], said, IDENTITY, day="2026-06-01", **how)
    read: dict[str, Any] = json.loads(json.dumps(found))  # as whoever reads the file has it
    return read


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
    """Of what a unit says of itself only what it is passes; asked for, all is there."""
    vector = golden("sp-lift-1")
    source = tmp_path / "source.json"
    source.write_text(json.dumps({"vectors": [vector]}), encoding="utf-8")
    site = a_site("sp-lift-1")
    _, driver = virtual.run(played(source, site))
    taken = dumped(site, driver)
    assert taken["identity"] == KIND | dict.fromkeys(ONE, "masked")
    assert "00417" not in json.dumps(taken)
    assert dumped(site, driver, masked=False)["identity"] == IDENTITY
    assert evidence(taken) == (
        'evidence: {level: field, maker: "ACME", model: "L-7", document: "?", place: "?", '
        'against: "SITE ?, firmware 2.1, 2026-06-01"}'
    )


def test_a_number_of_a_profile_is_masked_unless_it_is_named(tmp_path: Path) -> None:
    """Whatever it is called; masked it is no value, and its class's points and named ones are as they are."""
    vector, source = golden("sp-lift-1"), tmp_path / "source.json"
    source.write_text(json.dumps({"vectors": [vector]}), encoding="utf-8")
    site = a_site("sp-lift-1")
    _, driver = virtual.run(played(source, site))
    taken = dumped(site, driver)
    (kept,) = taken["vectors"]
    assert (taken["masked"], kept["input"]["1"]) == (["map_version"], "0x0000")
    assert kept["values"] == {**vector["values"], "map_version": None}
    assert dumped(site, driver, show=["MAP_Version"]) == {
        **dumped(site, driver, masked=False),
        "identity": taken["identity"],
    }
    with pytest.raises(NotFound, match="did you mean map_version"):
        dumped(site, driver, show=["map_versoin"])


def test_what_no_address_needs_is_masked_out_of_with(tmp_path: Path) -> None:
    """The channel stays, for without it the file cannot be read; a note that somebody wrote beside it does not."""
    vector, source = golden("sp-relay-8"), tmp_path / "source.json"
    source.write_text(json.dumps({"vectors": [vector]}), encoding="utf-8")
    site = a_site("sp-relay-8", json.dumps({"channel": 2, "holder": "Chan Tai Man", "badge": 4711}))
    _, driver = virtual.run(played(source, site))
    assert dumped(site, driver)["vectors"][0]["with"] == {"channel": 2, "holder": "masked", "badge": "masked"}
    assert dumped(site, driver, masked=False)["vectors"][0]["with"]["badge"] == 4711


@pytest.mark.parametrize(
    "name", ["cred", "badge", "uid", "pin", "owner", "vehicle", "licence_no", "device_id", "Serial", "x"]
)
def test_what_a_class_does_not_declare_may_tell_anything(name: str) -> None:
    """A text or a whole number of a profile's own, whatever its name; no measurement, no state, no class's own."""
    cls = ClassFile.model_validate({
        "class": "c", "points": {"floor": {"type": "int"}, "last.plate": {"type": "text"}},
        "events": {"e": {"fields": {"plate": {"type": "text", "personal": "plate"}}}},
    })  # fmt: skip
    assert [tells(name, kind, cls) for kind in ("text", "int", "float", "bool")] == [True, True, False, False]
    assert [tells("floor", "int", cls), tells("last.plate", "text", cls)] == [False, True]


def test_the_words_of_a_telling_point_are_masked() -> None:
    """Of a text not even the length is left, of a number nothing; bits beside it that are another point's stay."""
    held = {"holding": {0: 0x4142, 1: 0x4300, 2: 0x2000, 5: 0xBEEF, 9: 0x0907}}
    points = [
        point("controller_name", {"holding": 0, "type": "string", "length": 6}, "text"),
        point("card_number", {"holding": 5, "type": "uint16"}, "int"),
        point("first_letter", {"holding": 0, "byte": "high", "type": "uint16"}, "int"),
        point("floor", {"holding": 9, "byte": "low", "type": "uint16"}, "int"),
        point("badge", {"holding": 9, "byte": "high", "type": "uint16"}, "int"),
        point("gone", {"holding": 20, "type": "uint16"}, "int"),
    ]
    telling = frozenset({"controller_name", "card_number", "badge"})
    masked = {"holding": {0: 0x7878, 1: 0x7878, 2: 0x7878, 5: 0, 9: 0x0007}}
    assert taken_of(points, held, telling) == (masked, ["gone"])


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
    values = json.loads(out.read_text(encoding="utf-8"))["vectors"][0]["values"]
    assert values == {**golden("sp-relay-8")["values"], "heartbeat": None}
    assert "masked: heartbeat" in said.stderr
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


def test_every_form_of_golden_vectors_is_served() -> None:
    """All Modbus files of the maps, and each form by what it means: rows, lists at an address, words of one table."""
    read = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(MAPS.glob("*.json"))]
    tables = {"words", "coil", "discrete", "holding", "input"}
    told = [each for each in read if tables & each.get("vectors", [{}])[0].keys()]
    assert len(told) >= 20
    assert all(any(words(each).values()) for each in told)
    forms = {"discrete": "10 1", "coil": {"7": [1, "0"]}, "holding": ["0x000A", 3], "input": {"4": "0x11"}}
    assert words({"vectors": [forms]}) == {
        "coil": {7: 1, 8: 0}, "discrete": {0: 1, 1: 0, 2: 1}, "holding": {0: 10, 1: 3}, "input": {4: 17},
    }  # fmt: skip
    assert words({"table": "input", "start": 16, "vectors": [{"words": [1, 2]}]}) == {"input": {16: 1, 17: 2}}


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({"holding": {"65535": [1, 2]}}, "holding 65536: write an address from 0 to 65535"),
        ({"input": {"-1": 0}}, "input -1: write an address from 0 to 65535"),
        ({"input": {"4": "0x10000"}}, "input 4 is 0x10000: write a number from 0 to 65535"),
        ({"holding": [0, -1]}, "holding 1 is -1: write a number from 0 to 65535"),
        ({"coil": "102"}, "coil 2 is 2: write a number from 0 to 1"),
    ],
)
def test_what_no_device_can_hold_is_refused(held: dict[str, Any], said: str) -> None:
    """With its place, and what may stand there."""
    with pytest.raises(FormatError, match=said):
        words({"vectors": [held]})
