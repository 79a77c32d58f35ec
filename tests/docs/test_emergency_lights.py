"""`docs/emergency-lights.md`: its blocks run, its tables are those of the plans and of what refuses a test."""

import re
from pathlib import Path

from edge.settings.section_tests import PlanSection
from tests.docs.pages import ROOT, play, table

REFUSED, RETURNED = re.compile(r'Refused\("([a-z-]+)"'), re.compile(r'return "([a-z-]+)"')


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    """The plan is fine, and its two mistakes are told with what the page says."""
    assert play("emergency-lights.md", tmp_path) == 3


def test_the_keys_are_those_of_a_plan() -> None:
    """Each once, and no other."""
    shown = {row[0].strip("`").partition(":")[0] for row in table("emergency-lights.md", "## A plan")}
    assert shown == set(PlanSection.model_fields)


def test_every_refusal_is_explained() -> None:
    """Each word with which the machine or its shell refuses a test."""
    code = "".join((ROOT / f"edge/commands/lamp_{name}.py").read_text() for name in ("tests", "shell"))
    _, _, refusal = code.partition("def _refusal")
    words = set(REFUSED.findall(code)) | set(RETURNED.findall(refusal.partition("def ")[0]))
    assert {row[0].strip("`") for row in table("emergency-lights.md", "## By hand, and the log book")} == words
