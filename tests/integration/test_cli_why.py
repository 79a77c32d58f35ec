"""`sk why` against a real gateway, with a fault of each kind behind it: the hop that it names is the one at fault."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.doctor.hops import broken, walk
from simulators.stage import free_port
from sitekeeper.data import data_path
from tests import virtual, virtual_site
from tests.fixtures.sk_site import SkSite
from tests.sk import wait_for

pytestmark = pytest.mark.slow

FACE = {"face": "sp-lift-1", "lift": {"floors": 12, "start_floor": 1}}
FAULTS: dict[str, dict[str, Any]] = {"well": {}, "silent": {"kind": "silence"}, "frozen": {"kind": "freeze"},
                                     "refused": {"kind": "exception", "code": 2}, "unmapped": {}}  # fmt: skip


def story(fault: dict[str, Any]) -> dict[str, Any]:
    return {"story": [{"at": "0s", "do": {"fault": fault}}]} if fault else {}


class Five(SkSite):
    """A gateway with a lift for each fault behind one converter; nobody is where its broker should be."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        units = dict(enumerate(FAULTS, start=1))
        devices = [{"id": name, "unit": unit, **story(FAULTS[name]), **FACE} for unit, name in units.items()]
        scenario = {"title": "Five lifts", "seed": 1, "links": [{"id": "lifts", "devices": devices}]}
        self.port, self.nobody = self.simulate(scenario)["lifts"], free_port()
        (folder / "site/profiles").mkdir(parents=True)
        shipped = data_path("profiles", "sp-lift-1.yaml").read_text(encoding="utf-8")
        own = shipped.replace("sp-lift-1", "own-lift").replace("enum: {0: stopped, 1: running}", "enum: {7: stopped}")
        (folder / "site/profiles/own-lift.yaml").write_text(own, encoding="utf-8")
        self.serve(
            links={"lifts": {"driver": "modbus-tcp", "host": "127.0.0.1", "port": self.port, "timeout": "300ms"}},
            devices=[
                {"id": name, "profile": "own-lift" if name == "unmapped" else "sp-lift-1", "link": "lifts",
                 "unit": unit, "name": {"en": name}}
                for unit, name in units.items()
            ],
            rules={"packs": ["lift"]},
            office={"broker": f"mqtt://127.0.0.1:{self.nobody}"},
        )  # fmt: skip

    def breaks(self, point: str) -> tuple[str | None, str]:
        """Return the hop that is named and the text of its evidence."""
        data = self("why", point, "--json").envelope()["data"]
        return data["broken"], next((hop["said"] for hop in data["hops"] if hop["hop"] == data["broken"]), "")


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Five]:
    with Five(tmp_path_factory.mktemp("five")) as each:
        yield each


@pytest.mark.parametrize(
    ("point", "found"),
    [
        ("silent/floor", ("wire", "wire-silent")),
        ("refused/floor", ("wire", "wire-refused")),
        ("unmapped/car_status", ("decode", "decode-unmapped")),
        ("frozen/floor", ("quality", "quality-frozen")),
        ("well/floor", ("broker", "broker-away")),
    ],
)
def test_each_fault_is_found_at_its_own_hop(five: Five, point: str, found: tuple[str, str]) -> None:
    """A silent device, a refused register, an unknown raw value, a frozen heartbeat, a broker that is away."""
    wait_for(lambda: five.breaks(point) == found, 30)
    said = five("why", point, "--json")
    answer = said.envelope()
    assert (said.code, answer["schema"], answer["ok"]) == (1, "sitekeeper.why/1", False)
    assert answer["problems"][0]["code"] == found[0]
    assert answer["problems"][0]["hint"].startswith("sk ")


def test_the_evidence_names_endpoint_request_and_count(five: Five) -> None:
    """A technician can go on from the one line on stderr: where, what was asked, what came, what to type."""
    wait_for(lambda: five.breaks("silent/floor")[0] == "wire")
    said = five("why", "silent/floor")
    assert said.code == 1
    assert said.out.splitlines()[0].split("\t") == ["hop", "state", "evidence", "next"]
    for word in ("the wire", f"127.0.0.1:{five.port} unit 2", "FC04 address", "no answer within 0.3 s", "sk probe"):
        assert word in said.err


@pytest.mark.parametrize(("lang", "word"), [("zh-Hant", "線路"), ("zh-Hans", "线路")])
def test_it_speaks_chinese(five: Five, lang: str, word: str) -> None:
    """The conclusion in the language asked for; names of hops in the table stay, for scripts."""
    wait_for(lambda: five.breaks("silent/floor")[0] == "wire")
    said = five("why", "silent/floor", "--lang", lang)
    assert word in said.err
    assert "\nwire\tbroken\t" in said.out


def test_a_point_that_is_not_there_names_one_spelt_alike(five: Five) -> None:
    """Exit code 1, and no traceback."""
    said = five("why", "well/flor")
    assert said.code == 1
    assert "well/floor" in said.err


def test_without_a_daemon_the_exit_code_is_3(tmp_path: Path) -> None:
    """As for every command about a daemon."""
    from tests.sk import sk

    assert sk("why", "lift-a1/floor", "--socket", str(tmp_path / "none.sock")).code == 3


def test_a_whole_chain_ends_with_the_offices_commit(tmp_path: Path) -> None:
    """In virtual time with an office: every hop holds, and the block of the last change is released."""

    async def run() -> None:
        async with virtual_site.running(tmp_path, "day-of-a-lift.yaml") as site:
            await site.at(8)
            [found] = await site.technician("point.why", id="lift-a1/car_status")
            assert broken(walk(found)) is None
            last = {hop.name: hop for hop in walk(found)}
            assert (last["office"].state, last["office"].said) == ("ok", "office-has")
            assert last["recorder"].fields["sequence"] == found["block"]["sequence"]
            assert {"L01"} <= {rule["rule"] for rule in found["rules"]}

    virtual.run(run())
