"""The time machine on a whole virtual site: the same rules decide the same, changed ones just what was changed."""

import asyncio
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from cloud_sync.store.export import lines
from cloud_sync.store.reader import StoreReader
from edge.backtest.gates import Gates, judge
from edge.cli.config import config
from edge.cli.rule import rule
from edge.settings import load as load_site
from edge.settings.load import load_texts
from edge.timemachine import Wanted, try_rules
from office.cli import office
from office.export import written
from sitekeeper.control import ControlError
from sitekeeper.model.alarm import Cause
from sitekeeper.model.clock import HOUR, SECOND
from tests import virtual, virtual_site
from tests.acceptance.test_replay import busy, recorded

GATES = Gates(nuisance_per_day=1e6)
"""A quarter of an hour is a bad measure of nuisances a day."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a site that had a bad quarter of an hour and a restart of its machine, with its outbox."""
    place = tmp_path_factory.mktemp("backtest")

    async def main() -> None:
        async with virtual_site.running(place, busy(1)) as site:
            await site.at(85)
            explained = [await site.ask("control", "rule.explain", rule="L01", device="lift-a1")]
            explained.append(await site.ask("control", "rule.explain", rule="L04"))
            (place / "explained.json").write_text(json.dumps(explained))
            for asked in ({"rule": "L25", "device": "lift-a1"}, {"rule": "L99", "device": "lift-a1"}):
                with pytest.raises(ControlError) as refused:
                    await site.ask("control", "rule.forget", note="another lift", **asked)
                assert refused.value.problems[0].code == ("not-found" if asked["rule"] == "L99" else "nothing-learned")
            await site.at(450)
            await site.kill_gateway()
            await asyncio.sleep(20)
            await site.start_gateway(virtual_site.RebootedClock(site.clock))
            await site.at(900)

    virtual.run(main())
    return place / "site"


