"""Sites with mistakes, one folder each in `tests/fixtures/broken_sites`: every fault, its place, its code, a way out.

`expected.tsv` was written by hand from the files: place, code, and what the remedy must hold.
"""

from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.cli.config import config
from edge.settings import load
from sitekeeper.model.errors import ConfigError, Fault

FOLDERS = sorted((Path(__file__).parents[3] / "fixtures" / "broken_sites").iterdir())
WITHOUT_REMEDY = 0.2


def faults_of(folder: Path, lang: str = "en") -> list[Fault]:
    with pytest.raises(ConfigError) as caught:
        load(folder, lang=lang, environment={})
    return caught.value.faults


def place(fault: Fault) -> str:
    return f"{fault.file}:{fault.line}:{fault.column}" if fault.line else fault.file


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_fault_is_found_where_it_is_and_nothing_else(folder: Path) -> None:
    """The faults are exactly the expected ones: no fault missed, none invented as a consequence of another."""
    expected = [line.split("\t") for line in (folder / "expected.tsv").read_text().splitlines()]
    found = sorted(faults_of(folder), key=place)
    assert [(place(fault), fault.code) for fault in found] == [(at, code) for at, code, _ in expected]
    for fault, (_, _, remedy) in zip(found, expected, strict=True):
        assert remedy in fault.hint


def test_most_faults_come_with_a_way_out() -> None:
    """At least four of five faults have a suggestion or say what to write in the message itself."""
    telling = {"bad-address", "invalid-value", "out-of-range", "duplicate-key", "duplicate-device", "missing-key"}
    telling |= {"missing-point", "kind-missing", "overlap", "same-device", "name-differs", "file-missing", "wrong-type"}
    rows = [line.split("\t") for folder in FOLDERS for line in (folder / "expected.tsv").read_text().splitlines()]
    mute = [row for row in rows if not row[2] and row[1] not in telling]
    assert len(mute) <= WITHOUT_REMEDY * len(rows), mute
    assert len(FOLDERS) >= 30


@pytest.mark.parametrize("lang", ["zh-Hant", "zh-Hans"])
def test_other_languages_change_the_words_only(lang: str) -> None:
    """Places and codes are the same in every language; the words of the settings are not English."""
    folder = next(folder for folder in FOLDERS if folder.name == "missing-profile")
    english, other = faults_of(folder), faults_of(folder, lang)
    assert [(place(f), f.code) for f in english] == [(place(f), f.code) for f in other]
    assert english[0].message != other[0].message


def test_the_command_prints_every_fault_and_ends_with_6() -> None:
    """`sk config check` prints one line for each fault, as file:line:column, and its exit code is 6."""
    folder = next(folder for folder in FOLDERS if folder.name == "many-at-once")
    done = CliRunner().invoke(config, ["check", str(folder)], standalone_mode=False)
    assert done.return_value == 6
    lines = done.stdout.splitlines()
    assert len(lines) == 7
    assert lines[0].startswith("devices/more.yaml:2:44: there is no link")
    assert "did you mean" in lines[0]
