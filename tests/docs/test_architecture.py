"""`docs/architecture.md` shows the families that there are."""

import re

import yaml

from edge.rules.packs import shipped_classes, shipped_writables
from tests.docs.pages import DOCS, ROOT, table

PAGE = (DOCS / "architecture.md").read_text(encoding="utf-8")


def test_the_families_are_those_of_the_classes_and_profiles() -> None:
    """Each class with its profiles, and what may be written."""
    profiles: dict[str, set[str]] = {}
    for path in sorted((ROOT / "config/profiles").glob("*.yaml")):
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
        profiles.setdefault(written["class"], set()).add(written["profile"])
    shown = {
        row[1].strip("`"): (_names(row[2]), _names(row[4])) for row in table("architecture.md", "## What there is")
    }
    assert shown == {cls: (profiles.get(cls, set()), set(shipped_writables()[cls])) for cls in shipped_classes()}


def test_every_room_is_told() -> None:
    """The folders of the table are those of the tree."""
    told = set(re.findall(r"^\| `([a-z_]+)/`", PAGE, re.MULTILINE))
    assert [name for name in told if not (ROOT / name).is_dir()] == []
    assert {"sitekeeper", "drivers", "edge", "cloud_sync", "office", "simulators", "config"} <= told


def _names(cell: str) -> set[str]:
    return set(re.findall(r"`([a-z0-9_.-]+)`", cell))
