"""`docs/rules.md` does what it says: its rules are written, its console blocks run, its tables are the code's."""

from pathlib import Path

import pytest

from edge.rules import packs
from edge.rules.forms import FORMS
from edge.rules.operators import OPERATORS
from edge.rules.page import page
from sitekeeper.faults import Faults, Place
from tests.docs.pages import DOCS, play, table
from tests.docs.rules_table import HEADING, lines, rows

PAGE = (DOCS / "rules.md").read_text(encoding="utf-8")


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    """Every command of the page gives exactly the output that the page shows."""
    assert play("rules.md", tmp_path) == 5


def test_the_page_names_every_operator() -> None:
    """An operator that is not on the page is not there for people."""
    assert [name for name in (*OPERATORS, *FORMS) if f"`{name}(" not in PAGE and f"`{name}`" not in PAGE] == []


def test_every_shipped_rule_stands_in_the_table() -> None:
    """Id, words, priority, delays, parameters and what a device must have, as in config/rules."""
    wanted = rows()
    assert table("rules.md", HEADING) == wanted, "the table should be:\n" + "\n".join(lines(wanted))


@pytest.mark.parametrize("pack", packs.shipped())
def test_each_pack_has_its_page(pack: str) -> None:
    """`docs/packs` is what `sk rule page --out docs/packs` writes today."""
    written = (DOCS / "packs" / f"{pack}.md").read_text(encoding="utf-8")
    assert written == page(pack), "run: sk rule page --out docs/packs"


def test_there_is_no_page_about_a_pack_that_is_gone() -> None:
    """Each page has its pack, and the page about the language leads to it."""
    assert sorted(path.stem for path in (DOCS / "packs").iterdir()) == packs.shipped()
    assert [pack for pack in packs.shipped() if f"(packs/{pack}.md)" not in PAGE] == []


@pytest.mark.parametrize("pack", packs.shipped())
def test_the_page_tells_every_key_that_shipped_rules_have(pack: str) -> None:
    """A key that is used and not explained is a riddle."""
    for text in packs.load([(pack, Place("test", 1, 1))], Faults()):
        assert [key for key in text.mapping if f"`{key}" not in PAGE and f"  {key}: " not in PAGE] == []