def sk(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(rule, ["backtest", str(folder), "--gate", "nuisance_per_day=1e6", *arguments])


ANEW = "records from"
NOTHING = "nothing was decided about this time, without a record of it or a rule at work: that proves nothing"


def failed(done: Result) -> list[str]:
    """Return what a run that failed said at its end: the gates, and that something was decided anew."""
    assert done.exit_code == 1, done.output
    last = [line for line in done.output.splitlines() if "gate" in line or "nothing" in line or ANEW in line]
    return sorted(
        (ANEW if ANEW in line else re.sub("-a[12]", "", line) for line in last), key=lambda line: line == ANEW
    )


def rule_file(folder: Path, id_: str, **changed: Any) -> str:
    """Write a shipped rule with other values; return the path."""
    (text,) = [known for known in load_texts(folder) if known.mapping["id"] == id_]
    written = {**text.mapping, **changed}
    written.pop("tests", None)
    path = folder.parent / f"{id_}.yaml"
    path.write_text(yaml.safe_dump([written], allow_unicode=True, sort_keys=False))
    return str(path)


def test_the_same_rules_decide_the_same(folder: Path) -> None:
    """Over faults of lifts and links, and over a kill and a reboot on another monotonic clock: no difference at all."""
    tried = try_rules(load_site(folder), Wanted())
    assert [str(one) for one in tried.result.differences] == []
    assert {name for name, of in tried.result.rules.items() if of.old} >= {"L01", "L03", "L22", "L25"}
    assert judge(tried.result, GATES) == []
    assert tried.result.carried == 0
    assert len({move.mono < 400 * SECOND for move in recorded(folder / "outbox.db")}) == 2


def pieces(part: Any) -> dict[str, Any]:
    """Return all pieces of an explained condition by their text."""
    found = {part["text"]: part}
    for child in part["children"]:
        found |= pieces(child)
    return found


def test_a_rule_tells_how_it_stands(folder: Path) -> None:
    """While a person is shut in, L01 says piece by piece what holds, and how long it still waits for the rest."""
    (shut_in,), others = json.loads((folder.parent / "explained.json").read_text())
    assert (shut_in["state"], shut_in["alarm"], shut_in["priority"], shut_in["mode"]) == ("idle", "A", "P1", "live")
    found = pieces(shut_in["when"])
    assert (found["stuck"]["value"], found["person"]["value"], found["stuck_long"]["value"]) == (True, True, False)
    wait = found["held(stuck, stuck_for + express_allowance)"]["wait"]
    assert wait["of_s"] == 30
    assert 10 <= wait["shown_s"] < 30
    assert wait["due_in_s"] == pytest.approx(30 - wait["shown_s"], abs=0.01)
    assert found["power"]["quality"] == "good"
    assert [(one["rule"], one["device"]) for one in others] == [("L04", "lift-a1"), ("L04", "lift-a2")]
    assert "not person" in pieces(others[0]["when"]) or "person" in pieces(others[0]["when"])


def test_a_shorter_delay_is_found_to_the_second(folder: Path) -> None:
    """L04 waits 15 s; with 5 s each of its alarms comes 10 s earlier, ends as it did, and says in words why."""
    done = sk(folder, "--rule", rule_file(folder, "L04", on_delay="5s"), "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)["data"]
    was = [one for one in recorded(folder / "outbox.db") if one.rule == "L04" and one.cause is Cause.RAISE]
    assert len(was) == 2
    assert [(one["kind"], one["alarm"]) for one in found["differences"]] == [
        ("earlier", "lift-a1/L04"), ("earlier", "lift-a2/L04")
    ]  # fmt: skip
    for one in found["differences"]:
        start, now = (datetime.fromisoformat(one[which]["start"]) for which in ("was", "is"))
        assert start - now == timedelta(seconds=10)
        assert one["was"]["end"] == one["is"]["end"]
    assert found["rules"] == [
        {"rule": "L04", "was": 2, "is": 2, "earlier": 2, "nuisance_was": 0, "nuisance_is": 0}
    ]  # fmt: skip
    words = sk(folder, "--rule", rule_file(folder, "L04", on_delay="5s"))
    assert words.output.count("the car stands between landings") == 2
    assert words.output.count("P2 08:09:05-08:1") == 2


def test_a_broken_gate_is_named_and_fails(folder: Path) -> None:
    """A further P1, an alarm that is gone, one that is late, and a record with nothing in it."""
    p1 = rule_file(folder, "L22", id="X22", priority="P1")
    assert failed(sk(folder, "--rule", p1)) == ["gate added_p1: found 2, allowed 0 (lift/X22)", ANEW]
    assert sk(folder, "--rule", p1, "--gate", "added_p1=2").exit_code == 0
    off = rule_file(folder, "L22", mode="off")
    assert failed(sk(folder, "--rule", off)) == ["gate removed: found 2, allowed 0 (lift/L22)", ANEW]
    late = rule_file(folder, "L22", on_delay="9s")
    assert failed(sk(folder, "--rule", late)) == ["gate later: found 6s, allowed 0s (lift/L22)", ANEW]
    assert sk(folder, "--rule", late, "--gate", "later=6s").exit_code == 0
    nothing = sk(folder, "--until", "2020-01-01T00:00Z")
    assert failed(nothing) == [NOTHING]
    idle = rule_file(folder, "L22", id="X22", mode="off")
    assert failed(sk(folder, "--rule", idle)) == [NOTHING]
    assert sk(folder, "--gate", "removd=1").exit_code == 2


def test_only_what_is_in_the_time_asked_for_is_judged(folder: Path) -> None:
    """Up to a moment the rules decide nothing after it; of a time after the record its warm-up proves nothing."""
    site = load_site(folder)
    whole = try_rules(site, Wanted())
    (raised, *_) = whole.new["lift-a1/L04"]
    assert raised.end is not None
    part = try_rules(site, Wanted(until=raised.end))
    assert part.new["lift-a1/L04"] == [replace(raised, end=None)]
    assert all(span.start < part.until > (span.end or 0) for spans in part.new.values() for span in spans)
    assert [str(one) for one in part.result.differences] == []
    assert 0 < part.result.records < whole.result.records
    after = try_rules(site, Wanted(until=whole.until + 2 * HOUR, length=HOUR))
    assert after.new, "decided in the warm-up"
    assert [one.gate for one in judge(after.result, GATES)] == ["records"]


def test_an_alarm_that_stood_and_would_not_is_removed(folder: Path) -> None:
    """The time asked for begins while L04 stands; with the same rules that is no difference, but carried."""
    (raised, *_) = try_rules(load_site(folder), Wanted()).new["lift-a1/L04"]
    length = Wanted(length=try_rules(load_site(folder), Wanted()).until - raised.start - 5 * SECOND)
    same = try_rules(load_site(folder), length).result
    assert ([str(one) for one in same.differences], same.carried >= 1) == ([], True)
    cold = try_rules(load_site(folder), replace(length, warm=0)).result
    assert [str(one) for one in cold.differences] == [], "it began before the rules saw anything"
    never = load_site(folder, tried=Path(rule_file(folder, "L04", on_delay="2h")))
    found = try_rules(never, replace(length, rules=frozenset({"L04"}))).result.differences
    assert ("removed", "lift-a1/L04") in [(one.kind, one.key) for one in found]


def test_the_office_has_the_same_record(folder: Path) -> None:
    """An export of the office's store gives the same alarms from as many records; of a part, those of that part."""
    site, path = load_site(folder), folder.parent / "s1.export"
    reader = StoreReader(folder.parent / "office.db")
    whole = try_rules(site, Wanted())
    settings = folder.parent / "office.yaml"
    settings.write_text(yaml.safe_dump({"store": {"path": str(folder.parent / "office.db")}, "broker": {"host": "no"}}))
    ends = datetime.fromtimestamp(whole.until / SECOND, UTC) + timedelta(seconds=1)
    asked = ["export", "s1", str(path), "--since", "2h", "--until", ends.isoformat(), "--config", str(settings)]
    done = CliRunner().invoke(office, asked)
    assert (done.exit_code, done.output.split("\t")[:2]) == (0, ["exported", str(path)])
    assert path.stat().st_mode & 0o777 == 0o600
    assert CliRunner().invoke(office, ["export", "s9", *asked[2:]]).exit_code == 1
    again = try_rules(site, Wanted(export=path))
    assert [str(one) for one in again.result.differences] == []
    assert (again.new, again.result.records) == (whole.new, whole.result.records)
    assert again.result.records > 1_000
    written(path, lines(reader, "s1", whole.since + 535 * SECOND, whole.until))
    part = try_rules(site, Wanted(export=path))
    reader.close()
    assert 0 < part.result.records < whole.result.records / 2
    assert [one.kind for one in part.result.differences if one.key.endswith("/L04")] == []
    assert {key for key in part.new if key.endswith("/L04")} == {"lift-a1/L04", "lift-a2/L04"}, "since 5 s before"


def test_a_site_may_require_it(folder: Path) -> None:
    """With `require: true` a check of the folder tries the rules, and refuses what breaks a gate of the site file."""
    written_ = yaml.safe_load((folder / "site.yaml").read_text())
    other = folder.parent / "other"
    other.mkdir()

    def check(*options: str, **rules: Any) -> Result:
        site = {**written_, "rules": {**written_["rules"], **rules}, "outbox": {"path": str(folder / "outbox.db")}}
        (other / "site.yaml").write_text(yaml.safe_dump(site, sort_keys=False))
        return CliRunner().invoke(config, ["check", str(other), *options], standalone_mode=False)

    late = {"overrides": {"L22": {"on_delay": "9s"}}}
    loose = {"nuisance_per_day": 1_000_000}
    assert check(**late).return_value == 0
    assert check(**late, gates=loose, require=True).return_value == 1
    assert check("--no-backtest", **late, gates=loose, require=True).return_value == 0
    assert check("--backtest", **late, gates=loose).return_value == 1
    assert check(gates=loose, require=True, overrides={}).return_value == 0
    assert check(**late, gates={**loose, "later": "6s"}, require=True).return_value == 0
    wrong = check(gates={"later": "soon", "removd": 1})
    assert wrong.return_value == 6
    assert "site.yaml" in wrong.output
    assert '"removed"' in wrong.output
