"""`sk point write` as a technician meets it: a real gateway, a simulated parking lane, real time, every exit code."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.sk_site import SkSite
from tests.sk import Said, sk, wait_for

pytestmark = pytest.mark.slow

SCENARIO = {
    "title": "A lane on which nothing happens by itself",
    "seed": 1,
    "links": [
        {"id": "lanes", "devices": [{"id": "lane-in", "unit": 1, "face": "sp-barrier-1", "lane": {"way": "in"}}]}
    ],
}


class Site(SkSite):
    """A gateway with one parking lane, and its command line."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        port = self.simulate(SCENARIO)["lanes"]
        self.serve(
            links={"lanes": {"driver": "modbus-tcp", "host": "127.0.0.1", "port": port, "timeout": "1s"}},
            devices=[
                {"id": "lane-in", "profile": "sp-barrier-1", "link": "lanes", "unit": 1, "name": {"en": "Way in"}}
            ],
            rules={"packs": ["parking"]},
        )
        wait_for(lambda: "answers" in self("device", "list").out)

    def write(self, point: str, value: str, *more: str, reason: str = "test") -> Said:
        return self("point", "write", point, value, "--reason", reason, "--yes", *more)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site")) as each:
        yield each


def test_a_lane_is_opened_and_seen_to_open(site: Site) -> None:
    """Accepted, confirmed, exit 0; with --json the last word in an envelope."""
    said = site.write("lane-in/cmd.open", "true", reason="delivery")
    assert (said.code, said.out.splitlines(), said.err) == (0, ["accepted", "confirmed"], "")
    said = site.write("lane-in/cmd.open", "true", "--json")
    assert said.code == 0
    assert said.envelope()["data"]["outcome"] == "confirmed"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("lane-in/cmd.open", "yes"), "bad-value"),
        (("lane-in/hold_open", "true", "--expires", "13h"), "bad-expiry"),
        (("lane-in/lane.state", "open"), "not-writable"),
        (("lane-in/cmd.close", "true"), "not-in-view"),
    ],
)
def test_what_may_not_be_is_refused_with_its_reason(site: Site, arguments: tuple[str, ...], reason: str) -> None:
    """Exit 1, the reason on stdout, and on stderr what it means and what to do."""
    said = site.write(*arguments)
    assert said.code == 1
    assert f"{reason}:" in said.err
    assert said.out.splitlines() == [f"refused ({reason})"]
    said = site.write(*arguments, "--json")
    assert said.code == 1
    assert [problem["code"] for problem in said.envelope()["problems"]] == [reason]


def test_nonsense_and_strangers_have_their_own_codes(site: Site) -> None:
    """No such point is 1, an expiry that is none is 2, and without --yes nobody who cannot be asked is believed."""
    assert site.write("lane-in/cmd.opne", "true").code == 1
    assert site.write("lane-in/cmd.open", "true", "--expires", "soon").code == 2
    said = site("point", "write", "lane-in/cmd.open", "true", "--reason", "test")
    assert (said.code, said.out) == (2, "")
    assert "--yes" in said.err
    assert sk("point", "write", "a/b", "1", "--reason", "x", "--yes", SITEKEEPER_SOCKET="/nowhere").code == 3


def test_nobody_agrees_to_what_was_not_asked(site: Site) -> None:
    """Exit 1, and what to do."""
    said = site("point", "approve", "3f0c")
    assert (said.code, said.out.splitlines()) == (1, ["refused (not-waiting)"])
    assert "not-waiting:" in said.err


@pytest.mark.parametrize(("lang", "words"), [("en", "good for too long"), ("zh-Hant", "過長"), ("zh-Hans", "过长")])
def test_a_refusal_is_told_in_three_languages(site: Site, lang: str, words: str) -> None:
    """The code stays, the sentence is in the reader's language."""
    said = site.write("lane-in/hold_open", "true", "--expires", "13h", "--lang", lang)
    assert words in said.err


def test_a_hold_ends_by_itself_and_the_status_tells_of_commands(site: Site) -> None:
    """Held open for 3 s, then given back; `sk status` counts what was accepted and refused."""
    assert site.write("lane-in/hold_open", "true", "--expires", "12s").code == 0
    wait_for(lambda: site("point", "read", "lane-in/hold_open", "--json").envelope()["data"]["value"] is False)
    commands = json.loads(site("status", "--json").out)["data"]["commands"]
    assert commands["counts"]["accepted"] >= 3
    assert commands["counts"]["refused"] >= 1
    assert commands["unsettled"] == []
    assert ("commands", "0 stand") in [(row["part"], row["state"]) for row in site("status").table()]


def test_the_salt_lies_beside_the_outbox(site: Site) -> None:
    """Made at the first start, for the daemon's eyes only."""
    made = site.folder / "site/salt"
    assert made.stat().st_size == 32
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert made.stat().st_uid == os.getuid()
