"""`docs/modbus.md`: every key that can be written is there, and none that cannot; its figures are the code's."""

import re

from drivers.modbus.identity import AFTER, APART, APART_SERIAL
from drivers.modbus.learned import OFTEN, RARELY, TOGETHER
from drivers.modbus.options import WORDS, ModbusDevice, ModbusPoint, RtuLink, RtuTcpLink, SerialDevice, TcpLink
from drivers.modbus.scanning import CUTS
from sitekeeper.model.clock import HOUR, MINUTE, SECOND
from tests.docs.pages import DOCS, table

PAGE = DOCS / "modbus.md"


def keys(heading: str) -> set[str]:
    """Return the keys that the first column of a table names."""
    return {key for row in table("modbus.md", heading) for key in re.findall(r"`(\w+)`", row[0])}


def fields(*models: type) -> set[str]:
    return {field.alias or name for model in models for name, field in model.model_fields.items()}  # type: ignore[attr-defined]


def test_every_key_is_on_the_page() -> None:
    """Links, devices and points: what the page lists is what can be written."""
    assert keys("## Keys of a link") == fields(TcpLink, RtuLink, RtuTcpLink)
    assert keys("## Keys of a device") == fields(ModbusDevice, SerialDevice)
    assert keys("## Keys of a point") == fields(ModbusPoint)
    (types,) = [row[1] for row in table("modbus.md", "## Keys of a point") if row[0] == "`type`"]
    assert set(re.findall(r"`(\w+)`", types)) == {*WORDS, "string", "bool"}


def test_the_figures_are_true() -> None:
    """Waits and limits that the page names."""
    assert (RARELY["hole"], RARELY["mute"], TOGETHER) == (10 * MINUTE, 6 * HOUR, 5 * MINUTE)
    assert (AFTER, APART, APART_SERIAL) == (10 * SECOND, SECOND, MINUTE)
    text = PAGE.read_text(encoding="utf-8")
    assert f"at most {CUTS} requests" in text
    assert OFTEN == 3
    assert "the next two readings" in text
