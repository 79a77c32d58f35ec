"""`docs/commands.md`: its blocks run, its tables are those of the classes and of the command door."""

import re
from pathlib import Path
from typing import get_args

from edge.rules.packs import shipped_writables
from sitekeeper.durations import duration_text
from sitekeeper.model.command import Outcome
from sitekeeper.profile import Allowed, Writable, value_text
from tests.docs.pages import DOCS, ROOT, play, table

PAGE = (DOCS / "commands.md").read_text(encoding="utf-8")
SAID = re.compile(r'(?:Result\("\w+", |Refused\(|return ")"?([a-z]+-[a-z-]+)"')


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    """What must never be written is refused with the words that the page shows."""
    assert play("commands.md", tmp_path) == 6


def test_the_table_is_the_allow_list() -> None:
    """Every point that may be written, and nothing else."""
    shown = table("commands.md", "## What may be written")
    wanted = [_row(cls, name, each) for cls, points in shipped_writables().items() for name, each in points.items()]
    assert shown == wanted, "the table should be:\n" + "\n".join(f"| {' | '.join(row)} |" for row in wanted)


def test_every_outcome_and_every_reason_is_explained() -> None:
    """Each outcome, and each reason that stands in the code of the command door, has a place on the page."""
    told = set(re.findall(r"`([a-z_-]+)`", PAGE))
    code = "".join(
        (ROOT / f"edge/commands/{name}.py").read_text() for name in ("guard", "commander", "line", "carrying", "pairs")
    )
    reasons = set(SAID.findall(code)) - {"left-behind"}
    assert len(reasons) > 15
    assert reasons | set(get_args(Outcome)) <= told


def test_classes_that_must_never_be_written_allow_nothing() -> None:
    """Lifts, escalators and fire panels are only read."""
    assert [cls for cls in ("lift", "escalator", "fire") if shipped_writables()[cls]] == []


def _row(cls: str, name: str, writable: Writable) -> list[str]:
    people = [role for role in writable.by if role != "linkage"]
    values = "; ".join([_allowed(writable), *(f"tag `{tag}`: {_allowed(w)}" for tag, w in writable.tagged.items())])
    guards = [f"`{writable.interlock}`"] if writable.interlock else []
    guards += ["in view"] if writable.live_view else []
    guards += ["two persons"] if writable.two_persons else []
    if writable.off_most:
        tags = ", ".join(f"`{tag}`" for tag in writable.off_most.tags)
        guards.append(f"off at most {duration_text(writable.off_most.for_)} with tag {tags}")
    guards += [f"warns {duration_text(writable.warn.for_)} before a rule switches off"] if writable.warn else []
    rest = "-" if writable.rest is None else value_text(writable.rest)
    seen = f"`{writable.confirm.point if writable.confirm else name}`, {duration_text(writable.within)}"
    return [
        f"{cls} `{name}`",
        ", ".join(people) or "-",
        "yes" if "linkage" in writable.by else "-",
        values,
        "; ".join(guards) or "-",
        seen,
        "acts once" if writable.pulse else rest,
    ]


def _allowed(allowed: Allowed) -> str:
    if allowed.range is not None:
        return f"{allowed.range[0]:g} to {allowed.range[1]:g}"
    return ", ".join(map(value_text, allowed.values)) or "any"
