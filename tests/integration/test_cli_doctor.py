"""`sk doctor` and `sk probe` against a real gateway and simulated lifts, one of which has fallen silent."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.stage import free_port
from tests.fixtures.sk_site import SkSite
from tests.sk import sk, wait_for

pytestmark = pytest.mark.slow

LIFT = {"face": "sp-lift-1", "lift": {"floors": 12, "start_floor": 1}}
SILENCE = [{"at": "0s", "do": {"fault": {"kind": "silence"}}}]
SCENARIO = {
    "title": "Of two lifts behind one converter the second says nothing",
    "seed": 1,
    "links": [
        {
            "id": "lifts",
            "devices": [{"id": "lift-a", "unit": 1, **LIFT}, {"id": "lift-b", "unit": 2, "story": SILENCE, **LIFT}],
        }
    ],
}


class Pair(SkSite):
    """A gateway with two lifts on one link, of which `lift-b` does not answer."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = self.simulate(SCENARIO)["lifts"]
        self.serve(
            links={"lifts": {"driver": "modbus-tcp", "host": "127.0.0.1", "port": self.port, "timeout": "300ms"}},
            devices=[
                {"id": f"lift-{name}", "profile": "sp-lift-1", "link": "lifts", "unit": unit, "name": {"en": name}}
                for unit, name in ((1, "a"), (2, "b"))
            ],
            rules={"packs": ["lift"]},
        )
        states = {"lift-a": "answers", "lift-b": "silent"}
        wait_for(lambda: {row["id"]: row["state"] for row in self.data("device", "list")} == states)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with Pair(tmp_path_factory.mktemp("pair")) as each:
        yield each


def test_the_first_finding_names_the_silent_device_and_its_command_confirms_it(pair: Pair) -> None:
    """Device, endpoint and the error in the evidence; the probe that it names finds nobody at that unit either."""
    said = pair("doctor", "--json")
    answer = said.envelope()
    assert (said.code, answer["schema"], said.err) == (1, "sitekeeper.doctor/1", "")
    first, *others = answer["data"]["findings"]
    assert (first["id"], first["state"], first["about"]) == ("DEV01", "fail", "lift-b")
    assert f"127.0.0.1:{pair.port} unit 2" in first["evidence"]
    assert "no answer within 0.3 s" in first["evidence"]
    assert "this unit says nothing" in first["cause"]
    assert {row["about"] for row in others} == {""}
    assert answer["problems"][0]["code"] == "device"
    outbox = {"OUT01", "OUT02", "OUT03", "OUT04", "AUD01"}
    assert {"DMN01", "OFF01", "DEV02", "CLK01"} | outbox == {row["id"] for row in others}
    command = first["next"].split()
    assert command[:3] == ["sk", "probe", "modbus"]
    asked = sk(*command[1:], "--timeout", "300ms")
    assert asked.code == 5
    assert asked.err.startswith("silent: ")
    assert f"127.0.0.1:{pair.port} unit 2" in asked.err


def test_piped_the_findings_are_tsv_in_the_language_asked_for(pair: Pair) -> None:
    """Ids and states are the same in every language."""
    english, chinese = pair("doctor"), pair("doctor", "--lang", "zh-Hant")
    assert (english.code, chinese.code) == (1, 1)
    first, other = english.table()[0], chinese.table()[0]
    assert (first["id"], first["state"]) == (other["id"], other["state"]) == ("DEV01", "fail")
    assert "沒有回應" in other["evidence"]


def test_probing_several_units_says_which_answer(pair: Pair) -> None:
    """One lift answers, the silent one and a unit that is not there do not."""
    said = pair(
        "probe", "modbus", f"127.0.0.1:{pair.port}", "--units", "1..3", "--table", "input", "--timeout", "300ms"
    )
    assert said.code == 0, said.err
    states = {row["unit"]: row["state"] for row in said.table()}
    assert states["1"] == "answers"
    assert states["2"] == "silent"
    assert states["3"] != "answers"


def test_a_probe_shows_words_and_orders_and_translates_a_modicon_number(pair: Pair) -> None:
    """Raw words in hex, a value per type and order, and what the number was taken for."""
    where = f"127.0.0.1:{pair.port}"
    said = pair("probe", "modbus", where, "--unit", "1", "--address", "30001", "--count", "2", "--json")
    assert said.code == 0, said.out + said.err
    data = said.envelope()["data"]
    assert (data["table"], data["address"]) == ("input", 0)
    assert "30001 is a Modicon number: read as input 0" in data["remark"]
    (answer,) = data["answers"]
    assert [len(word) for word in answer["raw"]] == [4, 4]
    whole = {v["order"]: v["value"] for v in answer["values"] if v["type"] == "uint32"}
    first, second = (int(word, 16) for word in answer["raw"])
    assert (whole["ABCD"], whole["CDAB"]) == (first << 16 | second, second << 16 | first)


def test_a_device_that_refuses_is_exit_code_1_with_everything_that_was_asked(pair: Pair) -> None:
    """Endpoint, unit, function, address and raw bytes."""
    said = pair("probe", "modbus", f"127.0.0.1:{pair.port}", "--table", "input", "--address", "9000")
    assert said.code == 1
    assert said.err.startswith("refused: ")
    for part in (f"tcp 127.0.0.1:{pair.port} unit 1", "FC04 address 9000 count 1", "exception 2", "raw "):
        assert part in said.err


def test_nobody_at_the_port_is_exit_code_5_and_a_wrong_request_2() -> None:
    """In JSON, too, with the endpoint."""
    port = free_port()
    said = sk("probe", "modbus", f"127.0.0.1:{port}", "--json")
    assert said.code == 5
    (problem,) = said.envelope()["problems"]
    assert problem["code"] == "unreachable"
    assert f"tcp 127.0.0.1:{port} unit 1: FC03 address 0 count 1: connection refused" in problem["message"]
    for wrong in (("h:x",), ("h", "--unit", "250"), ("h", "--timeout", "1"), ("h", "--units", "3..1")):
        assert sk("probe", "modbus", *wrong).code == 2, wrong


def test_without_a_daemon_the_exit_code_is_3_and_clock_and_disk_are_looked_at(tmp_path: Path) -> None:
    """What needs no daemon is told all the same."""
    said = sk("doctor", "--socket", str(tmp_path / "none.sock"), "--outbox", str(tmp_path / "outbox.db"))
    assert said.code == 3
    rows = {row["id"]: row for row in said.table()}
    assert set(rows) == {"DMN01", "OUT02", "CLK01"}
    assert (rows["DMN01"]["state"], rows["DMN01"]["next"]) == ("fail", "sk run --site DIR")
    assert str(tmp_path) in rows["OUT02"]["evidence"]
