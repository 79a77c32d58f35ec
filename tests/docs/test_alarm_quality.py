"""docs/alarm-quality.md: its settings load, its tables name what there is, its numbers are those of the code."""

import re
from pathlib import Path

from office.notify.bundles import AGAIN
from office.notify.stages import Reason
from office.settings import load
from sitekeeper import alarm_quality
from sitekeeper.alarm_quality import Kpi
from sitekeeper.model.clock import DAY, MINUTE, SECOND
from tests.docs.pages import DOCS, table

PAGE = "alarm-quality.md"
CHANNEL = '  - {id: %s, kind: webhook, url: "https://x.example/", secret: 0123456789abcdef}\n'
LATER = {"gave-up", "record-missing", "condition-over", "history"}


def test_the_settings_of_the_page_are_good(tmp_path: Path) -> None:
    """With its channels they load, and the ladder has the three steps that the page shows."""
    [shown] = re.findall(r"^```yaml\n(.*?)^```$", (DOCS / PAGE).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    names = dict.fromkeys(name for part in re.findall(r"\[(.*?)\]", shown) for name in part.split(", "))
    head = "store: {path: office.db}\nbroker: {host: 127.0.0.1}\nchannels:\n"
    path = tmp_path / "office.yaml"
    path.write_text(head + "".join(CHANNEL % name for name in names) + shown, encoding="utf-8")
    assert [step.after for step in load(path).routing().ladder["P1"]] == [30 * SECOND, 3 * MINUTE, 5 * MINUTE]


def test_every_reason_stands_on_the_page_once() -> None:
    """The table has every decision but those that a row of the push log alone can have."""
    found = [row[0].strip("`") for row in table(PAGE, "## What is decided, in this order")]
    assert sorted(found) == sorted([*(set(Reason) - LATER), "send: ..."])
    page = (DOCS / PAGE).read_text(encoding="utf-8")
    assert all(f"`{reason}`" in page for reason in LATER)


def test_every_figure_stands_on_the_page_with_its_limits() -> None:
    """The names of the table are those of the answer; the numbers are those that are counted with."""
    named = {name for row in table(PAGE, "## The figures") for name in re.findall(r"`(\w+)`", row[0])}
    assert {name.removesuffix("_s") for name in named} == set(Kpi.__struct_fields__) - {"start", "end"}
    limits = (alarm_quality.CHATTER, alarm_quality.CHATTER_WITHIN // SECOND, alarm_quality.FLEETING // SECOND)
    assert limits == (3, 60, 10)
    assert (alarm_quality.FLOOD_ABOVE, alarm_quality.FLOOD_BELOW, alarm_quality.TOP) == (10, 5, 10)
    assert (alarm_quality.WINDOW, AGAIN, alarm_quality.STALE) == (10 * MINUTE, 10 * MINUTE, DAY)
