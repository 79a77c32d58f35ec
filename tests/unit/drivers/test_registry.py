"""The table of drivers."""

import subprocess
import sys

import pytest

from drivers import registry
from sitekeeper.model.errors import ConfigError, NotFound


def test_known_kind():
    """A kind is found by its name and tells what it takes."""
    kind = registry.kind("modbus-tcp")
    assert (kind.name, kind.family) == ("modbus-tcp", "modbus")
    assert kind.marker_keys <= set(kind.point_model.model_fields)
    assert "modbus-tcp" in registry.names()


def test_unknown_kind_has_near_misses():
    """A misspelt kind is not found, and the right spelling is offered."""
    with pytest.raises(NotFound) as refusal:
        registry.kind("modbus-tpc")
    assert refusal.value.near[0] == "modbus-tcp"


def test_two_origins_of_one_name():
    """Two packages that claim one name stop the start, and both are named."""
    with pytest.raises(ConfigError, match=r"a:A by sitekeeper and b:B by other"):
        registry.merge({"sitekeeper": [("x", "a:A")], "other": [("x", "b:B")]})


def test_missing_library_is_a_fault_of_the_configuration(monkeypatch):
    """A driver whose library is not installed is reported as such."""
    monkeypatch.setitem(registry._table(), "ghost", "no_such_library_here:KIND")
    with pytest.raises(ConfigError, match="needs a library that is not installed"):
        registry.kind("ghost")


def test_naming_and_checking_load_no_protocol_library():
    """Listing the kinds loads none of them, and checking a site's points loads no protocol library."""
    code = (
        "import sys; from drivers import registry; registry.names(); assert 'drivers.modbus' not in sys.modules;"
        "registry.kind('modbus-tcp'); assert not [m for m in sys.modules if m.split('.')[0] == 'pymodbus']"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
