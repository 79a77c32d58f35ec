"""The page of supported devices against the shipped profiles."""

import re

import pytest

from tests.docs.pages import DOCS, table
from tests.docs.supported_page import HEADINGS, LEFT_OUT, MAKERS, OURS, PAGE, profiles, tables

SUPPORTED = PAGE.name


@pytest.mark.parametrize("heading", HEADINGS)
def test_the_tables_are_those_of_the_profiles(heading: str) -> None:
    """Whoever changes a profile writes the page anew (`python -m tests.docs.supported_page`)."""
    text = (DOCS / SUPPORTED).read_text(encoding="utf-8").partition(f"{heading}\n")[2].partition("\n## ")[0]
    assert [f"| {' | '.join(row)} |" for row in tables()[heading]] == re.findall(r"^\|.*\|$", text, re.MULTILINE)[2:]


def test_every_shipped_profile_is_on_the_page_once() -> None:
    """Also in exactly one table of devices."""
    named = [row[1] for heading, rows in tables().items() if heading != LEFT_OUT for row in rows]
    assert sorted(named) == sorted(f"`{profile.file.profile}`" for profile in profiles())


def test_what_we_designed_stands_under_no_makers_name() -> None:
    """And what stands under a maker's name is by his document."""
    assert {row[5] for row in tables()[OURS]} == {"designed"}
    assert not [row for row in tables()[MAKERS] if row[5] == "designed" or row[7] == "-"]


def test_every_profile_says_what_it_does_not_reach_and_has_golden_vectors() -> None:
    """Of what its makers document; of what we designed the vectors at least."""
    documented = [each.file for each in profiles() if each.file.evidence.level != "designed"]
    assert [file.profile for file in documented if not file.evidence.left_out] == []
    rows = [row for heading, found in tables().items() if heading != LEFT_OUT for row in found]
    assert [row[1] for row in rows if row[6] in {"-", "0"}] == []


def test_bridges_lead_to_profiles_that_there_are() -> None:
    """Each profile that the last table names is one of ours."""
    known = {f"`{profile.file.profile}`" for profile in profiles()}
    named = {name for row in table(SUPPORTED, "from here.") for name in re.findall(r"`[a-z0-9-]+`", row[3])}
    assert named
    assert named <= known
