"""`docs/bacnet.md`: every key that can be written is there, and none that cannot; its figures are the code's."""

import re

from drivers.bacnet.cov import OLD, PATIENCE, RARELY
from drivers.bacnet.doubles import ASK_EVERY
from drivers.bacnet.groups import BACKSTOP
from drivers.bacnet.listening import HURRY
from drivers.bacnet.options import BacnetDevice, BacnetPoint, IpLink
from drivers.bacnet.subscription import UNTOLD
from sitekeeper.model.clock import HOUR, MINUTE, SECOND
from tests.docs.pages import DOCS, table


def keys(heading: str) -> set[str]:
    """Return the keys that the first column of a table names."""
    return {key for row in table("bacnet.md", heading) for key in re.findall(r"`(\w+)`", row[0])}


def fields(model: type) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}  # type: ignore[attr-defined]


def test_every_key_is_on_the_page() -> None:
    """Links, devices and points: what the page lists is what can be written."""
    assert keys("## Keys of a link") == fields(IpLink)
    assert keys("## Keys of a device") == fields(BacnetDevice)
    assert keys("## Keys of a point") == fields(BacnetPoint)


def test_the_figures_are_true() -> None:
    """Waits and limits that the page names."""
    assert (OLD, PATIENCE, UNTOLD, RARELY) == (3, 3, 3 * SECOND, HOUR)
    assert (BACKSTOP, HURRY, ASK_EVERY) == (MINUTE, SECOND, 10 * MINUTE)
    text = (DOCS / "bacnet.md").read_text(encoding="utf-8")
    assert "each within\na minute" in text
    assert BacnetDevice.model_fields["cov_lifetime"].default == 5 * MINUTE
