"""`docs/alarms.md`: its blocks run, its tables are those of the alarm machine and of the alarm door."""

from pathlib import Path
from typing import get_args

from edge import drill
from edge.alarm_moves import PERMIT
from edge.commands.alarm_door import ALLOWED, Operation
from sitekeeper.durations import duration_text
from sitekeeper.model import alarm
from sitekeeper.model.alarm import AlarmState, Cause
from sitekeeper.model.errors import Refused
from sitekeeper.model.veil import SHELF, Layers, after
from tests.docs.pages import DOCS, play, table

PAGE = "alarms.md"
BASES = (AlarmState.NORMAL, AlarmState.UNACKED, AlarmState.ACKED, AlarmState.RETURNED)
LATCHED = (AlarmState.NORMAL, AlarmState.UNACKED, AlarmState.ACKED, AlarmState.LATCHED_UNACKED,
           AlarmState.LATCHED_ACKED)  # fmt: skip
BY = "panel/A13"
OVER_IT = (Cause.SHELVE, Cause.UNSHELVE, Cause.SHELF_OVER, Cause.SUPPRESS, Cause.UNSUPPRESS, Cause.OUT, Cause.RETURN,
           Cause.PERMIT_OVER)  # fmt: skip


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    """The site file that it shows is clean."""
    assert play(PAGE, tmp_path) == 1


def test_the_table_of_the_base_is_the_machine() -> None:
    """Every move of the base machine, and no other."""
    shown = {(row[0], row[1]): (row[2], row[3]) for row in table(PAGE, "### The base machine")}
    wanted = {(str(state), f"`{cause}`"): (str(plain), str(held)) for (state, cause), (plain, held) in TABLE.items()}
    assert shown == wanted, lines((*key, *value) for key, value in wanted.items())


def test_the_table_of_what_lies_over_it_is_the_machine() -> None:
    """From where each move leads where, with one layer at most, and how it is refused elsewhere."""
    shown = table(PAGE, "### What lies over it")
    wanted = [over(cause) for cause in OVER_IT]
    assert shown == wanted, lines(wanted)


def test_limits_and_rights_are_those_of_the_code() -> None:
    """How long something may be held back, and who may do what."""
    text = (DOCS / PAGE).read_text(encoding="utf-8")
    for said in (*(f"{priority} {duration_text(most)}" for priority, most in SHELF.items()), duration_text(PERMIT)):
        assert said in text, said
    assert f"at most {duration_text(drill.LONGEST)}" in text
    rows = {row[0].strip("`"): row[1] for row in table(PAGE, "## Who may do what")}
    assert set(rows) == {*get_args(Operation), "drill"}
    for operation in get_args(Operation):
        least = next(role for role in ("operator", "technician", "engineer") if operation in ALLOWED[role])
        assert rows[operation] == least


TABLE = alarm._TABLE


def places() -> list[tuple[Layers, bool]]:
    """Return where an alarm of each kind may stand with one layer over it at most, and whether it is latched."""
    found = []
    for bases, latched in ((BASES, False), (LATCHED, True)):
        for base in bases:
            own = Layers(base)
            layers = (own, own._replace(shelved=True), own._replace(veils=(BY,)), own._replace(out=True))
            found += [(each, latched) for each in layers]
    return found


def over(cause: Cause) -> tuple[str, ...] | list[str]:
    """Return the row of a move of what lies over the base."""
    ways: dict[str, set[str]] = {}
    reasons = set()
    for now, latched in places():
        try:
            then = after(now, cause, latched=latched, by="link-a/GW20" if cause is Cause.SUPPRESS else BY)
        except Refused as refused:
            reasons.add(f"`{refused.reason}`")
        else:
            ways.setdefault(str(now.shown), set()).add(str(then.shown))
    order = [str(state) for state in AlarmState]
    froms = sorted(ways, key=order.index)
    tos = sorted({to for each in ways.values() for to in each}, key=order.index)
    return [f"`{cause}`", " ".join(froms), " ".join(tos), ", ".join(sorted(reasons)) or "-"]


def lines(rows: object) -> str:
    return "the table should be:\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows)  # type: ignore[attr-defined]
